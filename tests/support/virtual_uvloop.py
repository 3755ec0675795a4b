"""
uvloop in virtual time.

libuv keeps its own time, so the timers are kept here: a heap on a FakeClock. While there are any,
one callback goes round with the loop. In each turn it runs what is due; after a turn in which
nobody else asked for anything it moves the clock to the next timer.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Any

import uvloop

from tests.support.runtime import NANOS, AsyncioRuntime, FakeClock


class VirtualUvloop(uvloop.Loop):
    """A loop of uvloop's that lives by a FakeClock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._virtual = clock
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._asked = False
        self._going_round = False

    def time(self) -> float:
        return self._virtual.now / NANOS

    def call_soon(self, *args: Any, **kwargs: Any) -> Any:
        self._asked = True
        return super().call_soon(*args, **kwargs)

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
        self._asked = True
        return super().call_soon_threadsafe(*args, **kwargs)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        if not self._going_round:
            self._go_round()
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it in the heap: it is passed over when its time has come."""

    def _go_round(self) -> None:
        self._asked = False
        self._going_round = True
        super().call_soon(self._turn)

    def _turn(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if self._timers and not self._asked:
            # Rounded up: at the clock's time the timer must be due.
            self._virtual.now = max(self._virtual.now, int(self._timers[0][0] * NANOS) + 1)
        now = self.time()
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        if due or self._timers:
            self._go_round()
        else:
            self._going_round = False
        for timer in due:
            if not timer.cancelled():
                timer._run()
                self._asked = True


class UvloopRuntime(AsyncioRuntime):
    """asyncio on uvloop, in virtual time."""

    loop = VirtualUvloop
