"""
Where a deadline is seen by itself: in tasks, and in what tasks and commands send to threads.

Bare threads and executors are in `test_context_threads.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio

from resilience import Deadline, Registry, current_deadline, deadline, remaining
from tests.support.runtime import AsyncRuntime, FakeClock

Seen = Deadline | None


async def _seen() -> Seen:
    """Return what a task finds."""
    return current_deadline()


# -- asyncio


async def _create_task() -> Seen:
    return await asyncio.create_task(_seen())


async def _task_group() -> Seen:
    async with asyncio.TaskGroup() as group:
        child = group.create_task(_seen())
    return child.result()


async def _gather() -> Seen:
    first, second = await asyncio.gather(_seen(), _seen())
    assert first is second
    return first


async def _wait_for() -> Seen:
    return await asyncio.wait_for(_seen(), 60)


async def _call_soon() -> Seen:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Seen] = loop.create_future()
    loop.call_soon(lambda: found.set_result(current_deadline()))
    return await found


async def _to_thread() -> Seen:
    return await asyncio.to_thread(current_deadline)


@pytest.mark.promise("E5")
@pytest.mark.parametrize(
    "carry", [_create_task, _task_group, _gather, _wait_for, _call_soon, _to_thread]
)
def test_asyncio_carries_a_deadline(carry: Callable[[], Awaitable[Seen]]) -> None:
    """
    A task, a child of a group, a callback and `to_thread` are inside the scope of their caller.
    """

    async def main() -> None:
        with deadline(60) as scope:
            assert await carry() is scope

    asyncio.run(main())


# -- trio


async def _nursery() -> Seen:
    found: list[Seen] = []

    async def look() -> None:
        found.append(current_deadline())

    async with trio.open_nursery() as children:
        children.start_soon(look)
    return found[0]


async def _nursery_start() -> Any:
    async def look(task_status: trio.TaskStatus[Seen] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started(current_deadline())

    async with trio.open_nursery() as children:
        return await children.start(look)


async def _trio_to_thread() -> Seen:
    return await trio.to_thread.run_sync(current_deadline)


async def _trio_from_thread() -> Seen:
    return await trio.to_thread.run_sync(trio.from_thread.run, _seen)


async def _trio_from_thread_sync() -> Seen:
    return await trio.to_thread.run_sync(trio.from_thread.run_sync, current_deadline)


@pytest.mark.promise("E5")
@pytest.mark.parametrize(
    "carry",
    [_nursery, _nursery_start, _trio_to_thread, _trio_from_thread, _trio_from_thread_sync],
)
def test_trio_carries_a_deadline(carry: Callable[[], Awaitable[Seen]]) -> None:
    """
    A child of a _nursery, a thread, and what that thread calls in the loop are inside the scope.
    """

    async def main() -> None:
        with deadline(60) as scope:
            assert await carry() is scope

    trio.run(main)


# -- anyio


async def _anyio_task_group() -> Seen:
    found: list[Seen] = []

    async def look() -> None:
        found.append(current_deadline())

    async with anyio.create_task_group() as group:
        group.start_soon(look)
    return found[0]


async def _anyio_to_thread() -> Seen:
    return await anyio.to_thread.run_sync(current_deadline)


async def _anyio_from_thread() -> Seen:
    return await anyio.to_thread.run_sync(anyio.from_thread.run, _seen)


async def _anyio_from_thread_sync() -> Seen:
    return await anyio.to_thread.run_sync(anyio.from_thread.run_sync, current_deadline)


@pytest.mark.promise("E5")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "carry", [_anyio_task_group, _anyio_to_thread, _anyio_from_thread, _anyio_from_thread_sync]
)
def test_anyio_carries_a_deadline(backend: str, carry: Callable[[], Awaitable[Seen]]) -> None:
    """
    On both of its backends: a child, a thread, and what that thread calls in the loop.
    """

    async def main() -> None:
        with deadline(60) as scope:
            assert await carry() is scope

    anyio.run(main, backend=backend)


@pytest.mark.promise("E5")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_portal_carries_a_deadline(backend: str) -> None:
    """
    What a foreign thread calls in a loop is inside the scope of that thread.
    """
    with anyio.from_thread.start_blocking_portal(backend) as portal, deadline(60) as scope:
        assert portal.call(_seen) is scope
        assert portal.start_task_soon(_seen).result() is scope


# -- our own workers


@pytest.mark.promise("E5")
@pytest.mark.parametrize(("outer", "left"), [(2, 2), (60, 5)])
def test_a_worker_thread_sees_its_caller_s_deadline(
    clock: FakeClock, registry: Registry, outer: float, left: float
) -> None:
    """
    A sync function with a timeout runs elsewhere, inside its own deadline and its caller's.
    """

    @registry.command("db", timeout=5)
    def query() -> tuple[bool, float | None]:
        return threading.current_thread() is threading.main_thread(), remaining()

    with deadline(outer, clock=clock) as scope:
        assert query() == (False, left)
        assert current_deadline() is scope


# -- async generators, wherever they are driven


@pytest.mark.promise("E5")
def test_an_async_generator_is_inside_the_scopes_of_whoever_drives_it(task: AsyncRuntime) -> None:
    """
    A bare one sees at each step the deadline of the task that asks for the item.
    """

    async def looks() -> AsyncGenerator[Seen]:
        while True:
            yield current_deadline()

    async def main() -> None:
        stream = looks()

        async def drive() -> None:
            with deadline(5, clock=task.clock) as own:
                assert await anext(stream) is own
            assert await anext(stream) is outer

        with deadline(60, clock=task.clock) as outer:
            async with anyio.create_task_group() as group:
                group.start_soon(drive)
        assert await anext(stream) is None
        await stream.aclose()

    task.call(main)


@pytest.mark.promise("E2", "E5")
def test_a_decorated_generator_takes_its_deadline_along(task: AsyncRuntime) -> None:
    """
    One budget over all steps, whichever task drives them, and between the steps nobody's.
    """

    @deadline(5, clock=task.clock)
    async def looks() -> AsyncGenerator[float | None]:
        while True:
            yield remaining()

    async def main() -> None:
        stream = looks()
        found: list[Any] = []

        async def drive() -> None:
            found.append(await anext(stream))
            found.append(current_deadline())

        for _ in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(drive)
            await task.sleep(1)
        await drive()
        await stream.aclose()
        assert found == pytest.approx([5, None, 4, None, 3, None])

    task.call(main)
