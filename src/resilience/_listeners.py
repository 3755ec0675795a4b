"""
Listeners: who is told of what happened, with no lock held, in the context of who caused it.

A step that has something to tell puts it into the queue while it holds its lock, so the queue has
the order of the steps. After the lock, whoever finds nobody delivering delivers: one thread at a
time, everyone else goes on at once. A listener that causes more events does not recurse: they are
delivered by the round that is under way.

So an event may be told by another thread, when its own has gone on. Who must not come late, as a
span that is about to end, listens at once: it is told by the thread that caused the event, before
that goes on, and in the order of that thread alone.
"""

from __future__ import annotations

from collections import deque
from contextvars import Context, copy_context
from importlib import import_module
from threading import Lock, RLock, local
from typing import TYPE_CHECKING, Any

from resilience import _log

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._events import Event

__all__ = ["Listeners"]


class _Own(local):
    """What the running thread has caused, and is still to tell."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.telling = False


class Listeners:
    """The listeners of one registry and the queue to them."""

    __slots__ = ("_at_once", "_change", "_in_order", "_own", "_queue", "_turn", "all")

    def __init__(self) -> None:
        self.all: tuple[Callable[[Event], object], ...] = ()
        self._in_order: tuple[Callable[[Event], object], ...] = ()
        self._at_once: tuple[Callable[[Event], object], ...] = ()
        self._queue: deque[tuple[Context, Callable[[Any], object], Any]] = deque()
        self._own: _Own | None = None
        self._turn = Lock()
        self._change = RLock()

    def subscribe(
        self, listener: Callable[[Event], object], *, at_once: bool = False
    ) -> Callable[[], None]:
        """Add a listener; returns what removes it again, which may be called twice."""
        # Now: what is imported under a lock for the first time waits for the import lock.
        import_module("resilience._events")
        import_module("resilience._snapshot")
        with self._change:
            if at_once:
                self._own = self._own or _Own()
                self._at_once = (*self._at_once, listener)
            else:
                self._in_order = (*self._in_order, listener)
            self.all = self._in_order + self._at_once
        left = [listener]

        def unsubscribe() -> None:
            with self._change:
                if left:
                    gone = left.pop()
                    if at_once:
                        self._at_once = _without(self._at_once, gone)
                    else:
                        self._in_order = _without(self._in_order, gone)
                    self.all = self._in_order + self._at_once

        return unsubscribe

    def put(self, event: Event) -> None:
        """Queue an event; `deliver` must follow, on this thread, once no lock is held."""
        if self._in_order:
            self.put_call(self._tell, event)
        if self._at_once and self._own is not None:
            self._own.events.append(event)

    def put_call(self, tell: Callable[[Any], object], what: Any) -> None:
        """Queue a call that comes in its order among the events; as with `put`."""
        self._queue.append((copy_context(), tell, what))

    def deliver(self) -> None:
        """Tell what is queued, unless another thread is at it."""
        own = self._own
        if own is not None and own.events and not own.telling:
            self._deliver_own(own)
        while self._queue and self._turn.acquire(blocking=False):
            try:
                while self._queue:
                    context, tell, what = self._queue.popleft()
                    context.run(tell, what)
            finally:
                self._turn.release()

    def _deliver_own(self, own: _Own) -> None:
        own.telling = True
        try:
            while own.events:
                event = own.events.popleft()
                for listener in self._at_once:
                    _call(listener, event)
        finally:
            own.telling = False

    def _tell(self, event: Event) -> None:
        for listener in self._in_order:
            _call(listener, event)

    def forked(self) -> None:
        """Begin anew in a child process, where another thread may have held a lock."""
        self._queue.clear()
        self._own = None if self._own is None else _Own()
        self._turn = Lock()
        self._change = RLock()


def _call(listener: Callable[[Event], object], event: Event) -> None:
    try:
        listener(event)
    except Exception as error:  # noqa: BLE001 - a listener changes nothing for the caller
        _log.warn(f"listener {id(listener)}", "a listener raised", error=error)


def _without(
    listeners: tuple[Callable[[Event], object], ...], gone: Callable[[Event], object]
) -> tuple[Callable[[Event], object], ...]:
    """Leave out one subscription; listeners that are equal are not the same."""
    place = next(at for at, each in enumerate(listeners) if each is gone)
    return listeners[:place] + listeners[place + 1 :]
