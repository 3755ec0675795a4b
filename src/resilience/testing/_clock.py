"""FakeClock: time that moves when a test says so, in sync code, asyncio and trio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio
import anyio.lowlevel

from resilience._remaining import current_deadline
from resilience._units import NANOS, show
from resilience.errors import ConfigurationError
from resilience.testing._read import read_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilience._units import Duration

__all__ = ["Backend", "FakeClock"]

R = TypeVar("R")

Backend = Literal["asyncio", "trio"]
"""Which event loop."""


class FakeClock:
    """
    A clock that stands still until it is told to move, or a task sleeps on it.

    Hand it to a registry or a deadline as `clock=`; it gives them integer nanoseconds. Sync code
    moves it by `advance` and `sleep`. Tasks that `run` plays sleep in virtual time: whenever all of
    them wait, the clock jumps to the next thing that is due, so an hour passes in no time. A task
    that waits for a thread meanwhile finds that its time has jumped as well.

    Args:
        start: Seconds it shows at first, from 0 on.

    Raises:
        ConfigurationError: `start` is no such time.

    Example:
        >>> from resilience import Registry
        >>> from resilience.testing import FakeClock
        >>> clock = FakeClock()
        >>> users = Registry(clock=clock).command("users", volume_threshold=1, sleep_window=5)
        >>> users.acquire().fail()
        >>> clock.advance(4)
        >>> users.snapshot().retry_after
        1.0

        A task's hour:

        >>> import anyio
        >>> async def nap():
        ...     await anyio.sleep(3600)
        >>> before = clock.time()
        >>> clock.run(nap)
        >>> round(clock.time() - before)
        3600
    """

    __module__ = "resilience.testing"

    def __init__(self, start: Duration = 1000.0) -> None:
        self._ticks = round(read_time("start", start) * NANOS)
        self._set_back = 0
        self._trio: Any = None

    def __call__(self) -> int:
        """Return the time in nanoseconds, as registries and deadlines ask for it."""
        return self.now

    def __repr__(self) -> str:
        return f"<FakeClock at {self.time():g} s>"

    def time(self) -> float:
        """Return the time in seconds."""
        return self.now / NANOS

    @property
    def now(self) -> int:
        """
        The time in nanoseconds; assign to it to put the clock there.

        Example:
            >>> from resilience.testing import FakeClock
            >>> clock = FakeClock(start=1)
            >>> clock.now += 500
            >>> clock.now
            1000000500
        """
        return self.ticks - self._set_back

    @now.setter
    def now(self, now: int) -> None:
        self._move(now - self.now)

    @property
    def ticks(self) -> int:
        """
        The time that passed in nanoseconds, with `set_back` left out: event loops live by it.

        Example:
            >>> from resilience.testing import FakeClock
            >>> clock = FakeClock(start=2)
            >>> clock.set_back(1)
            >>> clock.time(), clock.ticks
            (1.0, 2000000000)
        """
        passed = 0.0 if self._trio is None else self._trio.current_time()
        return self._ticks + round(passed * NANOS)

    # -- moving it

    def advance(self, seconds: Duration) -> None:
        """
        Let time pass, whoever is waiting.

        Args:
            seconds: How much, from 0 on.

        Raises:
            ConfigurationError: `seconds` is no such time.
        """
        self._move(round(read_time("seconds", seconds) * NANOS))

    def set_back(self, seconds: Duration) -> None:
        """
        Put the clock back, as no monotonic clock should be: event loops go on by their own time.

        Args:
            seconds: How much, from 0 on.

        Raises:
            ConfigurationError: `seconds` is no such time.

        Example:
            >>> from resilience.testing import FakeClock
            >>> clock = FakeClock(start=1000)
            >>> clock.set_back(10)
            >>> clock.time()
            990.0
        """
        self._set_back += round(read_time("seconds", seconds) * NANOS)

    def _move(self, by: int) -> None:
        if by < 0:
            self._set_back -= by
        elif self._trio is None:
            self._ticks += by
        else:
            self._trio.jump(by / NANOS)

    # -- waiting for it

    def sleep(self, seconds: Duration) -> None:
        """
        Take time in sync code, as a client does that was given what remains of the deadline.

        Args:
            seconds: How much, from 0 on.

        Raises:
            DeadlineExceededError: The deadline around it came first; so much time has passed.
            ConfigurationError: `seconds` is no such time.

        Example:
            >>> from resilience.testing import FakeClock
            >>> clock = FakeClock(start=0)
            >>> clock.sleep(30)
            >>> clock.time()
            30.0
        """
        length = read_time("seconds", seconds)
        scope = current_deadline()
        left = math.inf if scope is None else scope.remaining
        if scope is not None and left < length:
            self.advance(left)
            scope.check()
            length -= left  # that deadline goes by another clock
        self.advance(length)

    async def asleep(self, seconds: Duration) -> None:
        """
        Take time in a task that `run` plays.

        Args:
            seconds: How much, from 0 on.

        Raises:
            RuntimeError: The event loop goes by another clock.
            ConfigurationError: `seconds` is no such time.

        Example:
            >>> from resilience.testing import FakeClock
            >>> clock = FakeClock(start=0)
            >>> clock.run(clock.asleep, 30)
            >>> round(clock.time())
            30
        """
        length = read_time("seconds", seconds)
        native: Any = anyio.lowlevel.current_token().native_token
        if self._trio is None and getattr(native, "clock", None) is not self:
            raise RuntimeError("this event loop goes by another clock: play it by FakeClock.run")
        await anyio.sleep(length)

    # -- event loops

    def run(
        self, fn: Callable[..., Awaitable[R]], /, *args: Any, backend: Backend = "asyncio"
    ) -> R:
        """
        Run a coroutine function to its end, in virtual time.

        Args:
            fn: What to run, with `args`.
            *args: Its arguments.
            backend: The event loop that plays it: `"asyncio"` or `"trio"`.

        Returns:
            What it returns.

        Raises:
            ConfigurationError: `backend` is something else.
        """

        async def main() -> R:
            return await fn(*args)

        if backend == "asyncio":
            # Only here: whoever uses neither need not import it.
            from resilience.testing import _virtual_asyncio  # noqa: PLC0415

            return _virtual_asyncio.run(self, main)
        if backend != "trio":
            raise ConfigurationError(f"backend must be 'asyncio' or 'trio', not {show(backend)}")
        import trio.testing  # noqa: PLC0415 - as above

        self._trio = trio.testing.MockClock(autojump_threshold=0)
        try:
            return trio.run(main, clock=self._trio)
        finally:
            self._ticks, self._trio = self.ticks, None

    def new_event_loop(self) -> Any:
        """
        Return a new asyncio event loop in virtual time, for test runners that take a loop factory.

        Close it as any other. With anyio's plugin for pytest it is
        `"asyncio", {"loop_factory": clock.new_event_loop}` in the fixture `anyio_backend`.

        Example:
            >>> import asyncio
            >>> from resilience.testing import FakeClock
            >>> loop = FakeClock().new_event_loop()
            >>> loop.run_until_complete(asyncio.sleep(3600, "an hour later"))
            'an hour later'
            >>> loop.close()
        """
        from resilience.testing import _virtual_asyncio  # noqa: PLC0415 - as in `run`

        return _virtual_asyncio.VirtualLoop(self)
