"""
Waiting for a slot: in a thread, on asyncio and on trio. Nothing else in the library waits.

Whoever frees a slot wakes a waiter from whatever thread it is on, so a task is woken by its loop's
thread-safe call. A loop that has been closed cannot be woken: `wake` says so, and the slot goes to
the next. Once a second a waiter looks whether slots were lost meanwhile, for nobody else might.
"""

from __future__ import annotations

from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, Final

from resilience._core.slots import Waiter
from resilience._units import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.slots import Token
    from resilience._pool import Pool

__all__ = ["await_slot", "wait_for_slot"]

LOOK: Final = 1.0
"""Seconds after which a waiter looks for lost slots."""


def wait_for_slot(pool: Pool, left: Callable[[], int | None]) -> Token | None:
    """Wait in a thread for at most `left()` nanoseconds; `None`: no slot came in time."""
    waiter = Waiter()
    gate = allocate_lock()
    gate.acquire()

    def wake() -> bool:
        gate.release()
        return True

    waiter.wake = wake
    try:
        if not pool.enqueue(waiter):
            return None
        pool.assign()
        while waiter.token is None and (pause := _pause(left())) > 0:
            if not gate.acquire(timeout=pause):
                pool.assign()
        return _claim(waiter)
    finally:
        # Without a token: it gave up, or was interrupted; what it was given goes on.
        pool.leave(waiter)


async def await_slot(pool: Pool, left: Callable[[], int | None]) -> Token | None:
    """Wait in a task for at most `left()` nanoseconds; `None`: no slot came in time."""
    waiter = Waiter()
    bell = _Bell()
    waiter.wake = bell.ring
    try:
        if not pool.enqueue(waiter):
            return None
        pool.assign()
        while waiter.token is None and (pause := _pause(left())) > 0:
            await bell.wait(pause)
            if waiter.token is None:
                pool.assign()
        return _claim(waiter)
    finally:
        pool.leave(waiter)


class _Bell:
    """What wakes a task from any thread."""

    __slots__ = ("_anyio", "_event", "_native")

    def __init__(self) -> None:
        import anyio.lowlevel  # noqa: PLC0415 - nobody needs it before somebody waits

        self._anyio = anyio
        self._event = anyio.Event()
        # asyncio's loop, or trio's token.
        self._native: Any = anyio.lowlevel.current_token().native_token

    def ring(self) -> bool:
        """Wake the task; false: its loop was closed, or trio's run is over."""
        native = self._native
        soon = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
        try:
            soon(self._set)
        except RuntimeError:
            return False
        return True

    def _set(self) -> None:
        self._event.set()

    async def wait(self, pause: float) -> None:
        """Wait until it rings, or for a while."""
        self._event = self._anyio.Event()
        if not hasattr(self._native, "call_later"):
            with self._anyio.move_on_after(pause):
                await self._event.wait()
            return
        # Without a scope of anyio's: that does not survive a task that is closed, not ended.
        timer = self._native.call_later(pause, self._set)
        try:
            await self._event.wait()
        finally:
            timer.cancel()


def _pause(left: int | None) -> float:
    return LOOK if left is None else min(seconds(left), LOOK)


def _claim(waiter: Waiter) -> Token | None:
    token, waiter.token = waiter.token, None
    return token
