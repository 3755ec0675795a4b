"""The instruments, and what of a snapshot each of them shows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata
from itertools import accumulate
from math import inf, isfinite
from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs
from opentelemetry.metrics import (
    CallbackOptions,
    Meter,
    MeterProvider,
    Observation,
    get_meter_provider,
)

from resilience import Latency, Outcome, Override, Registry, Snapshot, State
from resilience._core.transitions import TRANSITIONS
from resilience._names import plain
from resilience.settings import FIELDS

__all__ = ["EXECUTED", "METRICS", "SCOPE", "Instruments", "Source", "durations", "instruments_of"]

SCOPE: Final = "resilience"
"""The name of the meter."""

FRESH: Final = 1.0
"""Seconds for which the instruments of one collection share snapshots."""

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

Series = Iterable[tuple[tuple[str, ...], float]]
"""Series of one name: their attributes beside the name, and a number each."""


def durations(snapshot: Snapshot) -> Iterator[tuple[Outcome, Latency]]:
    """Yield the histogram of each outcome, empty where there was no call."""
    bounds = snapshot.settings.latency_buckets
    empty = Latency(bounds=bounds, counts=(0,) * (len(bounds) + 1), sum=0.0)
    for outcome in EXECUTED:
        yield outcome, snapshot.latency.get(outcome, empty)


def _one(value: float) -> Series:
    return [((), value)]


def _each(values: Mapping[Any, float]) -> Series:
    return [((str(key),), value) for key, value in values.items()]


def _which(kinds: Iterable[str], present: str | None) -> Series:
    return [((str(kind),), int(kind == present)) for kind in kinds]


def _transitions(snapshot: Snapshot) -> Series:
    seen = snapshot.transitions
    return [((old.value, new.value), seen.get((old, new), 0)) for old, new in EDGES]


def _buckets(snapshot: Snapshot) -> Series:
    texts = [*map(repr, snapshot.settings.latency_buckets), "+Inf"]
    for outcome, latency in durations(snapshot):
        for text, count in zip(texts, accumulate(latency.counts), strict=True):
            yield (outcome.value, text), count


def _sums(snapshot: Snapshot) -> Series:
    return [((outcome.value,), latency.sum) for outcome, latency in durations(snapshot)]


def _settings(snapshot: Snapshot) -> Series:
    settings = snapshot.settings
    for name in SETTINGS:
        value = getattr(settings, name)
        if value is None and name in NONE_IS:
            value = getattr(settings, NONE_IS[name])
        yield (name,), inf if value is None else float(value)


def _limit(snapshot: Snapshot) -> float:
    limit = snapshot.max_concurrency
    return inf if limit is None else limit


def _error_ratio(snapshot: Snapshot) -> float:
    window = snapshot.window
    return window.failures / window.calls if window.calls else 0.0


COUNTER: Final = "counter"
GAUGE: Final = "gauge"


@attrs.frozen
class Metric:
    """One instrument: its attributes beside `name`, and how a snapshot gives its series."""

    name: str
    kind: str
    unit: str
    attributes: tuple[str, ...]
    description: str
    read: Callable[[Snapshot], Series]
    of_durations: bool = False

    def create(self, meter: Meter, callback: Callable[[CallbackOptions], Any]) -> None:
        """Make the instrument."""
        kinds = {
            COUNTER: meter.create_observable_counter,
            GAUGE: meter.create_observable_gauge,
        }
        kinds[self.kind](self.name, [callback], self.unit, self.description)


METRICS: Final = (
    Metric("resilience.calls", COUNTER, "{call}", ("outcome",),
           "Calls, each counted once by what became of it.",
           lambda s: _each(s.totals)),
    Metric("resilience.call.duration.bucket", COUNTER, "{call}", ("outcome", "le"),
           "Executed calls that took no longer than le, in seconds.",
           _buckets, of_durations=True),
    Metric("resilience.call.duration.sum", COUNTER, "s", ("outcome",),
           "How long executed calls took together.",
           _sums, of_durations=True),
    Metric("resilience.slow_calls", COUNTER, "{call}", (),
           "Executed calls that took slow_call_duration or more.",
           lambda s: _one(s.slow)),
    Metric("resilience.stale_results", COUNTER, "{result}", (),
           "Results that came after the circuit had moved on, and moved nothing.",
           lambda s: _one(s.stale)),
    Metric("resilience.circuit.state", GAUGE, "", ("state",),
           "1 for the state the circuit is in, whatever override lies over it.",
           lambda s: _which(State, s.state)),
    Metric("resilience.circuit.override", GAUGE, "", ("override",),
           "1 for the override an operator has put over the circuit.",
           lambda s: _which(Override, s.override)),
    Metric("resilience.circuit.transitions", COUNTER, "{transition}", ("from", "to"),
           "Changes of the circuit's state.",
           _transitions),
    Metric("resilience.circuit.state_seconds", COUNTER, "s", ("state",),
           "Time the circuit has spent in each state.",
           lambda s: _each(s.state_seconds)),
    Metric("resilience.trials", COUNTER, "{trial}", ("outcome",),
           "Half-open trial calls by how they ended.",
           lambda s: _each(s.trials)),
    Metric("resilience.shadowed", COUNTER, "{call}", ("reason",),
           "Calls that would have been refused, had the circuit not been in shadow mode.",
           lambda s: _each(s.shadowed)),
    Metric("resilience.window.calls", GAUGE, "{call}", (),
           "Calls in the rolling window that the circuit decides by.",
           lambda s: _one(s.window.calls)),
    Metric("resilience.window.error_ratio", GAUGE, "1", (),
           "Share of errors among the calls in the rolling window, 0 to 1.",
           lambda s: _one(_error_ratio(s))),
    Metric("resilience.in_flight", GAUGE, "{call}", (),
           "Slots of the bulkhead that are held, by abandoned calls too.",
           lambda s: _one(s.in_flight)),
    Metric("resilience.waiting", GAUGE, "{call}", (),
           "Callers that wait for a slot.",
           lambda s: _one(s.waiting)),
    Metric("resilience.abandoned", GAUGE, "{thread}", (),
           "Threads that still run calls nobody waits for any more.",
           lambda s: _one(s.abandoned)),
    Metric("resilience.max_concurrency", GAUGE, "{call}", (),
           "Slots of the bulkhead.",
           lambda s: _one(_limit(s))),
    Metric("resilience.fallbacks", COUNTER, "{fallback}", ("outcome",),
           "Fallbacks by how they ended.",
           lambda s: _each(s.fallbacks)),
    Metric("resilience.setting", GAUGE, "", ("setting",),
           "The settings in force.",
           _settings),
)  # fmt: skip
"""The instruments, in the order in which they are made."""


@attrs.frozen(eq=False)
class Source:
    """A registry whose names are shown, with or without the durations of their calls."""

    registry: Registry
    durations: bool


@attrs.define(eq=False)
class _Round:
    """The snapshots of one collection: each instrument reads them once."""

    found: list[tuple[Source, dict[str, Snapshot]]]
    until: float
    unread: set[str]


class Instruments:
    """The instruments of one meter provider: made once, for they cannot be removed."""

    def __init__(self, provider: MeterProvider) -> None:
        self._sources: tuple[Source, ...] = ()
        self._round: _Round | None = None
        meter = provider.get_meter(SCOPE, version())
        for metric in METRICS:
            metric.create(meter, partial(self._observe, metric))

    def show(self, source: Source) -> Callable[[], None]:
        """Show a registry's names from now on; returns what ends that."""
        self._sources += (source,)

        def end() -> None:
            self._sources = tuple(each for each in self._sources if each is not source)
            self._round = None

        return end

    def _observe(self, metric: Metric, _: CallbackOptions) -> Iterator[Observation]:
        for source, snapshots in self._snapshots(metric.name):
            if metric.of_durations and not source.durations:
                continue
            for name, snapshot in snapshots.items():
                shown = plain(name)
                for values, number in metric.read(snapshot):
                    if isfinite(number):  # OpenTelemetry has no other numbers
                        labels = dict(zip(metric.attributes, values, strict=True))
                        yield Observation(number, {"name": shown, **labels})

    def _snapshots(self, reader: str) -> list[tuple[Source, dict[str, Snapshot]]]:
        """Return the snapshots of this collection, taken by the first that asks."""
        now = time.monotonic()
        current = self._round
        if current is None or reader not in current.unread or now > current.until:
            found = [(source, source.registry.snapshot()) for source in self._sources]
            current = _Round(found, now + FRESH, {metric.name for metric in METRICS})
            self._round = current
        current.unread.discard(reader)
        if not current.unread:
            self._round = None  # the last one: nothing is kept until the next time
        return current.found


_of: Final[WeakKeyDictionary[MeterProvider, Instruments]] = WeakKeyDictionary()
_of_all: list[Instruments] = []


def instruments_of(provider: MeterProvider | None) -> Instruments:
    """Return the instruments of a meter provider; `None` is the global one, even a later one."""
    if provider is None or provider is get_meter_provider():
        if not _of_all:
            _of_all.append(Instruments(get_meter_provider()))
        return _of_all[0]
    found = _of.get(provider)
    if found is None:
        found = _of[provider] = Instruments(provider)
    return found


def version() -> str | None:
    """Return the version of this library, if it was installed."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("python-resilience")
    return None
