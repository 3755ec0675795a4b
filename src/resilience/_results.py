"""
Results: how calls ended, counted and judged, under the lock of their name.

Every method that is a step of the machines takes the lock itself, for that step only: no user code,
listener, log line or wait happens inside. What a step has to tell is queued there and delivered
after it. A method that begins with an underscore is a part of a step: the lock is held.

The lock is re-entrant. A signal handler, or a finalizer that a collection runs in the middle of a
step, may call the library on the same thread: it must find a lock it can take, and machines that
are whole between any two of their statements.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import RLock
from typing import TYPE_CHECKING

from resilience._core.circuit import Circuit, Trial
from resilience._core.outcome import Outcome
from resilience._core.slots import VOID, Token
from resilience._core.tally import Tally
from resilience._listeners import Listeners
from resilience._log import Moves
from resilience._units import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.journal import Journal
    from resilience._snapshot import Snapshot
    from resilience._verdict import Verdict
    from resilience.settings import Settings

__all__ = ["Results"]


class Results(ABC):
    """What is counted and judged of the calls of one name."""

    __slots__ = (
        "circuit",
        "clock",
        "listeners",
        "lock",
        "moves",
        "name",
        "notes",
        "random",
        "tally",
    )

    def __init__(
        self,
        name: str | None,
        clock: Callable[[], int],
        random: Callable[[], float],
        listeners: Listeners | None,
        settings: Settings,
    ) -> None:
        self.name = name
        self.clock = clock
        self.random = random
        self.listeners = Listeners() if listeners is None else listeners
        self.moves: Moves | None = None
        """What is logged of its circuit; `None` until that first moves."""
        self.lock = RLock()
        self.circuit = Circuit(settings.rules(), clock())
        self.tally = Tally(settings.bounds())
        self.notes: list[int] | tuple[()] = ()
        """Refusals, and how fallbacks ended, by their place in the tally: still to be counted."""

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """The settings in force."""

    @abstractmethod
    def _snapshot(self, now: int) -> Snapshot:
        """Take a snapshot, within a step."""

    def note(self, place: int) -> None:
        """Write down a refusal or how a fallback ended, where there is no list or a long one."""
        with self.lock:
            notes = self.notes
            if isinstance(notes, tuple):
                self.notes = notes = []
            self.tally.count_notes(notes)
            notes.append(place)

    def read(self, journal: Journal, now: int) -> None:
        """Count the successes that were written to a journal, maybe of an earlier generation."""
        draw = self._draw()
        with self.lock:
            self._read(journal, now, draw)
        self.listeners.deliver()

    def unload(self, journal: Journal, now: int) -> None:
        """Count what a long journal holds, unless somebody is about to: nobody waits for that."""
        draw = self._draw()
        read = False
        try:
            if self.lock.acquire(blocking=False):
                self._read(journal, now, draw)
                read = True
        finally:
            # An interrupt may come before anybody knows that it was taken. If it was not, releasing
            # says so; whatever were asked before that, an interrupt could come after it.
            try:  # noqa: SIM105 - suppress() is such a question
                self.lock.release()
            except RuntimeError:
                pass
        if read:
            self.listeners.deliver()

    def succeed(self, journal: Journal, duration: int, now: int) -> None:
        """Count a success that was admitted by a journal, and may not be written there any more."""
        draw = self._draw()
        with self.lock:
            self._read(self.circuit.journal, now, draw)
            if journal.generation >= self.circuit.oldest:
                self.tally.count_successes([duration])
                self._record(journal.generation, None, now, draw, error=None)
        self.listeners.deliver()

    def _read(self, journal: Journal, now: int, draw: float) -> None:
        if not journal:
            return
        circuit, tally = self.circuit, self.tally
        before = circuit.last
        written, counted = circuit.read(journal, now, draw)
        if journal.generation < circuit.oldest:
            return  # admitted before a fork
        tally.count_successes(written)
        tally.stale += len(written) - counted
        if circuit.last is not before:
            self._changed()

    def settle(
        self,
        token: Token,
        verdict: Verdict,
        now: int,
        *,
        duration: int | None,
        slow: bool,
        error: str | None,
        hold: int,
    ) -> None:
        """
        Count the outcome of a call and let the circuit judge it.

        Args:
            token: The admission; its slot is the caller's business.
            verdict: The row of the decision table.
            now: When the result was there.
            duration: How long it ran; `None`: no histogram is kept.
            slow: Whether that was slow.
            error: What went wrong, in a few words.
            hold: If this opens the circuit, it stays so for at least this long.
        """
        draw = self._draw()
        text = (error or verdict.outcome.value) if verdict.error else None
        with self.lock:
            self._read(self.circuit.journal, now, draw)
            journal, trial = token.journal, token.trial
            generation = token.generation if journal is None else journal.generation
            # Counted from here on. The claim stays until the circuit has judged it, so that an
            # interrupt in between gives it back.
            token.journal, token.generation = None, VOID
            # Otherwise admitted before a fork, or counted when it was lost.
            if not generation or generation >= self.circuit.oldest:
                self.tally.count(verdict.outcome, duration)
                self.tally.slow += slow
                if generation and verdict.in_window:
                    self._record(generation, trial, now, draw, error=text, slow=slow, hold=hold)
                elif generation:
                    self._let_go(generation, trial, verdict)
            elif trial is not None:  # this ends what an interrupt has left half settled
                self.circuit.give_back(trial)
            token.trial = token.owner = None
            # What was written since, by calls that have not seen what this result changed.
            self._read(self.circuit.journal, now, draw)
        self.listeners.deliver()

    def _let_go(self, generation: int, trial: Trial | None, verdict: Verdict) -> None:
        """End an admission without a verdict on the dependency."""
        if trial is not None:
            self.circuit.give_back(trial)
        if verdict.outcome is Outcome.IGNORED and generation != self.circuit.generation:
            self.tally.stale += 1

    def _record(
        self,
        generation: int,
        trial: Trial | None,
        now: int,
        draw: float,
        *,
        error: str | None,
        slow: bool = False,
        hold: int = 0,
    ) -> None:
        circuit = self.circuit
        before, journal = circuit.last, circuit.journal
        counted = circuit.record(
            generation, trial, now, error=error, slow=slow, draw=draw, hold=hold
        )
        if not counted:
            self.tally.stale += 1
        if circuit.last is not before:
            self._read(journal, now, draw)
            self._changed()

    def _draw(self) -> float:
        """Draw for the jitter, before the lock is taken: `random` is the user's code."""
        if not self.settings.sleep_window_jitter:
            return 0.0
        draw = self.random()
        return draw if 0 <= draw < 1 else 0.0

    def _changed(self) -> None:
        last = self.circuit.last
        if last is None:
            return
        if self.moves is None:
            self.moves = Moves(self.name)
        self.listeners.put_call(self.moves.tell, last)
        if self.listeners.all:
            from resilience._events import StateChanged  # noqa: PLC0415 - few have listeners

            changed = StateChanged(
                name=self.name,
                old=last.old,
                new=last.new,
                reason=last.reason,
                snapshot=self._snapshot(last.at),
                at=seconds(last.at),
            )
            self.listeners.put(changed)

    def tell_timeout(self, duration: int, now: int, *, by_caller: bool) -> None:
        """Tell the listeners of a call that took too long."""
        if self.listeners.all:
            from resilience._events import CallTimedOut  # noqa: PLC0415 - few have listeners

            whose = "the caller's deadline" if by_caller else "the call's own timeout"
            late = CallTimedOut(
                name=self.name,
                elapsed=seconds(duration),
                state=self.circuit.state,
                reason=f"{whose} was over",
                at=seconds(now),
            )
            self.listeners.put(late)
            self.listeners.deliver()
