"""
One scenario, three runtimes: sync, asyncio and trio, all in virtual time.

A test takes the fixture `run` and is played once in each. `run.body(…)` makes a function of the
runtime's colour, `run.call(…)` calls what guards it, `run.advance(…)` lets time pass. Nothing
waits: the asyncio loop jumps to its next timer, and so does trio's clock.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

import trio

from resilience.testing import FakeClock
from resilience.testing._virtual_asyncio import VirtualLoop

NANOS = 1_000_000_000


class Body:
    """What is guarded: it takes its time, then returns or raises; `calls` counts how often."""

    def __init__(self, takes: float, returns: Any, raises: Any) -> None:
        self.takes = takes
        self.returns = returns
        self.raises = raises
        self.calls = 0

    def end(self) -> Any:
        if self.raises is not None:
            raise self.raises() if isinstance(self.raises, type) else self.raises
        return self.returns


class Runtime:
    """Plays a scenario in one colour."""

    name = "sync"
    is_async = False

    def __init__(self) -> None:
        self.clock: Any = FakeClock()

    def advance(self, seconds: float) -> None:
        """Let time pass between calls."""
        self.clock.advance(seconds)

    def coloured(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return a plain function in the runtime's colour."""
        return fn

    def body(self, *, takes: float = 0.0, returns: Any = None, raises: Any = None) -> Any:
        """Make a function to guard; its `Body` is `.body`, to be changed between calls."""
        body = Body(takes, returns, raises)
        fn = self._function(body)
        fn.body = body
        return fn

    def _function(self, body: Body) -> Any:
        def fn(*args: Any, **kwargs: Any) -> Any:
            body.calls += 1
            self.advance(body.takes)
            return body.end()

        return fn

    def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call what is guarded, from the outermost level of the runtime."""
        return fn(*args, **kwargs)

    def raised(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException | None:
        """Return what a call raises, or `None`."""
        try:
            self.call(fn, *args, **kwargs)
        except BaseException as error:
            return error
        return None

    def close(self) -> None:
        """End the runtime."""


class AsyncRuntime(Runtime):
    """What asyncio and trio have in common."""

    is_async = True

    def coloured(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        return coroutine

    async def sleep(self, seconds: float) -> None:
        """Let time pass inside a task."""
        raise NotImplementedError

    def _function(self, body: Body) -> Any:
        async def fn(*args: Any, **kwargs: Any) -> Any:
            body.calls += 1
            if body.takes:
                await self.sleep(body.takes)
            return body.end()

        return fn


class AsyncioRuntime(AsyncRuntime):
    """asyncio, on a loop in virtual time."""

    name = "asyncio"
    loop: Callable[[FakeClock], asyncio.AbstractEventLoop] = VirtualLoop

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner(loop_factory=lambda: type(self).loop(self.clock))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async def main() -> Any:
            result = fn(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return self._runner.run(main())

    def close(self) -> None:
        self._runner.close()


class EagerRuntime(AsyncioRuntime):
    """asyncio whose tasks begin to run where they are created: from Python 3.12 on."""

    def __init__(self) -> None:
        super().__init__()
        self._runner.get_loop().set_task_factory(asyncio.eager_task_factory)


class TrioRuntime(AsyncRuntime):
    """trio, in virtual time."""

    name = "trio"

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async def main() -> Any:
            result = fn(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return self.clock.run(main, backend="trio")


RUNTIMES = {kind.name: kind for kind in (Runtime, AsyncioRuntime, TrioRuntime)}
