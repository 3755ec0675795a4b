"""asyncio in virtual time: where a loop would wait for its next timer, the clock is moved there."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

from resilience._units import NANOS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from resilience.testing._clock import FakeClock

__all__ = ["JumpingSelector", "VirtualLoop", "new_runner", "run"]

R = TypeVar("R")


class JumpingSelector(selectors.DefaultSelector):
    """Moves a clock instead of waiting, unless there is something to do already."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; without a timer to wait for, wait for real."""
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0:
            # Rounded up: at the clock's time the timer must be due.
            self.clock.now += int(timeout * NANOS) + 1
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that lives by a FakeClock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(JumpingSelector(clock))
        self.clock = clock

    def time(self) -> float:
        """Return the time that passed on the clock, in seconds."""
        return self.clock.ticks / NANOS


def new_runner(clock: FakeClock) -> asyncio.Runner:
    """Return a runner whose loop lives by a clock."""
    return asyncio.Runner(loop_factory=lambda: VirtualLoop(clock))


def run(clock: FakeClock, main: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a coroutine function to its end, in a loop of its own."""
    with new_runner(clock) as runner:
        return runner.run(main())
