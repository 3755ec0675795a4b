"""
Where a call may be suspended: nowhere between getting its slot and the first line of the function.

Whoever drives a coroutine sees each of its suspensions. At every one of them a call holds a slot
exactly when its function has begun and has not ended; so there is no moment at which a cancellation
could find one without the other. Leaving needs no suspension either, whatever it is left by.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import anyio
import pytest

from resilience import Command, Permit, Registry, State, deadline
from tests.support.runtime import AsyncRuntime, FakeClock


@types.coroutine
def suspension(value: Any = None) -> Generator[Any, Any, Any]:
    """Suspend whoever awaits this."""
    return (yield value)


class Inside:
    """A function to guard: it knows whether it has begun, and is suspended a few times."""

    def __init__(self, times: int = 3) -> None:
        self.running = False
        self.times = times

    async def __call__(self) -> str:
        self.running = True
        try:
            for number in range(self.times):
                await suspension(number)
            return "value"
        finally:
            self.running = False


class FaultError(Exception):
    """What the function raises, or what is thrown into it."""


# -- ways into a command


async def call(command: Command, inside: Inside) -> Any:
    """Call by `acall`."""
    return await command.acall(inside)


async def decorated(command: Command, inside: Inside) -> Any:
    """Call a decorated coroutine function."""

    @command
    async def fn() -> Any:
        return await inside()

    return await fn()


async def awaited(command: Command, inside: Inside) -> Any:
    """Await what a decorated function returns."""

    @command
    def fn() -> Any:
        return inside()

    return await fn()


async def block(command: Command, inside: Inside) -> Any:
    """Guard a block."""
    async with command:
        return await inside()


async def permit(command: Command, inside: Inside) -> Any:
    """Hold a permit."""
    with await command.aacquire():
        return await inside()


async def under_a_deadline(command: Command, inside: Inside) -> Any:
    """Call off the shortest path: a deadline of the caller's is to be minded."""
    with deadline(60):
        return await command.acall(inside)


Way = Callable[[Command, Inside], Coroutine[Any, Any, Any]]
WAYS: list[Way] = [call, decorated, awaited, block, permit, under_a_deadline]
any_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
# A function that merely returns an awaitable is entered by a plain call: in a task it never waits.
any_wait = pytest.mark.parametrize(
    "way", [way for way in WAYS if way is not awaited], ids=lambda way: way.__name__
)
any_circuit = pytest.mark.parametrize("trial", [False, True], ids=["closed", "half open"])


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """A registry whose clock stands still."""
    return Registry(clock=clock, random=lambda: 0.0)


def made(registry: Registry, clock: FakeClock, *, trial: bool) -> Command:
    """A command with one slot; its next call is a trial, if that is wanted."""
    command = registry.command(
        "db", max_concurrency=1, max_waiting=1, volume_threshold=1, sleep_window=1
    )
    if trial:
        command.acquire().fail()
        clock.advance(1)
        assert command.state is State.OPEN
    return command


@pytest.mark.promise("F6")
@any_way
@any_circuit
def test_nothing_is_awaited_between_the_slot_and_the_function(
    registry: Registry, clock: FakeClock, way: Way, trial: bool
) -> None:
    """
    The first suspension of a call that finds a free slot is the first one of its function.

    The last one is the function's last: nothing is awaited to give the slot back.
    """
    command, inside = made(registry, clock, trial=trial), Inside()
    coroutine = way(command, inside)
    for number in range(inside.times):
        assert coroutine.send(None) == number
        assert inside.running
        assert command.snapshot().in_flight == 1
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    assert caught.value.value == "value"
    assert command.snapshot().in_flight == 0


@pytest.mark.promise("F6", "C1", "F1")
@any_way
@any_circuit
@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, FaultError])
def test_nothing_is_awaited_to_give_the_slot_back(
    registry: Registry, clock: FakeClock, way: Way, trial: bool, kind: type[BaseException]
) -> None:
    """
    Thrown in at any suspension, what cancels a call leaves it at once, and the slot is free.
    """
    for suspensions in range(1, 4):
        command, inside = made(registry, clock, trial=trial), Inside()
        coroutine = way(command, inside)
        for _ in range(suspensions):
            coroutine.send(None)
        thrown = kind()
        with pytest.raises(kind) as caught:
            coroutine.throw(thrown)
        assert caught.value is thrown
        after = command.snapshot()
        assert (after.in_flight, after.waiting) == (0, 0)
        command.reset()


@pytest.mark.promise("F6", "C1")
@any_way
@any_circuit
def test_a_call_that_is_closed_while_it_is_suspended_gives_its_slot_back(
    registry: Registry, clock: FakeClock, way: Way, trial: bool
) -> None:
    """
    `coroutine.close()` would complain about an `await` on the way out; there is none.
    """
    command, inside = made(registry, clock, trial=trial), Inside()
    coroutine = way(command, inside)
    coroutine.send(None)
    coroutine.close()
    assert not inside.running
    assert command.snapshot().in_flight == 0


# -- a call that waits for its slot


@types.coroutine
def watched(
    coroutine: Coroutine[Any, Any, Any], look: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """Await a coroutine, and look whenever it suspends."""
    step: Callable[[Any], Any] = coroutine.send
    sent: Any = None
    while True:
        try:
            trap = step(sent)
        except StopIteration as stop:
            return stop.value
        look()
        try:
            step, sent = coroutine.send, (yield trap)
        except BaseException as error:
            step, sent = coroutine.throw, error


class Resting(Inside):
    """A function that is suspended as its runtime has it."""

    async def __call__(self) -> str:
        self.running = True
        try:
            for _ in range(self.times):
                await anyio.sleep(0.25)
            return "value"
        finally:
            self.running = False


class Waiting:
    """A caller that waits for the only slot, watched, and the one that holds it."""

    def __init__(self, task: AsyncRuntime, way: Way) -> None:
        registry = Registry(clock=task.clock, random=lambda: 0.0)
        self.command = made(registry, task.clock, trial=False)
        self.inside = Resting()
        self.way = way
        self.holder: Permit | None = None
        self.looks: list[tuple[int, bool]] = []
        self.result: Any = None

    def look(self) -> None:
        held = self.command.snapshot().in_flight - (self.holder is not None)
        self.looks.append((held, self.inside.running))

    def release(self) -> None:
        assert self.holder is not None
        self.holder.succeed()
        self.holder = None

    async def run(self, *, cancelled_at: float | None = None) -> None:
        self.holder = self.command.acquire()
        async with anyio.create_task_group() as group:
            group.start_soon(self._call)
            await anyio.sleep(0.25)
            assert self.command.snapshot().waiting == 1
            if cancelled_at is None:
                self.release()
                return
            await anyio.sleep(cancelled_at)
            if cancelled_at:
                self.release()
                await anyio.sleep(cancelled_at)
            group.cancel_scope.cancel()
        if self.holder is not None:
            self.release()

    async def _call(self) -> None:
        self.result = await watched(self.way(self.command, self.inside), self.look)


@pytest.mark.promise("F6", "C6")
@any_wait
def test_a_caller_that_was_waiting_goes_straight_in(task: AsyncRuntime, way: Way) -> None:
    """
    A waiter that wakes with its slot is not suspended again before its function has begun.
    """
    waiting = Waiting(task, way)
    task.call(waiting.run)
    assert waiting.result == "value"
    assert waiting.looks[0] == (0, False)
    assert waiting.looks[-1] == (1, True)
    assert set(waiting.looks) == {(0, False), (1, True)}
    assert waiting.command.snapshot().in_flight == 0


@pytest.mark.promise("F6", "C1", "C6")
@any_wait
@pytest.mark.parametrize("after", [0, 0.1, 0.3, 0.6])
def test_a_caller_that_was_waiting_is_cancelled(task: AsyncRuntime, way: Way, after: float) -> None:
    """
    Cancelled while it waits for its slot, or later inside, it holds none while it is outside.
    """
    waiting = Waiting(task, way)
    task.call(lambda: waiting.run(cancelled_at=after))
    assert waiting.result is None
    assert set(waiting.looks) <= {(0, False), (1, True)}
    snapshot = waiting.command.snapshot()
    assert (snapshot.in_flight, snapshot.waiting) == (0, 0)
    waiting.command.acquire().succeed()
