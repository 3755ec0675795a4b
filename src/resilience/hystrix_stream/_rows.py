"""
The rows of the live page: what an operator asks first, for each name, and who needs looking at.

A row holds no age and no time to come, only instants on the registry's clock, so that the row of a
name to which nothing happens stays the same and need not be sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from resilience._core.outcome import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilience._snapshot import Snapshot
    from resilience.hystrix_stream._rolling import Rolling

__all__ = ["COLUMNS", "row", "trouble"]

COLUMNS: Final = (
    "name",
    "trouble",
    "state",
    "override",
    "calls",
    "error_percent",
    "opens_at",
    "window",
    "rate",
    "answered",
    "failed",
    "refused",
    "fallbacks",
    "p50",
    "p90",
    "p99",
    "in_flight",
    "limit",
    "waiting",
    "abandoned",
    "moved_from",
    "moved_at",
    "reason",
    "retry_at",
    "last_error",
)
"""What the values of a row are, in their order."""

REFUSED: Final = (Outcome.SHORT_CIRCUITED.place, Outcome.BULKHEAD_FULL.place, Outcome.EXPIRED.place)
FAILED: Final = (Outcome.FAILURE.place, Outcome.TIMEOUT.place)
MEDIAN, NINETIETH, NINETY_NINTH = 2, 4, 6
"""The places of percentiles among those of Hystrix."""

OPEN, HALF_OPEN, FULL, FAILING, OVERRIDDEN, CALM = 5, 4, 3, 2, 1, 0
"""The levels of trouble."""

STEPS: Final = 11
"""How finely the share of errors orders the names of one level: so coarsely that it rests."""


def trouble(snapshot: Snapshot) -> int:
    """Return a number that is the larger the sooner somebody should look: `level * STEPS + …`."""
    limit = snapshot.max_concurrency
    if snapshot.state is State.OPEN or snapshot.override == "open":
        level = OPEN
    elif snapshot.state is State.HALF_OPEN:
        level = HALF_OPEN
    elif (limit is not None and snapshot.in_flight >= limit) or snapshot.abandoned:
        level = FULL
    elif snapshot.window.failures:
        level = FAILING
    else:
        level = CALM if snapshot.override is None else OVERRIDDEN
    return level * STEPS + int(snapshot.window.error_percent * (STEPS - 1) / 100)


def row(name: str, snapshot: Snapshot, rolling: Rolling) -> list[Any]:
    """Return the values of `COLUMNS`: numbers, texts and nulls, times in milliseconds."""
    settings, span, rates = snapshot.settings, rolling.span, rolling.rates
    failed, refused = _sum(rates, FAILED), _sum(rates, REFUSED)
    calls = sum(rolling.outcomes)
    return [
        name,
        trouble(snapshot),
        snapshot.state.value,
        None if snapshot.override is None else snapshot.override.value,
        snapshot.window.calls,
        round(snapshot.window.error_percent, 1),
        float(settings.error_percent),
        settings.rolling_window,
        round(calls / span, 1) if span else None,
        round(sum(rates) - failed - refused, 1),
        round(failed, 1),
        round(refused, 1),
        round(sum(rolling.fallbacks) / span, 1) if span else 0.0,
        *(
            round(1000 * rolling.durations[place], 1) if rolling.executed else None
            for place in (MEDIAN, NINETIETH, NINETY_NINTH)
        ),
        snapshot.in_flight,
        snapshot.max_concurrency,
        snapshot.waiting,
        snapshot.abandoned,
        None if snapshot.moved_from is None else snapshot.moved_from.value,
        None if snapshot.moved_at is None else round(snapshot.moved_at, 2),
        snapshot.reason,
        None if snapshot.retry_after is None else round(snapshot.at + snapshot.retry_after, 2),
        snapshot.last_error,
    ]


def _sum(rates: Sequence[float], places: tuple[int, ...]) -> float:
    return sum([rates[place] for place in places])
