"""
Generators in a guard, as one call from the first item to the last.

- The slot is held while the stream is open; the outcome is judged when it ends.
- `timeout` bounds the wait for each item, and the duration is the producer's time alone: how long
  the consumer takes for an item is its own affair.
- The scope of the call is entered anew for each step and left before the item is handed over, so it
  binds the producer and never the consumer (what PEP 789 is about).
- Closed by its consumer after an item, the stream was a success; before that it was nothing.
- A fallback takes the place of the whole stream, so only before the first item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilience._chain import current
from resilience._streams import async_stream, stream
from resilience._verdict import LATE, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.slots import Token
    from resilience._fallback import Fallbacks
    from resilience._guard import Failure, Guard

    Fn = Callable[..., Any]

__all__ = ["async_generator_in", "generator_in"]


def generator_in(guard: Guard, fn: Fn, fallbacks: Fallbacks | None) -> Fn:
    """Guard a generator function. It stays in its consumer's thread."""
    return stream(lambda args, kwargs: _Stream(guard, fn, fallbacks, args, kwargs))


def async_generator_in(guard: Guard, fn: Fn, fallbacks: Fallbacks | None) -> Fn:
    """Guard an async generator function, under asyncio or trio."""
    return async_stream(lambda args, kwargs: _Stream(guard, fn, fallbacks, args, kwargs))


class _Stream:
    """One open stream: its admission, and the time its producer has taken."""

    __slots__ = (
        "_args",
        "_begun",
        "_fallbacks",
        "_fn",
        "_guard",
        "_kwargs",
        "_late",
        "_running",
        "_spent",
        "_token",
    )

    def __init__(
        self, guard: Guard, fn: Fn, fallbacks: Fallbacks | None, args: Any, kwargs: Any
    ) -> None:
        self._guard = guard
        self._fn, self._args, self._kwargs = fn, args, kwargs
        self._fallbacks = fallbacks
        self._spent = 0
        self._begun = self._late = self._running = False
        self._token: Token | None = None

    # -- the stream's side

    def start(self) -> Any:
        self._token = self._guard.enter(self._guard.plan)
        return self._fn(*self._args, **self._kwargs)

    async def astart(self) -> Any:
        self._token = await self._guard.aenter(self._guard.plan)
        return self._fn(*self._args, **self._kwargs)

    def run(self, step: Fn, sent: Any) -> Any:
        token = self._resume()
        item = step(sent)
        self._paused(token)
        return item

    async def arun(self, step: Fn, sent: Any) -> Any:
        token = self._resume()
        if token.scope is not None:
            self._guard.enforce(token)
        item = await step(sent)
        self._paused(token)
        return item

    def exhausted(self) -> None:
        token = self._over()
        if self._late:
            self._guard.finish_as(token, LATE)
        else:
            self._guard.finish(token)

    def closed(self) -> None:
        self._guard.finish_as(self._over(), LATE if self._late else SUCCESS)

    def failed(self, error: BaseException) -> Any:
        failure = self._failure(error)
        if failure.fallback and self._fallbacks is not None:
            return self._fallbacks.call(failure.error, self._args, self._kwargs)
        raise _chained(failure, error)

    async def afailed(self, error: BaseException) -> Any:
        failure = self._failure(error)
        if failure.fallback and self._fallbacks is not None:
            return await self._fallbacks.acall(failure.error, self._args, self._kwargs)
        raise _chained(failure, error)

    # -- the guard's side

    def _resume(self) -> Token:
        """Begin a step of the producer; the first one has begun with the admission."""
        token = self._token
        assert token is not None, "a step follows the admission"
        self._running = True
        if self._begun:
            token.started = self._guard.entry.clock()
            if token.plan.scoped or token.trial is not None or current.get() is not None:
                self._guard.open_scope(token)
        return token

    def _paused(self, token: Token) -> None:
        """End a step of the producer."""
        took = max(self._guard.entry.clock() - token.started, 0)
        timeout = token.plan.timeout
        self._late = self._late or (timeout is not None and took >= timeout)
        self._spent += took
        self._begun = True
        self._running = False
        if token.scope is not None:
            token.scope.leave()
            token.scope = None

    def _over(self) -> Token:
        """End the last step, and give the admission the duration of the whole stream."""
        token = self._token
        assert token is not None, "only what was admitted comes to an end"
        if self._running:
            self._paused(token)
        token.started = self._guard.entry.clock() - self._spent
        token.plan = self._guard.untimed
        return token

    def _failure(self, error: BaseException) -> Failure:
        failure = self._guard.fail(self._token, error, spent=self._spent)
        return failure._replace(fallback=failure.fallback and not self._begun)


def _chained(failure: Failure, error: BaseException) -> BaseException:
    if failure.error is not error:
        failure.error.__cause__ = error
    return failure.error
