"""
Alarms cut off what a task is doing. This is the only module that cancels.

An alarm is set in the task that runs now and must be disarmed by it:

- asyncio: one `task.cancel()` by the loop's own timer, balanced by `uncancel()`, exactly as
  `asyncio.timeout` does. If somebody else cancelled the task as well, theirs wins.
- trio: a cancel scope of its own.
"""

from __future__ import annotations

import math
import sys
import weakref
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from resilience._units import NANOS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Alarm", "set_alarm"]

MANY: Final = 64
"""Lengths whose alarms share a timer, at most: one that is shared stays set when it is idle."""


class AsyncioAlarm:
    """Cancels an asyncio task once, at its time."""

    __slots__ = ("_allowed", "_timer", "due", "rang", "task")

    def __init__(self, task: Any, timer: _Timer, due: float) -> None:
        self.task = task
        self.rang = False
        self.due = due
        # How often the task may have been cancelled for this to be the only one.
        self._allowed: int = task.cancelling() + 1
        self._timer = timer
        timer.add(self)

    def reset(self, left: int | None) -> None:
        """Set it anew, for another time or none."""
        self._timer.remove(self)
        if left is not None:
            loop = self._timer.loop
            self.due = loop.time() + left / NANOS
            self._timer = _Timer(loop, shared=False)
            self._timer.add(self)

    def messenger(self) -> Callable[[Callable[[], None]], object]:
        """Return what has something done where its task runs, called from any thread."""
        soon: Callable[[Callable[[], None]], object] = self._timer.loop.call_soon_threadsafe
        return soon

    def ring(self) -> None:
        """Cancel the task."""
        self.rang = True
        self.task.cancel()

    @property
    def alone(self) -> bool:
        """Whether it rang and nobody else cancelled the task since it was set."""
        return self.rang and self.task.cancelling() <= self._allowed

    def disarm(self, error: BaseException | None) -> bool:
        """Say whether `error` is its own cancellation and nobody else's."""
        if not self.rang:
            self._timer.remove(self)
            return False
        self.task.uncancel()
        self._allowed -= 1
        cancelled: type[BaseException] = sys.modules["asyncio"].CancelledError
        return self.alone and isinstance(error, cancelled)


class _Timer:
    """
    The alarms of one loop that were set for the same length of time.

    They come due in the order they were set, so one timer of the loop serves them all: it is set
    for the oldest, and again for the oldest that is left. A call that ends in time costs no timer.
    A timer that is not shared is cancelled with its only alarm.
    """

    __slots__ = ("__weakref__", "_handle", "_pending", "_shared", "latest", "loop")

    def __init__(self, loop: Any, *, shared: bool) -> None:
        self.loop = loop
        self._shared = shared
        self._pending: dict[AsyncioAlarm, None] = {}
        self._handle: Any = None
        self.latest = -math.inf

    def add(self, alarm: AsyncioAlarm) -> None:
        self._pending[alarm] = None
        self.latest = alarm.due
        if self._handle is None:
            self._arm(alarm.due)

    def remove(self, alarm: AsyncioAlarm) -> None:
        self._pending.pop(alarm, None)
        if not self._shared and self._handle is not None:
            self._handle.cancel()

    def _arm(self, due: float) -> None:
        # In an empty context: the present one would keep its call alive as long as the timer.
        self._handle = self.loop.call_at(due, self._fire, context=Context())

    def _fire(self) -> None:
        self._handle = None
        now = self.loop.time()
        while self._pending:
            oldest = next(iter(self._pending))
            if oldest.due > now:
                self._arm(oldest.due)
                return
            del self._pending[oldest]
            oldest.ring()


_timers: dict[tuple[int, int], weakref.ref[_Timer]] = {}


def _timer_of(loop: Any, length: int) -> _Timer:
    """Return the timer for alarms of a length; it lives as long as its loop has it armed."""
    key = id(loop), length
    ref = _timers.get(key)
    timer = None if ref is None else ref()
    if timer is None or timer.loop is not loop:
        shared = len(_timers) < MANY
        timer = _Timer(loop, shared=shared)
        if shared:
            _timers[key] = weakref.ref(timer, lambda dead: _forget(key, dead))
    return timer


def _forget(key: tuple[int, int], dead: weakref.ref[_Timer]) -> None:
    if _timers.get(key) is dead:
        _timers.pop(key, None)


class TrioAlarm:
    """A cancel scope of trio's."""

    __slots__ = ("_scope", "task")

    def __init__(self, task: Any, delay: float) -> None:
        self.task = task
        scope = sys.modules["trio"].CancelScope(relative_deadline=delay if delay > 0 else 0.0)
        scope.__enter__()
        self._scope: Any = scope

    def reset(self, left: int | None) -> None:
        """Set it anew, for another time or none."""
        now = sys.modules["trio"].current_time
        self._scope.deadline = math.inf if left is None else now() + left / NANOS

    def messenger(self) -> Callable[[Callable[[], None]], object]:
        """Return what has something done where its task runs, called from any thread."""
        token: Any = sys.modules["trio"].lowlevel.current_trio_token()
        soon: Callable[[Callable[[], None]], object] = token.run_sync_soon
        return soon

    @property
    def rang(self) -> bool:
        """Whether its time came while it was set."""
        return bool(self._scope.cancel_called)

    @property
    def alone(self) -> bool:
        """Whether its time came and no scope around it was cancelled as well."""
        # trio has no public way to ask for what lies around a scope that is cancelled itself.
        status = getattr(self._scope, "_cancel_status", None)
        return self.rang and not getattr(status, "parent_cancellation_is_visible_to_us", False)

    def disarm(self, error: BaseException | None) -> bool:
        """Say whether `error` was its own cancellation; raises what is left of a group."""
        scope = self._scope
        if error is None:
            scope.__exit__(None, None, None)
            return False
        scope.__exit__(type(error), error, error.__traceback__)
        return bool(scope.cancelled_caught)


Alarm = AsyncioAlarm | TrioAlarm


def set_alarm(task: Any, left: int, length: int | None = None) -> Alarm:
    """
    Cut off the task that runs now.

    Args:
        task: The one that runs now.
        left: When, in nanoseconds from now.
        length: Of the scope it is set for, where that began now: alarms of one length share a
            timer.
    """
    get_loop = getattr(task, "get_loop", None)
    if get_loop is None:
        return TrioAlarm(task, left / NANOS)
    loop = get_loop()
    due = loop.time() + left / NANOS
    timer = None if length is None else _timer_of(loop, length)
    if timer is None or due < timer.latest:  # begun earlier than those before it
        timer = _Timer(loop, shared=False)
    return AsyncioAlarm(task, timer, due)
