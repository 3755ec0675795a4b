"""Callers: calls of a function that a history may cancel, and what became of each."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import attrs

from resilience._units import NANOS, show
from resilience.testing._dependency import Interrupted, leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience.testing._clock import FakeClock


__all__ = ["Caller", "play"]


@attrs.define
class Caller:
    """
    One call and its end.

    Attributes:
        args: What it was called with.
        left: Whether its caller was cancelled.
        answered: Whether it returned.
        value: What it returned.
        error: What it raised.
    """

    args: tuple[Any, ...]
    left: bool = False
    answered: bool = False
    value: Any = None
    error: Exception | None = None

    @property
    def swallowed(self) -> bool:
        """Whether its caller was cancelled, and had an answer all the same."""
        return self.left and self.answered

    def __str__(self) -> str:
        return f"{show(self.value)} for {', '.join(map(show, self.args)) or 'no arguments'}"


def play(
    fn: Callable[..., Any],
    calls: list[tuple[Any, ...]],
    every: float,
    clock: FakeClock,
    run: Callable[..., object],
) -> list[Caller]:
    """
    Call a function some times: a coroutine function in tasks, any other one call after another.

    Args:
        fn: What to call.
        calls: The arguments of each call.
        every: Seconds from the beginning of one call to that of the next; 0: all at once.
        clock: The clock they live by.
        run: Runs a coroutine function to its end, in asyncio or trio.
    """
    callers = [Caller(args) for args in calls]
    if inspect.iscoroutinefunction(fn):
        run(_all, fn, callers, every)
        return callers
    begin = clock.ticks
    for number, caller in enumerate(callers):
        clock.advance(max(begin / NANOS + number * every - clock.ticks / NANOS, 0))
        _call(fn, caller)
    return callers


def _call(fn: Callable[..., Any], caller: Caller) -> None:
    def leaves() -> None:
        caller.left = True

    before = leave.set(leaves)
    try:
        caller.value = fn(*caller.args)
        caller.answered = True
    except Interrupted:
        pass
    except Exception as error:  # noqa: BLE001 - whoever asked for the calls judges
        caller.error = error
    finally:
        leave.reset(before)


async def _all(fn: Callable[..., Any], callers: list[Caller], every: float) -> None:
    native: Any = anyio.lowlevel.current_token().native_token
    if isinstance(native, asyncio.AbstractEventLoop):
        tasks = [_begin(fn, caller, number * every) for number, caller in enumerate(callers)]
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()
        return
    async with anyio.create_task_group() as group:
        for number, caller in enumerate(callers):
            group.start_soon(_call_in_scope, fn, caller, number * every)


def _begin(fn: Callable[..., Any], caller: Caller, delay: float) -> asyncio.Task[None]:
    """Begin a call in a task of asyncio's own, which is cancelled once, as asyncio does it."""

    def leaves() -> None:
        caller.left = True
        task.cancel()

    context = copy_context()
    context.run(leave.set, leaves)
    task = asyncio.get_running_loop().create_task(_ended(fn, caller, delay), context=context)
    return task


async def _call_in_scope(fn: Callable[..., Any], caller: Caller, delay: float) -> None:
    """Call it in a cancel scope, as trio does it."""
    with anyio.CancelScope() as scope:

        def leaves() -> None:
            caller.left = True
            scope.cancel()

        leave.set(leaves)
        await _ended(fn, caller, delay)


async def _ended(fn: Callable[..., Any], caller: Caller, delay: float) -> None:
    await anyio.sleep(delay)
    try:
        caller.value = await fn(*caller.args)
        caller.answered = True
    except Exception as error:  # noqa: BLE001 - as above
        caller.error = error
