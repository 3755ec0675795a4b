from __future__ import annotations

import inspect
import threading
from typing import Any

import attrs
import pytest

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    Latency,
    Outcome,
    Override,
    Registry,
    Snapshot,
    State,
    Window,
)
from tests.support.runtime import FakeClock, Runtime
from tests.support.threads import Caller, Gate, together


@pytest.fixture
def cmd(registry: Registry) -> Command:
    """A command that two of four failures open."""
    cmd = Command(
        "db", registry=registry, volume_threshold=4, sleep_window=5, latency_buckets=[1, 2]
    )
    cmd(lambda: None)  # from then on its settings are those of its name
    return cmd


def fail(guard: Any, times: int = 1) -> None:
    """Let calls of it fail."""
    for _ in range(times):
        guard.acquire().fail(OSError("no"))


def test_what_takes_no_time_adds_none(run: Runtime, registry: Registry) -> None:
    """
    Not even a nanosecond, whatever becomes of the call.
    """
    cmd = Command("db", registry=registry, is_failure="bad".__eq__)
    for ends in ({"returns": "good"}, {"returns": "bad"}, {"raises": ConnectionError}):
        run.raised(cmd(run.body(**ends)))
    latency = cmd.snapshot().latency
    assert {str(outcome): each.sum for outcome, each in latency.items()} == {
        "success": 0.0,
        "failure": 0.0,
    }


def test_a_result_that_opened_the_circuit_is_told(run: Runtime, registry: Registry) -> None:
    """
    There was no error to tell of.
    """
    cmd = Command("db", registry=registry, volume_threshold=1, is_failure="bad".__eq__)
    assert run.call(cmd(run.body(returns="bad"))) == "bad"
    assert cmd.state is State.OPEN
    assert cmd.snapshot().last_error == "a result that is a failure"


def test_of_something_new_all_is_zero(clock: FakeClock, cmd: Command) -> None:
    """
    Every count is there from the beginning, and nothing is -1, missing or not a number.
    """
    snapshot = cmd.snapshot()
    assert snapshot.name == "db"
    assert (snapshot.state, snapshot.override, snapshot.generation) == (State.CLOSED, None, 1)
    assert snapshot.window == Window(calls=0, failures=0, slow=0, error_percent=0.0)
    assert snapshot.totals == dict.fromkeys(Outcome, 0)
    assert snapshot.in_flight == snapshot.waiting == snapshot.abandoned == 0
    assert snapshot.trials_running == snapshot.slow == snapshot.stale == 0
    assert snapshot.latency == {}
    assert snapshot.trials == dict.fromkeys(("success", "failure", "released", "expired"), 0)
    assert snapshot.fallbacks == dict.fromkeys(("success", "failure", "rejected"), 0)
    assert set(snapshot.shadowed.values()) == {0}
    assert snapshot.transitions == {}
    assert snapshot.state_seconds == dict.fromkeys(State, 0.0)
    assert snapshot.retry_after is snapshot.reason is snapshot.last_error is None
    assert snapshot.moved_from is snapshot.moved_at is None
    assert snapshot.settings.volume_threshold == 4
    assert snapshot.at == clock() / 1e9


def test_every_field_is_described(clock: FakeClock) -> None:
    """
    The docstrings of the records name exactly their fields, in order.
    """
    for record in (Snapshot, Window, Latency):
        doc = inspect.cleandoc(record.__doc__ or "")
        described = [
            line.split(":")[0].strip()
            for line in doc.partition("Attributes:")[2].partition("\nExample:")[0].splitlines()
            if line.startswith("    ") and not line.startswith("     ")
        ]
        assert described == [field.name for field in attrs.fields(record)]


def test_it_is_frozen_through_and_through(clock: FakeClock, cmd: Command) -> None:
    """
    A snapshot is a value: neither its fields nor its mappings can be changed.
    """
    cmd.acquire().succeed()
    snapshot: Any = cmd.snapshot()
    for field in attrs.fields(Snapshot):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(snapshot, field.name, None)
        value = getattr(snapshot, field.name)
        assert not isinstance(value, (dict, list, set))
        if hasattr(value, "keys"):
            with pytest.raises(TypeError):
                value["x"] = 1
    with pytest.raises(TypeError):
        snapshot.latency[Outcome.SUCCESS].counts[0] = 1


def test_it_stays_as_it_was(clock: FakeClock, cmd: Command) -> None:
    """
    What happens later does not change a snapshot taken before.
    """
    cmd.acquire().succeed()
    snapshot = cmd.snapshot()
    text = repr(snapshot)
    fail(cmd, 3)
    clock.advance(100)
    cmd.configure(buckets=3)
    assert repr(snapshot) == text


@pytest.mark.promise("J2", "B7")
def test_outcomes_add_up_to_the_calls_made(run: Runtime, registry: Registry, cmd: Command) -> None:
    """
    Whatever becomes of a call, it counts exactly one outcome.
    """
    body = run.body()
    guarded = cmd(body)
    made = 0
    ends = (None, None, None, OSError, ValueError, KeyboardInterrupt, None, OSError, OSError)
    for raises in (*ends, OSError, None):
        body.body.raises = raises
        run.raised(guarded)
        made += 1
    snapshot = cmd.snapshot()
    assert sum(snapshot.totals.values()) == made
    assert snapshot.totals[Outcome.CANCELLED] == 1
    executed = made - snapshot.totals[Outcome.SHORT_CIRCUITED]
    assert body.body.calls == executed
    assert sum(sum(each.counts) for each in snapshot.latency.values()) == executed


def test_the_window_tells_what_the_circuit_decides_by(clock: FakeClock, registry: Registry) -> None:
    """
    Calls, failures, slow calls and their share; what is older than the window has left it.
    """
    cmd = Command("db", registry=registry, slow_call_duration=1)
    cmd.acquire().succeed()
    fail(cmd)
    slow = cmd.acquire()
    clock.advance(1)
    slow.succeed()
    assert cmd.snapshot().window == Window(calls=3, failures=1, slow=1, error_percent=100 / 3)
    clock.advance(9)
    assert cmd.snapshot().window == Window(calls=1, failures=0, slow=1, error_percent=0.0)
    clock.advance(1)
    assert cmd.snapshot().window.calls == 0
    assert sum(cmd.snapshot().totals.values()) == 3


def test_durations_are_counted_by_outcome_and_bound(clock: FakeClock, cmd: Command) -> None:
    """
    A bound belongs to its bucket, and what is beyond the last one has a count of its own.

    The sum is exact.
    """
    for seconds in (0, 0.5, 1, 1.5, 2, 2.000000001, 1000):
        permit = cmd.acquire()
        clock.advance(seconds)
        permit.succeed()
    permit = cmd.acquire()
    clock.advance(1.5)
    permit.fail()
    latency = cmd.snapshot().latency
    assert set(latency) == {Outcome.SUCCESS, Outcome.FAILURE}
    assert latency[Outcome.SUCCESS] == Latency(bounds=(1, 2), counts=(3, 2, 2), sum=1007.000000001)
    assert latency[Outcome.FAILURE] == Latency(bounds=(1, 2), counts=(0, 1, 0), sum=1.5)


def test_a_breaker_alone_keeps_no_histogram(clock: FakeClock, registry: Registry) -> None:
    """
    Unless it judges slow calls, durations are none of its business.
    """
    plain = CircuitBreaker("a", registry=registry)
    judging = CircuitBreaker("b", registry=registry, slow_call_duration=1)
    for breaker in (plain, judging):
        breaker(lambda: None)()
        breaker.acquire().succeed()
    assert plain.snapshot().latency == {}
    assert sum(judging.snapshot().latency[Outcome.SUCCESS].counts) == 2


def test_it_tells_who_runs_and_who_waits(clock: FakeClock, registry: Registry) -> None:
    """
    Held slots, waiters and trials under way are counted as they are.
    """
    cmd = Command("db", registry=registry, error_percent=1, volume_threshold=1)
    gate = Gate()
    caller = Caller(cmd(gate))
    assert gate.begun.wait(20)
    with cmd.acquire():
        assert cmd.snapshot().in_flight == 2
    gate.open.set()
    caller.outcome()
    assert cmd.snapshot().in_flight == 0
    fail(cmd)
    clock.advance(5)
    with cmd.acquire():
        assert cmd.snapshot().trials_running == 1
    assert cmd.snapshot().trials_running == 0
    assert cmd.snapshot().trials["success"] == 1


def test_it_tells_of_states_and_how_long_they_lasted(clock: FakeClock, cmd: Command) -> None:
    """
    Transitions are counted by pair, seconds by state, and both go on while a state lasts.
    """
    clock.advance(2)
    fail(cmd, 4)
    clock.advance(5)
    trial = cmd.acquire()
    clock.advance(3)
    trial.fail(ValueError("still"))
    clock.advance(7)
    snapshot = cmd.snapshot()
    assert snapshot.transitions == {
        (State.CLOSED, State.OPEN): 1,
        (State.OPEN, State.HALF_OPEN): 1,
        (State.HALF_OPEN, State.OPEN): 1,
    }
    assert snapshot.state_seconds == {State.CLOSED: 2, State.OPEN: 12, State.HALF_OPEN: 3}
    assert snapshot.generation == 4
    assert snapshot.last_error == "ValueError: still"
    assert snapshot.reason == "a trial failed"
    assert (snapshot.moved_from, snapshot.moved_at) == (State.HALF_OPEN, snapshot.at - 7)


def test_it_tells_when_to_try_again(clock: FakeClock, cmd: Command) -> None:
    """
    `retry_after` is what a refused caller is told.

    It is the time to the end of the sleep window, or of the first lease, or nothing.
    """
    assert cmd.snapshot().retry_after is None
    fail(cmd, 4)
    clock.advance(2)
    assert cmd.snapshot().retry_after == 3
    clock.advance(3)
    assert cmd.snapshot().retry_after is None
    trial = cmd.acquire()
    clock.advance(1)
    assert cmd.snapshot().retry_after == 4
    with pytest.raises(CircuitOpenError) as caught:
        cmd.acquire()
    assert caught.value.retry_after == 4
    trial.succeed()
    assert cmd.snapshot().retry_after is None
    cmd.force_open()
    assert cmd.snapshot().retry_after is None


@pytest.mark.parametrize(
    ("order", "override"),
    [("force_open", "open"), ("force_closed", "closed"), ("shadow", "shadow")],
)
def test_an_override_stands_beside_the_state(
    clock: FakeClock, cmd: Command, order: str, override: str
) -> None:
    """
    `state` is the live one, whatever an operator has put over it.
    """
    getattr(cmd, order)()
    snapshot = cmd.snapshot()
    assert (snapshot.state, snapshot.override) == (State.CLOSED, Override(override))
    assert snapshot.generation == 1
    cmd.clear_override()
    assert cmd.snapshot().override is None


def test_what_was_shadowed_is_counted(clock: FakeClock, registry: Registry) -> None:
    """
    Calls that would have been refused are counted by why.
    """
    cmd = Command("db", registry=registry, volume_threshold=1, max_concurrency=1)
    cmd.shadow()
    held = cmd.acquire()
    cmd.acquire().succeed()
    held.fail()
    cmd.acquire().succeed()
    shadowed = cmd.snapshot().shadowed
    assert (shadowed["bulkhead_full"], shadowed["short_circuited"]) == (1, 1)
    assert cmd.snapshot().window.calls == 1


def test_a_reset_empties_the_window_and_keeps_the_totals(clock: FakeClock, cmd: Command) -> None:
    """
    Totals never decrease.
    """
    fail(cmd, 4)
    cmd.reset()
    snapshot = cmd.snapshot()
    assert (snapshot.state, snapshot.window.calls) == (State.CLOSED, 0)
    assert snapshot.totals[Outcome.FAILURE] == 4


def test_late_results_are_counted_as_stale_as_well(clock: FakeClock, cmd: Command) -> None:
    """
    A result of an earlier generation counts its own outcome, and moves nothing.
    """
    late = cmd.acquire()
    fail(cmd, 4)
    late.succeed()
    snapshot = cmd.snapshot()
    assert (snapshot.stale, snapshot.totals[Outcome.SUCCESS]) == (1, 1)
    assert snapshot.state is State.OPEN


@pytest.mark.promise("J2", "J3", "I2")
def test_every_snapshot_is_consistent(registry: Registry, clock: FakeClock) -> None:
    """
    Taken while threads call, each snapshot is of one instant.

    Counts never go back, and never say that more ran than may.
    """
    cmd = Command("db", registry=registry, max_concurrency=3, volume_threshold=1_000_000)
    over = threading.Event()

    @cmd
    def body() -> None:
        pass

    def call(number: int) -> int:
        made = 0
        while not over.is_set() and made < 20_000:
            made += 1
            try:
                if made % 5:
                    body()
                else:
                    fail(cmd)
            except BulkheadFullError:
                pass
        return made

    callers = [Caller(call, number) for number in range(4)]
    last = dict.fromkeys(Outcome, 0)
    for _ in range(300):
        snapshot = cmd.snapshot()
        assert 0 <= snapshot.in_flight <= 3
        assert all(snapshot.totals[outcome] >= count for outcome, count in last.items())
        assert 0 <= snapshot.window.failures <= snapshot.window.calls
        executed = snapshot.totals[Outcome.SUCCESS] + snapshot.totals[Outcome.FAILURE]
        assert snapshot.window.calls == executed
        assert sum(sum(each.counts) for each in snapshot.latency.values()) == executed
        last = dict(snapshot.totals)
    over.set()
    made = sum(caller.outcome() for caller in callers)
    snapshot = cmd.snapshot()
    assert sum(snapshot.totals.values()) == made
    assert snapshot.in_flight == 0


@pytest.mark.promise("B8", "I2")
def test_a_call_is_in_the_next_snapshot(registry: Registry, clock: FakeClock) -> None:
    """
    What a thread has done it reads at once, however many others do the same.
    """
    cmd = Command("db", registry=registry, max_concurrency=None)
    guarded = cmd(lambda: None)

    def call(number: int) -> None:
        for done in range(1, 101):
            guarded()
            assert cmd.snapshot().totals[Outcome.SUCCESS] >= done

    together(6, call)
    assert cmd.snapshot().totals[Outcome.SUCCESS] == 600


def test_a_private_guard_is_looked_at_too(clock: FakeClock) -> None:
    """
    What has no name has a snapshot, and no place in a registry.
    """
    breaker, bulkhead = CircuitBreaker(), Bulkhead(2)
    with breaker, bulkhead:
        assert bulkhead.snapshot().in_flight == 1
    assert breaker.snapshot().name is bulkhead.snapshot().name is None
    assert breaker.snapshot().totals[Outcome.SUCCESS] == 1
    assert bulkhead.snapshot().settings.max_concurrency == 2
