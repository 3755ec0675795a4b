"""Found in review: alarms that are set out of turn, and waiters whose loop is gone."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest

from resilience import Bulkhead, Command, DeadlineExceededError, Registry
from tests.support.runtime import NANOS, AsyncRuntime, FakeClock, VirtualLoop

WAITERS = 1500


def test_an_alarm_set_late_rings_at_its_own_deadline(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    A sync function's time runs from its call; what it returns may be awaited after others began.

    Each is cut off one second after its own beginning.
    """
    command = Command("db", registry=registry, timeout=1.0, isolation="semaphore")
    guarded = command(lambda: task.sleep(5))
    begin, ends = task.clock(), {}

    async def wait(name: str, awaitable: object) -> None:
        with pytest.raises(DeadlineExceededError) as caught:
            await awaitable
        assert caught.value.elapsed == pytest.approx(1.0, abs=0.001)
        ends[name] = (task.clock() - begin) / NANOS

    async def scenario() -> None:
        early = guarded()
        await task.sleep(0.8)
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "late", guarded())
            await anyio.lowlevel.checkpoint()
            await task.sleep(0.1)  # its alarm is set by now
            await wait("early", early)

    task.call(scenario)
    assert ends == pytest.approx({"early": 1.0, "late": 1.8}, abs=0.001)


def test_a_slot_passes_any_number_of_waiters_whose_loop_is_closed(clock: FakeClock) -> None:
    """
    Nobody can wake them: the slot is offered to each and comes back, however many they are.
    """
    bulkhead = Bulkhead(1, max_waiting=WAITERS, max_wait=3600, registry=Registry(clock=clock))
    permit = bulkhead.acquire()
    loop = VirtualLoop(clock)

    async def wait() -> None:
        async with bulkhead:
            pass

    async def start() -> list[asyncio.Task[None]]:
        tasks = [asyncio.ensure_future(wait()) for _ in range(WAITERS)]
        await asyncio.sleep(0)  # each begins to wait
        assert bulkhead.waiting == WAITERS
        return tasks

    tasks = loop.run_until_complete(start())
    loop.close()
    permit.release()
    assert (bulkhead.waiting, bulkhead.in_flight) == (0, 0)
    while tasks:  # they end here, and not in the middle of another test
        tasks.pop()._log_destroy_pending = False
    gc.collect()
