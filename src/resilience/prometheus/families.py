"""
The metrics: their names, types and labels, and what of a snapshot each of them shows.

The collector and the writer of several processes read the same table, so both show the same names
and the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from math import inf
from typing import Any, Final

import attrs
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType] - untyped

from resilience import Latency, Outcome, Override, Settings, Snapshot, State, Window
from resilience._core.transitions import TRANSITIONS
from resilience.settings import FIELDS

__all__ = [
    "CATALOGUE",
    "COUNTER",
    "GAUGE",
    "HISTOGRAM",
    "MAX",
    "SUM",
    "Family",
    "Series",
    "bound",
    "bounds",
    "plain",
]

COUNTER: Final = CounterMetricFamily
GAUGE: Final = GaugeMetricFamily
HISTOGRAM: Final = HistogramMetricFamily

SUM: Final = "livesum"
MAX: Final = "livemax"
"""How a gauge of several processes is merged; both forget a process that has died."""

EXECUTED: Final = (
    Outcome.SUCCESS,
    Outcome.FAILURE,
    Outcome.TIMEOUT,
    Outcome.EXPIRED,
    Outcome.IGNORED,
    Outcome.CANCELLED,
)
"""What becomes of calls that were executed, and so took some time."""

EDGES: Final = tuple(dict.fromkeys((old, new) for (old, _), new in TRANSITIONS.items()))
"""Each pair of states that the circuit's table leads from and to."""

NONE_IS: Final = {
    "half_open_successes": "half_open_calls",
    "sleep_window_max": "sleep_window",
    "max_wait": "timeout",
}
"""Settings whose `None` stands for another setting; that of any other means no limit."""

SETTINGS: Final = tuple(name for name in FIELDS if name != "latency_buckets")
"""The settings that are numbers."""

Series = Iterable[tuple[tuple[str, ...], Any]]
"""Series of one name: their other label values, and a number or, of a histogram, a `Latency`."""


@attrs.frozen
class Family:
    """
    One metric.

    Attributes:
        name: What it is called.
        kind: Its type.
        labels: Its labels beside `name`.
        help: What it tells, in a sentence.
        part: Which part of a snapshot it shows: as long as that is the same, so are its series.
        series: How that part gives them.
        mode: How a gauge of several processes is merged.
    """

    name: str
    kind: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]
    labels: tuple[str, ...]
    help: str
    part: Callable[[Snapshot], Any]
    series: Callable[[Any], Series]
    mode: str = ""

    @property
    def unit(self) -> str:
        """Seconds or nothing."""
        return "seconds" if self.name.removesuffix("_total").endswith("_seconds") else ""

    def of(self, snapshot: Snapshot) -> Series:
        """Return the series of one name."""
        return self.series(self.part(snapshot))


def plain(name: str) -> str:
    """Return a name as a label can show it; the registry has no others, unless it was fooled."""
    # str's own methods: a subclass may say anything of itself.
    if str.isprintable(name):
        return str.__str__(name)
    return str.encode(name, "unicode_escape").decode("ascii")


def bounds(latency: Latency) -> list[str]:
    """Return the bounds of a histogram as labels."""
    return [bound(limit) for limit in chain(latency.bounds, (inf,))]


def bound(limit: float) -> str:
    """Return a bound as prometheus_client writes it: it does so itself when it adds up files."""
    text: str = floatToGoString(limit)  # type: ignore[no-untyped-call]
    return text


def _one(value: float) -> Series:
    return [((), float(value))]


def _each(values: Mapping[Any, float]) -> Series:
    return [((str(key),), float(value)) for key, value in values.items()]


def _state(present: State) -> Series:
    return _each({state: state == present for state in State})


def _override(present: Override | None) -> Series:
    return _each({override: override == present for override in Override})


def _transitions(seen: Mapping[tuple[State, State], int]) -> Series:
    return [((old.value, new.value), float(seen.get((old, new), 0))) for old, new in EDGES]


def _durations(part: tuple[tuple[float, ...], Mapping[Outcome, Latency]]) -> Series:
    limits, seen = part
    empty = Latency(bounds=limits, counts=(0,) * (len(limits) + 1), sum=0.0)
    return [((outcome.value,), seen.get(outcome, empty)) for outcome in EXECUTED]


def _error_ratio(window: Window) -> Series:
    return _one(window.failures / window.calls if window.calls else 0.0)


def _limit(limit: int | None) -> Series:
    return _one(inf if limit is None else limit)


def _settings(settings: Settings) -> Series:
    for name in SETTINGS:
        value = getattr(settings, name)
        if value is None and name in NONE_IS:
            value = getattr(settings, NONE_IS[name])
        yield (name,), inf if value is None else float(value)


CATALOGUE: Final = (
    Family("resilience_calls_total", COUNTER, ("outcome",),
           "Calls, each counted once by what became of it.",
           lambda s: s.totals, _each),
    Family("resilience_call_duration_seconds", HISTOGRAM, ("outcome",),
           "How long executed calls took.",
           lambda s: (s.settings.latency_buckets, s.latency), _durations),
    Family("resilience_slow_calls_total", COUNTER, (),
           "Executed calls that took slow_call_duration or more.",
           lambda s: s.slow, _one),
    Family("resilience_stale_results_total", COUNTER, (),
           "Results that came after the circuit had moved on, and moved nothing.",
           lambda s: s.stale, _one),
    Family("resilience_circuit_state", GAUGE, ("state",),
           "1 for the state the circuit is in, whatever override lies over it.",
           lambda s: s.state, _state, SUM),
    Family("resilience_circuit_override", GAUGE, ("override",),
           "1 for the override an operator has put over the circuit.",
           lambda s: s.override, _override, SUM),
    Family("resilience_circuit_transitions_total", COUNTER, ("from", "to"),
           "Changes of the circuit's state.",
           lambda s: s.transitions, _transitions),
    Family("resilience_circuit_state_seconds_total", COUNTER, ("state",),
           "Time the circuit has spent in each state.",
           lambda s: s.state_seconds, _each),
    Family("resilience_trials_total", COUNTER, ("outcome",),
           "Half-open trial calls by how they ended.",
           lambda s: s.trials, _each),
    Family("resilience_shadowed_total", COUNTER, ("reason",),
           "Calls that would have been refused, had the circuit not been in shadow mode.",
           lambda s: s.shadowed, _each),
    Family("resilience_window_calls", GAUGE, (),
           "Calls in the rolling window that the circuit decides by.",
           lambda s: s.window.calls, _one, SUM),
    Family("resilience_window_error_ratio", GAUGE, (),
           "Share of errors among the calls in the rolling window, 0 to 1.",
           lambda s: s.window, _error_ratio, MAX),
    Family("resilience_in_flight", GAUGE, (),
           "Slots of the bulkhead that are held, by abandoned calls too.",
           lambda s: s.in_flight, _one, SUM),
    Family("resilience_waiting", GAUGE, (),
           "Callers that wait for a slot.",
           lambda s: s.waiting, _one, SUM),
    Family("resilience_abandoned", GAUGE, (),
           "Threads that still run calls nobody waits for any more.",
           lambda s: s.abandoned, _one, SUM),
    Family("resilience_max_concurrency", GAUGE, (),
           "Slots of the bulkhead; +Inf is no limit.",
           lambda s: s.max_concurrency, _limit, SUM),
    Family("resilience_fallbacks_total", COUNTER, ("outcome",),
           "Fallbacks by how they ended.",
           lambda s: s.fallbacks, _each),
    Family("resilience_setting", GAUGE, ("setting",),
           "The settings in force; +Inf is no limit.",
           lambda s: s.settings, _settings, MAX),
)  # fmt: skip
"""The metrics, in the order in which they are exposed."""
