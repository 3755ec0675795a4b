"""
Admission: being let in, off the closed path: asked, given a slot or a place to wait, let in.

The circuit is asked first, so that nobody takes or waits for a slot in vain, and again once there
is a slot: only then does an attempt use up a trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilience._chain import being_cut_off, binding, current, scopes
from resilience._core.outcome import Outcome
from resilience._core.slots import Token
from resilience._deadline import Deadline
from resilience._tasks import in_event_loop, is_cancellation, strand
from resilience._units import NANOS, seconds
from resilience.errors import BulkheadFullError, CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.circuit import Refusal
    from resilience._entry import Entry
    from resilience._plan import Plan
    from resilience._pool import Pool

__all__ = ["FULL", "Admission"]

SHORT_CIRCUITED: Final = Outcome.SHORT_CIRCUITED.place
_made: Final = CircuitOpenError.__new__  # as `__init__` would make it, in a third of the time
FULL: Final = 16
"""What is written down without the lock is counted when there is so much of it."""


class Admission:
    """
    The parts of a name that a call has to get past.

    Args:
        entry: What the name shares.
        circuit: Whether the circuit is asked and told.
        pool: Whose slots are taken; `None`: nobody's.
    """

    __slots__ = ("circuit", "entry", "pool")

    def __init__(self, entry: Entry, *, circuit: bool, pool: Pool | None) -> None:
        self.entry = entry
        self.circuit = circuit
        self.pool = pool

    def refuse(self) -> CircuitOpenError | None:
        """
        Return the refusal of an open circuit, counted: the short way, before anything else.

        It gives `None` where anything is out of the ordinary; then the circuit is to be asked.
        """
        entry = self.entry
        circuit = entry.circuit
        retry_at = circuit.retry_at
        if not retry_at or not self.circuit:
            return None
        if circuit.override is not None or entry.listeners.all:
            return None
        left = retry_at - entry.clock()
        if left <= 0 or current.get() is not None:
            return None
        notes = entry.notes
        if notes and len(notes) < FULL:  # the first finds no list
            notes.append(SHORT_CIRCUITED)
        else:
            entry.note(SHORT_CIRCUITED)
        refusal = _made(CircuitOpenError, entry.name, left / NANOS, "open")
        refusal.last_error = circuit.last_error
        return refusal

    def let_in(self, plan: Plan) -> Token:
        """
        Be admitted, off the closed path; a thread waits for a slot if it may.

        Raises:
            CircuitOpenError: The circuit refuses.
            BulkheadFullError: No slot is to be had.
            DeadlineExceededError: The caller's time has run out.
        """
        if self.entry.shadowed:
            return self._shadow(plan)
        asked = self._ask()
        token = self._take()
        if token is None:
            if self._may_wait() and not in_event_loop():
                from resilience._waiting import wait_for_slot  # noqa: PLC0415 - import quickly

                try:
                    token = wait_for_slot(self._slots, self._until(asked, plan))
                except BaseException as error:
                    self._interrupted(error)
                    raise
            token = self._given(token)
        return self._admit(token, plan)

    async def alet_in(self, plan: Plan) -> Token:
        """Be admitted, off the closed path; a task waits for a slot if it may."""
        if self.entry.shadowed:
            return self._shadow(plan)
        asked = self._ask()
        token = self._take()
        if token is None:
            if self._may_wait():
                from resilience._waiting import await_slot  # noqa: PLC0415 - import quickly

                try:
                    token = await await_slot(self._slots, self._until(asked, plan))
                except BaseException as error:
                    self._interrupted(error)
                    raise
            token = self._given(token)
        return self._admit(token, plan)

    def _interrupted(self, error: BaseException) -> None:
        """Count a call that was torn out of its wait."""
        if is_cancellation(error) and being_cut_off():
            self.entry.reject(Outcome.EXPIRED, self.entry.clock())
        else:
            self.entry.give_up()

    @property
    def _slots(self) -> Pool:
        assert self.pool is not None, "asked only where there is a bulkhead"
        return self.pool

    def _ask(self) -> int:
        """Refuse early: before a slot is taken or waited for."""
        entry = self.entry
        now = entry.clock()
        bound = binding(current.get())
        if bound is not None and bound.left <= 0:
            self._expire(bound, now)
        if self.circuit:
            refusal = entry.ask(now)
            if refusal is not None:
                raise self._short_circuited(refusal)
        return now

    def _take(self) -> Token | None:
        if self.pool is None:
            return Token(None, self.entry.own_pool.lost)
        return self.pool.take()

    def _shadow(self, plan: Plan) -> Token:
        """Take every decision and carry none out; the first refusal is the one that counts."""
        entry = self.entry
        now = entry.clock()
        bound = binding(current.get())
        token = self._take()
        if bound is not None and bound.left <= 0:
            reason = Outcome.EXPIRED
        elif self.circuit and entry.refused_live(now):
            reason = Outcome.SHORT_CIRCUITED
        elif token is None:
            reason = Outcome.BULKHEAD_FULL
        else:
            return self._admit(token, plan)
        entry.shadow(reason)
        if token is None:
            token = Token(None, entry.own_pool.lost)
        token.owner = entry
        token.generation = 0
        return token

    def _may_wait(self) -> bool:
        """Whether there is a waiting room, and others than this call's own callers hold slots."""
        slots, here = self._slots.slots, strand()
        mine = sum(
            isinstance(holder, Token) and holder.home is slots.free
            # What a child task waits for, its parent may free: it need not wait for the child.
            for holder in (scope.holder for scope in scopes() if scope.strand == here)
        )
        return slots.max_waiting > 0 and (slots.capacity is None or mine < slots.capacity)

    def _until(self, asked: int, plan: Plan) -> Callable[[], int | None]:
        """Return what tells how long the wait may still last."""
        clock, longest = self.entry.clock, plan.max_wait
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
        name, waiting = self.entry.name, len(slots.waiters)
        raise BulkheadFullError(name, None, slots.capacity, waiting)

    def _admit(self, token: Token, plan: Plan) -> Token:
        """Let the circuit admit the call, now that it has a slot."""
        if not self.circuit:
            token.owner = self.entry
            token.generation = 0
            return token
        now = self.entry.clock()
        try:
            refusal = self.entry.admit(token, plan.lease, now)
        except BaseException:  # out of a listener
            self.entry.drop(token)
            self.put(token)
            raise
        if refusal is not None:
            self.put(token)
            raise self._short_circuited(refusal)
        return token

    def _expire(self, bound: Deadline, now: int) -> None:
        self.entry.reject(Outcome.EXPIRED, now)
        error = bound.error()
        error.elapsed = 0.0
        raise error

    def _short_circuited(self, refusal: Refusal) -> CircuitOpenError:
        wait = refusal.retry_after
        return CircuitOpenError(
            self.entry.name,
            None if wait is None else seconds(wait),
            refusal.state.value,
            self.entry.circuit.last_error,
        )

    def put(self, token: Token) -> None:
        """Lay the slot of a settled call back, unless a thread still works in it."""
        token.scope = None
        token.owner = None
        if token.home is None:
            token.lost = None
        else:
            self.lay_back(token)

    def lay_back(self, token: Token) -> None:
        """Lay the slot back, if nobody else is still to do so."""
        still_to_come = token.abandoned
        if still_to_come is not None:
            try:
                # The caller and the thread that it left behind: the second of them lays it back.
                still_to_come.pop()
            except IndexError:
                token.abandoned = None
            else:
                return
        self._slots.put(token)
