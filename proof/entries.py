"""Every entry point of the library, called once on a dependency of its own."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from resilience import (
    Bulkhead,
    CircuitBreaker,
    Registry,
    RejectedError,
    deadline,
    fallback,
)
from resilience._chain import scopes
from tests.support.runtime import FakeClock


class FaultError(Exception):
    """What the function raises."""


class World:
    """
    A dependency, its guards, and a clock that stands still.

    Args:
        trial: Whether the next call is the trial of a half-open circuit.
        fails: Whether the function fails.
        waits: How many may wait for a slot.
        clock: The time.
    """

    def __init__(
        self, *, trial: bool, fails: bool = False, waits: int = 0, clock: Any = None
    ) -> None:
        self.clock = FakeClock() if clock is None else clock
        self.fails = fails
        self.registry = Registry(clock=self.clock, random=lambda: 0.0)
        self.command = self.registry.command(
            "db",
            max_concurrency=1,
            max_waiting=waits,
            volume_threshold=1 if trial else 9,
            sleep_window=1,
        )
        self.breaker = CircuitBreaker("db", registry=self.registry)
        self.bulkhead = Bulkhead(1, name="pool", max_waiting=waits, registry=self.registry)
        if trial:
            self.command.acquire().fail()
            self.clock.advance(1)

    def work(self) -> str:
        if self.fails:
            raise FaultError
        return "value"

    def held(self) -> str:
        """Say what is held although nobody is there, or that it is of no more use."""
        try:
            return self._held() or self._unusable()
        except Exception as error:
            return f"{type(error).__name__} ever after"

    def _held(self) -> str:
        """Say what is held once what is unreachable has been collected."""
        command, pool = self.command.snapshot(), self.bulkhead.snapshot()
        if command.in_flight or command.trials_running or pool.in_flight:
            gc.collect()
            command, pool = self.command.snapshot(), self.bulkhead.snapshot()
        locks: Any = self.command._guard.entry.lock, self.bulkhead.entry.lock
        kept = {
            "slot": command.in_flight or pool.in_flight,
            "trial": command.trials_running,
            "waiter": command.waiting or pool.waiting,
            "lock": any(lock._is_owned() for lock in locks),
            "scope": next(scopes(), None) is not None,
        }
        return " and ".join(name for name, is_held in kept.items() if is_held)

    def _unusable(self) -> str:
        """Call once more: whatever happened before, the dependency is well now."""
        self.fails = False
        self.command.clear_override()
        self.clock.advance(1)
        with self.bulkhead.acquire():
            return "" if self.command.call(self.work) == "value" else "another result"


Call = Callable[[], object]
Sync = Callable[[World], Call]
"""Prepares a call outside of what is looked at."""


def _decorated(world: World) -> Call:
    return world.command(world.work)


def _called(world: World) -> Call:
    return lambda: world.command.call(world.work)


def _block(world: World) -> object:
    with world.command:
        return world.work()


def _permit(world: World) -> object:
    with world.command.acquire():
        return world.work()


def _permit_by_hand(world: World) -> object:
    permit = world.command.acquire()
    try:
        result = world.work()
        permit.succeed()
    except FaultError as error:
        permit.fail(error)
    finally:
        permit.release()
    return result


def _breaker(world: World) -> Call:
    return world.breaker(world.work)


def _breaker_block(world: World) -> object:
    with world.breaker:
        return world.work()


def _bulkhead(world: World) -> Call:
    return world.bulkhead(world.work)


def _bulkhead_block(world: World) -> object:
    with world.bulkhead:
        return world.work()


def _in_time(world: World) -> object:
    with deadline(60, clock=world.clock):
        return world.command.call(world.work)


def _with_a_fallback(world: World) -> Call:
    command = world.registry.command("db", fallback=lambda _: "instead", fallback_max_concurrency=1)
    return command(world.work)


def _fallback_alone(world: World) -> Call:
    return fallback(lambda _: "instead")(world.command(world.work))


def _stacked(world: World) -> Call:
    return world.breaker(world.bulkhead(deadline(60, clock=world.clock)(world.work)))


def _nested(world: World) -> object:
    with world.bulkhead:
        return world.command.call(world.work)


def _stream(world: World) -> Call:
    @world.command
    def items() -> Iterator[str]:
        yield "first"
        yield world.work()

    return lambda: list(items())


def _half_a_stream(world: World) -> Call:
    @world.command
    def items() -> Iterator[str]:
        yield world.work()
        yield "last"

    def call() -> object:
        stream: Any = items()
        result = next(stream)
        stream.close()
        return result

    return call


def _refused(world: World) -> Call:
    guarded = [guard(world.work) for guard in (world.command, world.bulkhead)]

    def call() -> object:
        with world.command.acquire(), world.bulkhead.acquire():
            for each in guarded:
                with contextlib.suppress(RejectedError):
                    each()
            return world.work()

    return call


def _operated(world: World) -> object:
    command = world.command
    unsubscribe = world.registry.subscribe(lambda _: None)
    command.force_open()
    command.force_closed()
    world.command.call(world.work)
    command.shadow()
    command.clear_override()
    command.configure(volume_threshold=3, rolling_window=5, max_concurrency=2)
    command.reset()
    unsubscribe()
    return command.snapshot(), command.explain(), world.registry.snapshot(), list(world.registry)


def unprepared(call: Callable[[World], object]) -> Sync:
    """Return an entry point for which there is nothing to prepare."""
    return lambda world: functools.partial(call, world)


SYNC: dict[str, Sync] = {
    "decorated": _decorated,
    "call": _called,
    "with command": unprepared(_block),
    "with acquire()": unprepared(_permit),
    "acquire()": unprepared(_permit_by_hand),
    "breaker": _breaker,
    "with breaker": unprepared(_breaker_block),
    "bulkhead": _bulkhead,
    "with bulkhead": unprepared(_bulkhead_block),
    "with deadline": unprepared(_in_time),
    "fallback of a command": _with_a_fallback,
    "fallback": _fallback_alone,
    "stack": _stacked,
    "nested": unprepared(_nested),
    "stream": _stream,
    "closed stream": _half_a_stream,
    "refused": _refused,
    "operated": unprepared(_operated),
}

Async = Callable[[World, Callable[[], Awaitable[Any]]], Awaitable[object]]


async def _acalled(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    return await world.command.acall(work)


async def _adecorated(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    @world.command
    async def fn() -> Any:
        return await work()

    return await fn()


async def _ablock(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    async with world.command:
        return await work()


async def _apermit(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    with await world.command.aacquire():
        return await work()


async def _abreaker(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    async with world.breaker:
        return await work()


async def _abulkhead(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    async with world.bulkhead:
        return await work()


async def _ain_time(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    with deadline(60, clock=world.clock):
        return await world.command.acall(work)


async def _awith_a_fallback(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    async def instead(_: BaseException) -> Any:
        return await work()

    @world.registry.command("db", fallback=instead)
    async def fails() -> Any:
        await work()
        raise FaultError

    return await fails()


async def _astacked(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    @world.breaker
    @world.bulkhead
    @deadline(60, clock=world.clock)
    async def fn() -> Any:
        return await work()

    return await fn()


async def _astream(world: World, work: Callable[[], Awaitable[Any]]) -> object:
    @world.command
    async def items() -> Any:
        yield await work()
        yield await work()

    return [item async for item in items()]


ASYNC: dict[str, Async] = {
    "acall": _acalled,
    "async def": _adecorated,
    "async with command": _ablock,
    "aacquire()": _apermit,
    "async with breaker": _abreaker,
    "async with bulkhead": _abulkhead,
    "with deadline": _ain_time,
    "async fallback": _awith_a_fallback,
    "async stack": _astacked,
    "async stream": _astream,
}
