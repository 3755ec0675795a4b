"""
How long calls took, as a histogram of OpenTelemetry's.

OpenTelemetry has no observable histogram: a histogram there is fed with each call, and each call
would pay for it. So the histogram that is counted anyway is handed on with the other metrics, by an
exporter around the one that sends them:

    reader = PeriodicExportingMetricReader(DurationExporter(OTLPMetricExporter()))
    provider = MeterProvider([reader])
    instrument(meter_provider=provider, duration_buckets=False)

It is `resilience.call.duration` in seconds, with the attributes `name` and `outcome`, cumulative or
delta as the exporter prefers. Exporters only have one: a reader that is scraped, such as the
Prometheus one, has the counters that `instrument` shows, and `resilience.prometheus` beside it.
This module needs opentelemetry-sdk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, final

import attrs

from resilience import Latency, Registry, default_registry
from resilience._names import plain
from resilience.opentelemetry.metrics import SCOPE, durations, version

try:
    from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Histogram,
        HistogramDataPoint,
        Metric,
        MetricExporter,
        MetricExportResult,
        MetricsData,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as error:
    raise ImportError(
        "resilience.opentelemetry.durations needs opentelemetry-sdk: install it",
        name=error.name,
        path=error.path,
    ) from error

__all__ = ["DurationExporter"]

NAME: Final = "resilience.call.duration"
UNKNOWN: Final[Any] = None
"""The least and the greatest duration: nobody has counted them, and they are optional."""

Key = tuple[str, str]


@attrs.frozen
class _Seen:
    """What was counted of a series when it was exported last, and since when."""

    since: int
    counts: tuple[int, ...]
    sum: float

    def grew_to(self, latency: Latency) -> bool:
        """Whether it is still the same that is counted."""
        pairs = zip(self.counts, latency.counts, strict=False)
        return len(self.counts) == len(latency.counts) and all(old <= new for old, new in pairs)


@final
class DurationExporter(MetricExporter):
    """
    An exporter that gives another one its metrics, and the durations of calls with them.

    It goes with metrics of others: what `instrument` shows is enough. Use one for each reader.

    Args:
        exporter: Where all of it goes.
        registry: Whose names are shown.
    """

    def __init__(self, exporter: MetricExporter, registry: Registry = default_registry) -> None:
        self._exporter: Any = exporter  # its preferences are asked for as by the SDK's reader
        temporality: dict[Any, Any] = self._exporter._preferred_temporality or {}
        super().__init__(temporality, self._exporter._preferred_aggregation)
        self._registry = registry
        self._temporality: AggregationTemporality = temporality.get(
            HistogramInstrument, AggregationTemporality.CUMULATIVE
        )
        self._scope = InstrumentationScope(SCOPE, version())
        self._seen: dict[Key, _Seen] = {}
        self._last = time.time_ns()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Export the metrics and the durations."""
        resources = list(metrics_data.resource_metrics)
        points = list(self._points())
        if resources and points:
            histogram = Histogram(points, self._temporality)
            metric = Metric(NAME, "How long executed calls took.", "s", histogram)
            scope = ScopeMetrics(self._scope, [metric], "")
            first = resources[0]
            scopes = [*first.scope_metrics, scope]
            resources[0] = ResourceMetrics(first.resource, scopes, first.schema_url)
        result: MetricExportResult = self._exporter.export(
            MetricsData(resources), timeout_millis, **kwargs
        )
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Ask the exporter to be done with what it has."""
        return bool(self._exporter.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _points(self) -> Iterator[HistogramDataPoint]:
        now, before = time.time_ns(), self._last
        seen: dict[Key, _Seen] = {}
        for name, snapshot in self._registry.snapshot().items():
            for outcome, latency in durations(snapshot):
                key = plain(name), outcome.value
                last = self._seen.get(key)
                if last is None or not last.grew_to(latency):
                    # New, or counted anew: of a name that was made again, or by other buckets.
                    last = _Seen(before, (0,) * len(latency.counts), 0.0)
                seen[key] = _Seen(last.since, latency.counts, latency.sum)
                if self._temporality is AggregationTemporality.CUMULATIVE:
                    yield _point(key, last.since, now, latency.bounds, latency.counts, latency.sum)
                elif latency.counts != last.counts:
                    counts = [
                        new - old for new, old in zip(latency.counts, last.counts, strict=True)
                    ]
                    yield _point(key, before, now, latency.bounds, counts, latency.sum - last.sum)
        self._seen, self._last = seen, now


def _point(
    key: Key, since: int, now: int, bounds: Sequence[float], counts: Sequence[int], total: float
) -> HistogramDataPoint:
    name, outcome = key
    return HistogramDataPoint(
        attributes={"name": name, "outcome": outcome},
        start_time_unix_nano=since,
        time_unix_nano=now,
        count=sum(counts),
        sum=total,
        bucket_counts=list(counts),
        explicit_bounds=list(bounds),
        min=UNKNOWN,
        max=UNKNOWN,
    )
