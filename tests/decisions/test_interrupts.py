"""Interrupts and cancellation: how a call is left by force, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio

from resilience import BulkheadFullError, DeadlineExceededError, Registry, State, deadline
from resilience._chain import current
from resilience._deadline import Deadline
from tests.support.runtime import AsyncioRuntime, AsyncRuntime, FakeClock, Runtime, TrioRuntime
from tests.support.scene import Answer, Ended, Scene, cancelled_after, ended


class Interrupt(BaseException):
    """No `Exception`."""


@pytest.fixture
def loop() -> Iterator[AsyncioRuntime]:
    """Give asyncio alone."""
    runtime = AsyncioRuntime()
    yield runtime
    runtime.close()


@pytest.fixture
def scene(loop: AsyncioRuntime) -> Scene:
    """A command with a timeout and a fallback, in asyncio alone."""
    return Scene(loop, Registry(clock=loop.clock), timeout=2.0, fallback=Answer())


# -- cancellation from outside


@pytest.mark.promise("F1")
def test_the_same_cancellation_leaves(task: AsyncRuntime, registry: Registry) -> None:
    """
    The very object that cancelled the function cancels its caller; no fallback sees it.
    """
    answer = Answer()
    scene = Scene(task, registry, timeout=20.0, fallback=answer)
    guarded = scene.guard(lambda: task.sleep(10))
    end = scene.play(lambda: cancelled_after(task, 1, guarded))
    assert isinstance(end.error, asyncio.CancelledError | trio.Cancelled)
    assert end.error is scene.thrown
    assert answer.errors == []
    assert scene.total("cancelled") == 1


@pytest.mark.promise("F2")
def test_a_cancelled_task_ends_as_soon_as_without_a_command(scene: Scene) -> None:
    """
    From `task.cancel()` to the end of the task the loop turns no more often than without us.
    """

    async def turns(call: Any) -> int:
        task = asyncio.ensure_future(call())
        await asyncio.sleep(1)
        task.cancel()
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        assert task.cancelled()
        return count

    async def scenario() -> tuple[int, int]:
        guarded = scene.guard(lambda: asyncio.sleep(10))
        return await turns(guarded), await turns(lambda: asyncio.sleep(10))

    guarded, bare = scene.play(scenario)
    assert guarded == bare


@pytest.mark.parametrize("order", ["caller first", "deadline first"])
@pytest.mark.promise("F3")
def test_a_cancellation_in_the_tick_of_the_deadline_wins(scene: Scene, order: str) -> None:
    """
    Cancelled from outside and by its own deadline in one turn of the loop, a call is cancelled.
    """
    early = -1e-6 if order == "caller first" else 1e-6

    async def scenario() -> Ended:
        blocked = asyncio.get_running_loop()
        guarded = scene.guard(lambda: asyncio.sleep(10))
        task = asyncio.ensure_future(ended(guarded))
        await asyncio.sleep(1)
        blocked.call_later(1 + early, task.cancel)
        # Both timers are due before the loop looks again.
        scene.block(5)
        return await task

    end = scene.play(scenario)
    assert isinstance(end.error, asyncio.CancelledError)
    assert scene.total("cancelled") == 1


@pytest.mark.promise("F3")
def test_an_outer_scope_of_trio_in_the_tick_of_the_deadline_wins() -> None:
    """
    A cancel scope of the caller's that ends with the command's deadline has cancelled the call.
    """
    run = TrioRuntime()
    scene = Scene(run, Registry(clock=run.clock), timeout=2.0)

    async def scenario() -> bool:
        guarded = scene.guard(lambda: run.sleep(10))
        with trio.move_on_after(2.0) as scope:
            await guarded()
        return scope.cancelled_caught

    assert scene.play(scenario)
    assert scene.total("cancelled") == 1


@pytest.mark.promise("F3", "A11")
def test_an_outer_scope_of_trio_in_the_tick_of_the_caller_s_deadline_wins() -> None:
    """
    A trial whose caller is cancelled in the tick of its deadline was cancelled, not cut off late.
    """
    run = TrioRuntime()
    scene = Scene(run, Registry(clock=run.clock))
    scene.await_trial()

    async def scenario() -> bool:
        guarded = scene.guard(lambda: run.sleep(10))
        with trio.move_on_after(2.0) as scope, scene.within(2.0):
            await guarded()
        return scope.cancelled_caught

    assert scene.play(scenario)
    assert scene.total("cancelled") == 1
    assert scene.command.state is State.HALF_OPEN


@pytest.mark.promise("F4")
def test_our_timeout_leaves_no_cancellation_behind(scene: Scene) -> None:
    """
    After our own timeout `task.cancelling()` is 0 again, and the task goes on.
    """

    async def scenario() -> int:
        task = asyncio.current_task()
        assert task is not None
        assert await scene.guard(lambda: asyncio.sleep(10))() == "instead"
        left = task.cancelling()
        await asyncio.sleep(1)
        return left

    assert scene.play(scenario) == 0
    assert scene.total("timeout") == 1


@pytest.mark.promise("F4")
def test_a_cancellation_from_outside_is_counted_by_asyncio_as_ever(scene: Scene) -> None:
    """
    After a cancellation from outside `task.cancelling()` is what asyncio made it.
    """

    async def scenario() -> int:
        async def caller() -> int:
            await ended(scene.guard(lambda: asyncio.sleep(10)))
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()

        task = asyncio.ensure_future(caller())
        await asyncio.sleep(1)
        task.cancel()
        return await task

    assert scene.play(scenario) == 1


@pytest.mark.promise("F4", "E9")
def test_a_deadline_inside_asyncio_timeout_is_told_from_it(scene: Scene) -> None:
    """
    Our timeout inside `asyncio.timeout` is ours: the outer one neither fires nor loses count.
    """

    async def scenario() -> str:
        async with asyncio.timeout(5):
            answer = await scene.guard(lambda: asyncio.sleep(10))()
            await asyncio.sleep(1)
        return str(answer)

    assert scene.play(scenario) == "instead"


@pytest.mark.promise("F5")
def test_cancelling_again_during_clean_up_skips_nothing(scene: Scene) -> None:
    """
    Cancelled three times while it cleans up, a call gives back its slot once and counts once.
    """

    async def does() -> None:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(10)
        await asyncio.sleep(10)

    async def scenario() -> Ended:
        task = asyncio.ensure_future(ended(scene.guard(does)))
        for _ in range(4):
            await asyncio.sleep(0.1)
            task.cancel()
        return await task

    end = scene.play(scenario)
    assert isinstance(end.error, asyncio.CancelledError)
    assert scene.total("cancelled") == 1


@pytest.mark.promise("F1", "A11")
def test_a_cancelled_trial_is_given_to_the_next_caller(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    A cancelled trial neither closes nor opens the circuit, and the next call is a trial again.
    """
    scene = Scene(task, registry)
    scene.await_trial()
    guarded = scene.guard(lambda: task.sleep(10))
    scene.play(lambda: cancelled_after(task, 1, guarded))
    generation = scene.snapshot.generation
    assert scene.command.state is State.HALF_OPEN
    scene.play(lambda: ended(guarded))
    assert scene.command.state is State.CLOSED
    assert scene.snapshot.generation == generation + 1


@pytest.mark.promise("F1")
def test_a_fallback_may_be_cancelled(task: AsyncRuntime, registry: Registry) -> None:
    """
    A caller cancelled while the fallback runs is cancelled; the call keeps the outcome it had.
    """
    caught = []

    async def fallback(error: BaseException) -> None:
        try:
            await task.sleep(10)
        except BaseException as cancellation:
            caught.append(cancellation)
            raise

    scene = Scene(task, registry, fallback=fallback)

    async def fails() -> None:
        raise ConnectionError

    end = scene.play(lambda: cancelled_after(task, 1, scene.guard(fails)))
    assert end.error is caught[0]
    assert scene.total("failure") == 1


@pytest.mark.promise("F8", "C1")
def test_a_sibling_s_failure_cancels_a_call(task: AsyncRuntime, registry: Registry) -> None:
    """
    In a task group the call whose sibling fails is cancelled, not failed.
    """
    scene = Scene(task, registry, timeout=20.0)
    guarded = scene.guard(lambda: task.sleep(10))

    async def fails() -> None:
        await task.sleep(1)
        raise KeyError

    async def scenario() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(guarded)
                tasks.start_soon(fails)
        assert [type(leaf) for leaf in caught.value.exceptions] == [KeyError]

    scene.play(scenario)
    assert scene.total("cancelled") == 1


@pytest.mark.promise("F8")
def test_a_deadline_that_was_left_in_time_cuts_nothing_off(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    A call in a task that outlives its caller's deadline block, left in time, runs to its end.
    """
    scene = Scene(task, registry)
    guarded = scene.guard(lambda: task.sleep(5))

    async def scenario() -> list[Ended]:
        ends = []

        async def background() -> None:
            ends.append(await ended(guarded))

        async with anyio.create_task_group() as tasks:
            with scene.within(2):
                tasks.start_soon(background)
                await task.sleep(1)
        return ends

    assert scene.play(scenario) == [Ended()]
    assert scene.total("success") == 1


@pytest.mark.promise("E5", "F8")
def test_a_deadline_is_enforced_in_a_task_that_carries_it(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    A call in a task started under a deadline that runs out is cut off by its command.
    """
    scene = Scene(task, registry)
    guarded = scene.guard(lambda: task.sleep(5))

    async def scenario() -> Ended:
        ends = []

        async def background() -> None:
            ends.append(await ended(guarded))

        async with anyio.create_task_group() as tasks:
            with pytest.raises(DeadlineExceededError), scene.within(2):
                tasks.start_soon(background)
                await task.sleep(10)
        return ends[0]

    end = scene.play(scenario)
    assert isinstance(end.error, DeadlineExceededError)
    assert scene.total("expired") == 1


# -- coroutines and tasks that are torn down


@pytest.mark.promise("C1")
def test_a_closed_coroutine_gives_everything_back(scene: Scene) -> None:
    """
    `coro.close()` in the middle of a call is a `GeneratorExit`: cancelled, and nothing held.
    """
    command = scene.command

    @command
    async def fetch() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        coroutine = fetch()
        coroutine.send(None)
        assert command.snapshot().in_flight == 1
        coroutine.close()

    scene.calls += 1
    scene.play(scenario)
    assert scene.total("cancelled") == 1


@pytest.mark.promise("C1")
def test_a_coroutine_that_was_never_started_is_no_call(scene: Scene) -> None:
    """
    A coroutine closed before it was awaited takes nothing and counts nothing.
    """

    @scene.command
    async def fetch() -> None:
        raise AssertionError

    fetch().close()
    scene.check()
    assert scene.snapshot.in_flight == 0


@pytest.mark.promise("C1", "C4")
def test_a_trial_whose_coroutine_was_dropped_is_given_back(scene: Scene) -> None:
    """
    A coroutine that is collected in the middle of its trial leaves the trial to the next caller.
    """
    scene.await_trial()

    @scene.command
    async def fetch() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        coroutine = fetch()
        coroutine.send(None)
        assert scene.snapshot.trials_running == 1
        del coroutine
        gc.collect()

    scene.calls += 1
    scene.play(scenario)
    assert scene.command.state is State.HALF_OPEN
    scene.succeed()
    assert scene.command.state is State.CLOSED


@pytest.mark.promise("C1", "C4", "C5", "D2")
def test_a_coroutine_dropped_in_a_cycle_gives_its_slot_back_once(loop: AsyncioRuntime) -> None:
    """
    A call that only a collection can find gives back one slot and counts one outcome.
    """
    scene = Scene(loop, Registry(clock=loop.clock))

    @scene.command
    async def fetch(cycle: list[Any]) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        for _ in range(3):
            cycle: list[Any] = []
            cycle.append(fetch(cycle))
            cycle[0].send(None)
            del cycle
            gc.collect()
            assert scene.snapshot.in_flight == 0

    scene.calls += 3
    scene.play(scenario)
    assert scene.total("cancelled") == 3


@pytest.mark.promise("C4")
def test_a_permit_that_was_dropped_gives_its_trial_back(clock: FakeClock) -> None:
    """
    A trial's permit that nobody holds any more is given back when a trial is next wanted.
    """
    run = Runtime()
    scene = Scene(run, Registry(clock=run.clock), max_concurrency=1)
    scene.await_trial()
    permit = scene.hold()
    assert scene.command.state is State.HALF_OPEN
    del permit
    gc.collect()
    scene.succeed()
    assert scene.command.state is State.CLOSED
    scene.check()
    assert scene.total("cancelled") == 1


# -- a caller interrupted while its worker thread runs on


@pytest.fixture
def interrupt() -> Iterator[Any]:
    """Something a thread may call to interrupt the main thread; it raises `interrupt.error`."""

    class Interrupter:
        error: BaseException = KeyboardInterrupt("by the test")

        def __call__(self) -> None:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    interrupter = Interrupter()

    def handler(signum: int, frame: object) -> None:
        raise interrupter.error

    before = signal.signal(signal.SIGUSR1, handler)
    yield interrupter
    signal.signal(signal.SIGUSR1, before)


class Worker:
    """A function for a worker thread that interrupts its caller and then runs on until told."""

    def __init__(self, interrupt: Any) -> None:
        self.interrupt = interrupt
        self.go_on = threading.Event()
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls == 1:
            self.interrupt()
            assert self.go_on.wait(10)
            raise ConnectionError("nobody is there to hear it")
        return "next"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Interrupt])
@pytest.mark.promise("C1", "F1")
def test_a_slot_stays_held_until_the_abandoned_thread_ends(
    clock: FakeClock, registry: Registry, interrupt: Any, kind: type[BaseException]
) -> None:
    """
    A caller interrupted while its worker runs on counts as cancelled and gets away at once.

    The slot stays held, counted abandoned, until the thread really ends; what it raises then is
    lost.
    """
    interrupt.error = kind("by the test")
    answer = Answer()
    worker = Worker(interrupt)
    command = registry.command(
        "db", isolation="thread", timeout=None, max_concurrency=1, max_waiting=1, fallback=answer
    )
    guarded = command(worker)
    with pytest.raises(kind) as caught:
        guarded()
    assert caught.value is interrupt.error
    left = command.snapshot()
    assert left.totals["cancelled"] == 1
    assert left.window.calls == 0
    assert (left.in_flight, left.abandoned) == (1, 1)
    assert answer.errors == []
    worker.go_on.set()
    # It waits for the slot, and is then the next job of the same thread.
    assert guarded() == "next"
    after = command.snapshot()
    assert (after.in_flight, after.abandoned) == (0, 0)
    assert sum(after.totals.values()) == 2
    assert after.window.failures == 0


@pytest.mark.promise("C1", "F1", "A11")
def test_an_interrupted_trial_is_given_back_while_its_thread_runs_on(
    clock: FakeClock, registry: Registry, interrupt: Any
) -> None:
    """
    The trial of a caller that was interrupted is given back at once, though its slot is not.
    """
    worker = Worker(interrupt)
    command = registry.command(
        "db", isolation="thread", timeout=None, max_concurrency=2, volume_threshold=1
    )
    guarded = command(worker)
    command.acquire().fail()
    clock.advance(5)
    with pytest.raises(KeyboardInterrupt):
        guarded()
    left = command.snapshot()
    assert left.state is State.HALF_OPEN
    assert (left.trials_running, left.trials["released"]) == (0, 1)
    assert (left.in_flight, left.abandoned) == (1, 1)
    assert guarded() == "next"
    assert command.state is State.CLOSED
    worker.go_on.set()


@pytest.mark.promise("D1", "C1")
def test_an_abandoned_thread_bounds_what_really_runs(
    clock: FakeClock, registry: Registry, interrupt: Any
) -> None:
    """
    While the abandoned thread runs, its slot is taken: another call is refused.
    """
    worker = Worker(interrupt)
    command = registry.command("db", isolation="thread", timeout=None, max_concurrency=1)
    guarded = command(worker)
    with pytest.raises(KeyboardInterrupt):
        guarded()
    with pytest.raises(BulkheadFullError):
        guarded()
    assert worker.calls == 1
    assert command.snapshot().totals["bulkhead_full"] == 1
    worker.go_on.set()


# -- worker threads and deadlines, in real time


class Hung:
    """A function that hangs until it is told to end."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.calls = 0

    def __call__(self, *args: object) -> str:
        self.calls += 1
        if self.calls == 1:
            assert self.go_on.wait(10)
        return "next"


@pytest.mark.promise("C1", "G1")
def test_a_caller_gets_away_from_a_hung_thread_on_time() -> None:
    """
    The caller of a thread that hangs gets `DeadlineExceededError` at its timeout.

    The slot stays held, counted abandoned, until the thread ends, and what it returns then is lost.
    """
    hung = Hung()
    command = Registry().command("db", timeout=0.02, max_concurrency=1, max_waiting=1, max_wait=10)
    guarded = command(hung)
    with pytest.raises(DeadlineExceededError) as caught:
        guarded()
    assert caught.value.name == "db"
    assert caught.value.timeout == 0.02
    assert caught.value.elapsed >= 0.02
    left = command.snapshot()
    assert left.totals["timeout"] == 1
    assert (left.window.calls, left.window.failures) == (1, 1)
    assert (left.in_flight, left.abandoned) == (1, 1)
    hung.go_on.set()
    command.configure(timeout=5.0)
    assert guarded() == "next"
    after = command.snapshot()
    assert (after.in_flight, after.abandoned) == (0, 0)
    assert sum(after.totals.values()) == 2
    assert after.totals["success"] == 1


@pytest.mark.promise("G1", "G4")
def test_a_fallback_answers_for_a_hung_thread() -> None:
    """
    At the timeout the fallback is called on the caller's own thread, with our error.
    """
    hung = Hung()
    seen = []

    def answer(error: BaseException, key: str) -> str:
        seen.append((type(error), key, threading.current_thread()))
        return "instead"

    command = Registry().command("db", timeout=0.02, fallback=answer)
    assert command(hung)("key") == "instead"
    assert seen == [(DeadlineExceededError, "key", threading.current_thread())]
    assert command.snapshot().totals["timeout"] == 1
    hung.go_on.set()


def test_a_trial_that_hangs_on_a_thread_fails(clock: FakeClock, registry: Registry) -> None:
    """
    A trial whose thread hangs fails at its timeout and opens the circuit again.
    """
    hung = Hung()
    command = registry.command("db", timeout=0.02, volume_threshold=1, sleep_window=5)
    command.acquire().fail()
    clock.advance(5)
    with pytest.raises(DeadlineExceededError):
        command(hung)()
    assert command.state is State.OPEN
    assert command.snapshot().trials["failure"] == 1
    hung.go_on.set()


@pytest.mark.parametrize(
    ("timeout", "outcome", "failures"),
    [
        pytest.param(0.04, "timeout", 1, id="after a fair share"),
        pytest.param(30.0, "expired", 0, id="before a fair share"),
        pytest.param(None, "expired", 0, id="without a timeout"),
    ],
)
def test_a_caller_s_deadline_cuts_off_a_hung_thread(
    timeout: float | None, outcome: str, failures: int
) -> None:
    """
    A thread that runs when its caller's deadline ends is left behind, and no fallback is called.

    That counts as a timeout after a fair share of its own, and as expired before.
    """
    hung = Hung()
    answer = Answer()
    command = Registry().command("db", isolation="thread", timeout=timeout, fallback=answer)
    with pytest.raises(DeadlineExceededError) as caught:
        with deadline(0.02) as mine:
            command(hung)()
    assert caught.value.deadline is mine
    left = command.snapshot()
    assert left.totals[outcome] == 1
    assert left.window.failures == failures
    assert (left.in_flight, left.abandoned) == (1, 1)
    assert answer.errors == []
    hung.go_on.set()


def test_a_result_that_is_late_on_our_clock_is_kept(clock: FakeClock, registry: Registry) -> None:
    """
    A thread that ends after its deadline before its caller has left gives its result all the same.
    """
    command = registry.command("db", timeout=2.0)

    @command
    def fetch() -> str:
        clock.advance(3)
        return "late"

    assert fetch() == "late"
    assert command.snapshot().totals["timeout"] == 1
    assert command.snapshot().window.failures == 1


def test_an_error_that_is_late_on_our_clock_is_kept(clock: FakeClock, registry: Registry) -> None:
    """
    A thread that raises late, before its caller has left: its own error, for a fallback to answer.
    """
    answer = Answer()
    command = registry.command("db", timeout=2.0, fallback=answer)

    @command
    def fetch() -> str:
        clock.advance(3)
        raise ConnectionError

    assert fetch() == "instead"
    assert [type(error) for error in answer.errors] == [ConnectionError]
    assert command.snapshot().totals["timeout"] == 1


@pytest.mark.parametrize(
    ("error", "outcome", "fallback"),
    [
        pytest.param(KeyboardInterrupt, "cancelled", False, id="interrupt"),
        pytest.param(Interrupt, "cancelled", False, id="no exception"),
        pytest.param(ConnectionError, "failure", True, id="failure"),
        pytest.param(KeyError, "ignored", False, id="ignored"),
    ],
)
@pytest.mark.promise("C1", "F1")
def test_what_a_thread_raises_reaches_its_caller(
    clock: FakeClock,
    registry: Registry,
    error: type[BaseException],
    outcome: str,
    fallback: bool,
) -> None:
    """
    The very object that the function raised on its thread leaves on its caller's.
    """
    answer = Answer()
    command = registry.command("db", timeout=10.0, ignore=KeyError, fallback=answer)
    raised = error("on a thread")

    @command
    def fetch() -> None:
        raise raised

    if fallback:
        assert fetch() == "instead"
        assert answer.errors == [raised]
    else:
        with pytest.raises(error) as caught:
            fetch()
        assert caught.value is raised
        assert answer.errors == []
    left = command.snapshot()
    assert left.totals[outcome] == 1
    assert (left.in_flight, left.abandoned) == (0, 0)


# -- interrupted while a call is settled


class InterruptedClock(FakeClock):
    """A clock at whose next reading an interrupt arrives, once it is told so."""

    due = False

    def __call__(self) -> int:
        if self.due:
            self.due = False
            raise Interrupt
        return super().__call__()


@pytest.mark.promise("C1", "F1")
@pytest.mark.parametrize("isolation", ["semaphore", "thread"])
def test_an_interrupt_while_a_failed_call_is_left_is_what_leaves(isolation: Any) -> None:
    """
    It has the call's error as its cause, no fallback answers it, and nothing stays held.
    """
    clock, answer, failed = InterruptedClock(), Answer(), OSError("no")
    cmd = Registry(clock=clock).command("db", isolation=isolation, timeout=60, fallback=answer)

    @cmd
    def work() -> None:
        clock.due = True
        raise failed

    # What a caller waits for is the earliest deadline: here one that has a clock of its own.
    with pytest.raises(Interrupt) as caught, deadline(20, clock=FakeClock()):
        work()
    assert caught.value.__cause__ is failed
    assert answer.errors == []
    after = cmd.snapshot()
    assert (after.in_flight, after.totals["cancelled"], after.window.calls) == (0, 1, 0)
    assert sum(after.totals.values()) == 1


# -- groups of trio's


@pytest.mark.promise("F7", "E9")
def test_what_a_deadline_leaves_of_a_group_of_trio_is_what_leaves() -> None:
    """
    Of a group with our cancellation and a failure in it, the failure is left: a timeout.
    """
    run = TrioRuntime()
    answer = Answer()
    scene = Scene(run, Registry(clock=run.clock), timeout=2.0, fallback=answer)
    failed = OSError("while it was cancelled")

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise failed

    async def does() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fails_when_cancelled)

    guarded = scene.guard(does)
    assert scene.play(guarded) == "instead"
    (group,) = answer.errors
    assert isinstance(group, ExceptionGroup)
    assert group.exceptions == (failed,)
    assert scene.total("timeout") == 1


# -- interrupts out of what the library calls on the way


@pytest.mark.promise("C1", "F1")
def test_an_interrupt_out_of_the_scope_of_a_failed_call_leaves_nothing_to_a_collection(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It leaves in the place of the call's own error, and the call is settled while somebody has it.
    """
    command = registry.command("db", timeout=2.0, isolation="semaphore")
    leave = Deadline.leave

    def interrupted(scope: Deadline, *args: Any) -> None:
        leave(scope, *args)
        raise Interrupt

    def fail() -> None:
        monkeypatch.setattr(Deadline, "leave", interrupted)
        raise ConnectionError

    with pytest.raises(Interrupt) as held:
        command(fail)()
    monkeypatch.undo()
    after = command.snapshot()
    assert (after.in_flight, after.totals["cancelled"]) == (0, 1)
    del held


@pytest.mark.promise("C1", "F1")
def test_an_interrupt_out_of_a_predicate_leaves_nothing_to_a_collection(registry: Registry) -> None:
    """
    Whoever asks what the error means is interrupted: the call is settled while somebody has that.
    """

    def handle(error: BaseException) -> bool:
        raise Interrupt

    def fail() -> None:
        raise ConnectionError

    command = registry.command("db", handle=handle)
    with pytest.raises(Interrupt) as held:
        command.call(fail)
    after = command.snapshot()
    assert (after.in_flight, sum(after.totals.values())) == (0, 1)
    del held


@pytest.mark.promise("E2", "F1")
def test_an_interrupt_on_the_way_into_a_scope_leaves_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The scope that was just made the current one is so no longer.
    """
    command = registry.command("db", timeout=2.0, isolation="semaphore")
    enter = Deadline.enter

    def interrupted(scope: Deadline) -> None:
        enter(scope)
        raise Interrupt

    monkeypatch.setattr(Deadline, "enter", interrupted)
    with pytest.raises(Interrupt):
        command.call(lambda: 1)
    assert current.get() is None


@pytest.mark.promise("C1", "A11", "J3")
def test_an_interrupt_out_of_a_listener_gives_the_trial_back(
    clock: FakeClock, registry: Registry
) -> None:
    """
    The call was not begun; slot and trial are there at once, although somebody has the interrupt.
    """
    command = registry.command("db", volume_threshold=1, sleep_window=1)
    command.acquire().fail()
    clock.advance(1)

    def listener(event: Any) -> None:
        raise Interrupt

    unsubscribe = registry.subscribe(listener)
    with pytest.raises(Interrupt) as held:
        command.call(lambda: 1)
    unsubscribe()
    after = command.snapshot()
    assert (after.in_flight, after.trials_running, after.totals["cancelled"]) == (0, 0, 1)
    assert command.call(lambda: 1) == 1
    del held
