"""Guard: one call, from being asked for to being settled. What every shell is made of.

A guard has an entry and uses some of its parts: the circuit, a bulkhead's slots, a timeout. Its
steps have no colour; `_calls.py` and `_streams.py` put them around functions:

    token = enter() or await aenter()      refused: RejectedError, DeadlineExceededError
    … the function …
    finish(token, result) or fail(token, error)

`fail` returns what leaves the guard and whether a fallback may answer instead. `quick_steps` gives
the two steps that nearly every call takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from resilience import _alarm
from resilience._core.outcome import Outcome
from resilience._core.slots import Token
from resilience._deadline import Deadline, binding, current
from resilience._permit import Permit
from resilience._plan import Plan, make_plan, untimed
from resilience._units import seconds
from resilience._verdict import (
    BAD_RESULT,
    CANCELLED,
    CUT_OFF,
    EXPIRED,
    IGNORED,
    LATE,
    SUCCESS,
    TIMED_OUT,
    Verdict,
    Verdicts,
    deadline_errors,
    describe,
    leaves,
)
from resilience._waiting import await_slot, wait_for_slot
from resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    RejectedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resilience._core.circuit import Refusal
    from resilience._core.slots import Waiter
    from resilience._entry import Entry

__all__ = ["Failure", "Guard", "quick_steps"]


class Failure(NamedTuple):
    """What leaves a guard: the error, and whether a fallback may answer instead."""

    error: BaseException
    fallback: bool


class Guard:
    """The parts one guarded function uses, and the steps of a call through them."""

    __slots__ = (
        "__weakref__",
        "_enforced",
        "_histogram",
        "_timeout",
        "_untimed",
        "_waits",
        "bulkhead",
        "circuit",
        "entry",
        "plan",
        "verdicts",
    )

    def __init__(
        self,
        entry: Entry,
        verdicts: Verdicts,
        *,
        circuit: bool,
        bulkhead: Entry | None,
        timeout: Callable[[], float | None],
        enforced: Callable[[], bool],
        waits: bool = True,
        histogram: bool = True,
    ) -> None:
        self.entry = entry
        self.verdicts = verdicts
        self.circuit = circuit
        self.bulkhead = bulkhead
        self._timeout = timeout
        self._enforced = enforced
        self._waits = waits
        self._histogram = histogram
        self.settings_changed()
        entry.follow(self)
        if bulkhead not in (None, entry):
            bulkhead.follow(self)

    plan: Plan

    def settings_changed(self) -> None:
        """Compute the plan anew; calls under way keep the one they began with."""
        self.plan = make_plan(
            self.entry.settings,
            timeout=self._timeout(),
            enforced=self._enforced(),
            waits=self._waits,
            histogram=self._histogram,
            judges_results=self.verdicts.is_failure is not None,
            nested=self.bulkhead is not None and self.bulkhead.slots.max_waiting > 0,
        )
        self._untimed: Plan | None = None

    @property
    def untimed(self) -> Plan:
        """The plan of an admission that has no deadline of its own: a permit, a stream."""
        if self._untimed is None:
            self._untimed = untimed(self.plan)
        return self._untimed

    # -- admission

    def acquire(self) -> Token:
        """
        Be admitted, off the closed path; a thread waits for a slot if it may.

        Raises:
            CircuitOpenError: The circuit refuses.
            BulkheadFullError: No slot is to be had.
            DeadlineExceededError: The caller's time has run out.
        """
        asked = self._ask()
        token = self._take()
        if token is None:
            waiter = None if _alarm.in_event_loop() else self._queue()
            if waiter is not None:
                token = wait_for_slot(self._slots, waiter, self._until(asked))
            token = self._given(token)
        return self._admit(token)

    async def aacquire(self) -> Token:
        """Be admitted, off the closed path; a task waits for a slot if it may."""
        asked = self._ask()
        token = self._take()
        if token is None:
            waiter = self._queue()
            if waiter is not None:
                token = await self._await(waiter, asked)
            token = self._given(token)
        return self._admit(token)

    async def _await(self, waiter: Waiter, asked: int) -> Token | None:
        try:
            return await await_slot(self._slots, waiter, self._until(asked))
        except BaseException as error:
            cut = _alarm.is_cancellation(error) and self._caller_cut()
            self.entry.reject(Outcome.EXPIRED if cut else Outcome.CANCELLED, self.entry.clock())
            raise

    @property
    def _slots(self) -> Entry:
        assert self.bulkhead is not None, "asked only where there is a bulkhead"
        return self.bulkhead

    def _ask(self) -> int:
        """Refuse early: before a slot is taken or waited for."""
        entry = self.entry
        now = entry.clock()
        bound = binding(current.get())
        if bound is not None and bound.left <= 0:
            if not entry.shadowed:
                self._expire(bound, now)
            entry.shadow(Outcome.EXPIRED)
        if self.circuit:
            refusal = entry.ask(now, riding())
            if refusal is not None:
                self._short_circuit(refusal, now)
        return now

    def _take(self) -> Token | None:
        if self.bulkhead is None:
            return Token(None, self.entry.lost)
        token = self.bulkhead.take()
        if token is None and self.entry.shadowed:
            self.entry.shadow(Outcome.BULKHEAD_FULL)
            return Token(None, self.entry.lost)
        return token

    def _queue(self) -> Waiter | None:
        """Enter the waiting room, unless only this call's own callers could free a slot."""
        slots = self._slots.slots
        mine = sum(token.home is slots.free for token in riding())
        if slots.capacity is not None and mine >= slots.capacity:
            return None
        return self._slots.enqueue()

    def _until(self, asked: int) -> Callable[[], int | None]:
        """Return what tells how long the wait may still last."""
        clock, longest = self.entry.clock, self.plan.max_wait
        bound = binding(current.get())

        def left() -> int | None:
            own = None if longest is None else asked + longest - clock()
            if bound is None:
                return own
            return bound.left if own is None else min(own, bound.left)

        return left

    def _given(self, token: Token | None) -> Token:
        """Pass on the slot that a wait gave, or say why it gave none."""
        if token is not None:
            return token
        now = self.entry.clock()
        bound = binding(current.get())
        if bound is not None and bound.left <= 0:
            self._expire(bound, now)
        self.entry.reject(Outcome.BULKHEAD_FULL, now)
        slots = self._slots.slots
        raise BulkheadFullError(
            self.entry.name, max_concurrency=slots.capacity, waiting=len(slots.waiters)
        )

    def _admit(self, token: Token) -> Token:
        """Let the circuit admit the call, now that it has a slot."""
        if not self.circuit:
            token.owner = self.entry
            return token
        now = self.entry.clock()
        refusal = self.entry.admit(token, self.plan.lease, now, riding())
        if refusal is not None:
            self.put(token)
            self._short_circuit(refusal, now)
        return token

    def _expire(self, bound: Deadline, now: int) -> None:
        self.entry.reject(Outcome.EXPIRED, now)
        error = bound.error()
        error.elapsed = 0.0
        raise error

    def _short_circuit(self, refusal: Refusal, now: int) -> None:
        self.entry.reject(Outcome.SHORT_CIRCUITED, now)
        wait = refusal.retry_after
        raise CircuitOpenError(
            self.entry.name,
            state=refusal.state.value,
            retry_after=None if wait is None else seconds(wait),
            last_error=self.entry.circuit.last_error,
        )

    # -- the call

    def stand_in(self, generation: int) -> Token:
        """Return a token for a call that went without one, now that it is to be judged."""
        token = Token(None, None)
        token.generation = generation
        token.plan = self.plan
        token.started = self.entry.clock()
        return token

    def enter(self) -> Token:
        """Be admitted and start the clock."""
        return self._begin(self.acquire())

    async def aenter(self) -> Token:
        """Be admitted and start the clock, in a task."""
        return self._begin(await self.aacquire())

    def permit(self, token: Token) -> Permit:
        """Hand an admission to its caller; it has no deadline and no scope of its own."""
        token.plan = self.untimed
        token.started = self.entry.clock()
        return Permit(self, token)

    def _begin(self, token: Token) -> Token:
        token.plan = self.plan
        token.started = self.entry.clock()
        if self.plan.scoped or token.trial is not None or current.get() is not None:
            self.open_scope(token)
        return token

    def open_scope(self, token: Token) -> None:
        """Enter the scope of a call: its deadline, and what tells inner calls of its admission."""
        timeout = None if self.entry.shadowed else token.plan.timeout
        token.scope = scope = Deadline(
            self.entry.clock,
            timeout,
            current.get(),
            started=token.started,
            name=self.entry.name,
            source=token,
        )
        try:
            scope.enter()
        except BaseException:
            scope.leave()
            raise

    def finish(self, token: Token, result: object) -> None:
        """Settle a call that returned; a predicate's error leaves from here."""
        if token.scope is not None:
            token.scope.leave()
        now, duration = self._since(token)
        verdict = SUCCESS
        if token.plan.timeout is not None and duration >= token.plan.timeout:
            verdict = LATE
        elif self.verdicts.is_failure is not None:
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
                if scope.leave(error):
                    error = scope.bound.error()
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
        plan: Plan = token.plan
        caller = current.get()
        by_caller = CUT_OFF if duration >= plan.fair else EXPIRED
        foreign = [leaf for leaf in leaves(error) if not isinstance(leaf, Exception)]
        if foreign:
            cut = self._caller_cut() and all(map(_alarm.is_cancellation, foreign))
            return by_caller if cut else CANCELLED
        for leaf in deadline_errors(error):
            if scope is not None and leaf.deadline is scope:
                return TIMED_OUT
            if leaf.deadline is not None and leaf.deadline.encloses(caller):
                return by_caller
        if plan.timeout is not None and duration >= plan.timeout:
            return TIMED_OUT
        return self.verdicts.of_error(error)

    @staticmethod
    def _caller_cut() -> bool:
        """Whether the running task is being cut off by a deadline of its callers."""
        caller = current.get()
        while caller is not None:
            if caller.cut_off:
                return True
            caller = caller.outer
        return False

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
        if verdict.outcome is Outcome.TIMEOUT:
            self.entry.tell_timeout(duration, now)

    def put(self, token: Token) -> None:
        """Lay the slot of a settled call back, unless a thread still works in it."""
        token.scope = None
        token.owner = None
        if token.home is None:
            token.lost = None
        elif not token.abandoned and self._slots.slots.put(token):
            self._slots.assign()


def quick_steps(guard: Guard) -> tuple[Callable[[], Token | None], Callable[[Token], bool]]:
    """
    Return the way in and the way out of a call on the closed path.

    In: a token if the circuit is closed, a slot is idle and no caller has a deadline; `None` sends
    the call to `enter`. Out: true if the call was an ordinary success, settled in one step of the
    machines; false sends it to `finish`.
    """
    if guard.bulkhead is None or not guard.circuit:
        return lambda: None, lambda _: False
    entry = guard.entry
    circuit, count, clock, lock = entry.circuit, entry.tally.count, entry.clock, entry.lock
    succeeded = circuit.succeeded
    deadline, success = current.get, Outcome.SUCCESS
    bulkhead = guard.bulkhead
    slots, assign, open_scope = bulkhead.slots, bulkhead.assign, guard.open_scope
    owner = None if bulkhead is entry else entry

    def enter() -> Token | None:
        plan = guard.plan
        generation = circuit.passing
        if not generation or deadline() is not None:
            return None
        token = slots.grab()
        if token is None:
            return None
        token.owner = owner
        token.generation = generation
        token.plan = plan
        token.started = clock()
        if plan.scoped:
            open_scope(token)
        return token

    def leave(token: Token) -> bool:
        if token.scope is not None:
            token.scope.leave()
            token.scope = None
        now = clock()
        plan = token.plan
        duration = now - token.started
        if not 0 <= duration < plan.quick:
            return False
        with lock:
            if not succeeded(token.generation, now):
                return False
            count(success, duration)
        if slots.put(token):
            assign()
        return True

    return enter, leave


def riding() -> Iterator[Token]:
    """Yield the admissions of the calls that the running code is inside of."""
    scope = current.get()
    while scope is not None:
        if scope.running and isinstance(scope.source, Token):
            yield scope.source
        scope = scope.outer


def _of_predicate(raised: BaseException) -> Verdict:
    return IGNORED if isinstance(raised, Exception) else CANCELLED
