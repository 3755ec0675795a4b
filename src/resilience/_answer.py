"""fallback: an answer in the place of an error, as a decorator of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final, overload

from resilience._awaitable import PLAIN, is_awaitable
from resilience._chain import current
from resilience._entry import Entry
from resilience._fallback import Fallbacks, handlers_of, refuse_async
from resilience._streams import async_stream, stream
from resilience._verdict import Failures, deadline_errors, leaves, verdicts_of
from resilience._wrap import wrap
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._typing import Guarded, Method


__all__ = ["fallback"]

P = ParamSpec("P")
R = TypeVar("R")


@final
class fallback:  # noqa: N801 - read as a statement: `@fallback(cached)`
    """
    Answer in the place of an error: `@fallback(cached, empty)`.

    The handlers are tried in order, each with the call's own error:
    `handler(error, *args, **kwargs)`. When all fail, the last one's error propagates with the
    call's error as its cause. A cancellation, and the end of the caller's own deadline, propagate.

    Args:
        *handlers: What answers; sync, or async for async functions.
        handle: Which exceptions are answered: a class, a tuple of them, or a predicate.

    Raises:
        ConfigurationError: There is no handler, or one that cannot be called.

    Example:
        >>> from resilience import fallback
        >>> @fallback(lambda error, n: -1, handle=ZeroDivisionError)
        ... def tenth(n):
        ...     return 10 // n
        >>> tenth(0)
        -1
    """

    __module__ = "resilience"
    __slots__ = ("_verdicts", "fallbacks")

    def __init__(self, *handlers: Callable[..., Any], handle: Failures = Exception) -> None:
        if not handlers:
            raise ConfigurationError("fallback must be given at least one handler")
        self._verdicts = verdicts_of(handle, (), None)
        self.fallbacks = Fallbacks(Entry(None), handlers_of(handlers))

    @overload
    def __call__(self, fn: Method, /) -> Method: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Guarded[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Give a function of any kind these fallbacks."""
        return wrap(self, fn)

    def answers(self, error: BaseException) -> bool:
        """Whether an error is to be answered."""
        if not all(isinstance(leaf, Exception) for leaf in leaves(error)):
            return False
        caller = current.get()
        for leaf in deadline_errors(error):
            if leaf.deadline is not None and leaf.deadline.encloses(caller):
                return False
        return any(self._verdicts.handle(leaf) for leaf in leaves(error))

    def guard_function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Answer for a function."""
        refuse_async(fn, self.fallbacks.handlers)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                if self.answers(error):
                    return self.fallbacks.call(error, args, kwargs)
                raise
            if type(result) not in PLAIN and is_awaitable(result):
                return awaited(result, args, kwargs)
            return result

        async def awaited(awaitable: Any, args: Any, kwargs: Any) -> Any:
            try:
                return await awaitable
            except BaseException as error:
                if self.answers(error):
                    return await self.fallbacks.acall(error, args, kwargs)
                raise

        return call

    def guard_coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Answer for a coroutine function."""

        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return await fn(*args, **kwargs)
            except BaseException as error:
                if self.answers(error):
                    return await self.fallbacks.acall(error, args, kwargs)
                raise

        return call

    def guard_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Answer for a stream that gave no item yet."""
        refuse_async(fn, self.fallbacks.handlers)
        return stream(lambda args, kwargs: _Beginning(self, fn, args, kwargs))

    def guard_async_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Answer for an async stream that gave no item yet."""
        return async_stream(lambda args, kwargs: _Beginning(self, fn, args, kwargs))


class _Beginning:
    """A stream that may be replaced as long as nobody has seen an item of it."""

    __slots__ = ("_args", "_begun", "_fallback", "_fn", "_kwargs")

    def __init__(self, answer: fallback, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._fallback = answer
        self._fn, self._args, self._kwargs = fn, args, kwargs
        self._begun = False

    def start(self) -> Any:
        return self._fn(*self._args, **self._kwargs)

    async def astart(self) -> Any:
        return self.start()

    def run(self, step: Callable[[Any], Any], sent: Any) -> Any:
        item = step(sent)
        self._begun = True
        return item

    async def arun(self, step: Callable[[Any], Any], sent: Any) -> Any:
        item = await step(sent)
        self._begun = True
        return item

    def exhausted(self) -> None: ...

    def closed(self) -> None: ...

    def failed(self, error: BaseException) -> Any:
        if self._begun or not self._fallback.answers(error):
            raise error
        return self._fallback.fallbacks.call(error, self._args, self._kwargs)

    async def afailed(self, error: BaseException) -> Any:
        if self._begun or not self._fallback.answers(error):
            raise error
        return await self._fallback.fallbacks.acall(error, self._args, self._kwargs)
