"""How results come together: those written down without the lock, and those that take it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextvars import Context

import pytest

from resilience import Bulkhead, Command, Outcome, Registry, State, StateChanged
from tests.support.runtime import FakeClock


def succeed(cmd: Command, times: int) -> None:
    """Let calls succeed on the closed path."""
    guarded = cmd(lambda: None)
    for _ in range(times):
        guarded()


@pytest.fixture
def moves(registry: Registry) -> list[State]:
    """The states that listeners were told of."""
    told: list[State] = []
    registry.subscribe(
        lambda event: told.append(event.new) if isinstance(event, StateChanged) else None
    )
    return told


@pytest.mark.promise("A5")
def test_the_failure_that_reaches_a_threshold_knows_of_successes_before_it(
    registry: Registry, clock: FakeClock
) -> None:
    """
    One failure of four calls is 25 %: it opens the circuit, though nobody has read the successes.
    """
    cmd = Command("db", registry=registry, volume_threshold=4, error_percent=25)
    succeed(cmd, 3)
    cmd.acquire().fail(OSError("no"))
    snapshot = cmd.snapshot()
    assert (snapshot.state, snapshot.last_error) == (State.OPEN, "OSError: no")


@pytest.mark.promise("B1")
def test_successes_leave_the_window_with_the_bucket_they_ended_in(
    registry: Registry, clock: FakeClock
) -> None:
    """
    The first success of the next bucket counts those that were written down before it.
    """
    cmd = Command("db", registry=registry, rolling_window=3, buckets=3)
    guarded = cmd(lambda: None)
    for seconds in (0, 0, 0, 1):
        clock.advance(seconds)
        guarded()
    clock.advance(2)
    assert cmd.snapshot().window.calls == 1


def test_what_does_not_move_the_circuit_is_told_to_nobody(
    registry: Registry, clock: FakeClock, moves: list[State]
) -> None:
    """
    Successes and failures of a circuit that has moved before bring no news, and are not stale.
    """
    cmd = Command("db", registry=registry, volume_threshold=1)
    cmd.acquire().fail()
    cmd.reset()
    cmd.configure(volume_threshold=100)
    succeed(cmd, 3)
    cmd.acquire().fail()
    snapshot = cmd.snapshot()
    assert moves == [State.OPEN, State.CLOSED]
    assert (snapshot.stale, snapshot.slow, snapshot.totals[Outcome.SUCCESS]) == (0, 0, 3)


def test_a_success_that_may_open_the_circuit_is_not_slow(
    registry: Registry, clock: FakeClock
) -> None:
    """
    With half of two calls it opens by the failure, and the window has seen no slow call.
    """
    cmd = Command("db", registry=registry, volume_threshold=2, slow_call_duration=1)
    succeed(cmd, 1)
    cmd.reset()
    cmd.acquire().fail()
    succeed(cmd, 1)
    assert (cmd.state, cmd.snapshot().window.slow) == (State.OPEN, 0)


@pytest.mark.parametrize("step", ["read", "unload"])
def test_a_journal_that_opens_the_circuit_is_told_of(
    registry: Registry, clock: FakeClock, moves: list[State], step: str
) -> None:
    """
    Written by threads that did not see the failures yet, a success may open; the rest is stale.
    """
    cmd = Command("db", registry=registry, volume_threshold=3)
    entry = cmd._guard.entry
    journal = entry.circuit.journal
    cmd.acquire().fail()
    cmd.acquire().fail()
    journal.extend([1, 1, 1])
    getattr(entry, step)(journal, clock())
    assert moves == [State.OPEN]
    snapshot = cmd.snapshot()
    assert (snapshot.stale, snapshot.totals[Outcome.SUCCESS]) == (2, 3)


CHANGES: dict[str, Callable[[Command], object]] = {
    "configure": lambda cmd: cmd.configure(volume_threshold=100),
    "declare": lambda cmd: cmd._guard.entry.declare({"slow_call_duration": 5}, "elsewhere"),
    "reject": lambda cmd: cmd._guard.entry.reject(Outcome.BULKHEAD_FULL, 0),
}


@pytest.mark.parametrize("step", CHANGES)
def test_what_was_written_before_a_change_is_judged_before_it(
    registry: Registry, clock: FakeClock, moves: list[State], step: str
) -> None:
    """
    A success that may open the circuit does so by the rules of its time, and that is told of.
    """
    cmd = Command("db", registry=registry, volume_threshold=3, count_rejections=True)
    journal = cmd._guard.entry.circuit.journal
    cmd.acquire().fail()
    cmd.acquire().fail()
    journal.append(1)
    CHANGES[step](cmd)
    assert moves == [State.OPEN]
    assert cmd.snapshot().stale == 0


def test_a_second_trial_is_no_second_transition(
    registry: Registry, clock: FakeClock, moves: list[State]
) -> None:
    """
    The circuit is half-open from the first one on.
    """
    cmd = Command("db", registry=registry, volume_threshold=1, half_open_calls=2)
    cmd.acquire().fail()
    clock.advance(5)
    with cmd.acquire(), cmd.acquire():
        assert moves == [State.OPEN, State.HALF_OPEN]


def test_what_was_dropped_is_counted_and_let_go(registry: Registry, clock: FakeClock) -> None:
    """
    A permit that nobody settles is cancelled once, and nothing is kept of it.
    """
    cmd = Command("db", registry=registry)
    cmd.acquire()
    gc.collect()
    assert [cmd.snapshot().totals[Outcome.CANCELLED] for _ in range(2)] == [1, 1]
    assert cmd._guard.entry.dropped == []


def test_a_slot_that_was_lent_and_dropped_was_a_call_of_who_had_it(
    registry: Registry, clock: FakeClock
) -> None:
    """
    An interrupt leaves a token of the closed path: the bulkhead has its slot, the command counts.
    """
    bulkhead = Bulkhead(1, name="pool", registry=registry)
    cmd = Command("db", bulkhead=bulkhead, registry=registry)
    succeed(cmd, 1)  # there is an idle slot now
    assert Context().run(cmd._guard.quick_enter, cmd._guard.plan) is not None
    gc.collect()
    totals = [each.snapshot().totals[Outcome.CANCELLED] for each in (cmd, bulkhead)]
    assert (totals, bulkhead.in_flight) == ([1, 0], 0)


@pytest.mark.promise("C3")
def test_a_child_has_the_window_and_no_claims(
    registry: Registry, clock: FakeClock, moves: list[State]
) -> None:
    """
    Successes that were only written down are in its window; slots, totals and news are its own.

    Another thread of the parent is telling listeners: the child's are told all the same.
    """
    cmd = Command("db", registry=registry, max_concurrency=2, volume_threshold=4, error_percent=25)
    entry = cmd._guard.entry
    at_once: list[object] = []
    entry.listeners.subscribe(at_once.append, at_once=True)
    succeed(cmd, 3)
    held = cmd.acquire()
    entry.listeners._turn.acquire()
    entry.listeners.put_call(moves.append, State.HALF_OPEN)
    with entry.lock:
        entry.forked()
    snapshot = cmd.snapshot()
    assert (snapshot.in_flight, snapshot.window.calls, sum(snapshot.totals.values())) == (0, 3, 0)
    cmd.acquire().fail()
    assert (moves, len(at_once)) == ([State.OPEN], 1)
    held.release()


@pytest.mark.promise("C3")
def test_what_is_dropped_after_a_fork_is_its_parent_s(registry: Registry, clock: FakeClock) -> None:
    """
    The child lets go of what it has of a permit, and has cancelled nothing.
    """
    cmd = Command("db", registry=registry)
    entry = cmd._guard.entry
    token = cmd._guard.let_in(cmd._guard.plan)
    with entry.lock:
        entry.forked()
    entry.drop(token)
    assert sum(cmd.snapshot().totals.values()) == 0


@pytest.mark.promise("C3")
def test_a_success_of_before_a_fork_is_its_parent_s(registry: Registry, clock: FakeClock) -> None:
    """
    It may end in the child in the next bucket, and is not counted there.
    """
    cmd = Command("db", registry=registry)
    entry = cmd._guard.entry
    journal = entry.circuit.journal
    with entry.lock:
        entry.forked()
    entry.succeed(journal, 1, clock())
    assert sum(cmd.snapshot().totals.values()) == 0


@pytest.mark.promise("J2")
def test_refusals_are_counted_before_there_are_many(registry: Registry, clock: FakeClock) -> None:
    """
    They are written down without the lock; none is lost, and they take no room.
    """
    cmd = Command("db", registry=registry, volume_threshold=1, fallback=lambda _: None)
    cmd.acquire().fail()
    guarded = cmd(lambda: None)
    for _ in range(1000):
        guarded()
    assert len(cmd._guard.entry.notes) < 100
    assert cmd.snapshot().totals[Outcome.SHORT_CIRCUITED] == 1000


@pytest.mark.parametrize(("error", "stale"), [(ValueError, 1), (OSError, 1), (GeneratorExit, 0)])
def test_what_is_ignored_late_is_stale_as_well(
    registry: Registry, clock: FakeClock, error: type[BaseException], stale: int
) -> None:
    """
    A result counts as stale if the circuit has moved on, even if it says nothing of it.

    A call that is torn down has no result.
    """
    cmd = Command("db", registry=registry, volume_threshold=1, ignore=ValueError)

    @cmd
    def fn(error: type[BaseException], *, late: bool) -> None:
        if late:
            Context().run(cmd.acquire).fail()
        raise error

    for late in (False, True):
        with pytest.raises((error, ValueError)):
            fn(error if late else ValueError, late=late)
        assert cmd.snapshot().stale == stale * late


def test_what_was_let_in_against_the_state_is_never_stale(
    registry: Registry, clock: FakeClock
) -> None:
    """
    It moves nothing in any case, whatever comes of it.
    """
    cmd = Command("db", registry=registry, volume_threshold=1, ignore=ValueError)
    cmd.acquire().fail()
    cmd.force_closed()
    with pytest.raises(ValueError, match="invalid"):
        cmd.call(int, "none")
    snapshot = cmd.snapshot()
    assert (snapshot.stale, snapshot.totals[Outcome.IGNORED]) == (0, 1)


@pytest.mark.parametrize(
    ("draw", "wait"), [(0.0, 4), (0.5, 5), (1.0, 4), (1.5, 4), (-0.5, 4), (float("nan"), 4)]
)
def test_a_draw_that_is_none_adds_nothing(clock: FakeClock, draw: float, wait: float) -> None:
    """
    `random` is the user's own: what it gives is a share only from 0 to less than 1.
    """
    registry = Registry(clock=clock, random=lambda: draw)
    cmd = Command(
        "db", registry=registry, volume_threshold=1, sleep_window=4, sleep_window_jitter=0.5
    )
    cmd.acquire().fail()
    assert cmd.snapshot().retry_after == wait


def test_chance_is_drawn_where_no_random_is_given(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A registry of its own asks Python's.
    """
    monkeypatch.setattr("random.random", lambda: 0.5)
    cmd = Registry(clock=clock).command(
        "db", volume_threshold=1, sleep_window=4, sleep_window_jitter=0.5
    )
    cmd.acquire().fail()
    assert cmd.snapshot().retry_after == 5


@pytest.mark.promise("C3")
def test_a_registry_without_names_tells_its_listeners_after_a_fork(
    registry: Registry, clock: FakeClock, moves: list[State]
) -> None:
    """
    Although a thread of the parent was telling them of a name that is gone.
    """
    registry.listeners._turn.acquire()
    with registry.lock:
        registry.forked()
    registry.command("db", volume_threshold=1).acquire().fail()
    assert moves == [State.OPEN]
