"""
Alarms cut off what a task is doing. This is the only module that cancels.

An alarm is set in the task that runs now and must be disarmed by it:

- asyncio: one `task.cancel()` by the loop's own timer, balanced by `uncancel()`, exactly as
  `asyncio.timeout` does. If somebody else cancelled the task as well, theirs wins.
- trio: a cancel scope of its own.
- Neither runs here: nothing can be cut off, and there is no alarm.

Neither library is imported: one that runs a task here is in `sys.modules`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Alarm", "current_task", "in_event_loop", "is_cancellation", "set_alarm"]


class AsyncioAlarm:
    """Cancels an asyncio task once, at its time."""

    __slots__ = ("_before", "_timer", "rang", "task")

    def __init__(self, task: Any, delay: float) -> None:
        self.task = task
        self.rang = False
        self._before: int = task.cancelling()
        loop = task.get_loop()
        if delay > 0:
            self._timer = loop.call_later(delay, self._ring)
        else:
            self._timer = loop.call_soon(self._ring)

    def _ring(self) -> None:
        self.rang = True
        self.task.cancel()

    @property
    def alone(self) -> bool:
        """Whether it rang and nobody else cancelled the task since it was set."""
        return self.rang and self.task.cancelling() <= self._before + 1

    def disarm(self, error: BaseException | None) -> bool:
        """Say whether `error` is its own cancellation and nobody else's."""
        self._timer.cancel()
        if not self.rang:
            return False
        others = self.task.uncancel() > self._before
        cancelled: type[BaseException] = sys.modules["asyncio"].CancelledError
        return not others and isinstance(error, cancelled)


class TrioAlarm:
    """A cancel scope of trio's."""

    __slots__ = ("_scope", "task")

    def __init__(self, trio: Any, task: Any, delay: float) -> None:
        self.task = task
        self._scope = trio.CancelScope(deadline=trio.current_time() + delay)
        self._scope.__enter__()

    @property
    def rang(self) -> bool:
        """Whether its time came while it was set."""
        return bool(self._scope.cancel_called)

    alone = rang

    def disarm(self, error: BaseException | None) -> bool:
        """Say whether `error` was its own cancellation; raises what is left of a group."""
        traceback = None if error is None else error.__traceback__
        self._scope.__exit__(None if error is None else type(error), error, traceback)
        return bool(self._scope.cancelled_caught)


Alarm = AsyncioAlarm | TrioAlarm


def _asyncio_task() -> Any:
    asyncio: Any = sys.modules.get("asyncio")
    running: Callable[[], Any] | None = getattr(asyncio, "_get_running_loop", None)
    if running is None or running() is None:
        return None
    return asyncio.current_task()


def _trio_task() -> Any:
    trio = sys.modules.get("trio")
    if trio is None or not getattr(trio, "lowlevel", None) or not trio.lowlevel.in_trio_task():
        return None
    return trio.lowlevel.current_task()


def current_task() -> Any:
    """Return the asyncio or trio task that runs now, if one does."""
    return _asyncio_task() or _trio_task()


def set_alarm(delay: float) -> Alarm | None:
    """Cut off the task that runs now after `delay` seconds; `None` if none does."""
    task = _asyncio_task()
    if task is not None:
        return AsyncioAlarm(task, delay)
    task = _trio_task()
    if task is not None:
        return TrioAlarm(sys.modules["trio"], task, delay)
    return None


def in_event_loop() -> bool:
    """Whether this thread runs an event loop, so that blocking it would block everything on it."""
    asyncio = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)
    return (running is not None and running() is not None) or _trio_task() is not None


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception is how asyncio or trio cancels a task."""
    for library, name in (("asyncio", "CancelledError"), ("trio", "Cancelled")):
        kind = getattr(sys.modules.get(library), name, None)
        if kind is not None and isinstance(error, kind):
            return True
    return False
