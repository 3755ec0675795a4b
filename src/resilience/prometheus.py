"""
Prometheus: every name of a registry as metrics, read at the moment of a scrape.

Register a collector once, with whatever registry of prometheus_client your program exposes; a call
is not slowed by it, for the numbers are counted anyway and only read here:

    >>> from prometheus_client import CollectorRegistry
    >>> from resilience import Registry
    >>> from resilience.prometheus import ResilienceCollector
    >>> registry = Registry()
    >>> metrics = CollectorRegistry()
    >>> metrics.register(ResilienceCollector(registry))
    >>> registry.command("users").call(len, "abc")
    3
    >>> metrics.get_sample_value("resilience_calls_total", {"name": "users", "outcome": "success"})
    1.0

In a program it is `prometheus_client.REGISTRY.register(ResilienceCollector())`, for the commands
of `default_registry`. The metrics are the rows of `CATALOGUE`. What holds for all of them:

- `name` is the name of the command; what has no name is not exported. Every series of a name is
  there from its creation, at zero, and leaves with it. A name that is created anew, or whose
  `latency_buckets` change, begins at zero; to Prometheus that is a counter reset.
- Times are seconds and ratios 0 to 1, an empty window being 0. No limit is `+Inf`.
- The outcomes of `resilience_calls_total` add up to the calls made. Durations are those of calls
  that were executed. A breaker or a bulkhead alone times nothing unless it judges slow calls: its
  histograms stay empty.
- `resilience_setting` has every setting but `latency_buckets`, those of parts that a name does
  not use included; flags are 0 or 1. Where `None` stands for another setting, that one's value is
  shown: `half_open_calls` for `half_open_successes`, `sleep_window` for `sleep_window_max`,
  `timeout` for `max_wait`. Elsewhere it means no limit. A `timeout` of several commands of one
  name is the one that was declared last.
- One name has about 160 series, two thirds of them histogram. Bound the names that come from
  outside by `Registry.keyed`.
- Each process shows its own numbers. prometheus_client's multiprocess mode leaves out collectors
  like this one: scrape each worker for itself.

Counters and histograms add up over instances, so aggregate by `sum` of rates. States, ratios and
limits are each instance's own: look at their `max`, or count them.

    share of failed calls     sum by (name) (rate(resilience_calls_total{outcome=~"failure|timeout"}[5m]))
                              / sum by (name) (rate(resilience_calls_total[5m]))
    99th percentile           histogram_quantile(0.99, sum by (name, le) (
                              rate(resilience_call_duration_seconds_bucket[5m])))
    instances with it open    sum by (name) (resilience_circuit_state{state="open"})
    share of time open        rate(resilience_circuit_state_seconds_total{state="open"}[1h])
    use of the bulkhead       max by (name) (resilience_in_flight / resilience_max_concurrency)
"""  # noqa: E501 - a query is copied as one line

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from math import inf
from typing import Any, Final, final

import attrs

from resilience import Latency, Outcome, Override, Registry, Snapshot, State, default_registry
from resilience._core.transitions import TRANSITIONS
from resilience._units import show
from resilience.errors import ConfigurationError
from resilience.settings import FIELDS

try:
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "resilience.prometheus needs prometheus_client: install python-resilience[prometheus]",
        name=error.name,
        path=error.path,
    ) from error

__all__ = ["ResilienceCollector"]

COUNTER: Final = CounterMetricFamily
GAUGE: Final = GaugeMetricFamily
HISTOGRAM: Final = HistogramMetricFamily

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

Series = tuple[tuple[str, ...], tuple[Any, ...]]
"""One series: its label values beside the name, and what its family's `add_metric` takes."""


def _one(value: float) -> Iterable[Series]:
    return [((), (float(value),))]


def _each(values: Mapping[Any, float]) -> Iterable[Series]:
    return [((str(key),), (float(value),)) for key, value in values.items()]


def _which(kinds: Iterable[str], present: str | None) -> Iterable[Series]:
    return _each({kind: kind == present for kind in kinds})


def _transitions(snapshot: Snapshot) -> Iterable[Series]:
    seen = snapshot.transitions
    return [((old.value, new.value), (float(seen.get((old, new), 0)),)) for old, new in EDGES]


def _durations(snapshot: Snapshot) -> Iterable[Series]:
    bounds = snapshot.settings.latency_buckets
    empty = Latency(bounds=bounds, counts=(0,) * (len(bounds) + 1), sum=0.0)
    texts = [*map(repr, bounds), "+Inf"]
    for outcome in EXECUTED:
        latency = snapshot.latency.get(outcome, empty)
        buckets = list(zip(texts, accumulate(latency.counts), strict=True))
        yield (outcome.value,), (buckets, latency.sum)


def _settings(snapshot: Snapshot) -> Iterable[Series]:
    settings = snapshot.settings
    for name in SETTINGS:
        value = getattr(settings, name)
        if value is None and name in NONE_IS:
            value = getattr(settings, NONE_IS[name])
        yield (name,), (inf if value is None else float(value),)


def _limit(snapshot: Snapshot) -> float:
    limit = snapshot.max_concurrency
    return inf if limit is None else limit


def _error_ratio(snapshot: Snapshot) -> float:
    window = snapshot.window
    return window.failures / window.calls if window.calls else 0.0


@attrs.frozen
class Family:
    """One metric: its name, type and labels beside `name`, and how a snapshot gives its series."""

    name: str
    kind: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]
    labels: tuple[str, ...]
    help: str
    read: Callable[[Snapshot], Iterable[Series]]

    def of(self, snapshots: Mapping[str, Snapshot]) -> Metric:
        """Return it with the series of all names."""
        unit = "seconds" if self.name.removesuffix("_total").endswith("_seconds") else ""
        family = self.kind(self.name, self.help, labels=("name", *self.labels), unit=unit)
        for name, snapshot in snapshots.items():
            for labels, values in self.read(snapshot):
                family.add_metric((name, *labels), *values)
        return family


CATALOGUE: Final = (
    Family("resilience_calls_total", COUNTER, ("outcome",),
           "Calls, each counted once by what became of it.",
           lambda s: _each(s.totals)),
    Family("resilience_call_duration_seconds", HISTOGRAM, ("outcome",),
           "How long executed calls took.",
           _durations),
    Family("resilience_slow_calls_total", COUNTER, (),
           "Executed calls that took slow_call_duration or more.",
           lambda s: _one(s.slow)),
    Family("resilience_stale_results_total", COUNTER, (),
           "Results that came after the circuit had moved on, and moved nothing.",
           lambda s: _one(s.stale)),
    Family("resilience_circuit_state", GAUGE, ("state",),
           "1 for the state the circuit is in, whatever override lies over it.",
           lambda s: _which(State, s.state)),
    Family("resilience_circuit_override", GAUGE, ("override",),
           "1 for the override an operator has put over the circuit.",
           lambda s: _which(Override, s.override)),
    Family("resilience_circuit_transitions_total", COUNTER, ("from", "to"),
           "Changes of the circuit's state.",
           _transitions),
    Family("resilience_circuit_state_seconds_total", COUNTER, ("state",),
           "Time the circuit has spent in each state.",
           lambda s: _each(s.state_seconds)),
    Family("resilience_trials_total", COUNTER, ("outcome",),
           "Half-open trial calls by how they ended.",
           lambda s: _each(s.trials)),
    Family("resilience_shadowed_total", COUNTER, ("reason",),
           "Calls that would have been refused, had the circuit not been in shadow mode.",
           lambda s: _each(s.shadowed)),
    Family("resilience_window_calls", GAUGE, (),
           "Calls in the rolling window that the circuit decides by.",
           lambda s: _one(s.window.calls)),
    Family("resilience_window_error_ratio", GAUGE, (),
           "Share of errors among the calls in the rolling window, 0 to 1.",
           lambda s: _one(_error_ratio(s))),
    Family("resilience_in_flight", GAUGE, (),
           "Slots of the bulkhead that are held, by abandoned calls too.",
           lambda s: _one(s.in_flight)),
    Family("resilience_waiting", GAUGE, (),
           "Callers that wait for a slot.",
           lambda s: _one(s.waiting)),
    Family("resilience_abandoned", GAUGE, (),
           "Threads that still run calls nobody waits for any more.",
           lambda s: _one(s.abandoned)),
    Family("resilience_max_concurrency", GAUGE, (),
           "Slots of the bulkhead; +Inf is no limit.",
           lambda s: _one(_limit(s))),
    Family("resilience_fallbacks_total", COUNTER, ("outcome",),
           "Fallbacks by how they ended.",
           lambda s: _each(s.fallbacks)),
    Family("resilience_setting", GAUGE, ("setting",),
           "The settings in force; +Inf is no limit.",
           _settings),
)  # fmt: skip
"""The metrics, in the order in which they are exposed."""


@final
class ResilienceCollector(Collector):
    """
    All names of a registry as metrics, for any registry of prometheus_client.

    It may be registered with several of them; a second one in the same is prometheus_client's
    error.

    Args:
        registry: Whose names are exported: a `resilience.Registry`.

    Raises:
        ConfigurationError: `registry` is something else.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from resilience import Registry
        >>> from resilience.prometheus import ResilienceCollector
        >>> registry = Registry()
        >>> users = registry.command("users")
        >>> metrics = CollectorRegistry()
        >>> metrics.register(ResilienceCollector(registry))
        >>> metrics.get_sample_value("resilience_in_flight", {"name": "users"})
        0.0
    """

    def __init__(self, registry: Registry = default_registry) -> None:
        if not isinstance(registry, Registry):
            raise ConfigurationError(
                f"registry must be a resilience.Registry, not {show(registry)}"
            )
        self._registry = registry

    def describe(self) -> Iterator[Metric]:
        """
        Yield the metrics without their series: what registering asks for.

        Example:
            >>> from resilience import Registry
            >>> from resilience.prometheus import ResilienceCollector
            >>> [metric.name for metric in ResilienceCollector(Registry()).describe()][0]
            'resilience_calls'
        """
        return (family.of({}) for family in CATALOGUE)

    def collect(self) -> Iterator[Metric]:
        """
        Yield the metrics, all from one set of snapshots. Nothing is locked in between.

        Example:
            >>> from resilience import Registry
            >>> from resilience.prometheus import ResilienceCollector
            >>> [metric.type for metric in ResilienceCollector(Registry()).collect()][0]
            'counter'
        """
        snapshots = {_plain(name): found for name, found in self._registry.snapshot().items()}
        return (family.of(snapshots) for family in CATALOGUE)


def _plain(name: str) -> str:
    """Return a name as a label can show it; the registry has no others, unless it was fooled."""
    # str's own methods: a subclass may say anything of itself.
    if str.isprintable(name):
        return str.__str__(name)
    return str.encode(name, "unicode_escape").decode("ascii")
