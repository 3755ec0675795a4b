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

import math
import sys
import weakref
from contextvars import Context, ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any

from resilience._units import NANOS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Alarm",
    "current_task",
    "in_event_loop",
    "is_cancellation",
    "set_alarm",
    "strand",
]


class AsyncioAlarm:
    """Cancels an asyncio task once, at its time."""

    __slots__ = ("_before", "_timer", "due", "rang", "task")

    def __init__(self, task: Any, timer: _Timer, due: float) -> None:
        self.task = task
        self.rang = False
        self.due = due
        self._before: int = task.cancelling()
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

    def soon(self, do: Callable[[], None]) -> None:
        """Have something done where its task runs; called from any thread."""
        self._timer.loop.call_soon_threadsafe(do)

    def ring(self) -> None:
        """Cancel the task."""
        self.rang = True
        self.task.cancel()

    @property
    def alone(self) -> bool:
        """Whether it rang and nobody else cancelled the task since it was set."""
        return self.rang and self.task.cancelling() <= self._before + 1

    def disarm(self, error: BaseException | None) -> bool:
        """Say whether `error` is its own cancellation and nobody else's."""
        if not self.rang:
            self._timer.remove(self)
            return False
        others = self.task.uncancel() > self._before
        cancelled: type[BaseException] = sys.modules["asyncio"].CancelledError
        return not others and isinstance(error, cancelled)


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
        timer = _Timer(loop, shared=True)
        _timers[key] = weakref.ref(timer, lambda dead: _forget(key, dead))
    return timer


def _forget(key: tuple[int, int], dead: weakref.ref[_Timer]) -> None:
    if _timers.get(key) is dead:
        _timers.pop(key, None)


class TrioAlarm:
    """A cancel scope of trio's."""

    __slots__ = ("_scope", "_trio", "soon", "task")

    def __init__(self, trio: Any, task: Any, delay: float) -> None:
        self.task = task
        self._trio = trio
        self.soon: Callable[[Callable[[], None]], None] = (
            trio.lowlevel.current_trio_token().run_sync_soon
        )
        self._scope = trio.CancelScope(deadline=trio.current_time() + delay)
        self._scope.__enter__()

    def reset(self, left: int | None) -> None:
        """Set it anew, for another time or none."""
        self._scope.deadline = (
            math.inf if left is None else self._trio.current_time() + left / NANOS
        )

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


_strand: ContextVar[object] = ContextVar("resilience_strand", default=None)


def strand() -> object:
    """Return what runs here: a task, or the number of a thread, or what that works for."""
    return current_task() or _strand.get() or get_ident()


def stay_on_strand() -> None:
    """Let what runs in this context elsewhere, while this waits for it, be the same strand."""
    _strand.set(strand())


def set_alarm(left: int, length: int | None = None) -> Alarm | None:
    """
    Cut off the task that runs now; `None` if none does.

    Args:
        left: When, in nanoseconds from now.
        length: `left`, where many alarms are set for the same length: they share a timer.
    """
    task = _asyncio_task()
    if task is not None:
        loop = task.get_loop()
        due = loop.time() + left / NANOS
        timer = None if length is None else _timer_of(loop, length)
        if timer is None or due < timer.latest:  # begun earlier than those before it
            timer = _Timer(loop, shared=False)
        return AsyncioAlarm(task, timer, due)
    task = _trio_task()
    if task is not None:
        return TrioAlarm(sys.modules["trio"], task, left / NANOS)
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
