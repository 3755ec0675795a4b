"""
Circuit: closed, open or half-open, and who may pass.

States and the events that move them (TRANSITIONS in `transitions.py` is the whole truth):

- Closed: everyone passes. TRIPPED by the very result that brings the window to
  `calls >= volume_threshold` and `errors*100 >= error_percent*calls`, or slow calls likewise;
  integers, no rounding.
- Open: nobody passes until `retry_at`. Then the next admission, and nothing else, has ATTEMPTED.
- Half-open: at most `half_open_calls` trials hold an unexpired lease. Enough successes and it has
  RECOVERED; the first failed trial and it has RELAPSED. A lease that ran out (a hung call) no
  longer blocks the next trial, but its result still counts while this generation lasts.
- RESET closes from anywhere.

Generations: every transition raises `generation` by one, and every admission carries the one it
was made in. A result of an earlier generation changes nothing (sony/gobreaker's rule).

While it is closed and not overridden, everyone passes, and `passing` is the journal to write quick
successes to: see `journal.py`.

Overrides lie over the live state, and never change it.

Compute, then commit: a step first works out what will be and then changes the fields in
statements that call nothing, so an interrupt leaves the state before or the state after.

Not thread-safe; the shell locks. `passing` alone may be read, and a journal appended to, without.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .journal import AT_ONCE, Journal, taken
from .outcome import CLOSED, HALF_OPEN, OPEN, Override, State
from .transitions import TRANSITIONS, Event, Transition
from .window import RollingWindow

__all__ = ["Circuit", "Refusal", "Rules", "Trial"]


class Rules(NamedTuple):
    """The settings a circuit goes by, in integers: nanoseconds, and ratios as (num, den)."""

    volume_threshold: int
    error_ratio: tuple[int, int]
    slow_ratio: tuple[int, int]
    sleep_window: int
    sleep_window_max: int | None
    sleep_window_jitter: float
    half_open_calls: int
    half_open_successes: int
    bucket_width: int
    buckets: int


class Refusal(NamedTuple):
    """The circuit lets nobody pass; `retry_after` is nanoseconds, `None` where nobody knows."""

    state: State
    retry_after: int | None


class Trial:
    """
    The lease of one half-open call; its identity is the claim, so giving back is idempotent.

    It lasts as long as its call may take, and at least one sleep window.
    """

    __slots__ = ("expires", "timeout")

    def __init__(self, timeout: int) -> None:
        self.timeout = timeout
        self.expires: int  # from its admission on


# Replaced, and never changed.
_NO_TRANSITIONS: Final[dict[tuple[State, State], int]] = {}
_NO_TRIALS: Final[dict[str, int]] = {}
STATES: Final = tuple(State)
"""An Enum goes through its members ten times as slowly."""
_NO_TIME: Final[dict[State, int]] = {}


class Circuit:
    """The state machine of one dependency."""

    __slots__ = (
        "_entered",
        "_failed_trials",
        "_latest",
        "_spent",
        "_successes",
        "_trials",
        "generation",
        "journal",
        "last",
        "last_error",
        "oldest",
        "override",
        "passing",
        "retry_at",
        "rules",
        "state",
        "transitions",
        "trials",
        "window",
    )

    def __init__(self, rules: Rules, now: int) -> None:
        self.rules = rules
        self.window = RollingWindow(rules.bucket_width, rules.buckets, now)
        self.state = State.CLOSED
        self.generation = 1
        self.oldest = 1
        """Admissions of an earlier generation than this are void: they were made before a fork."""
        self.override: Override | None = None
        """What an operator has put over the live state: see `lay_over`."""
        self.journal = Journal(1)
        self.passing: Journal | None = self.journal
        """The journal while everyone passes; otherwise `None`."""
        self.retry_at = 0
        """When an open circuit lets a trial pass; 0 of one that is not open."""
        self.last: Transition | None = None
        self.last_error: str | None = None
        self.transitions: dict[tuple[State, State], int] = _NO_TRANSITIONS
        self.trials: dict[str, int] = _NO_TRIALS
        self._trials: tuple[Trial, ...] = ()
        self._successes = 0
        self._failed_trials = 0
        self._entered = now
        self._latest = now
        self._spent: dict[State, int] = _NO_TIME
        self._publish()

    # -- admission

    def ask(self, now: int) -> Refusal | None:
        """Say whether a call would be refused; changes nothing."""
        if self.state is CLOSED:
            return None
        if self.state is OPEN:
            left = self.retry_at - now
            return Refusal(OPEN, left) if left > 0 else None
        running = [trial.expires for trial in self._trials if trial.expires > now]
        if len(running) < self.rules.half_open_calls:
            return None
        return Refusal(HALF_OPEN, min(running) - now)

    def admit(self, trial: Trial, now: int) -> bool:
        """Admit a call that `ask` would not refuse; true if it is a trial and holds `trial`."""
        if self.state is CLOSED:
            return False
        if self.state is OPEN:
            why = "the sleep window is over"
            self._move(Event.ATTEMPTED, why, now, 0, self._failed_trials, self.last_error)
        else:
            self._end("expired", [held for held in self._trials if held.expires <= now])
        trial.expires = now + max(trial.timeout, self.rules.sleep_window)
        self._trials += (trial,)
        return True

    def give_back(self, trial: Trial) -> None:
        """End a trial without a verdict. A second time, or after its lease, it does nothing."""
        self._end("released", [trial])

    # -- results

    def read(self, journal: Journal, now: int, draw: float = 0.0) -> tuple[list[int], int]:
        """
        Take what a journal holds.

        Args:
            journal: Of this generation or an earlier one.
            now: The time.
            draw: A random number in [0, 1) for the jitter.

        Returns:
            All of its durations, and how many of them the window counts: as they come in order,
            the first ones. The rest is stale.
        """
        written = taken(journal)
        count = len(written)
        if journal.generation != self.generation:
            return written, 0
        if journal.until != AT_ONCE:
            self.window.calls += count
            return written, count
        # Written by those who did not see yet that the next success may open the circuit.
        for counted in range(count):
            if not self.record(journal.generation, None, now, error=None, draw=draw):
                return written, counted
        return written, count

    def record(
        self,
        generation: int,
        trial: Trial | None,
        now: int,
        *,
        error: str | None,
        slow: bool = False,
        draw: float = 0.0,
        hold: int = 0,
    ) -> bool:
        """
        Record a result; false if it is stale and changes nothing.

        Args:
            generation: Of the admission.
            trial: Of the admission, if it is one.
            now: When the result was there.
            error: What went wrong, in a few words; `None` for a success.
            slow: Whether it took `slow_call_duration` or more.
            draw: A random number in [0, 1) for the jitter.
            hold: If this opens the circuit, it stays so for at least this long.
        """
        if generation != self.generation:
            return False
        self.window.add(now, error=error is not None, slow=slow)
        if self.state is CLOSED:
            reason = self._too_many()
            if reason is None:
                self._publish()
            else:
                self._open(Event.TRIPPED, reason, error, now, draw, hold)
        elif trial is not None:
            self._judge(trial, now, error, slow=slow, draw=draw, hold=hold)
        return True

    def _publish(self) -> None:
        """Say who passes unasked, and how long their successes may be written down."""
        calls, volume = self.window.calls, self.rules.volume_threshold
        # Until the bucket ends nothing leaves the window, and what succeeds lowers the share.
        safe = self._excess(max(volume, calls)) is None
        self.journal.until = self.window.edge if safe else AT_ONCE
        # One statement without a call, so it is never out of date.
        self.passing = self.journal if self.state is CLOSED and self.override is None else None

    def _too_many(self) -> str | None:
        """Say why the window opens the circuit, if it does."""
        calls = self.window.calls
        return None if calls < self.rules.volume_threshold else self._excess(calls)

    def _excess(self, calls: int) -> str | None:
        """Say what is too much among so many calls, if anything is."""
        window, rules = self.window, self.rules
        part, whole = rules.error_ratio
        if window.errors and window.errors * whole >= part * calls:
            return f"{window.errors} of {calls} calls failed, the limit is {part * 100 / whole:g} %"
        part, whole = rules.slow_ratio
        if window.slow and window.slow * whole >= part * calls:
            limit = f"the limit is {part * 100 / whole:g} %"
            return f"{window.slow} of {calls} calls were slow, {limit}"
        return None

    def _judge(
        self, trial: Trial, now: int, error: str | None, *, slow: bool, draw: float, hold: int
    ) -> None:
        failed = error is not None or slow
        # One whose lease ran out is counted as that already.
        self._end("failure" if failed else "success", [trial])
        if failed:
            why = "a trial was slow" if error is None else "a trial failed"
            self._open(Event.RELAPSED, why, error, now, draw, hold)
            return
        self._successes += 1
        if self._successes >= self.rules.half_open_successes:
            count = self._successes
            plural = "trial" if count == 1 else "trials"
            self._close(Event.RECOVERED, f"{count} {plural} succeeded", now)

    # -- transitions

    def reset(self, now: int) -> None:
        """Close, with an empty window. Of a closed circuit only the window is emptied."""
        if self.state is CLOSED:
            self.window.clear(now)
            self._publish()
        else:
            self._close(Event.RESET, "reset", now)

    def _open(
        self, event: Event, reason: str, error: str | None, now: int, draw: float, hold: int
    ) -> None:
        rules = self.rules
        failed = self._failed_trials + (event is Event.RELAPSED)
        sleep = rules.sleep_window
        if rules.sleep_window_max is not None:
            # 64 doublings pass every limit; shifting by the count itself would grow without end.
            sleep = min(sleep << min(failed, 64), rules.sleep_window_max)
        sleep += int(sleep * rules.sleep_window_jitter * draw)
        self._move(event, reason, now, now + max(sleep, hold), failed, error)

    def _close(self, event: Event, reason: str, now: int) -> None:
        self.window.clear(now)
        self._move(event, reason, now, 0, 0, None)

    def _move(
        self,
        event: Event,
        reason: str,
        now: int,
        retry_at: int,
        failed_trials: int,
        last_error: str | None,
    ) -> None:
        old, generation = self.state, self.generation + 1
        new = TRANSITIONS.get((old, event))
        if new is None:
            return  # a step inside this one, of a signal handler, has moved it already
        last = Transition(old, new, event, reason, now)
        # Time that was shown as spent in a state stays so, though this step read the clock before.
        left = max(now, self._latest)
        transitions = {**self.transitions, (old, new): self.transitions.get((old, new), 0) + 1}
        spent = {**self._spent, old: self._spent.get(old, 0) + max(0, left - self._entered)}
        trials = self.trials
        if self._trials:
            released = trials.get("released", 0) + len(self._trials)
            trials = {**trials, "released": released}
        journal = Journal(generation)
        if self.generation != generation - 1:
            return  # as above
        (
            self.state, self.generation, self.journal, self.passing, self.retry_at, self.last,
            self.last_error, self.transitions, self._spent, self._entered, self._trials,
            self._successes, self._failed_trials, self.trials,
        ) = (
            new, generation, journal, None, retry_at, last,
            last_error, transitions, spent, left, (),
            0, failed_trials, trials,
        )  # fmt: skip
        self._publish()

    # -- from outside

    def lay_over(self, override: Override | None) -> None:
        """Put an override over the live state, or take it off."""
        self.passing = None  # an interrupt in between leaves a circuit that everyone asks
        self.override = override
        self._publish()

    @property
    def trials_running(self) -> int:
        """How many trials have not been settled, expired ones included."""
        return len(self._trials)

    def configure(self, rules: Rules, now: int) -> None:
        """
        Go by other rules; the state stays, the window only if its shape does.

        The journal is to be read before, by the rules that it was written under.
        """
        shape = rules.bucket_width, rules.buckets
        if shape != (self.window.width, self.window.size):
            self.window = RollingWindow(*shape, now)
        self.rules = rules
        self._publish()

    def look(self, now: int) -> RollingWindow:
        """Return the window as it is at `now`."""
        self.window.advance(now)
        self._publish()
        return self.window

    def spent(self, now: int) -> dict[State, int]:
        """Nanoseconds spent in each state so far."""
        self._latest = max(now, self._latest)
        spent = {state: self._spent.get(state, 0) for state in STATES}
        spent[self.state] += max(0, self._latest - self._entered)
        return spent

    def forked(self, now: int) -> None:
        """Begin anew in a child process: state and window stay, claims and totals do not."""
        self._trials = ()
        self._successes = 0
        self.trials = _NO_TRIALS
        self.transitions = _NO_TRANSITIONS
        self._spent = _NO_TIME
        self._entered = self._latest = now
        self.generation += 1
        self.oldest = self.generation
        self.journal = Journal(self.generation)
        self._publish()

    def _end(self, outcome: str, ended: list[Trial]) -> None:
        """End those trials that hold a lease, and count how they did."""
        kept = tuple(held for held in self._trials if held not in ended)
        if len(kept) < len(self._trials):
            count = self.trials.get(outcome, 0) + len(self._trials) - len(kept)
            self.trials, self._trials = {**self.trials, outcome: count}, kept
