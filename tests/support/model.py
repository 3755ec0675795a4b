"""
Reference models: what the machines are to do, put as plainly as can be.

A model keeps a log of everything that happened and answers each question by reading all of it. It
shares no code and no idea with what it is compared to: there are no buckets, no running sums, no
tables of transitions, and states are plain words.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resilience._core.circuit import Rules, Trial

Sums = tuple[int, int, int]


class WindowModel:
    """
    The log of every call: when, and which of them were errors or slow.

    The window is what of it lies in the last `size` buckets: `floor(at / width)` of its calls lies
    in `(floor(latest / width) - size, floor(latest / width)]`. The log is in order of time, so it
    is read from its end.
    """

    def __init__(self, width: int, size: int, now: int) -> None:
        self.width = width
        self.size = size
        self.clear(now)

    def clear(self, now: int) -> None:
        self.calls: list[int] = []
        self.errors: list[int] = []
        self.slow: list[int] = []
        self.latest = now

    def show(self, now: int) -> None:
        """The window's time is the latest it has seen."""
        self.latest = max(self.latest, now)

    def add(self, now: int, *, error: bool, slow: bool) -> None:
        self.show(now)
        self.calls.append(self.latest)
        if error:
            self.errors.append(self.latest)
        if slow:
            self.slow.append(self.latest)

    @property
    def sums(self) -> Sums:
        """Calls, errors and slow calls."""
        first = (self.latest // self.width - self.size + 1) * self.width
        return since(self.calls, first), since(self.errors, first), since(self.slow, first)


def since(log: list[int], first: int) -> int:
    """Count what is not before `first`, in a log in order of time."""
    return len(log) - bisect_left(log, first)


class CircuitModel:
    """A circuit that remembers every transition and every trial."""

    def __init__(self, rules: Rules, now: int) -> None:
        self.rules = rules
        self.window = WindowModel(rules.bucket_width, rules.buckets, now)
        self.state = "closed"
        self.generation = 1
        self.override: str | None = None
        self.retry_at = 0
        self.last_error: str | None = None
        self.moves: list[tuple[str, str]] = []
        self.stays: list[tuple[str, int]] = []
        self.entered = self.seen = now
        self.leases: dict[Trial, int] = {}
        self.ended: list[str] = []
        self.successes = 0
        self.failed_in_a_row = 0

    # -- admission

    def ask(self, now: int) -> tuple[str, int] | None:
        """The state that refuses and for how long, or `None`."""
        if self.state == "open" and now < self.retry_at:
            return "open", self.retry_at - now
        if self.state == "half_open":
            unexpired = [expires for expires in self.leases.values() if now < expires]
            if len(unexpired) >= self.rules.half_open_calls:
                return "half_open", min(unexpired) - now
        return None

    def admit(self, trial: Trial, timeout: int, now: int) -> bool:
        """Whether the call is a trial."""
        if self.state == "closed":
            return False
        if self.state == "open":
            self._move("half_open", now, self.retry_at, self.last_error)
        for held, expires in list(self.leases.items()):
            if expires <= now:
                self._end(held, "expired")
        self.leases[trial] = now + max(timeout, self.rules.sleep_window)
        return True

    def give_back(self, trial: Trial) -> None:
        self._end(trial, "released")

    # -- results

    def read(self, generation: int, written: list[int], draw: float = 0.0) -> int:
        """Record successes that were written to a journal; returns how many are not stale."""
        return sum(self.record(generation, None, now, error=None, draw=draw) for now in written)

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
        if generation != self.generation:
            return False
        self.window.add(now, error=error is not None, slow=slow)
        if self.state == "closed" and self._too_many():
            self._open(now, error, draw, hold)
        elif self.state == "half_open" and trial is not None:
            if error is not None or slow:
                self._end(trial, "failure")
                self.failed_in_a_row += 1
                self._open(now, error, draw, hold)
            else:
                self._end(trial, "success")
                self.successes += 1
                if self.successes >= self.rules.half_open_successes:
                    self._close(now)
        return True

    def _too_many(self) -> bool:
        calls, errors, slow = self.window.sums
        return calls >= self.rules.volume_threshold and bool(
            (errors and Fraction(errors, calls) >= Fraction(*self.rules.error_ratio))
            or (slow and Fraction(slow, calls) >= Fraction(*self.rules.slow_ratio))
        )

    def _end(self, trial: Trial, how: str) -> None:
        if self.leases.pop(trial, None) is not None:
            self.ended.append(how)

    # -- transitions

    def _open(self, now: int, error: str | None, draw: float, hold: int) -> None:
        sleep = self.rules.sleep_window
        if self.rules.sleep_window_max is not None:
            for _ in range(self.failed_in_a_row):
                sleep = min(2 * sleep, self.rules.sleep_window_max)
        if draw:
            sleep += math.floor(sleep * Fraction(self.rules.sleep_window_jitter) * Fraction(draw))
        self._move("open", now, now + max(sleep, hold), error)

    def _close(self, now: int) -> None:
        self.window.clear(now)
        self.failed_in_a_row = 0
        self._move("closed", now, 0, None)

    def _move(self, new: str, now: int, retry_at: int, last_error: str | None) -> None:
        for trial in list(self.leases):
            self._end(trial, "released")
        self.moves.append((self.state, new))
        left = max(now, self.seen)
        self.stays.append((self.state, max(0, left - self.entered)))
        self.state = new
        self.generation += 1
        self.entered = left
        self.retry_at = retry_at
        self.last_error = last_error
        self.successes = 0

    # -- from outside

    @property
    def open_to_all(self) -> bool:
        """Whether everyone passes unasked."""
        return self.state == "closed" and self.override is None

    def reset(self, now: int) -> None:
        if self.state == "closed":
            self.window.clear(now)
        else:
            self._close(now)

    def configure(self, rules: Rules, now: int) -> None:
        if (rules.bucket_width, rules.buckets) != (self.window.width, self.window.size):
            self.window = WindowModel(rules.bucket_width, rules.buckets, now)
        self.rules = rules

    def forked(self, now: int) -> None:
        self.leases = {}
        self.ended = []
        self.moves = []
        self.stays = []
        self.successes = 0
        self.entered = self.seen = now
        self.generation += 1

    def spent(self, now: int) -> dict[str, int]:
        """Nanoseconds in each state; what was shown once is not taken back."""
        self.seen = max(self.seen, now)
        stays = [*self.stays, (self.state, max(0, self.seen - self.entered))]
        return {
            state: sum(length for stay, length in stays if stay == state)
            for state in ("closed", "open", "half_open")
        }
