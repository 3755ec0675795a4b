"""
Exchange: one request and its response, from being let in to the last byte.

It is a stream whose first item is the head of the response, and whose others are the pieces of the
body:

    exchange.admit()                    refused: nothing is sent
    … the client sends, and waits for the head …
    exchange.paused()
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

from resilience._chain import binding, current, time_left
from resilience._permit import hold_of
from resilience._plan import Plan
from resilience._units import NANOS, seconds
from resilience._verdict import FAILED, IGNORED, LATE, TIMED_OUT, describe
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

NEARLY: Final = 0.9
"""Share of the timeout after which a timeout of the client's is ours: it may count the connect."""


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
        refusal = guard.refuse()
        if refusal is not None:
            raise self._kinds.exchange(refusal)
        try:
            self._token = guard.enter(plan)
        except ResilienceError as error:
            raise self._kinds.exchange(error) from error.__cause__
        return self._budget(self._token)

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
        refusal = guard.refuse()
        if refusal is not None:
            raise self._kinds.exchange(refusal)
        try:
            self._token = token = await guard.aenter(plan)
        except ResilienceError as error:
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
        if token is None or token.scope is None:
            return False
        return binding(token.scope.outer) is not None

    def left(self) -> int | None:
        """Return the nanoseconds that the present wait may last; `None`: for ever."""
        token = self._token
        if token is None:
            return time_left(current.get())
        if token.scope is not None:
            return time_left(token.scope)
        own: int | None = None if self._guard.entry.shadowed else token.plan.timeout
        return own

    def _budget(self, token: Token) -> int | None:
        """Return what is left after a wait for a slot; raises if that is nothing."""
        left = self.left()
        if left is not None and left <= 0:
            self._check(token)
        return left

    def _check(self, token: Token) -> None:
        bound: Deadline | None = token.scope.first()
        if bound is not None and bound.left <= 0:
            raise bound.error()

    # -- the response

    def failing(self, failure: str, retry_after: float | None = None) -> None:
        """
        Take note that the response is a failure.

        Args:
            failure: Why, in a few words.
            retry_after: Seconds that the server asked to be left alone.
        """
        self._failure = failure
        if retry_after is not None:
            self._hold = hold_of(self._guard.entry.settings, retry_after)

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
            self._open(token)

    def _open(self, token: Token) -> None:
        """Enter the scope of a wait."""
        self._guard.open_scope(token)
        self._check(token)

    def aresume(self, *, opaque: bool = False) -> None:
        """
        Begin to wait in a task.

        Args:
            opaque: Whether the client keeps to the timeout by itself, which it was given for each
                read. Otherwise the wait is cut off in time.
        """
        token = self._token
        if token is None:
            return
        guard = self._guard
        token.started = guard.entry.clock()
        self._running = True
        if (
            (token.plan.scoped and not opaque)
            or current.get() is not None
            or token.trial is not None
        ):
            self._open(token)
            guard.enforce(token)

    def paused(self) -> None:
        """End a wait: the head or a piece is there."""
        token = self._token
        if token is not None and self._running:
            self._pause(token)

    def _pause(self, token: Token) -> None:
        self._running = False
        took = self._guard.entry.clock() - token.started
        if took > 0:
            self._spent += took
            timeout = token.plan.timeout
            if timeout is not None and took >= timeout:
                self._late = True
        if token.scope is not None:
            token.scope.leave()
            token.scope = None

    def pieces(self, source: Iterator[bytes]) -> Iterator[bytes]:
        """Give the pieces of a body, each wait for one guarded."""
        clock = self._guard.entry.clock
        while True:
            token = self._token
            try:
                if token is not None:  # as `resume`, which costs a call
                    token.started = clock()
                    self._running = True
                    if current.get() is not None or token.trial is not None:
                        self._open(token)
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
        if self._token is None:  # nearly always the second of the two
            return
        token = self._claim()
        if token is None:
            return
        guard = self._guard
        if self._failure is None:
            # None of the waits was late if all of them together are shorter than the timeout.
            began = token.started if self._running else guard.entry.clock()
            token.started = began - self._spent
            if guard.quick_leave(token):
                return
            token.started = began
        if self._running:
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
        """Judge: nothing can be said, as what was asked about the head has raised."""
        self.paused()
        token = self._claim()
        assert token is not None, "nobody else has the response yet"
        token.started = self._guard.entry.clock() - self._spent
        self._guard.finish_as(token, IGNORED)

    def failed(self, error: BaseException, **facts: Any) -> BaseException:
        """
        Judge what was raised, and return what is to leave.

        Args:
            error: What was raised.
            **facts: Attributes of the client's errors.
        """
        error = self._own_timeout(error) or error
        token = self._claim()
        if token is None:
            pass
        elif token.scope is None and isinstance(error, DeadlineExceededError):
            token.started -= self._spent
            self._guard.finish_as(token, TIMED_OUT, describe(error))
        else:
            error = self._guard.fail(token, error, spent=self._spent).error
        return self._kinds.exchange(error, **facts)

    def _own_timeout(self, error: BaseException) -> BaseException | None:
        """Return our error for a timeout of the client's, if the time was that of a deadline."""
        token = self._token
        if token is None or not isinstance(error, self._kinds.timeouts):
            return None
        if isinstance(error, ResilienceError):
            return None
        if token.scope is None:
            return self._overdue(token)
        bound = token.scope.first()
        return bound.error() if bound is not None and bound.left <= SLACK else None

    def _overdue(self, token: Token) -> BaseException | None:
        """Return our error for a wait that had no scope, if it was as long as it may be."""
        timeout: int | None = token.plan.timeout
        took = self._guard.entry.clock() - token.started
        if timeout is None or self._guard.entry.shadowed or took < timeout * NEARLY:
            return None
        name, limit, elapsed = self._guard.entry.name, seconds(timeout), seconds(took)
        return DeadlineExceededError(name, timeout=limit, elapsed=elapsed)

    def _claim(self) -> Token | None:
        with self._guard.entry.lock:
            token, self._token = self._token, None
        return token


def shorter(given: float | None, left: int | None) -> float | None:
    """Return a timeout in seconds that is no longer than the nanoseconds that are left."""
    if left is None:
        return given
    most = (max(SHORTEST, left)) / NANOS
    return most if given is None or given > most else given


@lru_cache(maxsize=1024)
def _unscoped(plan: Plan) -> Plan:
    """Return a plan whose timeout is known to the client alone."""
    parts = {name: getattr(plan, name) for name in Plan.__slots__}
    return Plan(**{**parts, "scoped": plan.nested})
