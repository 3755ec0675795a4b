"""
Streams: driving a generator step by step, so that something can stand around each step.

There is one loop for generators and one for async generators; a shell says what happens around a
step by giving `Steps`. `send`, `throw`, `close` and the return value reach the producer as if
nothing stood in between.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol

__all__ = ["AsyncSteps", "Steps", "async_stream", "stream"]


class Steps(Protocol):
    """What stands around the steps of one generator."""

    def start(self) -> Any:
        """Return the generator; what this raises goes to `failed`."""
        ...

    def run(self, step: Callable[[Any], Any], sent: Any) -> Any:
        """Return `step(sent)`: the next item."""

    def exhausted(self) -> None:
        """Take note that the producer came to its end."""

    def closed(self) -> None:
        """Take note that the consumer closed the stream."""

    def failed(self, error: BaseException) -> Any:
        """Return a stream to go on with, or raise."""


class AsyncSteps(Protocol):
    """What stands around the steps of one async generator: see `Steps`."""

    async def astart(self) -> Any: ...
    async def arun(self, step: Callable[[Any], Any], sent: Any) -> Any: ...
    def exhausted(self) -> None: ...
    def closed(self) -> None: ...
    async def afailed(self, error: BaseException) -> Any: ...


def stream(steps_of: Callable[[Any, Any], Steps]) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function whose steps `steps_of(args, kwargs)` stands around."""

    def stream(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps, closed = steps_of(args, kwargs), False
        try:
            source = steps.start()
            step: Callable[[Any], Any] = source.send
            sent: Any = None
            while True:
                item = steps.run(step, sent)
                try:
                    step, sent = source.send, (yield item)
                except GeneratorExit:
                    steps.run(_close, source)
                    closed = True
                    steps.closed()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - all of it is the producer's
                    step, sent = source.throw, thrown
        except StopIteration as stop:
            if closed:
                raise
            steps.exhausted()
            return stop.value
        except BaseException as error:
            if closed:
                raise
            replacement = steps.failed(error)
        rest: Generator[Any, Any, Any] = replacement
        return (yield from rest)

    return stream


def async_stream(
    steps_of: Callable[[Any, Any], AsyncSteps],
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Return an async generator function whose steps `steps_of(args, kwargs)` stands around."""

    async def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        steps, closed = steps_of(args, kwargs), False
        try:
            source = await steps.astart()
            step: Callable[[Any], Any] = source.asend
            sent: Any = None
            while True:
                item = await steps.arun(step, sent)
                try:
                    step, sent = source.asend, (yield item)
                except GeneratorExit:
                    await steps.arun(_aclose, source)
                    closed = True
                    steps.closed()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - all of it is the producer's
                    step, sent = source.athrow, thrown
        except StopAsyncIteration:
            if closed:
                raise
            steps.exhausted()
            return
        except BaseException as error:
            if closed:
                raise
            replacement = await steps.afailed(error)
        rest = _each_of(replacement)
        try:
            async for item in rest:
                yield item
        finally:
            await rest.aclose()

    return stream


def _close(source: Any) -> Any:
    return source.close()


def _aclose(source: Any) -> Any:
    return source.aclose()


async def _each_of(replacement: Any) -> AsyncGenerator[Any, Any]:
    """Iterate over what a fallback gave, async or not, and close it."""
    if hasattr(replacement, "__aiter__"):
        try:
            async for item in replacement:
                yield item
        finally:
            if hasattr(replacement, "aclose"):
                await replacement.aclose()
    else:
        for item in replacement:
            yield item
