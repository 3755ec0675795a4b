"""
Calls that are cancelled at random, on each event loop there is.

    python -m proof cancels --calls 1e6

The calls come in batches that want far more slots than there are, through every way into a command,
and each is cancelled in some tick of its loop, some more than once, some by a time limit. The
function counts by itself who is inside. After each batch nobody may be inside or waiting, no slot
and no trial may be missing. Time is virtual, so a waiter that nobody wakes is known at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from random import Random
from typing import Any

import trio

from resilience import (
    Bulkhead,
    BulkheadFullError,
    Command,
    DeadlineExceededError,
    Permit,
    Registry,
    RejectedError,
    deadline,
)
from tests.support.runtime import AsyncRuntime, TrioRuntime
from tests.support.track import runtimes

SLOTS = 3
BATCH = 40
TICKS = 12
"""In how many ticks of the loop the calls of a batch begin and are cancelled."""
LONG = 10_000.0
"""Seconds (virtual) after which a batch has not ended because somebody waits in vain."""


class FaultError(Exception):
    """What the function raises now and then."""


class Body:
    """What is guarded: it counts who is inside, takes a few ticks or some time, and may fail."""

    def __init__(self, runtime: AsyncRuntime, draw: Random) -> None:
        self.inside = 0
        self._runtime = runtime
        self._draw = draw

    async def __call__(self) -> None:
        self.inside += 1
        try:
            assert self.inside <= SLOTS, "more are inside than may be"
            for _ in range(self._draw.randrange(4)):
                await self._runtime.sleep(self._draw.choice((0, 0, 0.01, 0.3)))
            if self._draw.random() < 0.25:
                raise FaultError
        finally:
            self.inside -= 1


class Storm:
    """Calls to one dependency, and what became of them."""

    def __init__(self, runtime: AsyncRuntime, draw: Random) -> None:
        self.runtime = runtime
        self.draw = draw
        self.body = Body(runtime, draw)
        self.calls = self.cancelled = self.made = 0
        registry = Registry(clock=runtime.clock, random=draw.random)
        self.bulkhead = Bulkhead(SLOTS, max_waiting=BATCH // 2, registry=registry)
        self.commands = [
            registry.command(
                f"patience {timeout}",
                timeout=timeout,
                bulkhead=self.bulkhead,
                max_wait=wait,
                volume_threshold=5,
                error_percent=30,
                rolling_window=1,
                sleep_window=0.05,
                half_open_calls=2,
            )
            for timeout, wait in ((None, None), (0.2, None), (0.4, 0.05))
        ]
        self.ways = [way for command in self.commands for way in ways(command, self.body)]

    async def call(self) -> None:
        """Make one call, in some way."""
        self.made += 1
        way = self.draw.choice(self.ways)
        try:
            if self.draw.random() < 0.2:
                with deadline(self.draw.choice((0.005, 0.1)), clock=self.runtime.clock):
                    await way()
            else:
                await way()
        except (RejectedError, DeadlineExceededError, FaultError):
            pass
        except (asyncio.CancelledError, trio.Cancelled):
            self.cancelled += 1
            raise

    def check(self) -> None:
        """Raise unless everything is as if nobody had ever called."""
        assert self.body.inside == 0
        for command in self.commands:
            after = command.snapshot()
            assert after.in_flight == after.waiting == after.trials_running == 0, after
        held = [self.bulkhead.acquire() for _ in range(SLOTS)]
        try:
            self.bulkhead.acquire()
        except BulkheadFullError:
            pass
        else:
            raise AssertionError("there are more slots than there were")
        for permit in held:
            permit.release()


def ways(command: Command, body: Body) -> list[Callable[[], Awaitable[None]]]:
    """Return every way into a command that a task has."""

    async def block() -> None:
        async with command:
            await body()

    async def permit() -> None:
        with await command.aacquire():
            await body()

    async def by_hand() -> None:
        held: Permit = await command.aacquire()
        try:
            await body()
            held.succeed()
        finally:
            held.release()

    @command
    async def decorated() -> None:
        await body()

    return [lambda: command.acall(body), block, permit, by_hand, decorated]


def run(calls: int = 10**6, seed: int = 1) -> dict[str, Any]:
    """Make so many calls in each loop."""
    figures: dict[str, Any] = {}
    names = list(runtimes())
    with ProcessPoolExecutor() as pool:
        for name, counts in zip(
            names, pool.map(play, names, repeat(calls), repeat(seed)), strict=True
        ):
            figures |= {f"{what}, {name}": count for what, count in counts.items()}
    return figures | {"slots or trials missing": 0, "waiters left": 0}


def play(name: str, calls: int, seed: int) -> dict[str, int]:
    """Make so many calls in one loop."""
    runtime = runtimes()[name]()
    storm = Storm(runtime, Random(f"{seed}/{name}"))
    batch = batch_in_trio if isinstance(runtime, TrioRuntime) else batch_in_asyncio
    while storm.calls < calls:
        runtime.call(many, storm, batch)
    totals = [sum(command.snapshot().totals.values()) for command in storm.commands]
    assert sum(totals) == storm.made, "each call counts one outcome"
    runtime.close()
    trials = sum(sum(command.snapshot().trials.values()) for command in storm.commands)
    return {"calls": storm.calls, "cancelled": storm.cancelled, "trials": trials}


async def many(storm: Storm, batch: Callable[[Storm], Coroutine[Any, Any, None]]) -> None:
    """Play some batches in one run of the loop."""
    for _ in range(100):
        await batch(storm)
        storm.calls += BATCH
        storm.check()


async def batch_in_asyncio(storm: Storm) -> None:
    """Begin a batch of tasks and cancel each of them, some again and again."""
    draw = storm.draw
    tasks: list[asyncio.Task[None]] = []
    for tick in range(TICKS):
        if tick < TICKS // 2:
            new = BATCH // (TICKS // 2) + (tick < BATCH % (TICKS // 2))
            tasks += [asyncio.create_task(storm.call()) for _ in range(new)]
        for task in draw.sample(tasks, len(tasks) // 8):
            task.cancel()
        await storm.runtime.sleep(draw.choice((0, 0, 0, 0.02)))
    draw.shuffle(tasks)
    for task in tasks:
        if draw.random() < 0.8:
            task.cancel()
        if draw.random() < 0.2:
            await storm.runtime.sleep(0)
    _, left = await asyncio.wait(tasks, timeout=LONG)
    assert not left, f"{len(left)} calls wait in vain"
    for task in tasks:
        if not task.cancelled():
            task.result()


async def batch_in_trio(storm: Storm) -> None:
    """Begin a batch of tasks in scopes, and cancel each of these."""
    draw = storm.draw
    scopes: list[trio.CancelScope] = []

    async def scoped(scope: trio.CancelScope) -> None:
        with scope:
            await storm.call()

    with trio.move_on_after(LONG) as patience:
        async with trio.open_nursery() as nursery:
            for tick in range(TICKS):
                if tick < TICKS // 2:
                    new = BATCH // (TICKS // 2) + (tick < BATCH % (TICKS // 2))
                    for scope in (trio.CancelScope() for _ in range(new)):
                        scopes.append(scope)
                        nursery.start_soon(scoped, scope)
                for scope in draw.sample(scopes, len(scopes) // 8):
                    scope.cancel()
                await storm.runtime.sleep(draw.choice((0, 0, 0, 0.02)))
            draw.shuffle(scopes)
            for scope in scopes:
                if draw.random() < 0.8:
                    scope.cancel()
                if draw.random() < 0.2:
                    await storm.runtime.sleep(0)
    assert not patience.cancelled_caught, "a call waits in vain"
