"""
Listeners: who is told of what happened, in order, with no lock held.

A step that has something to tell appends it to the queue while it holds its lock, so the queue has
the order of the steps. After the lock, whoever finds nobody delivering delivers: one thread at a
time, everyone else goes on at once. A listener that causes more events does not recurse: they are
delivered by the round that is under way.
"""

from __future__ import annotations

from collections import deque
from importlib import import_module
from threading import Lock, RLock
from typing import TYPE_CHECKING

from resilience import _log

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._events import Event

__all__ = ["Listeners"]


class Listeners:
    """The listeners of one registry and the queue to them."""

    __slots__ = ("_change", "_queue", "_turn", "all")

    def __init__(self) -> None:
        self.all: tuple[Callable[[Event], object], ...] = ()
        self._queue: deque[Event] = deque()
        self._turn = Lock()
        self._change = RLock()

    def subscribe(self, listener: Callable[[Event], object]) -> Callable[[], None]:
        """Add a listener; returns what removes it again, which may be called twice."""
        # Now: what is imported under a lock for the first time waits for the import lock.
        import_module("resilience._events")
        import_module("resilience._snapshot")
        with self._change:
            self.all = (*self.all, listener)
        left = [listener]

        def unsubscribe() -> None:
            with self._change:
                if left:
                    places = [at for at, each in enumerate(self.all) if each is left[0]]
                    left.clear()
                    self.all = self.all[: places[0]] + self.all[places[0] + 1 :]

        return unsubscribe

    def put(self, event: Event) -> None:
        """Queue an event; `deliver` must follow once no lock is held."""
        self._queue.append(event)

    def deliver(self) -> None:
        """Tell the listeners what is queued, unless another thread is at it."""
        while self._queue and self._turn.acquire(blocking=False):
            try:
                while self._queue:
                    self._tell(self._queue.popleft())
            finally:
                self._turn.release()

    def _tell(self, event: Event) -> None:
        for listener in self.all:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - a listener changes nothing for the caller
                _log.warn(f"listener {id(listener)}", "a listener raised", error=error)

    def forked(self) -> None:
        """Begin anew in a child process, where another thread may have held a lock."""
        self._queue.clear()
        self._turn = Lock()
        self._change = RLock()
