"""
Tally: what became of the calls, since the beginning.

Rules:

- Every call counts exactly one outcome, so their sum is the number of calls made.
- A histogram is kept for each outcome of calls that were executed; it counts a duration in the
  first bucket whose bound is not below it, and the rest in one more.
- Integers only: a sum of nanoseconds loses nothing and cannot be poisoned.

Not thread-safe; the shell locks.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from .outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["FALLBACKS", "Histogram", "Tally"]

SUCCESS: Final = Outcome.SUCCESS
OUTCOMES: Final = tuple(Outcome)
"""An Enum goes through its members ten times as slowly."""
FALLBACK_ENDS: Final = ("success", "failure", "rejected")
FALLBACKS: Final = {end: len(Outcome) + place for place, end in enumerate(FALLBACK_ENDS)}
"""The places of fallbacks in notes, beside those of outcomes."""


class Histogram:
    """Durations in nanoseconds, by bucket."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def add(self, duration: int) -> None:
        """Count one duration."""
        self.add_all((duration,))

    def add_all(self, durations: Collection[int]) -> None:
        """Count durations."""
        bounds, counts = self.bounds, self.counts
        for duration in durations:
            counts[bisect_left(bounds, duration)] += 1
        self.total += sum(durations)


# Replaced, and never changed.
_NO_LATENCY: Final[dict[Outcome, Histogram]] = {}
_NO_COUNTS: Final[dict[str, int]] = {}


class Tally:
    """Counts per outcome, slow and stale results, fallbacks, and the durations of calls."""

    __slots__ = (
        "_counts",
        "bounds",
        "latency",
        "shadowed",
        "slow",
        "stale",
    )

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.clear()

    def clear(self) -> None:
        """Begin anew, as a forked child does."""
        self._counts = [0] * (len(Outcome) + len(FALLBACK_ENDS))
        self.latency = _NO_LATENCY
        self.shadowed = _NO_COUNTS
        self.slow = 0
        self.stale = 0

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many calls ended with each outcome."""
        return dict(zip(OUTCOMES, self._counts, strict=False))

    @property
    def fallbacks(self) -> dict[str, int]:
        """How many fallbacks ended in which way."""
        return dict(zip(FALLBACK_ENDS, self._counts[len(OUTCOMES) :], strict=True))

    def rebound(self, bounds: tuple[int, ...]) -> None:
        """Go by other bounds: durations counted so far do not fit them and are dropped."""
        if bounds != self.bounds:
            self.bounds = bounds
            self.latency = _NO_LATENCY

    def count_successes(self, durations: list[int]) -> None:
        """Count calls that succeeded; a duration below 0 is not kept."""
        self._counts[SUCCESS.place] += len(durations)
        known = [duration for duration in durations if duration >= 0]
        if known:
            self._histogram(SUCCESS).add_all(known)

    def count(self, outcome: Outcome, duration: int | None = None) -> None:
        """Count one call; `duration` if it was executed and is to be in the histogram."""
        self._counts[outcome.place] += 1
        if duration is not None:
            self._histogram(outcome).add(duration)

    def count_notes(self, notes: list[int] | tuple[()]) -> None:
        """Count what was written down by its place, and take it off the list."""
        if isinstance(notes, tuple):
            return
        counts = self._counts
        for _ in range(len(notes)):
            try:
                counts[notes.pop()] += 1
            except IndexError:  # a step inside this one has counted the rest
                return

    def count_shadowed(self, outcome: Outcome) -> None:
        """Count a refusal that was not carried out."""
        self.shadowed = {**self.shadowed, outcome: self.shadowed.get(outcome, 0) + 1}

    def _histogram(self, outcome: Outcome) -> Histogram:
        histogram = self.latency.get(outcome)
        if histogram is None:
            histogram = Histogram(self.bounds)
            self.latency = {**self.latency, outcome: histogram}
        return histogram
