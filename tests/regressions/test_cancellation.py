"""Defects 14 and 27: a cancelled call says nothing, and keeps nothing."""

from __future__ import annotations

import asyncio
import itertools
import types
from collections.abc import Iterator

import anyio
import pytest

from resilience import Bulkhead, CircuitBreaker, Command, Outcome, Registry, State
from tests.support.runtime import AsyncRuntime, Runtime

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


class Interrupt(BaseException):
    pass


# -- 14


@pytest.mark.promise("A11", "C1", "F1")
@any_guard
def test_a_cancelled_trial_neither_closes_nor_opens(
    task: AsyncRuntime, registry: Registry, kind: type
) -> None:
    """
    The caller of a trial is cancelled.

    The circuit stays half-open in the same generation, and the trial goes to the next caller.

    Defect 14, seen in hyx, circuitbreaker and, by reading, Polly, where it closed; in purgatory and
    resilience4j, where it opened again.
    """
    guard = kind("db", registry=registry, timeout=None, volume_threshold=1, sleep_window=5)
    guard.acquire().fail()
    task.advance(5)

    async def impatient() -> None:
        with anyio.move_on_after(1) as scope:
            await guard(task.body(takes=60))()
        assert scope.cancelled_caught

    for attempt in (1, 2, 3):
        task.call(impatient)
        after = guard.snapshot()
        assert (after.state, after.generation) == (State.HALF_OPEN, 3)
        assert (after.trials_running, after.trials["released"]) == (0, attempt)
        assert after.totals[Outcome.CANCELLED] == attempt
    task.call(guard(task.body()))
    assert guard.state is State.CLOSED


@pytest.mark.promise("A11", "C1", "F1")
@any_guard
@pytest.mark.parametrize("interrupt", [asyncio.CancelledError, GeneratorExit, Interrupt])
def test_an_interrupted_trial_neither_closes_nor_opens(
    run: Runtime, registry: Registry, kind: type, interrupt: type[BaseException]
) -> None:
    """
    Whatever is raised that is no `Exception` leaves as it is, and gives the trial back.

    Defect 14.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5)
    guard.acquire().fail()
    run.advance(5)
    assert type(run.raised(guard(run.body(raises=interrupt)))) is interrupt
    after = guard.snapshot()
    assert (after.state, after.generation) == (State.HALF_OPEN, 3)
    assert after.trials_running == 0
    run.call(guard(run.body()))
    assert guard.state is State.CLOSED


@types.coroutine
def step() -> Iterator[None]:
    """Wait once, for whoever drives the coroutine."""
    yield


@pytest.mark.promise("C1", "F8")
@any_guard
@pytest.mark.parametrize("steps", [0, 1])
def test_a_trial_whose_coroutine_is_closed_is_given_back(
    task: AsyncRuntime, registry: Registry, kind: type, steps: int
) -> None:
    """
    A coroutine that is closed in the middle of its trial holds it no longer.

    One that is closed before it began never did.

    Defect 14.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5)
    guard.acquire().fail()
    task.advance(5)

    @guard
    async def waiting() -> None:
        await step()

    async def close() -> None:
        coroutine = waiting()
        for _ in range(steps):
            coroutine.send(None)
        assert guard.snapshot().trials_running == steps
        coroutine.close()

    task.call(close)
    assert guard.snapshot().trials_running == 0
    assert guard.state is (State.HALF_OPEN if steps else State.OPEN)
    task.call(guard(task.body()))
    assert guard.state is State.CLOSED


# -- 27


def free(guard: Bulkhead | Command, limit: int) -> bool:
    """Whether exactly `limit` slots can be had."""
    held = [guard.acquire() for _ in range(limit)]
    full = guard.snapshot().in_flight == limit
    for permit in held:
        permit.release()
    return full and guard.snapshot().in_flight == guard.snapshot().waiting == 0


def bulkheads(registry: Registry, **fields: int) -> list[Bulkhead | Command]:
    """Return a bulkhead alone and one within a command."""
    return [
        Bulkhead(2, registry=registry, **fields),
        Command("db", registry=registry, timeout=None, max_concurrency=2, **fields),
    ]


@pytest.mark.promise("C1", "D2", "F5")
@pytest.mark.parametrize("which", [0, 1], ids=["bulkhead", "command"])
def test_a_cancelled_call_gives_its_slot_back(
    task: AsyncRuntime, registry: Registry, which: int
) -> None:
    """
    Fifty calls are cancelled while they run: both slots are free afterwards.

    Defect 27, seen in aioresilience: each cancellation cost a slot.
    """
    guard = bulkheads(registry)[which]
    guarded = guard(task.body(takes=60))

    async def main() -> None:
        for _ in range(25):
            async with anyio.create_task_group() as group:
                group.start_soon(guarded)
                group.start_soon(guarded)
                await task.sleep(0.1)
                assert guard.snapshot().in_flight == 2
                group.cancel_scope.cancel()

    task.call(main)
    assert free(guard, 2)


@pytest.mark.promise("C6", "D2", "D6")
@pytest.mark.parametrize("which", [0, 1], ids=["bulkhead", "command"])
def test_a_cancelled_wait_costs_no_slot(task: AsyncRuntime, registry: Registry, which: int) -> None:
    """
    Callers are cancelled in the waiting room: they leave it, and those behind them are served.

    Defect 27, seen in aioresilience.
    """
    guard = bulkheads(registry, max_waiting=10)[which]
    fn = task.body()
    guarded = guard(fn)

    async def impatient() -> None:
        with anyio.move_on_after(1):
            await guarded()

    async def main() -> None:
        held = [guard.acquire(), guard.acquire()]
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(impatient)
                    group.start_soon(guarded)
                await task.sleep(0.5)
                assert guard.snapshot().waiting == 10
                await task.sleep(1)
                assert guard.snapshot().waiting == 5
                for permit in held:
                    permit.release()

    task.call(main)
    assert fn.body.calls == 5
    assert free(guard, 2)


@pytest.mark.promise("C6", "D6", "F3")
@pytest.mark.parametrize("which", [0, 1], ids=["bulkhead", "command"])
@pytest.mark.parametrize("order", list(itertools.permutations(["release", "cancel", "tick"])))
def test_a_slot_handed_to_a_cancelled_waiter_goes_on_to_the_next(
    task: AsyncRuntime, registry: Registry, which: int, order: tuple[str, ...]
) -> None:
    """
    A slot is freed and the first waiter is cancelled, in either order.

    In one tick of the loop or in two: the slot ends with the second waiter or with nobody, never
    with the first.

    Defect 27, seen in aioresilience.
    """
    guard = bulkheads(registry, max_waiting=10)[which]
    fn = task.body()

    async def main() -> None:
        held = [guard.acquire(), guard.acquire()]
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                first = anyio.CancelScope()

                async def cancelled() -> None:
                    with first:
                        await guard(task.body(takes=60))()

                group.start_soon(cancelled)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(guard(fn))
                await anyio.wait_all_tasks_blocked()
                assert guard.snapshot().waiting == 2
                for step in order:
                    if step == "release":
                        held.pop().release()
                    elif step == "cancel":
                        first.cancel()
                    else:
                        await task.sleep(0)
        held.pop().release()

    task.call(main)
    assert fn.body.calls == 1
    assert free(guard, 2)
