"""
Entry: what one name shares: circuit, slots, tally and settings, under one lock.

Its steps go by the rules that `_results.py` begins with.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from resilience import _fork
from resilience._chain import scopes
from resilience._core.circuit import Refusal, Trial
from resilience._core.outcome import CLOSED, HALF_OPEN, OPEN, Outcome, Override
from resilience._core.slots import VOID, Slots, Token
from resilience._declared import Declared
from resilience._listeners import Listeners
from resilience._pool import Pool
from resilience._results import Results
from resilience._units import seconds
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resilience._snapshot import Snapshot
    from resilience.settings import Settings

__all__ = ["Entry"]

_NOBODY: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
FORCED_OPEN: Final = Refusal(OPEN, None)


class Entry(Results):
    """The machines of one name and the steps on them."""

    __slots__ = (
        "__weakref__",
        "_declared",
        "_followers",
        "_own",
        "abandoned",
        "fallback_slots",
        "pool",
        "threaded",
    )

    def __init__(
        self,
        name: str | None,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        random: Callable[[], float] = lambda: 0.0,
        listeners: Listeners | None = None,
        configured: Mapping[str, Any] | None = None,
    ) -> None:
        self._declared = Declared(configured or {})
        super().__init__(name, clock, random, listeners, self.settings)
        self._followers: tuple[weakref.ref[Any], ...] = ()
        self._own = Pool(self.lock, self.settings.max_concurrency, self.settings.max_waiting)
        self.pool = self._own
        """The slots that the commands of this name use: its own, or a bulkhead's they share."""
        self.fallback_slots: Slots | None = None
        self.threaded = False
        """Whether its slots bound threads, and so must be counted."""
        self.abandoned: weakref.WeakSet[Any] = _NOBODY
        _fork.remember(self)

    # -- settings

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._declared.settings

    @property
    def configured(self) -> Mapping[str, Any]:
        """What `configure` has set."""
        return self._declared.configured

    def declare(self, fields: Mapping[str, Any], source: str) -> None:
        """Add what the code says: see `Declared.declare`."""
        now, draw = self.clock(), self._draw()
        with self.lock:
            self._declared.declare(self.name, fields, source)
            self._apply(self.settings, now, draw)
        self._own.assign()
        self.listeners.deliver()

    def check(self, fields: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` if these cannot be configured."""
        if self.threaded and "max_concurrency" in fields and fields["max_concurrency"] is None:
            raise ConfigurationError(
                f"max_concurrency of {self.name!r} must be an integer, not None: "
                "nothing else bounds its threads"
            )
        with self.lock:
            self._declared.check(fields)

    def configure(self, fields: Mapping[str, Any]) -> None:
        """Change fields, over whatever the code says."""
        self.check(fields)
        now, draw = self.clock(), self._draw()
        with self.lock:
            self._declared.configure(fields)
            self._apply(self.settings, now, draw)
        self._own.assign()
        self.listeners.deliver()

    def follow(self, follower: Any) -> None:
        """Call `follower.settings_changed()` after each change, as long as it lives."""
        with self.lock:
            living = tuple(ref for ref in self._followers if ref() is not None)
            self._followers = (*living, weakref.ref(follower))

    def _apply(self, settings: Settings, now: int, draw: float) -> None:
        self._read(self.circuit.journal, now, draw)
        self.circuit.configure(settings.rules(), now)
        self.tally.rebound(settings.bounds())
        self._own.resize(settings.max_concurrency, settings.max_waiting)
        limit = settings.fallback_max_concurrency
        if limit is None:
            self.fallback_slots = None
        elif self.fallback_slots is None:
            self.fallback_slots = Slots(limit, 0, [])
        else:
            self.fallback_slots.resize(limit, 0)
        for ref in self._followers:
            follower = ref()
            if follower is not None:
                follower.settings_changed()

    # -- admission

    def refusal(self, now: int) -> Refusal | None:
        """Return why the circuit would refuse, override included. The lock must be held."""
        if self.circuit.override is Override.OPEN:
            return FORCED_OPEN
        if self.circuit.override is not None:
            return None
        return self.circuit.ask(now)

    def ask(self, now: int) -> Refusal | None:
        """Say whether the circuit refuses a call; if so, it is counted."""
        if self.circuit.state is HALF_OPEN:
            self.reclaim()  # a trial may have been lost
        with self.lock:
            refusal = self.refusal(now)
            if refusal is None or self._rides():
                return None
            self._reject(Outcome.SHORT_CIRCUITED, now)
        self.listeners.deliver()
        return refusal

    def admit(self, token: Token, timeout: int, now: int) -> Refusal | None:
        """Let the circuit admit the call that holds `token`, or refuse and count it."""
        with self.lock:
            refusal = self.refusal(now)
            rides = self._rides()
            if refusal is None or rides:
                refusal = None
                self._admit(token, timeout, now, rides=rides)
            else:
                self._reject(Outcome.SHORT_CIRCUITED, now)
        self.listeners.deliver()
        return refusal

    def _admit(self, token: Token, timeout: int, now: int, *, rides: bool) -> None:
        circuit = self.circuit
        token.owner = self
        if circuit.override is not None and circuit.ask(now) is not None and not rides:
            # Admitted against the live state: it runs, and its result moves nothing.
            token.generation = 0
            if circuit.override is Override.SHADOW:
                self.shadow(Outcome.SHORT_CIRCUITED)
            return
        if circuit.state is not CLOSED and not rides:
            # The claim stands in the token before the circuit knows it: an interrupt in
            # between loses neither.
            token.trial = Trial(timeout)
            before = circuit.last
            circuit.admit(token.trial, now)
            if circuit.last is not before:
                self._changed()
        token.generation = circuit.generation

    def _rides(self) -> bool:
        """Whether the running code is inside a trial of this half-open circuit."""
        if self.circuit.state is not HALF_OPEN or self.circuit.override is Override.OPEN:
            return False
        generation = self.circuit.generation
        tokens = (scope.holder for scope in scopes())
        return any(
            token.owner is self and token.trial is not None and token.generation == generation
            for token in tokens
            if isinstance(token, Token)
        )

    def reject(self, outcome: Outcome, now: int) -> None:
        """Count a call that was not made."""
        draw = self._draw()
        with self.lock:
            self._reject(outcome, now)
            if outcome is Outcome.BULKHEAD_FULL and self.settings.count_rejections:
                circuit = self.circuit
                self._read(circuit.journal, now, draw)
                if circuit.state is CLOSED:
                    error = "BulkheadFullError"
                    self._record(circuit.generation, None, now, draw, error=error)
        self.listeners.deliver()

    def _reject(self, outcome: Outcome, now: int) -> None:
        self.tally.count(outcome)
        if self.listeners.all:
            from resilience._events import CallRejected  # noqa: PLC0415 - few have listeners

            refused = CallRejected(
                name=self.name,
                outcome=outcome,
                state=self.circuit.state,
                reason=self._why(outcome),
                at=seconds(now),
            )
            self.listeners.put(refused)

    def _why(self, outcome: Outcome) -> str:
        """Say why a call was refused."""
        circuit = self.circuit
        if outcome is Outcome.BULKHEAD_FULL:
            return f"none of {self.pool.slots.capacity} slots is free"
        if outcome is Outcome.EXPIRED:
            return "the caller's time is over"
        if circuit.override is Override.OPEN:
            return "forced open"
        if circuit.state is HALF_OPEN:
            return "the trials are taken"
        return "" if circuit.last is None else circuit.last.reason

    def give_up(self) -> None:
        """Count a call that was cancelled before it was admitted."""
        with self.lock:
            self.tally.count(Outcome.CANCELLED)

    def refused_live(self, now: int) -> bool:
        """Whether the live circuit would refuse a call, whatever lies over it."""
        with self.lock:
            return self.circuit.ask(now) is not None

    def shadow(self, outcome: Outcome) -> None:
        """Count a refusal that was not carried out."""
        with self.lock:
            self.tally.count_shadowed(outcome)

    @property
    def shadowed(self) -> bool:
        """Whether decisions are taken and counted, and none carried out."""
        return self.circuit.override is Override.SHADOW

    # -- what was lost or left behind

    @property
    def dropped(self) -> list[Token]:
        """Admissions that were dropped unsettled and are still to be counted."""
        return self._own.dropped

    def reclaim(self) -> None:
        """Take back the slots and trials of calls that were dropped unsettled."""
        self.pool.reclaim()
        self._own.reclaim()
        with self.lock:
            for token in self.dropped.copy():
                self._drop(token)
                with contextlib.suppress(ValueError):
                    self.dropped.remove(token)

    def drop(self, token: Token) -> None:
        """Count an admission that is not made use of as cancelled."""
        with self.lock:
            self._drop(token)

    def _drop(self, token: Token) -> None:
        journal, generation = token.journal, token.generation
        token.journal, token.generation, token.owner = None, VOID, None
        if journal is not None:
            generation = journal.generation
        if token.trial is not None:
            self.circuit.give_back(token.trial)
        if generation == 0 or generation >= self.circuit.oldest:
            self.tally.count(Outcome.CANCELLED)

    @property
    def own_pool(self) -> Pool:
        """The slots of this name."""
        return self._own

    def abandon(self, job: object) -> None:
        """Remember work that runs on with nobody waiting for it, for as long as it lives."""
        with self.lock:
            if self.abandoned is _NOBODY:
                self.abandoned = weakref.WeakSet()
            self.abandoned.add(job)

    # -- from outside

    def snapshot(self) -> Snapshot:
        """Take a snapshot."""
        self.reclaim()
        now, draw = self.clock(), self._draw()
        with self.lock:
            self._read(self.circuit.journal, now, draw)
            taken = self._snapshot(now)
        if self.moves is not None and self.moves.owe(now):
            self.listeners.put_call(self.moves.catch_up, now)
        self.listeners.deliver()
        return taken

    def _snapshot(self, now: int) -> Snapshot:
        from resilience import _snapshot  # noqa: PLC0415 - importing should be quick

        self.tally.count_notes(self.notes)
        return _snapshot.take(self, now)

    def set_override(self, override: Override | None) -> None:
        """Put an override over the live state, or take it off."""
        with self.lock:
            self.circuit.lay_over(override)

    def reset(self) -> None:
        """Close the circuit with an empty window; totals stay."""
        now, draw = self.clock(), self._draw()
        with self.lock:
            self._read(self.circuit.journal, now, draw)
            before = self.circuit.last
            self.circuit.reset(now)
            if self.circuit.last is not before:
                self._changed()
        self.listeners.deliver()

    @property
    def idle(self) -> bool:
        """Whether it is closed, not overridden, and nothing runs or waits."""
        self.reclaim()
        with self.lock:
            return (
                self.circuit.state is CLOSED
                and self.circuit.override is None
                and not self._own.slots.in_flight
                and not self._own.slots.waiters
            )

    def forked(self) -> None:
        """Begin anew in a child process; its lock is held."""
        now = self.clock()
        self.circuit.read(self.circuit.journal, now)
        self._own.forked()
        if self.fallback_slots is not None:
            self.fallback_slots.forked()
        self.abandoned = _NOBODY
        self.notes = ()
        self.tally.clear()
        self.circuit.forked(now)
