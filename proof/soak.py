"""
Threads, an asyncio loop and a trio loop that use one registry, for a long time.

    python -m proof soak --seconds 1800

What they share is in every state while they do: circuits open and close, slots are waited for
across loops and threads, calls are cut off, keyed names come and go. At the end each call has
counted one outcome, and there are no more threads, tasks or descriptors than at the beginning; the
memory in use is looked at all the time, and must not grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import trio

from resilience import Bulkhead, CircuitBreaker, DeadlineExceededError, Registry, RejectedError

TENTHS = 10
WARM = 0.3
"""Share of the time after which memory is looked at; until then caches fill."""
MIB = 2**20


class FaultError(Exception):
    """What a call raises now and then."""


Refusals = (RejectedError, DeadlineExceededError, FaultError)


class Shared:
    """What everybody uses, and how often they did."""

    def __init__(self) -> None:
        self.stopping = False
        self.made: list[int] = []
        self.registry = Registry(max_size=50)
        self.quick = self.registry.command("quick", timeout=None, max_concurrency=None)
        self.busy = self.registry.command("busy", timeout=None, max_concurrency=None)
        self.failing = self.registry.command(
            "failing", timeout=None, volume_threshold=10, sleep_window=0.005, half_open_calls=2
        )
        self.narrow = self.registry.command(
            "narrow", timeout=0.5, max_concurrency=2, max_waiting=20, isolation="semaphore"
        )
        self.threaded = self.registry.command("threaded", timeout=1.0, max_concurrency=4)
        self.breaker = CircuitBreaker("breaker", sleep_window=0.005, registry=self.registry)
        self.bulkhead = Bulkhead(3, name="bulkhead", max_waiting=5, registry=self.registry)
        self.hosts = self.registry.keyed("host:{name}", max_size=20, timeout=None)
        self.kept = [self.quick, self.busy, self.failing, self.narrow, self.threaded]
        self.kept += [self.breaker, self.bulkhead]

    def counted(self) -> int:
        """Return how many outcomes those have counted that do not come and go."""
        return sum(sum(guard.snapshot().totals.values()) for guard in self.kept)


def in_a_thread(shared: Shared, draw: Random) -> None:
    """Call from a thread until it is over."""

    def work() -> None:
        pass

    def fail() -> None:
        raise FaultError

    calls = [
        guard(fn)
        for guard in (shared.failing, shared.narrow, shared.breaker, shared.bulkhead)
        for fn in (work, work, fail)
    ] + [shared.busy(work), shared.threaded(work)]
    made = 0
    while not shared.stopping:
        for call in calls:
            made += 1
            with contextlib.suppress(*Refusals):
                call()
        with contextlib.suppress(*Refusals):
            shared.hosts(name=draw.randrange(100)).call(work)
        shared.registry.snapshot()
    shared.made.append(made)


def in_a_hurry(shared: Shared, _: Random) -> None:
    """Call from a thread as fast as it can, off every lock, until it is over."""

    @shared.quick
    def call() -> None:
        pass

    made = 0
    while not shared.stopping:
        for _ in itertools.repeat(None, 1000):
            call()
        made += 1000
    shared.made.append(made)


async def in_a_task(shared: Shared, draw: Random, sleep: Callable[[float], Any]) -> None:
    """Call from tasks until it is over."""

    async def work() -> None:
        if draw.random() < 0.1:
            await sleep(draw.choice((0, 0, 0.001)))
        if draw.random() < 0.2:
            raise FaultError

    made = 0
    while not shared.stopping:
        for guard in (shared.busy, shared.failing, shared.narrow, shared.threaded):
            made += 1
            with contextlib.suppress(*Refusals):
                await guard.acall(work)
        for part in (shared.breaker, shared.bulkhead):
            made += 1
            with contextlib.suppress(*Refusals):
                async with part:
                    await work()
        await sleep(0)
    shared.made.append(made)


def in_asyncio(shared: Shared, draw: Random) -> None:
    """Run tasks of asyncio until it is over."""

    async def main() -> None:
        await asyncio.gather(*(in_a_task(shared, draw, asyncio.sleep) for _ in range(8)))
        assert len(asyncio.all_tasks()) == 1, "tasks were left"

    asyncio.run(main())


def in_trio(shared: Shared, draw: Random) -> None:
    """Run tasks of trio until it is over."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(in_a_task, shared, draw, trio.sleep)

    trio.run(main)


def run(seconds: float = 1800.0, seed: int = 1) -> dict[str, Any]:
    """Use everything for so many seconds."""
    threads, descriptors = threading.active_count(), open_descriptors()
    shared = Shared()
    errors: list[BaseException] = []
    users = [in_a_hurry, in_a_thread, in_a_thread, in_asyncio, in_trio]
    running = [
        threading.Thread(target=user, args=(use, shared, Random(f"{seed}/{number}"), errors))
        for number, use in enumerate(users)
    ]
    for thread in running:
        thread.start()
    begun = time.monotonic()
    seen = list(watch(begun, seconds, errors))
    shared.stopping = True
    for thread in running:
        thread.join(60)
        assert not thread.is_alive(), "somebody hangs"
    assert not errors, errors
    took = time.monotonic() - begun
    made = sum(shared.made)
    counted = shared.counted()
    assert counted == made, f"{made} calls, {counted} outcomes"
    for guard in shared.kept:
        after = guard.snapshot()
        assert (after.in_flight, after.waiting, after.trials_running) == (0, 0, 0), guard
    growth = slope([(at, size) for at, size, _ in seen]) * 3600 / MIB
    blocks = slope([(at, count) for at, _, count in seen]) * 3600
    noise = 0.5 if took >= 1000 else 60.0 * 60.0 / took  # a MiB over the whole of a short time
    assert growth <= noise, f"memory grows by {growth:.2f} MiB an hour"
    wait_for_idle_workers(threads)
    assert open_descriptors() <= descriptors, "descriptors were left"
    return {
        "seconds": round(took),
        "calls": made,
        "MiB at the end": round(seen[-1][1] / MIB, 1),
        "MiB an hour": round(growth, 2),
        "allocated blocks an hour": round(blocks),
        "threads, tasks, descriptors left": 0,
    }


def user(
    use: Callable[[Shared, Random], None], shared: Shared, draw: Random, errors: list[BaseException]
) -> None:
    """Use what is shared; tell what went wrong."""
    try:
        use(shared, draw)
    except BaseException as error:
        errors.append(error)


def watch(begun: float, seconds: float, errors: list[BaseException]) -> Any:
    """Look at the memory from time to time, until it is over."""
    step = max(seconds / 200, 0.2)
    while time.monotonic() < begun + seconds and not errors:
        threading.Event().wait(step)
        if time.monotonic() > begun + WARM * seconds:
            gc.collect()
            yield time.monotonic(), resident(), sys.getallocatedblocks()


def resident() -> int:
    """Return the memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def slope(seen: list[tuple[float, int]]) -> float:
    """
    Return by how many bytes a second it grows, in a straight line through its low points.

    What is in use for a moment, and what the allocator then keeps for the next, is no growth: of
    each tenth of the time the least is taken.
    """
    size = max(len(seen) // TENTHS, 1)
    low = [min(seen[at : at + size], key=itemgetter(1)) for at in range(0, len(seen), size)]
    return statistics.linear_regression(*zip(*low, strict=True)).slope


def open_descriptors() -> int:
    """Return how many descriptors are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_for_idle_workers(threads: int) -> None:
    """Idle workers end after ten seconds; nobody else may be left."""
    patience = time.monotonic() + 30
    while threading.active_count() > threads:
        assert time.monotonic() < patience, threading.enumerate()
        threading.Event().wait(0.1)
