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

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from resilience._chain import current, time_left
from resilience._permit import hold_of
from resilience._plan import Plan
from resilience._units import NANOS, seconds
from resilience._verdict import FAILED, IGNORED, LATE
from resilience.errors import DeadlineExceededError, ResilienceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilience._core.slots import Token
    from resilience._deadline import Deadline
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
        self._late = False
        self._running = True

    # -- the request

    def admit(self, *, opaque: bool) -> int | None:
        """
        Be admitted and start the clock.

        Args:
            opaque: Whether nothing of the user's runs inside that could ask how much time is left.

        Returns:
            The nanoseconds that the request may take; `None`: any number.

        Raises:
            RejectedError: The call is refused.
            DeadlineExceededError: The caller's time has run out.
        """
        guard = self._guard
        plan = _unscoped(guard.plan) if opaque else guard.plan
        token = guard.quick_enter(plan)
        if token is not None:
            self._token = token
            return plan.timeout
        try:
            refusal = guard.refuse()
            if refusal is not None:
                raise refusal
            self._token = token = guard.enter(plan)
        except Exception as error:
            raise self._kinds.exchange(error) from error.__cause__
        return self._budget(token)

    async def aadmit(self) -> int | None:
        """Be admitted in a task; what it waits for is cut off in time."""
        guard = self._guard
        plan = guard.plan
        token = guard.quick_enter(plan)
        if token is not None:
            self._token = token
            if token.scope is not None:
                guard.enforce(token)
            return plan.timeout
        try:
            refusal = guard.refuse()
            if refusal is not None:
                raise refusal
            self._token = token = await guard.aenter(plan)
        except Exception as error:
            raise self._kinds.exchange(error) from error.__cause__
        if token.scope is not None:
            guard.enforce(token)
        return self._budget(token)

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for the head, or for a piece."""
        return self._running and self._token is not None

    @property
    def bound(self) -> bool:
        """Whether it is inside of a deadline of the caller's."""
        token = self._token
        scope = None if token is None else token.scope
        return scope is not None and scope.outer is not None

    def left(self) -> int | None:
        """Return the nanoseconds that the present wait may last; `None`: for ever."""
        token = self._token
        return time_left(current.get() if token is None else token.scope)

    def _budget(self, token: Token) -> int | None:
        """Return what is left after a wait for a slot; raises if that is nothing."""
        scope: Deadline | None = token.scope
        if scope is None:
            own: int | None = None if self._guard.entry.shadowed else token.plan.timeout
            return own
        bound = scope.first()
        if bound is None:
            return None
        left = bound.left
        if left <= 0:
            raise bound.error()
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
        if failure is not None:
            self._failure = failure
            if retry_after is not None:
                self._hold = hold_of(self._guard.entry.settings, retry_after)
        token = self._token
        if token is not None:
            self._pause(token)

    def resume(self) -> None:
        """
        Begin to wait for a piece of the body.

        Raises:
            DeadlineExceededError: The caller's time has run out.
        """
        token = self._token
        if token is None:  # it was closed: the client will say so
            return
        token.started = self._guard.entry.clock()
        self._running = True
        # Nothing asks for the timeout itself: the client was given it.
        if current.get() is not None or token.trial is not None:
            self._guard.open_scope(token)
            self._check()

    def aresume(self) -> None:
        """Begin to wait in a task; the wait is cut off in time."""
        token = self._token
        if token is None:
            return
        guard = self._guard
        token.started = guard.entry.clock()
        self._running = True
        if token.plan.scoped or token.trial is not None or current.get() is not None:
            guard.open_scope(token)
            self._check()
            guard.enforce(token)

    def paused(self) -> None:
        """End a wait: the head or a piece is there."""
        token = self._token
        if token is not None:
            self._pause(token)

    def _pause(self, token: Token) -> None:
        if not self._running:
            return
        self._running = False
        took = max(self._guard.entry.clock() - token.started, 0)
        timeout = token.plan.timeout
        self._late = self._late or (timeout is not None and took >= timeout)
        self._spent += took
        if token.scope is not None:
            token.scope.leave()
            token.scope = None

    def pieces(self, source: Iterator[bytes]) -> Iterator[bytes]:
        """Give the pieces of a body, each wait for one guarded."""
        while True:
            try:
                self.resume()
                piece = next(source, None)
            except BaseException as error:
                failed = self.failed(error)
                if failed is error:
                    raise
                raise failed from error
            if piece is None:
                self.ended()
                return
            self.paused()
            yield piece

    # -- the end

    def ended(self) -> None:
        """Judge: the body was read to its end, or closed by its consumer."""
        token = self._claim()
        if token is None:
            return
        guard = self._guard
        # As long as all waits together are shorter than the timeout, none was late.
        if token.scope is None and self._failure is None and not self._late:
            token.started = (token.started if self._running else guard.entry.clock()) - self._spent
            if guard.quick_leave(token):
                return
            token.started += self._spent
        self._pause(token)
        token.started = guard.entry.clock() - self._spent
        token.plan = guard.untimed
        if self._late:
            guard.finish_as(token, LATE)
        elif self._failure is not None:
            guard.finish_as(token, FAILED, self._failure, self._hold)
        else:
            guard.finish(token)

    def ignored(self) -> None:
        """Judge: nothing can be said, as what was asked about the response has raised."""
        token = self._claim()
        if token is not None:
            self._pause(token)
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
        if token is None or not isinstance(error, self._kinds.timeouts) or isinstance(error, ResilienceError):
            return None
        if token.scope is None:
            return self._overdue(token)
        bound = token.scope.first()
        return bound.error() if bound is not None and bound.left <= SLACK else None

    def _overdue(self, token: Token) -> BaseException | None:
        """Return our error for a wait that had no scope, if it was as long as it may be."""
        entry, timeout = self._guard.entry, token.plan.timeout
        took = entry.clock() - token.started
        if timeout is None or took < timeout - SLACK:
            return None
        error = DeadlineExceededError(entry.name, timeout=seconds(timeout), elapsed=seconds(took))
        return error

    def _claim(self) -> Token | None:
        if self._token is None:
            return None
        with self._guard.entry.lock:
            token, self._token = self._token, None
        return token


def shorter(given: float | None, left: int | None) -> float | None:
    """Return a timeout in seconds that is no longer than the nanoseconds that are left."""
    if left is None:
        return given
    most = (left if left > SHORTEST else SHORTEST) / NANOS
    return most if given is None or given > most else given


@lru_cache(maxsize=1024)
def _unscoped(plan: Plan) -> Plan:
    """Return a plan whose timeout is known to the client alone."""
    parts = {name: getattr(plan, name) for name in Plan.__slots__}
    return Plan(**{**parts, "scoped": plan.nested})
