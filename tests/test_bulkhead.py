from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CallRejected,
    CircuitBreaker,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    Outcome,
    Registry,
    State,
    _waiting,
    deadline,
)
from resilience._pool import Pool
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime
from tests.support.threads import PATIENCE, Caller, Gate, WatchingClock, together


class Counter:
    """Counts who is inside, independently of the library."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0
        self.entered = 0

    def __enter__(self) -> None:
        with self._lock:
            self.entered += 1
            self._inside += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


@pytest.fixture
def watching() -> WatchingClock:
    """A clock that looks around whenever it is read."""
    return WatchingClock()


@pytest.fixture
def watched(watching: WatchingClock) -> Registry:
    """A registry whose clock tells when callers wait."""
    return Registry(clock=watching)


@pytest.fixture
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting thread looks at its clock at once, and not only each second."""
    monkeypatch.setattr(_waiting, "LOOK", 0.001)


# -- the limit


@pytest.mark.promise("D1", "D2")
def test_refuses_beyond_its_limit(run: Runtime, registry: Registry) -> None:
    """
    With all slots held a call is refused without being made; given back, a slot serves again.
    """
    bulkhead = Bulkhead(2, name="db", registry=registry)
    fn = run.body(returns=3)
    guarded = bulkhead(fn)
    held = [bulkhead.acquire(), bulkhead.acquire()]
    error = run.raised(guarded)
    assert isinstance(error, BulkheadFullError)
    assert (error.name, error.max_concurrency, error.waiting) == ("db", 2, 0)
    assert error.retry_after is None
    assert fn.body.calls == 0
    held.pop().release()
    assert run.call(guarded) == 3
    held.pop().release()
    assert bulkhead.in_flight == 0
    totals = bulkhead.snapshot().totals
    assert totals[Outcome.BULKHEAD_FULL] == totals[Outcome.SUCCESS] == 1
    assert totals[Outcome.CANCELLED] == 2


@pytest.mark.promise("D10")
def test_a_limit_of_zero_refuses_all(run: Runtime, registry: Registry) -> None:
    """
    No slot, no call: not even one that would wait.
    """
    bulkhead = Bulkhead(0, max_waiting=0, registry=registry)
    assert isinstance(run.raised(bulkhead(run.body())), BulkheadFullError)
    assert bulkhead.in_flight == bulkhead.waiting == 0


def test_without_a_limit_it_counts(run: Runtime, registry: Registry) -> None:
    """
    `None` refuses nobody, and still tells how many run.
    """
    bulkhead = Bulkhead(None, registry=registry)
    held = [bulkhead.acquire() for _ in range(100)]
    assert bulkhead.in_flight == 100
    assert run.call(bulkhead(run.body(returns=3))) == 3
    for permit in held:
        permit.release()
    assert bulkhead.in_flight == 0


def test_a_dropped_permit_is_in_flight_no_more(registry: Registry, clock: FakeClock) -> None:
    """
    Whoever asks sees it at once, and the call was cancelled.
    """
    bulkhead = Bulkhead(2, registry=registry)
    kept, dropped = bulkhead.acquire(), bulkhead.acquire()
    del dropped
    assert bulkhead.in_flight == 1
    kept.release()
    assert bulkhead.in_flight == 0
    assert bulkhead.snapshot().totals["cancelled"] == 2


def test_a_bulkhead_alone_keeps_no_durations(run: Runtime, registry: Registry) -> None:
    """
    They would be of nobody's interest, and cost each call.
    """
    bulkhead = Bulkhead(2, registry=registry)
    run.call(bulkhead(run.body(takes=1)))
    assert bulkhead.snapshot().totals["success"] == 1
    assert bulkhead.snapshot().latency == {}


@pytest.mark.promise("D1", "D2", "D7", "I2")
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("waiting", [0, 1000])
def test_threads_asyncio_and_trio_share_one_limit(limit: int, waiting: int) -> None:
    """
    From threads, asyncio and trio at once, the body never runs more often at once than the limit.

    Six threads, an asyncio loop and a trio loop call it: every call ends, and no slot is lost.
    """
    bulkhead = Bulkhead(limit, name="db", max_waiting=waiting, registry=Registry())
    counter = Counter()
    calls = 60

    @bulkhead
    def body() -> None:
        with counter:
            pass

    @bulkhead
    async def abody() -> None:
        with counter:
            await anyio.lowlevel.checkpoint()

    def once(fn: Callable[[], object]) -> None:
        with contextlib.suppress(BulkheadFullError):
            fn()

    async def aonce() -> None:
        with contextlib.suppress(BulkheadFullError):
            await abody()

    async def tasks() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(aonce)

    def caller(number: int) -> None:
        if number == 0:
            asyncio.run(tasks())
        elif number == 1:
            trio.run(tasks)
        else:
            for _ in range(calls):
                once(body)

    together(8, caller)
    totals = bulkhead.snapshot().totals
    assert counter.most <= limit
    assert totals[Outcome.SUCCESS] == counter.entered
    assert sum(totals.values()) == 8 * calls
    assert bulkhead.in_flight == bulkhead.waiting == 0
    if waiting:
        assert counter.entered == 8 * calls
    assert all(bulkhead.acquire() for _ in range(limit))


# -- waiting


@pytest.mark.promise("D3")
def test_the_waiting_room_is_bounded(task: AsyncRuntime, registry: Registry) -> None:
    """
    As many wait as may; the next is refused at once, and told how many wait.
    """
    bulkhead = Bulkhead(1, name="db", max_waiting=2, registry=registry)
    before = task.clock()

    async def scenario() -> None:
        permit = bulkhead.acquire()
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(bulkhead(anyio.lowlevel.checkpoint))
            await anyio.wait_all_tasks_blocked()
            assert bulkhead.waiting == 2
            with pytest.raises(BulkheadFullError) as caught:
                await bulkhead(anyio.lowlevel.checkpoint)()
            assert (caught.value.waiting, caught.value.max_concurrency) == (2, 1)
            permit.release()

    task.call(scenario)
    assert task.clock() - before < 1e9
    assert bulkhead.in_flight == bulkhead.waiting == 0


@pytest.mark.promise("D5")
def test_waiters_are_served_in_the_order_they_came(task: AsyncRuntime, registry: Registry) -> None:
    """
    First come, first served; a newcomer passes nobody even if a slot is idle by then.
    """
    bulkhead = Bulkhead(1, max_waiting=10, registry=registry)
    served: list[int] = []

    async def scenario() -> None:
        @bulkhead
        async def body(number: int) -> None:
            served.append(number)
            await anyio.lowlevel.checkpoint()

        permit = bulkhead.acquire()
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(body, number)
                await anyio.wait_all_tasks_blocked()
            permit.release()
            group.start_soon(body, 5)

    task.call(scenario)
    assert served == [0, 1, 2, 3, 4, 5]


@pytest.mark.promise("D5", "D8")
def test_threads_and_tasks_stand_in_one_queue(watching: WatchingClock, watched: Registry) -> None:
    """
    Threads, an asyncio task and a trio task are woken across threads and loops, in their order.
    """
    bulkhead = Bulkhead(1, max_waiting=10, max_wait=1000, registry=watched)
    served: list[str] = []

    def thread(name: str) -> None:
        with bulkhead:
            served.append(name)

    async def coroutine(name: str) -> None:
        async with bulkhead:
            served.append(name)

    callers: list[Caller] = []
    permit = bulkhead.acquire()
    starts: list[tuple[Callable[..., Any], Any]] = [
        (thread, "thread"),
        (lambda name: asyncio.run(coroutine(name)), "asyncio"),
        (lambda name: trio.run(coroutine, name), "trio"),
        (thread, "thread again"),
    ]
    for count, (fn, name) in enumerate(starts, start=1):
        waits = watching.when(lambda count=count: bulkhead.waiting == count)
        callers.append(Caller(fn, name))
        assert waits.wait(PATIENCE)
    permit.release()
    for caller in callers:
        caller.outcome()
    assert served == ["thread", "asyncio", "trio", "thread again"]
    assert bulkhead.in_flight == bulkhead.waiting == 0


@pytest.mark.promise("D4")
def test_a_wait_ends_at_max_wait(task: AsyncRuntime, registry: Registry) -> None:
    """
    A task that was given no slot for `max_wait` seconds is refused, and never runs later.
    """
    bulkhead = Bulkhead(1, max_waiting=1, max_wait=2.5, registry=registry)
    fn = task.body()
    permit = bulkhead.acquire()
    before = task.clock()
    assert isinstance(task.raised(bulkhead(fn)), BulkheadFullError)
    assert (task.clock() - before) / 1e9 == pytest.approx(2.5, abs=0.01)
    permit.release()
    assert fn.body.calls == 0
    assert bulkhead.in_flight == bulkhead.waiting == 0
    assert bulkhead.snapshot().totals[Outcome.BULKHEAD_FULL] == 1


@pytest.mark.promise("D4")
@pytest.mark.parametrize(("own", "callers"), [(2.5, 60), (60, 2.5), (None, 2.5)])
def test_a_wait_ends_at_the_earlier_of_two_ends(
    task: AsyncRuntime, registry: Registry, own: float | None, callers: float
) -> None:
    """
    `max_wait` ends a wait in `BulkheadFullError`, the caller's deadline in `DeadlineExceededError`.
    """
    bulkhead = Bulkhead(1, max_waiting=1, max_wait=own, registry=registry)
    fn = task.body()
    guarded = deadline(callers, clock=task.clock)(bulkhead(fn))
    permit = bulkhead.acquire()
    before = task.clock()
    error = task.raised(guarded)
    assert (task.clock() - before) / 1e9 == pytest.approx(2.5, abs=0.01)
    if own == 2.5:
        assert isinstance(error, BulkheadFullError)
        assert bulkhead.snapshot().totals[Outcome.BULKHEAD_FULL] == 1
    else:
        assert isinstance(error, DeadlineExceededError)
        assert bulkhead.snapshot().totals[Outcome.EXPIRED] == 1
    permit.release()
    assert fn.body.calls == bulkhead.waiting == bulkhead.in_flight == 0


@pytest.mark.promise("D4")
@pytest.mark.parametrize(
    ("max_wait", "timeout", "waits"), [(None, 2.5, 2.5), (5, 2.5, 5), (5, None, 5)]
)
def test_a_command_s_wait_ends_at_max_wait_or_after_its_timeout(
    task: AsyncRuntime,
    registry: Registry,
    max_wait: float | None,
    timeout: float | None,
    waits: float,
) -> None:
    """
    Where no `max_wait` is set a call waits for a slot as long as it might run.
    """
    command = registry.command(
        "db", timeout=timeout, max_wait=max_wait, max_concurrency=1, max_waiting=1
    )
    with command.acquire():
        before = task.clock()
        assert isinstance(task.raised(command(task.body())), BulkheadFullError)
        assert (task.clock() - before) / 1e9 == pytest.approx(waits, abs=0.01)


@pytest.mark.promise("D4")
@pytest.mark.usefixtures("look_often")
def test_a_thread_waits_no_longer_than_max_wait(watching: WatchingClock, watched: Registry) -> None:
    """
    So it is for a thread, which keeps waiting while its time is not over.
    """
    bulkhead = Bulkhead(1, max_waiting=1, max_wait=5, registry=watched)
    permit = bulkhead.acquire()
    gate = Gate()
    waits = watching.when(lambda: bulkhead.waiting == 1)
    caller = Caller(bulkhead(gate))
    assert waits.wait(PATIENCE)
    watching.advance(4.9)
    looked = watching.when(lambda: True)
    assert looked.wait(PATIENCE)
    assert caller.is_alive()
    watching.advance(0.1)
    with pytest.raises(BulkheadFullError):
        caller.outcome()
    permit.release()
    assert gate.calls == bulkhead.waiting == bulkhead.in_flight == 0


@pytest.mark.promise("D4")
@pytest.mark.usefixtures("look_often")
def test_a_thread_waits_no_longer_than_its_deadline(
    watching: WatchingClock, watched: Registry
) -> None:
    """
    A thread whose deadline ends the wait gets that deadline's error, and the call is `expired`.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=watched)
    permit = bulkhead.acquire()
    gate = Gate()
    waits = watching.when(lambda: bulkhead.waiting == 1)
    caller = Caller(deadline(5, clock=watching)(bulkhead(gate)))
    assert waits.wait(PATIENCE)
    watching.advance(5)
    with pytest.raises(DeadlineExceededError):
        caller.outcome()
    permit.release()
    assert gate.calls == bulkhead.waiting == bulkhead.in_flight == 0
    assert bulkhead.snapshot().totals[Outcome.EXPIRED] == 1


@pytest.mark.usefixtures("look_often")
def test_a_thread_whose_wait_ends_just_before_its_deadline_has_not_expired(
    watching: WatchingClock, watched: Registry
) -> None:
    """
    With a nanosecond left it was the bulkhead that made it wait for too long.
    """
    bulkhead = Bulkhead(1, max_waiting=1, max_wait=5, registry=watched)
    waits = watching.when(lambda: bulkhead.waiting == 1)
    with bulkhead.acquire():
        caller = Caller(deadline(5.000000001, clock=watching)(bulkhead(lambda: None)))
        assert waits.wait(PATIENCE)
        watching.advance(5)
        with pytest.raises(BulkheadFullError):
            caller.outcome()


@pytest.mark.promise("D3")
def test_a_thread_finds_the_waiting_room_full(watching: WatchingClock, watched: Registry) -> None:
    """
    One thread waits, and the next is refused at once: it is told how many there are before it.
    """
    bulkhead = Bulkhead(1, max_waiting=1, max_wait=1000, registry=watched)
    waits = watching.when(lambda: bulkhead.waiting == 1)
    with bulkhead.acquire():
        first = Caller(bulkhead(lambda: "served"))
        assert waits.wait(PATIENCE)
        with pytest.raises(BulkheadFullError) as caught:
            Caller(bulkhead(lambda: None)).outcome()
        assert caught.value.waiting == bulkhead.waiting == 1
    assert first.outcome() == "served"
    assert bulkhead.snapshot().totals[Outcome.BULKHEAD_FULL] == 1


@pytest.mark.promise("D6", "C6")
def test_a_thread_is_woken_by_whoever_frees_a_slot(
    watching: WatchingClock, watched: Registry
) -> None:
    """
    A thread in the waiting room runs as soon as a task of some loop gives its slot back.
    """
    bulkhead = Bulkhead(1, max_waiting=1, max_wait=1000, registry=watched)
    gate = Gate()
    gate.open.set()
    waits = watching.when(lambda: bulkhead.waiting == 1)

    async def holder() -> Caller:
        async with bulkhead:
            caller = Caller(bulkhead(gate))
            assert waits.wait(PATIENCE)
            return caller

    assert asyncio.run(holder()).outcome() == 1
    assert bulkhead.in_flight == bulkhead.waiting == 0


@pytest.mark.promise("D6", "C6", "F5")
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_cancelled_waiter_makes_room_for_the_next(
    task: AsyncRuntime, registry: Registry, gone: int
) -> None:
    """
    Whoever of three waiters is cancelled in the very moment a slot is free, the others are served.
    """
    bulkhead = Bulkhead(1, max_waiting=3, registry=registry)
    served: list[int] = []

    async def scenario() -> None:
        scopes = [anyio.CancelScope() for _ in range(3)]

        async def waiter(number: int) -> None:
            with scopes[number]:
                async with bulkhead:
                    served.append(number)

        permit = bulkhead.acquire()
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(waiter, number)
                await anyio.wait_all_tasks_blocked()
            permit.release()
            scopes[gone].cancel()
        assert bulkhead.in_flight == bulkhead.waiting == 0

    task.call(scenario)
    assert served == [number for number in range(3) if number != gone]
    totals = bulkhead.snapshot().totals
    assert totals[Outcome.SUCCESS] == 2
    assert totals[Outcome.CANCELLED] == 2  # the permit, and who was cancelled


@pytest.mark.promise("D6", "D2")
def test_no_slot_is_lost_in_a_storm_of_cancellations(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    After many waiters came and were cancelled in every order, all slots are there.
    """
    bulkhead = Bulkhead(2, max_waiting=50, registry=registry)

    async def scenario() -> None:
        async def waiter(scope: anyio.CancelScope, steps: int) -> None:
            with scope:
                async with bulkhead:
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()

        for turn in range(20):
            scopes = [anyio.CancelScope() for _ in range(20)]
            async with anyio.create_task_group() as group:
                for number, scope in enumerate(scopes):
                    group.start_soon(waiter, scope, (number * 7 + turn) % 5)
                for number in range(20):
                    if (number * 13 + turn) % 3:
                        scopes[(number * 11 + turn) % 20].cancel()
                    if number % 4 == turn % 4:
                        await anyio.lowlevel.checkpoint()
        assert bulkhead.in_flight == bulkhead.waiting == 0
        held = [bulkhead.acquire() for _ in range(2)]
        with pytest.raises(BulkheadFullError):
            bulkhead.acquire()
        for permit in held:
            permit.release()

    task.call(scenario)
    totals = bulkhead.snapshot().totals
    assert sum(totals.values()) == 20 * 20 + 3


@pytest.mark.promise("D8")
def test_a_closed_loop_swallows_no_slot(watching: WatchingClock, watched: Registry) -> None:
    """
    A loop is closed while a task of it waits: the slot goes to the next waiter, a thread.

    Releasing it raises nothing.
    """
    bulkhead = Bulkhead(1, max_waiting=2, max_wait=1000, registry=watched)
    permit = bulkhead.acquire()

    async def waiter() -> None:
        async with bulkhead:
            pass

    loop = asyncio.new_event_loop()
    task = loop.create_task(waiter())
    while not bulkhead.waiting:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gate = Gate()
    gate.open.set()
    waits = watching.when(lambda: bulkhead.waiting == 2)
    caller = Caller(bulkhead(gate))
    assert waits.wait(PATIENCE)
    permit.release()
    assert caller.outcome() == 1
    assert bulkhead.in_flight == bulkhead.waiting == 0
    close(task)


def close(task: asyncio.Task[None]) -> None:
    """End a task whose loop is closed, without a word about it."""
    task._log_destroy_pending = False
    coroutine = task.get_coro()
    assert coroutine is not None
    with contextlib.suppress(RuntimeError):
        coroutine.close()


@pytest.mark.promise("C1", "F1")
def test_a_waiting_coroutine_may_be_closed(clock: FakeClock, registry: Registry) -> None:
    """
    A coroutine that waits is closed when its loop is gone, as a collected task is.

    `GeneratorExit` leaves it as it is, nothing else is raised, and nobody waits any more.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)
    permit = bulkhead.acquire()
    left: list[BaseException] = []

    async def waiter() -> None:
        try:
            async with bulkhead:
                pass
        except BaseException as error:
            left.append(error)
            raise

    loop = asyncio.new_event_loop()
    task = loop.create_task(waiter())
    while not bulkhead.waiting:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    close(task)
    permit.release()
    assert bulkhead.in_flight == bulkhead.waiting == 0
    assert [type(error) for error in left] == [GeneratorExit]


@pytest.mark.parametrize("form", ["decorator", "with", "acquire"])
def test_on_a_thread_that_runs_a_loop_nobody_waits_synchronously(
    task: AsyncRuntime, registry: Registry, form: str
) -> None:
    """
    A sync form inside a task would block everything on its loop: a full bulkhead refuses at once.
    """
    bulkhead = Bulkhead(1, max_waiting=5, registry=registry)

    async def scenario() -> None:
        permit = bulkhead.acquire()
        with pytest.raises(BulkheadFullError):
            if form == "with":
                with bulkhead:
                    pass
            elif form == "acquire":
                bulkhead.acquire()
            else:
                bulkhead(lambda: None)()
        assert bulkhead.waiting == 0
        permit.release()

    task.call(scenario)


def inside_itself(run: Runtime, guard: Any) -> Callable[[], Any]:
    """Return a guarded function that calls another one of the same guard."""
    inner = guard(run.body())

    if run.is_async:

        @guard
        async def outer() -> None:
            await inner()

    else:

        @guard
        def outer() -> None:
            inner()

    return outer


@pytest.mark.promise("D10", "C7")
@pytest.mark.parametrize("waiting", [1, 5])
@pytest.mark.parametrize("kind", [Bulkhead, Command])
def test_who_holds_all_slots_does_not_wait_for_itself(
    run: Runtime, registry: Registry, kind: Any, waiting: int
) -> None:
    """
    A call inside another that only the outer one could make room for is refused.

    Where somebody else may make room, it waits.
    """
    guard = (
        Bulkhead(1, max_waiting=waiting, registry=registry)
        if kind is Bulkhead
        else Command("db", max_concurrency=1, max_waiting=waiting, timeout=None, registry=registry)
    )
    assert isinstance(run.raised(inside_itself(run, guard)), BulkheadFullError)
    snapshot = guard.snapshot()
    assert snapshot.in_flight == snapshot.waiting == 0


def test_a_child_task_may_wait_for_its_parent_s_slot(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    It inherits the call, and is not the one that holds the slot: the parent will end without it.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)
    waiting: list[int] = []

    async def scenario() -> None:
        async with anyio.create_task_group() as group:

            @bulkhead
            async def parent() -> None:
                group.start_soon(bulkhead(task.body()))
                await anyio.wait_all_tasks_blocked()
                waiting.append(bulkhead.waiting)

            await parent()

    task.call(scenario)
    assert waiting == [1]
    assert bulkhead.snapshot().totals[Outcome.SUCCESS] == 2


def test_who_holds_a_shared_slot_does_not_wait_for_itself(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Nor where the bulkhead that the command shares was given its waiting room later.
    """
    bulkhead = Bulkhead(1, name="pool", max_wait=5, registry=registry)
    cmd = Command("db", bulkhead=bulkhead, timeout=None, registry=registry)
    outer = inside_itself(task, cmd)
    registry.configure("pool", max_waiting=1)
    before = task.clock()
    assert isinstance(task.raised(outer), BulkheadFullError)
    assert task.clock() == before


@pytest.mark.promise("D10", "C7")
def test_a_recursive_call_takes_a_slot_for_each_level(run: Runtime, registry: Registry) -> None:
    """
    Nested calls hold one slot each, as many as there are; the level that finds none is refused.
    """
    bulkhead = Bulkhead(3, max_waiting=5, registry=registry)
    depths: list[int] = []

    if run.is_async:

        @bulkhead
        async def down(depth: int) -> None:
            depths.append(bulkhead.in_flight)
            await down(depth + 1)

    else:

        @bulkhead
        def down(depth: int) -> None:
            depths.append(bulkhead.in_flight)
            down(depth + 1)

    assert isinstance(run.raised(down, 1), BulkheadFullError)
    assert depths == [1, 2, 3]
    assert bulkhead.in_flight == bulkhead.waiting == 0


def test_who_holds_slots_elsewhere_may_wait(task: AsyncRuntime, registry: Registry) -> None:
    """
    A call that holds the only slot of one bulkhead waits for the only one of another.

    Deadlines in between hold no slot.
    """
    one = Bulkhead(1, max_waiting=1, registry=registry)
    other = Bulkhead(1, max_waiting=1, registry=registry)

    @one
    async def outer() -> Any:
        with deadline(60, clock=task.clock):
            return await deadline(50, clock=task.clock)(other(task.body(returns=3)))()

    async def scenario() -> Any:
        permit = other.acquire()
        async with anyio.create_task_group() as group:

            async def frees() -> None:
                await task.sleep(1)
                permit.release()

            group.start_soon(frees)
            return await outer()

    assert task.call(scenario) == 3


def test_who_left_a_block_out_of_turn_may_wait(task: AsyncRuntime, registry: Registry) -> None:
    """
    A block that was left before a deadline inside of it holds nothing, though that goes on.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)

    async def scenario() -> Any:
        budget = deadline(60, clock=task.clock)
        async with anyio.create_task_group() as group:
            await bulkhead.__aenter__()
            with budget:
                await bulkhead.__aexit__(None, None, None)
                permit = bulkhead.acquire()

                async def frees() -> None:
                    await task.sleep(1)
                    permit.release()

                group.start_soon(frees)
                return await bulkhead(task.body(returns=3))()

    assert task.call(scenario) == 3


def test_who_inherits_a_finished_call_may_wait(task: AsyncRuntime, registry: Registry) -> None:
    """
    A background task started inside a call that is over holds nothing of it: it may wait.
    """
    bulkhead = Bulkhead(1, max_waiting=5, registry=registry)

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            free = anyio.Event()

            async def later() -> None:
                await free.wait()
                async with bulkhead:
                    pass

            @bulkhead
            async def starts() -> None:
                group.start_soon(later)

            await starts()
            permit = bulkhead.acquire()
            free.set()
            await anyio.wait_all_tasks_blocked()
            assert bulkhead.waiting == 1
            permit.release()

    task.call(scenario)


# -- resizing


@pytest.mark.promise("D9")
def test_growth_wakes_who_waits(task: AsyncRuntime, registry: Registry) -> None:
    """
    A larger limit serves waiters at once, as many as there is room for.
    """
    bulkhead = Bulkhead(1, max_waiting=5, registry=registry)
    served: list[int] = []

    async def scenario() -> None:
        over = anyio.Event()

        async def waiter(number: int) -> None:
            async with bulkhead:
                served.append(number)
                await over.wait()

        permit = bulkhead.acquire()
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(waiter, number)
                await anyio.wait_all_tasks_blocked()
            bulkhead.resize(3)
            await anyio.wait_all_tasks_blocked()
            assert sorted(served) == [0, 1]
            assert (bulkhead.in_flight, bulkhead.waiting, bulkhead.max_concurrency) == (3, 2, 3)
            bulkhead.resize(None)
            await anyio.wait_all_tasks_blocked()
            assert sorted(served) == [0, 1, 2, 3]
            over.set()
        permit.release()

    task.call(scenario)
    assert bulkhead.in_flight == bulkhead.waiting == 0


def test_a_limit_that_is_declared_later_serves_who_waits(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    A second definition of the name gives it the slot that somebody waits for.
    """
    first = Command("db", registry=registry, max_waiting=1, timeout=None)
    entered: list[int] = []

    async def scenario() -> None:
        held = [first.acquire() for _ in range(10)]

        async def waiter() -> None:
            with await first.aacquire():
                entered.append(first.snapshot().in_flight)

        async with anyio.create_task_group() as group:
            group.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            assert first.snapshot().waiting == 1
            Command("db", registry=registry, max_concurrency=11)(task.body())
            await anyio.wait_all_tasks_blocked()
            assert entered == [11]
        for permit in held:
            permit.release()

    task.call(scenario)


@pytest.mark.promise("D9", "D2")
def test_a_smaller_limit_lets_what_runs_go_on(run: Runtime, registry: Registry) -> None:
    """
    Nothing is taken from who runs; nobody enters until fewer run than the new limit.
    """
    bulkhead = Bulkhead(4, registry=registry)
    guarded = bulkhead(run.body(returns=3))
    held = [bulkhead.acquire() for _ in range(4)]
    bulkhead.resize(2)
    assert bulkhead.in_flight == 4
    for left in (3, 2):
        held.pop().succeed()
        assert bulkhead.in_flight == left
        assert isinstance(run.raised(guarded), BulkheadFullError)
    held.pop().succeed()
    assert run.call(guarded) == 3
    held.pop().succeed()
    assert bulkhead.in_flight == 0
    again = [bulkhead.acquire() for _ in range(2)]
    assert isinstance(run.raised(guarded), BulkheadFullError)
    assert len(again) == bulkhead.in_flight == 2


@pytest.mark.promise("D9")
def test_a_smaller_limit_serves_waiters_only_below_it(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Waiters are not served by slots that are one too many.
    """
    bulkhead = Bulkhead(2, max_waiting=1, registry=registry)

    async def scenario() -> None:
        held = [bulkhead.acquire(), bulkhead.acquire()]
        async with anyio.create_task_group() as group:
            group.start_soon(bulkhead(anyio.lowlevel.checkpoint))
            await anyio.wait_all_tasks_blocked()
            bulkhead.resize(1)
            held.pop().succeed()
            await anyio.wait_all_tasks_blocked()
            assert (bulkhead.in_flight, bulkhead.waiting) == (1, 1)
            held.pop().succeed()
        assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)

    task.call(scenario)


@pytest.mark.promise("D9", "D1")
def test_resizing_under_load_keeps_count(registry: Registry, clock: FakeClock) -> None:
    """
    While threads come and go the limit is changed again and again, and the last one holds.

    Nothing is lost, and nothing is made up.
    """
    bulkhead = Bulkhead(2, max_waiting=0, registry=registry)

    @bulkhead
    def body() -> None:
        pass

    def caller(number: int) -> None:
        for turn in range(300):
            if number == 0:
                bulkhead.resize(turn % 4)
            else:
                with contextlib.suppress(BulkheadFullError):
                    body()

    together(6, caller)
    bulkhead.resize(3)
    assert bulkhead.in_flight == bulkhead.waiting == 0
    held = [bulkhead.acquire() for _ in range(3)]
    with pytest.raises(BulkheadFullError):
        bulkhead.acquire()
    assert bulkhead.in_flight == len(held)


# -- shared


@pytest.mark.promise("D7")
def test_several_names_share_one_bulkhead(run: Runtime, registry: Registry) -> None:
    """
    `bulkhead=` makes one limit of several names; each name counts its own refusals.
    """
    bulkhead = Bulkhead(1, name="pool", registry=registry)
    users = Command("users", bulkhead=bulkhead, registry=registry)
    orders = Command("orders", bulkhead=bulkhead, registry=registry)
    guarded = orders(run.body(returns=3))
    with users.acquire():
        assert bulkhead.in_flight == 1
        error = run.raised(guarded)
        assert isinstance(error, BulkheadFullError)
        assert (error.name, error.max_concurrency) == ("orders", 1)
    assert run.call(guarded) == 3
    assert orders.snapshot().totals[Outcome.BULKHEAD_FULL] == 1
    assert orders.snapshot().totals[Outcome.SUCCESS] == 1
    assert users.snapshot().totals[Outcome.SUCCESS] == 1
    assert bulkhead.in_flight == 0


def test_a_bulkhead_and_the_circuit_of_its_name_know_nothing_of_each_other(
    run: Runtime, registry: Registry
) -> None:
    """
    What its calls come to moves no circuit, and a circuit that is open refuses none of them.
    """
    bulkhead = Bulkhead(1, name="db", registry=registry)
    breaker = CircuitBreaker(name="db", registry=registry, volume_threshold=1)
    fn = run.body(raises=ConnectionError)
    guarded = bulkhead(fn)
    assert isinstance(run.raised(guarded), ConnectionError)
    assert breaker.snapshot().window.calls == 0
    breaker.acquire().fail()
    assert breaker.state is State.OPEN
    run.raised(guarded)
    with bulkhead.acquire():
        pass
    assert fn.body.calls == 2
    assert breaker.snapshot().totals[Outcome.SHORT_CIRCUITED] == 0


@pytest.mark.parametrize("wrong", [3, "pool", lambda: None], ids=["number", "name", "function"])
def test_what_is_no_bulkhead_is_not_shared(
    registry: Registry, clock: FakeClock, wrong: Any
) -> None:
    """
    `bulkhead=` takes a `Bulkhead`; what is wrong besides is told with it.
    """
    with pytest.raises(ConfigurationError) as caught:
        Command("users", bulkhead=wrong, isolation=wrong, registry=registry)
    assert [fault.split(" must be ")[0] for fault in caught.value.faults] == [
        "isolation",
        "bulkhead",
    ]
    assert "users" not in registry


@pytest.mark.promise("D7", "C4")
def test_a_shared_slot_dropped_by_one_name_serves_the_other(
    clock: FakeClock, registry: Registry
) -> None:
    """
    A permit of one name that nobody settled is found when the other name needs its slot.

    The call is counted where it belongs.
    """
    bulkhead = Bulkhead(1, name="pool", registry=registry)
    users = Command("users", bulkhead=bulkhead, registry=registry)
    orders = Command("orders", bulkhead=bulkhead, registry=registry)
    permit = users.acquire()
    del permit
    gc.collect()
    orders.acquire().succeed()
    assert orders.snapshot().totals[Outcome.SUCCESS] == 1
    assert users.snapshot().totals[Outcome.CANCELLED] == 1
    assert sum(users.snapshot().totals.values()) == 1
    assert bulkhead.in_flight == 0


@pytest.mark.promise("D2")
def test_what_was_lost_is_taken_back_when_nothing_else_is_left_and_then_forgotten() -> None:
    """
    An idle slot is taken first; what has been taken back takes up no memory, and no time again.
    """
    pool = Pool(threading.RLock(), 2, 0)
    lost, idle = pool.take(), pool.take()
    assert idle is not None
    pool.put(idle)
    del lost
    assert pool.take() is idle
    assert len(pool.lost) == 1
    new = pool.take()
    assert new not in {None, idle}
    assert pool.lost == []


def test_waiters_of_several_names_stand_in_one_queue(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Commands that share a bulkhead wait in its waiting room, in the order they came.
    """
    bulkhead = Bulkhead(1, max_waiting=5, registry=registry)
    names = ["users", "orders", "users", "stock"]
    served: list[str] = []

    async def scenario() -> None:
        async def waiter(name: str) -> None:
            cmd = Command(name, bulkhead=bulkhead, max_wait=60, registry=registry)
            async with cmd:
                served.append(name)

        permit = bulkhead.acquire()
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(waiter, name)
                await anyio.wait_all_tasks_blocked()
            assert bulkhead.waiting == 4
            permit.release()

    task.call(scenario)
    assert served == names


# -- what it tells


def test_a_refusal_is_told(run: Runtime, registry: Registry) -> None:
    """
    Listeners hear of a refusal, by name and outcome.
    """
    heard: list[Any] = []
    registry.subscribe(heard.append)
    bulkhead = Bulkhead(0, name="db", registry=registry)
    run.raised(bulkhead(run.body()))
    assert [(type(each), each.name, each.outcome) for each in heard] == [
        (CallRejected, "db", Outcome.BULKHEAD_FULL)
    ]


def test_an_interrupted_wait_of_a_thread_is_counted(
    watching: WatchingClock, watched: Registry
) -> None:
    """
    A thread interrupted while it waits (Ctrl-C) leaves the queue, and its call counts as cancelled.
    """
    bulkhead = Bulkhead(1, name="db", max_waiting=1, max_wait=1000, registry=watched)
    permit = bulkhead.acquire()

    def interrupts() -> bool:
        if bulkhead.waiting:
            raise KeyboardInterrupt
        return False

    watching.when(interrupts)
    with pytest.raises(KeyboardInterrupt):
        bulkhead.acquire()
    watching._seen.clear()
    assert bulkhead.waiting == 0
    permit.succeed()
    totals = bulkhead.snapshot().totals
    assert (totals[Outcome.SUCCESS], totals[Outcome.CANCELLED]) == (1, 1)
    assert bulkhead.in_flight == 0
