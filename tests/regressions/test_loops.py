"""Defect 22: guards outlive event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

from resilience import Bulkhead, CircuitBreaker, Command, Registry, deadline
from tests.support.runtime import FakeClock

runners = pytest.mark.parametrize("runner", [asyncio.run, trio.run], ids=["asyncio", "trio"])


def run(runner: Callable[..., Any], main: Callable[[], Any]) -> Any:
    """Run a coroutine function in an event loop that is made for it and closed after it."""
    return runner(main()) if runner is asyncio.run else runner(main)


@pytest.mark.promise("I4")
@runners
@pytest.mark.parametrize("kind", ["bulkhead", "command"])
def test_a_bulkhead_serves_one_event_loop_after_another(
    registry: Registry, clock: FakeClock, runner: Callable[..., Any], kind: str
) -> None:
    """
    Callers wait and are served in a first loop, and in a second and third that were made later.

    Defect 22, seen in aioresilience, hyx and interlock: what waited was tied to the first loop.
    """
    fields = {"max_waiting": 10, "registry": registry}
    guard = (
        Bulkhead(1, **fields)
        if kind == "bulkhead"
        else Command("db", timeout=None, max_concurrency=1, **fields)
    )
    waited = []

    @guard
    async def work() -> None:
        waited.append(guard.snapshot().waiting)
        await anyio.lowlevel.checkpoint()

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(work)

    for count in (1, 2, 3):
        run(runner, main)
        assert len(waited) == 4 * count
        assert max(waited[-4:]) >= 2
        assert guard.snapshot().in_flight == guard.snapshot().waiting == 0


@pytest.mark.promise("D8", "I4")
@runners
def test_a_slot_taken_in_one_loop_is_given_back_in_another(
    registry: Registry, clock: FakeClock, runner: Callable[..., Any]
) -> None:
    """
    A permit outlives its loop, and freeing it in a later one wakes who waits there.

    Defect 22.
    """
    bulkhead = Bulkhead(1, max_waiting=5, registry=registry)
    permit = run(runner, bulkhead.aacquire)

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(bulkhead(anyio.lowlevel.checkpoint))
                await anyio.wait_all_tasks_blocked()
                assert bulkhead.waiting == 1
                permit.release()

    run(runner, main)
    assert bulkhead.in_flight == 0


@pytest.mark.promise("D8", "I4")
@runners
def test_waiters_of_a_loop_that_ended_are_in_nobodys_way(
    registry: Registry, clock: FakeClock, runner: Callable[..., Any]
) -> None:
    """
    A loop ends while a task waits for a slot.

    The next loop's callers are served as if it had never been.

    Defect 22.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)
    permit = bulkhead.acquire()

    async def leaving() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(bulkhead(anyio.lowlevel.checkpoint))
                await anyio.wait_all_tasks_blocked()
                assert bulkhead.waiting == 1
                scope.cancel()

    run(runner, leaving)
    permit.release()
    run(runner, bulkhead(anyio.lowlevel.checkpoint))
    assert bulkhead.in_flight == bulkhead.waiting == 0


@pytest.mark.promise("I4")
def test_everything_is_built_before_any_loop_and_used_in_several(
    registry: Registry, clock: FakeClock
) -> None:
    """
    Module-level objects serve asyncio, trio and plain code in turn.

    Defect 22.
    """
    layers = [
        Command("db", timeout=5, registry=registry),
        CircuitBreaker("db", registry=registry),
        Bulkhead(1, registry=registry),
        deadline(5, clock=clock),
    ]

    async def fn() -> str:
        await anyio.lowlevel.checkpoint()
        return "answer"

    guarded: Callable[..., Any] = fn
    for layer in layers:
        guarded = layer(guarded)
    for runner in (asyncio.run, trio.run, asyncio.run, trio.run):
        assert run(runner, guarded) == "answer"
    assert layers[1](lambda: "plain")() == "plain"
