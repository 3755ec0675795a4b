"""Who waits for a slot is woken when there is one, and not found by looking around."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from resilience import Bulkhead, Registry, _waiting
from resilience._core.slots import Waiter
from resilience._pool import Pool
from tests.support.runtime import AsyncRuntime
from tests.support.threads import PATIENCE, Caller, Gate, WatchingClock


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not woken waits for longer than any test."""
    monkeypatch.setattr(_waiting, "LOOK", 10 * PATIENCE)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have something happen between finding no slot and standing in the queue."""
    enqueue = Pool.enqueue

    def between(happens: Any) -> None:
        def late(self: Pool, waiter: Any) -> bool:
            happens()
            return enqueue(self, waiter)

        monkeypatch.setattr(Pool, "enqueue", late)

    return between


@pytest.mark.promise("D5", "D6")
@pytest.mark.usefixtures("nobody_looks")
def test_the_end_of_a_call_wakes_who_waits() -> None:
    """
    A call on the closed path lays its slot back, and the thread that waits for it goes on.
    """
    watching = WatchingClock()
    command = Registry(clock=watching).command(
        "db", timeout=None, max_concurrency=1, max_waiting=1, max_wait=1000
    )
    command(lambda: 0)()  # there is an idle slot now, for the closed path
    gate = Gate()
    first = Caller(command(gate))
    assert gate.begun.wait(PATIENCE)
    waits = watching.when(lambda: bool(command._guard.pool.slots.waiters))
    second = Caller(command(lambda: 2))
    assert waits.wait(PATIENCE)
    gate.open.set()
    assert (first.outcome(), second.outcome()) == (1, 2)


@pytest.mark.promise("D6")
@pytest.mark.usefixtures("nobody_looks")
def test_a_thread_takes_the_slot_that_came_free_before_it_stood_in_the_queue(between: Any) -> None:
    """
    Nobody wakes whom nobody could see.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=Registry())
    permit = bulkhead.acquire()
    between(permit.release)
    Caller(bulkhead.acquire).outcome().release()
    assert bulkhead.in_flight == bulkhead.waiting == 0


@pytest.mark.promise("D6")
@pytest.mark.usefixtures("nobody_looks")
def test_a_task_takes_the_slot_that_came_free_before_it_stood_in_the_queue(
    task: AsyncRuntime, registry: Registry, between: Any
) -> None:
    """
    It takes no time to get it.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)
    permit = bulkhead.acquire()
    between(permit.release)
    before = task.clock()
    task.call(bulkhead.aacquire).release()
    assert task.clock() == before


@pytest.mark.promise("C1", "D6")
def test_a_thread_that_waits_finds_a_slot_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A permit is dropped, and says so to nobody: who waits looks around from time to time.
    """
    monkeypatch.setattr(_waiting, "LOOK", 0.01)
    watching = WatchingClock()
    bulkhead = Bulkhead(1, max_waiting=1, max_wait=1000, registry=Registry(clock=watching))
    dropped = [bulkhead.acquire()]
    waits = watching.when(lambda: bulkhead.waiting == 1)
    caller = Caller(bulkhead.acquire)
    assert waits.wait(PATIENCE)
    dropped.clear()
    gc.collect()
    caller.outcome().release()
    assert bulkhead.in_flight == bulkhead.waiting == 0


@pytest.mark.promise("F8")
def test_a_task_that_stops_waiting_leaves_no_timer_behind() -> None:
    """
    Cancelled while it waits, it takes its timer along.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=Registry())

    async def play() -> list[Any]:
        loop: Any = asyncio.get_running_loop()
        held = await bulkhead.aacquire()
        waits = asyncio.ensure_future(bulkhead.aacquire())
        for _ in range(10):
            await asyncio.sleep(0)
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        assert len(timers) == 1
        waits.cancel()
        await asyncio.wait([waits])
        held.release()
        return [timer for timer in loop._scheduled if not timer.cancelled()]

    assert asyncio.run(play()) == []


@pytest.mark.promise("D6")
def test_a_slot_goes_on_to_the_next_when_who_was_given_it_leaves(registry: Registry) -> None:
    """
    Whoever gives up in the moment of being served takes no slot along.
    """
    bulkhead = Bulkhead(1, max_waiting=2, registry=registry)
    pool = bulkhead.entry.own_pool
    permit = bulkhead.acquire()
    first, second = Waiter(), Waiter()
    assert pool.enqueue(first)
    assert pool.enqueue(second)
    permit.release()
    assert (first.token is not None, second.token) == (True, None)
    pool.leave(first)
    assert second.token is not None
