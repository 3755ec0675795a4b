"""
Exchange: one request and its response, from being let in to the last byte.

It is a stream whose first item is the head of the response, and whose others are the pieces of the
body:

    exchange.admit()                    refused: nothing is sent
    … the client sends, and waits for the head …
    exchange.answered(failure)
    exchange.resume(); … the client waits for a piece …; exchange.paused()      for each of them
    exchange.ended()                    read to its end, or closed

- The slot is held all the while, and the outcome is judged at the end.
- The timeout bounds each wait: for the head, and for each piece. How long the consumer takes for a
  piece is its own affair, and counts nowhere.
- Whatever is raised goes to `failed`, which returns what is to leave.

Its steps have no colour: those that wait for a slot, or cut off what waits, have two forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from resilience._deadline import current, time_left
from resilience._permit import hold_of
from resilience._units import NANOS
from resilience._verdict import FAILED, IGNORED, LATE

if TYPE_CHECKING:
    from resilience._core.slots import Token
    from resilience._guard import Guard
    from resilience._http.errors import Kinds

__all__ = ["Exchange", "shorter"]

SHORTEST: Final = 1_000
"""Nanoseconds that a client is given at least: 0 means to some of them what it does not say."""

SLACK: Final = 1_000_000
"""A client's own timer may be early by the resolution of its clock."""


class Exchange:
    """One request and its response."""

    __slots__ = ("_failure", "_guard", "_hold", "_kinds", "_late", "_running", "_spent", "_token")

    def __init__(self, guard: Guard, kinds: Kinds) -> None:
        self._guard = guard
        self._kinds = kinds
        self._token: Token | None = None
        self._spent = self._hold = 0
        self._failure: str | None = None
        self._late = self._running = False

    # -- the request

    def admit(self) -> None:
        """
        Be admitted and start the clock.

        Raises:
            RejectedError: The call is refused.
            DeadlineExceededError: The caller's time has run out.
        """
        guard = self._guard
        token = guard.quick_enter(guard.plan)
        if token is None:
            try:
                refusal = guard.refuse()
                if refusal is not None:
                    raise refusal
                token = guard.enter(guard.plan)
            except Exception as error:
                raise self._kinds.exchange(error) from error.__cause__
        self._token = token
        self._running = True

    async def aadmit(self) -> None:
        """Be admitted in a task; what it waits for is cut off in time."""
        guard = self._guard
        token = guard.quick_enter(guard.plan)
        if token is None:
            try:
                refusal = guard.refuse()
                if refusal is not None:
                    raise refusal
                token = await guard.aenter(guard.plan)
            except Exception as error:
                raise self._kinds.exchange(error) from error.__cause__
        self._token = token
        self._running = True
        if token.scope is not None:
            guard.enforce(token)

    def left(self) -> int | None:
        """Return the nanoseconds that the present wait may last; `None`: for ever."""
        token = self._token
        return time_left(current.get() if token is None else token.scope)

    def budget(self) -> int | None:
        """
        Return the nanoseconds that the request may take; `None`: any number.

        Raises:
            DeadlineExceededError: There are none left, so nothing is to be sent.
        """
        left = self.left()
        if left is not None and left <= 0:
            self._check()
        return left

    def _check(self) -> None:
        token = self._token
        bound = None if token is None or token.scope is None else token.scope.first()
        if bound is not None and bound.left <= 0:
            raise bound.error()

    # -- the response

    def answered(self, failure: str | None = None, retry_after: float | None = None) -> None:
        """
        Take note of the head of the response, and end the wait for it.

        Args:
            failure: Why the response is a failure, in a few words; `None`: it is none.
            retry_after: Seconds that the server asked to be left alone.
        """
        self._failure = failure
        if retry_after is not None:
            self._hold = hold_of(self._guard.entry.settings, retry_after)
        self.paused()

    def resume(self) -> None:
        """
        Begin to wait for a piece of the body.

        Raises:
            DeadlineExceededError: The caller's time has run out.
        """
        token = self._token
        if token is None:  # it was closed: the client will say so
            return
        guard = self._guard
        token.started = guard.entry.clock()
        self._running = True
        if token.plan.scoped or token.trial is not None or current.get() is not None:
            guard.open_scope(token)
            if token.scope.outer is not None:
                self._check()

    def aresume(self) -> None:
        """Begin to wait in a task; the wait is cut off in time."""
        self.resume()
        token = self._token
        if token is not None and token.scope is not None:
            self._guard.enforce(token)

    def paused(self) -> None:
        """End a wait: the head or a piece is there."""
        token = self._token
        if token is None or not self._running:
            return
        self._running = False
        took = max(self._guard.entry.clock() - token.started, 0)
        timeout = token.plan.timeout
        self._late = self._late or (timeout is not None and took >= timeout)
        self._spent += took
        if token.scope is not None:
            token.scope.leave()
            token.scope = None

    # -- the end

    def ended(self) -> None:
        """Judge: the body was read to its end, or closed by its consumer."""
        self.paused()
        token = self._claim()
        if token is None:
            return
        guard = self._guard
        token.started = guard.entry.clock() - self._spent
        token.plan = guard.untimed
        if self._late:
            guard.finish_as(token, LATE)
        elif self._failure is not None:
            guard.finish_as(token, FAILED, self._failure, self._hold)
        elif not guard.quick_leave(token):
            guard.finish(token)

    def ignored(self) -> None:
        """Judge: nothing can be said, as what was asked about the response has raised."""
        self.paused()
        token = self._claim()
        if token is not None:
            token.started = self._guard.entry.clock() - self._spent
            self._guard.finish_as(token, IGNORED)

    def failed(self, error: BaseException, **facts: Any) -> BaseException:
        """
        Judge what was raised, and return what is to leave.

        Args:
            error: What was raised.
            **facts: Attributes of the client's errors.
        """
        timeout = self._own_timeout(error)
        token = self._claim()
        if token is not None:
            raised = error if timeout is None else timeout
            error = self._guard.fail(token, raised, spent=self._spent).error
        return self._kinds.exchange(error, **facts)

    def _own_timeout(self, error: BaseException) -> BaseException | None:
        """Return our error for a timeout of the client's, if the time was that of a deadline."""
        token = self._token
        if token is None or token.scope is None or not isinstance(error, self._kinds.timeouts):
            return None
        bound = token.scope.first()
        return bound.error() if bound is not None and bound.left <= SLACK else None

    def _claim(self) -> Token | None:
        with self._guard.entry.lock:
            token, self._token = self._token, None
        return token


def shorter(given: float | None, left: int | None) -> float | None:
    """Return a timeout in seconds that is no longer than the nanoseconds that are left."""
    if left is None:
        return given
    most = (left if left > SHORTEST else SHORTEST) / NANOS
    return most if given is None or given > most else given


