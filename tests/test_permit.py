from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import tracemalloc
import weakref
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    Outcome,
    Registry,
    State,
    _log,
    deadline,
)
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime
from tests.support.threads import Caller, together

SHELLS = ["command", "breaker", "bulkhead"]


def make(shell: str, registry: Registry, **fields: Any) -> Any:
    """A guard with one slot, if it has any, that one failure opens, if it can."""
    if shell == "command":
        fields = {"max_concurrency": 1, "volume_threshold": 1, **fields}
        return Command("db", registry=registry, **fields)
    if shell == "breaker":
        return CircuitBreaker("db", registry=registry, **{"volume_threshold": 1, **fields})
    return Bulkhead(1, name="db", registry=registry)


def counts(guard: Any) -> dict[str, int]:
    """The outcomes that occurred."""
    return {str(name): count for name, count in guard.snapshot().totals.items() if count}


def acquire(run: Runtime, guard: Any) -> Any:
    """Take a permit in the colour of the runtime."""
    return run.call(guard.aacquire if run.is_async else guard.acquire)


@pytest.fixture
def breaker(registry: Registry) -> CircuitBreaker:
    """A breaker that one failure opens for five seconds."""
    return CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=5)


# -- settling


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("settle", "outcome"),
    [("succeed", "success"), ("fail", "failure"), ("release", "cancelled")],
)
def test_a_permit_is_settled_by_one_of_three_verdicts(
    run: Runtime, registry: Registry, shell: str, settle: str, outcome: str
) -> None:
    """
    `succeed`, `fail` and `release` give the slot back and count what they say.
    """
    guard = make(shell, registry)
    permit = acquire(run, guard)
    assert not permit.settled
    getattr(permit, settle)()
    assert permit.settled
    assert counts(guard) == {outcome: 1}
    snapshot = guard.snapshot()
    assert snapshot.in_flight == 0
    opened = shell != "bulkhead" and settle == "fail"
    assert snapshot.state is (State.OPEN if opened else State.CLOSED)


@pytest.mark.promise("C2")
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("first", ["succeed", "fail", "release"])
@pytest.mark.parametrize("second", ["succeed", "fail", "release", "with"])
def test_a_permit_is_settled_once(
    run: Runtime, registry: Registry, shell: str, first: str, second: str
) -> None:
    """
    The first verdict counts; what comes later does nothing, and frees nothing twice.
    """
    guard = make(shell, registry, volume_threshold=2)
    permit = acquire(run, guard)
    getattr(permit, first)()
    before = counts(guard), guard.snapshot().window
    if second == "with":
        with pytest.raises(OSError, match="no"), permit:
            raise OSError("no")
    else:
        getattr(permit, second)()
    assert (counts(guard), guard.snapshot().window) == before
    if shell != "breaker":
        held = acquire(run, guard)
        with pytest.raises(BulkheadFullError):
            guard.acquire()
        held.release()


@pytest.mark.promise("C2")
@pytest.mark.parametrize("shell", SHELLS)
def test_of_many_threads_one_settles(clock: FakeClock, registry: Registry, shell: str) -> None:
    """
    Eight threads settle one permit at the same moment: it counts once.
    """
    guard = make(shell, registry, volume_threshold=1000)
    for turn in range(1, 51):
        permit = guard.acquire()
        together(8, lambda number, p=permit: (p.succeed, p.fail, p.release)[number % 3]())
        assert sum(counts(guard).values()) == turn
    assert guard.snapshot().in_flight == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_permit_judges_its_block(run: Runtime, registry: Registry, shell: str) -> None:
    """
    Left in peace a permit is a success; left by an error it is judged by that error.

    The error leaves as it is.
    """
    guard = make(shell, registry, volume_threshold=100)
    with acquire(run, guard) as permit:
        assert guard.snapshot().in_flight == (0 if shell == "breaker" else 1)
    assert permit.settled
    error = OSError("no")
    with pytest.raises(OSError, match="no") as caught, acquire(run, guard):
        raise error
    assert caught.value is error
    for kind in (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError):
        with pytest.raises(kind), acquire(run, guard):
            raise kind
    assert counts(guard) == {"success": 1, "failure": 1, "cancelled": 3}
    assert guard.snapshot().in_flight == 0


def test_a_permit_says_whether_it_is_settled(clock: FakeClock, registry: Registry) -> None:
    """
    So does its repr.
    """
    permit = CircuitBreaker(registry=registry).acquire()
    assert (permit.settled, repr(permit)) == (False, "<Permit held>")
    permit.succeed()
    assert (permit.settled, repr(permit)) == (True, "<Permit settled>")


def test_a_failure_nobody_can_tell_more_of_is_a_failure(
    clock: FakeClock, registry: Registry
) -> None:
    """
    A permit that fails without an exception opens the circuit, and that says so much.
    """
    breaker = CircuitBreaker(registry=registry, volume_threshold=1)
    breaker.acquire().fail()
    assert breaker.snapshot().last_error == "failure"


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError(), "OSError"), (OSError("no"), "OSError: no"), (OSError("x" * 999), 200)],
    ids=["empty", "short", "long"],
)
def test_a_failure_is_told_by_type_and_message(
    clock: FakeClock, registry: Registry, error: OSError, told: str | int
) -> None:
    """
    In at most 200 characters.
    """
    breaker = CircuitBreaker(registry=registry, volume_threshold=1)
    breaker.acquire().fail(error)
    said = breaker.snapshot().last_error
    assert said is not None
    assert told in {said, len(said)}


def test_a_permit_is_judged_as_its_guard_judges(clock: FakeClock, registry: Registry) -> None:
    """
    `handle` and `ignore` of the guard decide what an error in the block says.
    """
    breaker = CircuitBreaker("db", registry=registry, handle=OSError, ignore=TimeoutError)
    for error in (OSError, TimeoutError, ValueError):
        with pytest.raises(error), breaker.acquire():
            raise error
    assert counts(breaker) == {"failure": 1, "ignored": 1, "success": 1}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_permit_is_settled_by_another_thread(
    run: Runtime, registry: Registry, shell: str
) -> None:
    """
    It belongs to no thread: one takes it, another settles it.
    """
    guard = make(shell, registry)
    permit = acquire(run, guard)
    Caller(permit.succeed).outcome()
    assert counts(guard) == {"success": 1}
    assert guard.snapshot().in_flight == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_permit_is_left_by_another_task(
    task: AsyncRuntime, registry: Registry, shell: str
) -> None:
    """
    It belongs to no task: one enters its block, another leaves it.
    """
    guard = make(shell, registry)

    async def scenario() -> None:
        permit = await guard.aacquire()
        permit.__enter__()

        async def leave() -> None:
            permit.__exit__(None, None, None)

        async with anyio.create_task_group() as group:
            group.start_soon(leave)

    task.call(scenario)
    assert counts(guard) == {"success": 1}
    assert guard.snapshot().in_flight == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_permit_survives_its_event_loop(clock: FakeClock, registry: Registry, shell: str) -> None:
    """
    Taken in one loop, it is settled in another, or in none.
    """
    guard = make(shell, registry)
    permit = asyncio.run(guard.aacquire())
    permit.succeed()
    assert counts(guard) == {"success": 1}
    assert guard.snapshot().in_flight == 0


def test_a_permit_measures_how_long_it_was_held(clock: FakeClock, registry: Registry) -> None:
    """
    The duration of a permit runs from its admission to its verdict, and a slow one counts as slow.
    """
    cmd = Command("db", registry=registry, slow_call_duration=2)
    permit = cmd.acquire()
    clock.advance(3)
    permit.succeed()
    snapshot = cmd.snapshot()
    assert snapshot.latency[Outcome.SUCCESS].sum == 3
    assert (snapshot.slow, snapshot.window.slow) == (1, 1)


def test_a_permit_has_no_deadline_of_its_own(clock: FakeClock, registry: Registry) -> None:
    """
    `timeout` does not run while a permit is held, and binds nobody.
    """
    cmd = Command("db", registry=registry, timeout=1)
    permit = cmd.acquire()
    clock.advance(100)
    permit.succeed()
    assert counts(cmd) == {"success": 1}


@pytest.mark.promise("E3")
@pytest.mark.parametrize("shell", SHELLS)
def test_no_permit_is_given_past_the_deadline(run: Runtime, registry: Registry, shell: str) -> None:
    """
    Where the caller's time has run out nothing is admitted, and no slot is taken.
    """
    guard = make(shell, registry)
    past = deadline(0, clock=run.clock)
    error = run.raised(past(guard.aacquire if run.is_async else guard.acquire))
    assert isinstance(error, DeadlineExceededError)
    assert counts(guard) == {"expired": 1}
    assert guard.snapshot().in_flight == 0


@pytest.mark.promise("A7", "A9")
def test_a_permit_may_be_a_trial(run: Runtime, registry: Registry, breaker: CircuitBreaker) -> None:
    """
    After the sleep window one permit is given, and its verdict decides; the next is refused.
    """
    acquire(run, breaker).fail()
    assert isinstance(run.raised(breaker.acquire), CircuitOpenError)
    run.advance(5)
    trial = acquire(run, breaker)
    assert breaker.state is State.HALF_OPEN
    error = run.raised(breaker.acquire)
    assert isinstance(error, CircuitOpenError)
    assert error.state == "half_open"
    trial.succeed()
    assert breaker.state is State.CLOSED


# -- retry_after


def open_by(breaker: CircuitBreaker, retry_after: Any) -> float:
    """Open by a failure that asks for a pause; the seconds until the next trial."""
    breaker.acquire().fail(OSError("busy"), retry_after=retry_after)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    assert caught.value.last_error == "OSError: busy"
    assert caught.value.retry_after is not None
    return caught.value.retry_after


@pytest.mark.promise("A18")
@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        (None, 5),
        (0, 5),
        (3, 5),
        (7, 7),
        (7.25, 7.25),
        (timedelta(seconds=30), 30),
        (Decimal("8.5"), 8.5),
        (50, 50),
        (51, 50),
        (float("inf"), 50),
    ],
    ids=str,
)
def test_a_dependency_may_ask_to_be_left_alone(
    clock: FakeClock, breaker: CircuitBreaker, asked: Any, pause: float
) -> None:
    """
    `retry_after` holds the circuit open for longer than the sleep window, never for less.

    It may ask for ten sleep windows at most.
    """
    assert open_by(breaker, asked) == pause
    clock.advance(pause - 0.001)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    clock.advance(0.001)
    breaker.acquire().succeed()
    assert breaker.state is State.CLOSED


def test_no_pause_is_longer_than_sleep_window_max(clock: FakeClock, registry: Registry) -> None:
    """
    Where the longest sleep window is set, it bounds what a dependency may ask for.
    """
    breaker = CircuitBreaker(
        "db", registry=registry, volume_threshold=1, sleep_window=5, sleep_window_max=20
    )
    assert open_by(breaker, 1000) == 20


@pytest.mark.parametrize("asked", [-1, float("nan"), True, "3", b"3", 3j, object()], ids=repr)
def test_a_pause_that_is_no_time_is_refused(
    clock: FakeClock, breaker: CircuitBreaker, asked: Any
) -> None:
    """
    Anything but a time is a `ConfigurationError`, and the permit stays unsettled.
    """
    permit = breaker.acquire()
    with pytest.raises(ConfigurationError, match="retry_after"):
        permit.fail(retry_after=asked)
    assert not permit.settled
    permit.succeed()
    assert counts(breaker) == {"success": 1}


def test_a_failure_that_opens_nothing_holds_nothing(clock: FakeClock, registry: Registry) -> None:
    """
    `retry_after` of a failure below the volume threshold has no effect on a later opening.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=2, sleep_window=5)
    breaker.acquire().fail(retry_after=40)
    breaker.acquire().fail()
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    assert caught.value.retry_after == 5


# -- dropped


@pytest.mark.promise("C4", "D2")
@pytest.mark.parametrize("shell", ["command", "bulkhead"])
def test_a_dropped_permit_is_given_back(run: Runtime, registry: Registry, shell: str) -> None:
    """
    A permit that nobody settled and nobody holds gives its slot back when it is next wanted.

    Its call counts as cancelled.
    """
    guard = make(shell, registry)
    permit = acquire(run, guard)
    assert isinstance(run.raised(guard.acquire), BulkheadFullError)
    del permit
    gc.collect()
    acquire(run, guard).succeed()
    assert counts(guard) == {"bulkhead_full": 1, "cancelled": 1, "success": 1}
    assert guard.snapshot().in_flight == 0


@pytest.mark.promise("C4")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_dropped_permit_is_in_the_books_when_they_are_read(
    clock: FakeClock, registry: Registry, shell: str
) -> None:
    """
    A snapshot counts what was dropped before.
    """
    guard = make(shell, registry)
    guard.acquire()
    gc.collect()
    snapshot = guard.snapshot()
    assert counts(guard) == {"cancelled": 1}
    assert snapshot.in_flight == 0
    assert snapshot.window.calls == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_dropped_permits_leave_nothing_behind(
    clock: FakeClock, registry: Registry, shell: str
) -> None:
    """
    Each is counted once, and then forgotten.
    """
    guard = make(shell, registry)

    def drop(count: int) -> None:
        for _ in range(count):
            guard.acquire()
            guard.snapshot()

    drop(10)
    tracemalloc.start()
    try:
        drop(10)
        before = tracemalloc.get_traced_memory()[0]
        drop(200)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()
    assert counts(guard) == {"cancelled": 220}


@pytest.mark.promise("C4", "A10")
def test_a_dropped_trial_makes_room_for_the_next(
    run: Runtime, registry: Registry, breaker: CircuitBreaker
) -> None:
    """
    A trial that nobody settled is no longer one when the next is wanted.
    """
    acquire(run, breaker).fail()
    run.advance(5)
    acquire(run, breaker)
    gc.collect()
    trial = acquire(run, breaker)
    assert breaker.snapshot().trials["released"] == 1
    trial.succeed()
    assert breaker.state is State.CLOSED


@pytest.mark.promise("C4", "C6")
def test_a_dropped_permit_serves_who_waits(task: AsyncRuntime, registry: Registry) -> None:
    """
    A waiter finds the slot of a permit that was dropped meanwhile, without anybody else's help.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)

    async def scenario() -> None:
        held = [bulkhead.acquire()]
        async with anyio.create_task_group() as group:
            group.start_soon(bulkhead(anyio.lowlevel.checkpoint))
            await anyio.wait_all_tasks_blocked()
            held.clear()
            gc.collect()

    task.call(scenario)
    assert bulkhead.in_flight == bulkhead.waiting == 0


@pytest.mark.promise("C5")
def test_a_permit_dies_in_the_middle_of_a_step(clock: FakeClock, registry: Registry) -> None:
    """
    A collection that finds a dropped permit in a step of the library does not deadlock.

    Nor does it spoil the count.
    """
    bulkhead = Bulkhead(2, registry=registry)

    class Cycle:
        def __init__(self) -> None:
            self.permit = bulkhead.acquire()
            self.me = self

    def work() -> None:
        Cycle()
        for _ in range(50):
            gc.collect(0)
            with bulkhead:
                pass

    caller = Caller(work)
    caller.outcome()
    gc.collect()
    assert [bulkhead.acquire().settled for _ in range(2)] == [False, False]


# -- blocks


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the library logs."""
    monkeypatch.setattr(_log, "_last", {})
    caplog.set_level(logging.DEBUG, logger="resilience")
    return caplog


@pytest.mark.parametrize("shell", SHELLS)
def test_a_block_is_settled_where_it_was_entered(
    run: Runtime, registry: Registry, said: Any, shell: str
) -> None:
    """
    `with guard:` admits, judges by how the block ends, and nests with itself and with others.
    """
    guard = make(shell, registry, volume_threshold=100)
    other = CircuitBreaker("other", registry=registry)

    def block() -> None:
        with guard as entered, other:
            assert entered is guard

    async def ablock() -> None:
        async with guard as entered, other:
            assert entered is guard

    body: Any = ablock if run.is_async else block
    run.call(body)

    def failing() -> None:
        with guard:
            raise OSError("no")

    async def afailing() -> None:
        async with guard:
            raise OSError("no")

    assert isinstance(run.raised(afailing if run.is_async else failing), OSError)
    assert counts(guard) == {"success": 1, "failure": 1}
    assert counts(other) == {"success": 1}
    assert said.records == []


def test_blocks_of_one_object_nest(clock: FakeClock, registry: Registry) -> None:
    """
    The innermost block that is open is the one that ends.
    """
    breaker = CircuitBreaker("db", registry=registry)
    with breaker:
        with pytest.raises(OSError, match="inner"), breaker:
            raise OSError("inner")
        with breaker:
            pass
    assert counts(breaker) == {"success": 2, "failure": 1}


def test_blocks_of_one_object_nest_deeper(clock: FakeClock, registry: Registry, said: Any) -> None:
    """
    Each of three levels ends its own block, and so does one that comes after.
    """
    breaker = CircuitBreaker("db", registry=registry)
    with pytest.raises(OSError, match="outer"), breaker:
        with breaker:
            with breaker:
                pass
            with breaker:
                pass
        raise OSError("outer")
    assert counts(breaker) == {"success": 3, "failure": 1}
    assert said.records == []


@pytest.mark.parametrize("left", ["here", "elsewhere"])
def test_a_block_that_was_left_keeps_nothing_alive(registry: Registry, left: str) -> None:
    """
    Its context lets go of its guard: at once, or with the next block if it was left elsewhere.
    """
    own, other = contextvars.Context(), contextvars.Context()
    breaker = CircuitBreaker(registry=registry)
    kept = weakref.ref(breaker._guard)
    own.run(breaker.__enter__)
    (own if left == "here" else other).run(breaker.__exit__, None, None, None)
    del breaker
    if left == "elsewhere":
        own.run(CircuitBreaker(registry=registry).__enter__)
    gc.collect()
    assert kept() is None


def test_tasks_that_share_an_object_leave_their_own_blocks(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Many tasks are in blocks of one object at once, and each settles its own.
    """
    breaker = CircuitBreaker("db", registry=registry)

    async def scenario() -> None:
        async def caller(number: int) -> None:
            try:
                async with breaker:
                    for _ in range(number):
                        await anyio.lowlevel.checkpoint()
                    if number % 2:
                        raise OSError("no")
            except OSError:
                pass

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(caller, number)

    task.call(scenario)
    assert counts(breaker) == {"success": 5, "failure": 5}


def test_blocks_of_two_objects_are_left_in_any_order(clock: FakeClock, registry: Registry) -> None:
    """
    Each object ends its own block, though another one's was entered after it and is still open.
    """
    breaker = make("breaker", registry)
    bulkhead = Bulkhead(1, name="other", registry=registry)
    breaker.__enter__()
    bulkhead.__enter__()
    breaker.__exit__(OSError, OSError("no"), None)
    assert counts(breaker) == {"failure": 1}
    assert counts(bulkhead) == {}
    assert bulkhead.in_flight == 1
    bulkhead.__exit__(None, None, None)
    assert counts(bulkhead) == {"success": 1}
    assert bulkhead.in_flight == 0


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("where", ["thread", "context"])
def test_a_block_left_elsewhere_is_found_while_it_is_alone(
    clock: FakeClock, registry: Registry, said: Any, shell: str, where: str
) -> None:
    """
    A block left on another thread or in another context is judged, as long as it is the only one.
    """
    guard = make(shell, registry, volume_threshold=100)
    guard.__enter__()
    error = OSError("no")

    def leave() -> None:
        guard.__exit__(OSError, error, None)

    if where == "thread":
        Caller(leave).outcome()
    else:
        contextvars.Context().run(leave)
    assert counts(guard) == {"failure": 1}
    assert guard.snapshot().in_flight == 0
    assert said.records == []


def test_a_block_that_cannot_be_told_from_others_is_given_back(
    clock: FakeClock, registry: Registry, said: Any
) -> None:
    """
    Left elsewhere while others are open it could be any of them: none gets a verdict.

    It is given back, and that is logged once.
    """
    breaker = CircuitBreaker("ambiguous", registry=registry)
    contexts = [contextvars.Context() for _ in range(4)]
    for context in contexts:
        context.run(breaker.__enter__)
    for _ in contexts[:3]:
        contextvars.Context().run(breaker.__exit__, OSError, OSError("no"), None)
    assert counts(breaker) == {"cancelled": 3}
    assert [record.levelname for record in said.records] == ["WARNING"]
    assert "ambiguous" in said.text
    assert "acquire" in said.text
    contextvars.Context().run(breaker.__exit__, None, None, None)
    assert counts(breaker) == {"cancelled": 3, "success": 1}


def test_a_block_left_elsewhere_takes_nothing_from_its_context(
    clock: FakeClock, registry: Registry
) -> None:
    """
    After a block was left elsewhere, its own context can enter and leave further ones.
    """
    breaker = CircuitBreaker("db", registry=registry)
    breaker.__enter__()
    contextvars.Context().run(breaker.__exit__, None, None, None)
    with breaker:
        pass
    with pytest.raises(OSError, match="no"), breaker:
        raise OSError("no")
    assert counts(breaker) == {"success": 2, "failure": 1}


def test_leaving_a_block_nobody_entered_does_nothing(clock: FakeClock, registry: Registry) -> None:
    """
    One `__exit__` too many settles nothing and raises nothing.
    """
    breaker = CircuitBreaker("db", registry=registry)
    with breaker:
        pass
    breaker.__exit__(None, None, None)
    assert counts(breaker) == {"success": 1}


def test_a_refused_block_is_not_entered(run: Runtime, registry: Registry) -> None:
    """
    The body of a block that is refused does not run, and there is nothing to leave.
    """
    bulkhead = Bulkhead(0, registry=registry)
    ran: list[int] = []

    def block() -> None:
        with bulkhead:
            ran.append(1)

    async def ablock() -> None:
        async with bulkhead:
            ran.append(1)

    assert isinstance(run.raised(ablock if run.is_async else block), BulkheadFullError)
    assert ran == []
    assert bulkhead.in_flight == 0


def test_a_block_of_a_command_has_its_deadline(task: AsyncRuntime, registry: Registry) -> None:
    """
    `async with cmd:` is cut off after `timeout`, which is counted as such.
    """
    cmd = Command("db", timeout=2, registry=registry)
    before = task.clock()

    async def block() -> None:
        async with cmd:
            await task.sleep(100)

    error = task.raised(block)
    assert isinstance(error, DeadlineExceededError)
    assert error.name == "db"
    assert (task.clock() - before) / 1e9 == pytest.approx(2, abs=0.01)
    assert counts(cmd) == {"timeout": 1}
    assert cmd.snapshot().in_flight == 0


def test_blocks_of_many_threads_do_not_meet(clock: FakeClock, registry: Registry) -> None:
    """
    Threads that share an object each leave their own blocks.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=10_000)
    inside = threading.Barrier(6)

    def caller(number: int) -> None:
        for _ in range(20):
            try:
                with breaker:
                    inside.wait(20)
                    if number % 2:
                        raise OSError("no")
            except OSError:
                pass

    together(6, caller)
    assert counts(breaker) == {"success": 60, "failure": 60}
