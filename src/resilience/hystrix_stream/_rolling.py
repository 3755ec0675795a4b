"""
Rolling counts: what became of the calls within one rolling window, from totals read now and then.

The library counts since the beginning. A `Past` keeps the totals of one name as they were at some
instants, so that what happened lately is a difference. Rules:

- It reaches back over `rolling_window`, by at most `MARKS` instants, however long that is.
- It begins with the first look, and anew after a long time without one: what happened before
  cannot be told apart.
- Totals that went back (a name created anew, a forked child) or whose buckets changed begin anew.
- Durations are known by their histogram alone, so a percentile is somewhere in its bucket: in
  proportion to the calls below it. The mean is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from operator import ge, sub
from typing import TYPE_CHECKING, Final, NamedTuple, final

from resilience._core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilience._snapshot import Snapshot

__all__ = ["MARKS", "PERCENTILES", "Past", "Rolling", "percentiles"]

MARKS: Final = 60
"""Instants that are kept of a window; between two of them at least that part of it passes."""

PAUSE: Final = 5.0
"""Seconds nobody may have looked for, besides half a window, and the past is still of use."""

PERCENTILES: Final = (0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 100.0)
"""Those of Hystrix."""

OUTCOMES: Final = len(Outcome)
COUNTS: Final = OUTCOMES + 3
"""Totals before those of the histogram: one for each outcome, three for the fallbacks."""


class Rolling(NamedTuple):
    """
    What happened within the rolling window.

    Attributes:
        span: Seconds that it really covers; 0 at the first look.
        outcomes: Calls by outcome, by its place.
        fallbacks: Fallbacks that succeeded, failed, were rejected.
        executed: Calls that were executed and timed.
        mean: Seconds they took on average.
        durations: The seconds of each of `PERCENTILES`.
        most_in_flight: The most slots that were held at once, as far as anybody looked.
        rates: Calls a second by outcome, by its place, since the last look.
    """

    span: float
    outcomes: tuple[int, ...]
    fallbacks: tuple[int, ...]
    executed: int
    mean: float
    durations: tuple[float, ...]
    most_in_flight: int
    rates: tuple[float, ...]

    def of(self, outcome: Outcome) -> int:
        """Return the calls of one outcome."""
        return self.outcomes[outcome.place]


NOTHING: Final = (0.0,) * len(PERCENTILES)
NO_RATES: Final = (0.0,) * OUTCOMES


class Mark:
    """The totals of one name at one instant."""

    __slots__ = ("at", "bounds", "counts", "in_flight", "seconds")

    def __init__(self, snapshot: Snapshot) -> None:
        latencies = tuple(snapshot.latency.values())
        buckets = (latency.counts for latency in latencies)
        self.at = snapshot.at
        self.bounds = snapshot.settings.latency_buckets
        self.counts = (
            *snapshot.totals.values(),
            *snapshot.fallbacks.values(),
            *(latencies[0].counts if len(latencies) == 1 else map(sum, zip(*buckets, strict=True))),
        )
        self.seconds = sum(latency.sum for latency in latencies)
        self.in_flight = snapshot.in_flight

    def follows(self, other: Mark) -> bool:
        """Whether nothing began anew since another one."""
        return self.bounds == other.bounds and all(map(ge, self.counts, other.counts))


@final
class Past:
    """The totals of one name as they were at some instants of its rolling window."""

    __slots__ = ("_latest", "_marks", "_rolling")

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque()
        self._latest: Mark | None = None
        self._rolling: Rolling | None = None

    def look(self, snapshot: Snapshot) -> Rolling:
        """Take a snapshot in, and return what happened within its window."""
        now, last, marks = Mark(snapshot), self._latest, self._marks
        if last is None or not now.follows(last):
            marks.clear()
            last = now
        self._latest = now
        window = snapshot.settings.rolling_window
        first = marks[0] if marks else None
        # The first is the newest that is no younger than the window; it may be a little older.
        while len(marks) > 1 and marks[1].at <= now.at - window:
            marks.popleft()
        while marks and marks[0].at < now.at - 1.5 * window - PAUSE:
            marks.popleft()
        if not marks or now.at - marks[-1].at >= window / MARKS:
            marks.append(now)
        else:
            marks[-1].in_flight = max(marks[-1].in_flight, now.in_flight)
        most = max([mark.in_flight for mark in marks])
        if self._rolling is not None and now.counts == last.counts and marks[0] is first:
            # Most names are idle most of the time: all is as it was, but for the time.
            span = now.at - marks[0].at
            rolling = self._rolling._replace(span=span, most_in_flight=most, rates=NO_RATES)
        else:
            rolling = _between(marks[0], last, now, most)
        self._rolling = rolling
        return rolling


def _between(old: Mark, last: Mark, new: Mark, most_in_flight: int) -> Rolling:
    counts = tuple(map(sub, new.counts, old.counts))
    # What had no histogram yet had nothing in it.
    buckets = counts[COUNTS:] or new.counts[COUNTS:]
    executed = sum(buckets)
    since = new.at - last.at
    fresh = map(sub, new.counts[:OUTCOMES], last.counts)
    return Rolling(
        new.at - old.at,
        counts[:OUTCOMES],
        counts[OUTCOMES:COUNTS],
        executed,
        (new.seconds - old.seconds) / executed if executed else 0.0,
        percentiles(buckets, new.bounds) if executed else NOTHING,
        most_in_flight,
        tuple([count / since if count else 0.0 for count in fresh]) if since > 0 else NO_RATES,
    )


def percentiles(counts: Sequence[int], bounds: Sequence[float]) -> tuple[float, ...]:
    """
    Return the seconds of each of `PERCENTILES` of a histogram that is not empty.

    Args:
        counts: Calls in each bucket, and those beyond the last bound.
        bounds: The upper bounds of the buckets. What is beyond the last counts as just there.
    """
    sums = tuple(accumulate(counts))
    edges = (0.0, *bounds, bounds[-1])
    place = 0
    while not counts[place]:
        place += 1
    found = [edges[place]]
    total = sums[-1]
    reached, low = sums[place], edges[place]
    width = (edges[place + 1] - low) / counts[place]
    for share in PERCENTILES[1:]:
        rank = total * share / 100
        if rank > reached:
            place = bisect_left(sums, rank, place)
            reached, low = sums[place], edges[place]
            width = (edges[place + 1] - low) / counts[place]
        found.append(low + width * (rank - reached + counts[place]))
    return tuple(found)
