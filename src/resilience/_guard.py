"""
Guard: one call, from being let in to being settled. What every shell is made of.

Its steps have no colour; `_calls.py` and `_guarded_streams.py` put them around functions:

    token = enter(plan) or await aenter(plan)      refused: RejectedError, DeadlineExceededError
    … the function …
    finish(token, result) or fail(token, error)

`fail` returns what leaves the guard and whether a fallback may answer instead. `_quick.py` has the
steps that nearly every call takes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ref

from resilience._admission import Admission
from resilience._chain import being_cut_off, binding, current, enclosing
from resilience._core.outcome import Outcome
from resilience._core.slots import Token
from resilience._deadline import Deadline
from resilience._permit import Permit
from resilience._plan import NEVER, Plan, untimed
from resilience._tasks import is_cancellation, strand
from resilience._verdict import (
    BAD_RESULT,
    CANCELLED,
    CUT_OFF,
    EXPIRED,
    FAILED,
    IGNORED,
    LATE,
    REJECTED,
    SUCCESS,
    TIMED_OUT,
    ThreadStartError,
    Verdict,
    Verdicts,
    deadline_errors,
    describe,
    leaves,
)
from resilience.errors import DeadlineExceededError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resilience._core.journal import Journal
    from resilience._entry import Entry
    from resilience._pool import Pool

__all__ = ["Failure", "Guard"]


TIMEOUT: Final = Outcome.TIMEOUT
NO_RESULT: Final = object()
"""What a block or a stream returns: nothing that a predicate could judge."""


class Failure(NamedTuple):
    """What leaves a guard: the error, and whether a fallback may answer instead."""

    error: BaseException
    fallback: bool


class Guard(Admission):
    """
    The parts of a name that one shell uses, and the steps of a call through them.

    Args:
        entry: What the name shares.
        verdicts: How exceptions and results are judged.
        plans: Gives the plans for the settings in force: of calls that can be cut off, and of those
            that stay in their caller's thread.
        circuit: Whether the circuit is asked and told.
        pool: Whose slots are taken; `None`: nobody's.
        given: What its shell was given, for `plans`.
    """

    __slots__ = ("__weakref__", "_plans", "given", "loose", "plan", "verdicts")

    def __init__(
        self,
        entry: Entry,
        verdicts: Verdicts,
        plans: Callable[[Guard], tuple[Plan, Plan]],
        *,
        circuit: bool,
        pool: Pool | None,
        given: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(entry, circuit=circuit, pool=pool)
        self.verdicts = verdicts
        self.given = given
        self._plans = plans
        self.settings_changed()
        entry.follow(self)

    def settings_changed(self) -> None:
        """Compute the plans anew; calls under way keep the one they began with."""
        self.plan, self.loose = self._plans(self)

    @property
    def untimed(self) -> Plan:
        """The plan of an admission that has no deadline of its own: a permit, a stream."""
        return untimed(self.plan)

    # -- the call

    def quick_enter(self, plan: Plan) -> Token | None:
        """Be admitted on the closed path, if there is one and the call may take it."""

    def quick_leave(self, token: Token) -> bool:
        """Settle an ordinary success on the closed path; false sends it to `finish`."""
        del token
        return False

    def enter(self, plan: Plan) -> Token:
        """Be admitted and start the clock."""
        return self._begin(self.let_in(plan), plan)

    async def aenter(self, plan: Plan) -> Token:
        """Be admitted and start the clock, in a task."""
        return self._begin(await self.alet_in(plan), plan)

    def acquire(self) -> Permit:
        """Be admitted, for a caller with its own control flow: no deadline, and no scope."""
        return self._permit(self.let_in(self.plan))

    async def aacquire(self) -> Permit:
        """Be admitted, for a caller with its own control flow, in a task."""
        return self._permit(await self.alet_in(self.plan))

    def _permit(self, token: Token) -> Permit:
        token.plan = self.untimed
        token.started = self.entry.clock()
        return Permit(self, token)

    def _begin(self, token: Token, plan: Plan) -> Token:
        token.plan = plan
        token.started = self.entry.clock()
        if plan.scoped or token.trial is not None or current.get() is not None:
            self.open_scope(token)
        return token

    def stand_in(self, journal: Journal) -> Token:
        """Return a token for a call that went without one, now that it is to be judged."""
        token = Token(None, None)
        token.journal = journal
        token.plan = self.plan
        token.started = self.entry.clock()
        return token

    def open_scope(self, token: Token) -> None:
        """Enter the scope of a call: its deadline, and what tells inner calls of its admission."""
        self.enter_scope(token, None if self.entry.shadowed else token.plan.timeout, enclosing())

    def enter_scope(self, token: Token, timeout: int | None, outer: Deadline | None) -> None:
        """Enter the scope of a call that is inside of `outer`."""
        entry = self.entry
        token.scope = scope = Deadline(
            entry.clock, timeout, outer, token.started, entry.name, ref(token)
        )
        if token.plan.nested or scope.strand is not None:
            scope.strand = strand()
        try:
            scope.enter()
        except BaseException:
            scope.leave()
            raise

    def enforce(self, token: Token) -> None:
        """Cut the running task off in time, on behalf of the scope of this call."""
        if not self.entry.shadowed:
            token.scope.enforce()

    def finish(self, token: Token, result: object = NO_RESULT) -> None:
        """Settle a call that returned; a predicate's error leaves from here."""
        if token.scope is not None:
            token.scope.leave()
        now, duration = self._since(token)
        verdict = SUCCESS
        if token.plan.timeout is not None and duration >= token.plan.timeout:
            verdict = LATE
        elif self.verdicts.is_failure is not None and result is not NO_RESULT:
            try:
                verdict = self.verdicts.of_result(result)
            except BaseException as raised:
                self._settle(token, _of_predicate(raised), now, duration)
                raise
        text = "a result that is a failure" if verdict is BAD_RESULT else None
        self._settle(token, verdict, now, duration, text)

    def finish_as(
        self, token: Token, verdict: Verdict, error: str | None = None, hold: int = 0
    ) -> None:
        """Settle a call by a verdict that was found elsewhere."""
        now, duration = self._since(token)
        self._settle(token, verdict, now, duration, error, hold)

    def _since(self, token: Token) -> tuple[int, int]:
        """Return the time now, and how long the call has run."""
        now = self.entry.clock()
        return now, max(now - token.started, 0)

    def fail(self, token: Token | None, error: BaseException, *, spent: int = 0) -> Failure:
        """
        Settle a call that raised.

        Args:
            token: The admission; `None` if there was none.
            error: What was raised.
            spent: What the call has taken in earlier steps, for streams.

        Returns:
            What leaves, and whether a fallback may answer instead.
        """
        if token is None:  # it was refused, or interrupted on its way in
            return Failure(error, isinstance(error, RejectedError))
        scope: Deadline | None = token.scope
        if scope is not None:
            try:
                error = scope.leave(error) or error
            except BaseException as rest:  # noqa: BLE001 - what trio leaves of a group
                error = rest
        now, duration = self._since(token)
        try:
            verdict = self._judge(token, scope, error, duration)
        except BaseException as raised:
            self._settle(token, _of_predicate(raised), now, spent + duration)
            raise
        shadowed = self.entry.shadowed
        text = describe(error) if verdict.error else None
        self._settle(token, verdict, now, spent + duration, text)
        return Failure(error, verdict.fallback and not shadowed)

    def _judge(
        self, token: Token, scope: Deadline | None, error: BaseException, duration: int
    ) -> Verdict:
        """Find the row of the decision table."""
        if isinstance(error, ThreadStartError):
            return REJECTED
        plan: Plan = token.plan
        caller = current.get()
        late = plan.timeout is not None and duration >= plan.timeout
        if caller is None and not late and _is_plain(error):
            return self.verdicts.of_error(error)  # no deadline has anything to do with it
        by_caller = CUT_OFF if duration >= plan.fair else EXPIRED
        foreign = [leaf for leaf in leaves(error) if not isinstance(leaf, Exception)]
        if foreign:
            cut = being_cut_off() and all(map(is_cancellation, foreign))
            return by_caller if cut else CANCELLED
        for leaf in deadline_errors(error):
            if scope is not None and leaf.deadline is scope:
                return TIMED_OUT
            if leaf.deadline is not None and leaf.deadline.encloses(caller):
                return by_caller
        if late:
            return TIMED_OUT
        verdict = self.verdicts.of_error(error)
        if verdict is FAILED and plan.fair != NEVER:
            bound = binding(caller)
            if bound is not None and bound.left <= 0:
                return by_caller  # in sync code: the client was given what the caller had left
        return verdict

    def _settle(
        self,
        token: Token,
        verdict: Verdict,
        now: int,
        duration: int,
        error: str | None = None,
        hold: int = 0,
    ) -> None:
        plan: Plan = token.plan
        self.entry.settle(
            token,
            verdict,
            now,
            duration=duration if plan.histogram else None,
            slow=duration >= plan.slow,
            error=error,
            hold=hold,
        )
        self.put(token)
        if verdict.outcome is TIMEOUT:
            # A late result is judged as if it were cut off, and has no error.
            cut_off = verdict is CUT_OFF and error is not None
            self.entry.tell_timeout(duration, now, by_caller=cut_off)

    def worker_ended(self, token: Token) -> None:
        """Lay back the slot of a call whose thread was left behind, and has ended."""
        self.lay_back(token)


def _is_plain(error: BaseException) -> bool:
    """Whether an error is one of the function's own, nearly always."""
    if not isinstance(error, Exception):
        return False
    return not isinstance(error, (DeadlineExceededError, BaseExceptionGroup))


def _of_predicate(raised: BaseException) -> Verdict:
    return IGNORED if isinstance(raised, Exception) else CANCELLED
