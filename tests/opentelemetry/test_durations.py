"""OpenTelemetry: how long calls took, as a histogram."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource

from resilience import Registry
from resilience.opentelemetry import instrument
from resilience.opentelemetry.durations import DurationExporter
from tests.support.runtime import FakeClock, Runtime

DELTA = {HistogramInstrument: AggregationTemporality.DELTA}


class Sent(MetricExporter):
    """Keeps what it is given."""

    def __init__(self, temporality: Any = None) -> None:
        super().__init__(temporality)
        self.data: list[Any] = []
        self.flushed = self.stopped = 0
        self.times: list[float] = []
        self.succeeds = True

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any
    ) -> MetricExportResult:
        self.data.append(metrics_data)
        self.times.append(timeout_millis)
        return MetricExportResult.SUCCESS if self.succeeds else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 0) -> bool:
        self.flushed += 1
        self.times.append(timeout_millis)
        return self.succeeds

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        self.stopped += 1
        self.times.append(timeout_millis)


class Exported:
    """A provider whose durations are exported to a test."""

    def __init__(self, registry: Registry, temporality: Any = None) -> None:
        self.sent = Sent(temporality)
        exporter = DurationExporter(self.sent, registry)
        self.reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.shown = instrument(
            registry,
            meter_provider=self.provider,
            duration_buckets=False,
            span_events=False,
        )

    def histogram(self) -> Histogram:
        """The histogram of a collection now."""
        self.sent.data.clear()
        self.reader.collect()
        ((resource,),) = (each.resource_metrics for each in self.sent.data)
        assert resource.resource.attributes["telemetry.sdk.language"] == "python"
        (metric,) = [
            metric
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if "duration" in metric.name
        ]
        assert (metric.name, metric.unit) == ("resilience.call.duration", "s")
        return metric.data

    def points(self) -> dict[tuple[str, str], Any]:
        """Its points, by name and outcome."""
        return {tuple(point.attributes.values()): point for point in self.histogram().data_points}

    def close(self) -> None:
        """End it."""
        self.shown.close()
        self.provider.shutdown()


def make(registry: Registry, name: str = "db") -> Any:
    """A command that keeps durations in three buckets and the rest."""
    return registry.command(name, latency_buckets=(0.1, 1, 10), timeout=None, isolation="semaphore")


def test_durations_are_a_histogram(run: Runtime, registry: Registry) -> None:
    """
    Each outcome of executed calls has its buckets, its sum and its count; what there is not is 0.
    """
    exported = Exported(registry)
    cmd = make(registry)
    for takes in (0.05, 0.5, 0.5, 20):
        run.call(cmd(run.body(takes=takes)))
    run.raised(cmd(run.body(takes=5, raises=OSError)))
    histogram = exported.histogram()
    assert histogram.aggregation_temporality is AggregationTemporality.CUMULATIVE
    points = exported.points()
    assert {outcome for _, outcome in points} == {
        "success",
        "failure",
        "timeout",
        "expired",
        "ignored",
        "cancelled",
    }
    success = points["db", "success"]
    assert success.explicit_bounds == [0.1, 1, 10]
    assert success.bucket_counts == [1, 2, 0, 1]
    assert (success.count, success.sum) == (4, pytest.approx(21.05))
    assert points["db", "failure"].bucket_counts == [0, 0, 1, 0]
    assert points["db", "timeout"].bucket_counts == [0, 0, 0, 0]
    exported.close()
    assert exported.sent.stopped == 1


def test_cumulative_points_begin_where_their_counting_began(
    registry: Registry, clock: FakeClock
) -> None:
    """
    They keep their start from export to export; a name that is made anew begins anew.
    """
    exported = Exported(registry)
    cmd = make(registry)
    cmd.call(len, "abc")
    first = exported.points()["db", "success"]
    cmd.call(len, "abc")
    second = exported.points()["db", "success"]
    assert (first.count, second.count) == (1, 2)
    assert first.start_time_unix_nano == second.start_time_unix_nano < first.time_unix_nano
    assert first.time_unix_nano <= second.time_unix_nano
    registry.remove("db")
    make(registry).call(len, "abc")
    third = exported.points()["db", "success"]
    assert third.count == 1
    assert third.start_time_unix_nano == second.time_unix_nano
    registry.configure("db", latency_buckets=(1, 2))
    fourth = exported.points()["db", "success"]
    assert (fourth.count, fourth.explicit_bounds) == (0, [1, 2])
    assert fourth.start_time_unix_nano == third.time_unix_nano
    exported.close()


def test_delta_points_tell_what_is_new(registry: Registry, clock: FakeClock) -> None:
    """
    As the exporter prefers: what came since the last export, nothing of what did not change.

    And never less than nothing, where a name is made anew.
    """
    exported = Exported(registry, DELTA)
    cmd = make(registry)
    cmd.call(lambda: clock.advance(0.5))
    cmd.call(lambda: clock.advance(0.5))
    first = exported.points()["db", "success"]
    cmd.call(lambda: clock.advance(5))
    histogram = exported.histogram()
    assert histogram.aggregation_temporality is AggregationTemporality.DELTA
    (second,) = histogram.data_points
    assert (first.bucket_counts, first.sum) == ([0, 2, 0, 0], pytest.approx(1))
    assert (second.bucket_counts, second.sum) == ([0, 0, 1, 0], pytest.approx(5))
    assert second.start_time_unix_nano == first.time_unix_nano
    registry.remove("db")
    make(registry).call(lambda: clock.advance(0.5))
    assert exported.points()["db", "success"].bucket_counts == [0, 1, 0, 0]
    exported.close()


def test_a_removed_name_leaves_nothing_behind(registry: Registry, clock: FakeClock) -> None:
    """
    Its points are gone, and so is what was kept to tell what is new.
    """
    exported = Exported(registry)
    for number in range(100):
        make(registry, f"db {number}").call(len, "abc")
        exported.points()
        registry.remove(f"db {number}")
    make(registry).call(len, "abc")
    assert {name for name, _ in exported.points()} == {"db"}
    exported.close()


def test_what_is_not_ours_is_handed_on(registry: Registry, clock: FakeClock) -> None:
    """
    The other metrics, the preferences and the orders go to the exporter as if it were alone.
    """
    exported = Exported(registry, DELTA)
    make(registry).call(len, "abc")
    exported.provider.get_meter("mine").create_counter("mine").add(3)
    exported.histogram()
    (data,) = exported.sent.data
    names = {
        metric.name for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics
    }
    assert {"mine", "resilience.calls"} <= names
    exported.provider.force_flush()
    assert exported.sent.flushed == 1
    exported.close()
    assert exported.sent.stopped == 1


NOTHING = MetricsData([])


def test_the_time_there_is_is_handed_on(registry: Registry) -> None:
    """
    Who names no time gives as much as the SDK does.
    """
    sent = Sent()
    exporter = DurationExporter(sent, registry)
    exporter.export(NOTHING)
    exporter.force_flush()
    exporter.shutdown()
    exporter.export(NOTHING, 1)
    exporter.force_flush(2)
    exporter.shutdown(3)
    orders = (MetricExporter.export, MetricExporter.force_flush, MetricExporter.shutdown)
    usual = [signature(order).parameters["timeout_millis"].default for order in orders]
    assert sent.times == [*usual, 1, 2, 3]


@pytest.mark.parametrize("succeeds", [True, False])
def test_what_became_of_it_is_handed_back(registry: Registry, succeeds: bool) -> None:
    """
    A reader is told by it what the exporter said.
    """
    sent = Sent()
    sent.succeeds = succeeds
    exporter = DurationExporter(sent, registry)
    assert (exporter.export(NOTHING) is MetricExportResult.SUCCESS) is succeeds
    assert exporter.force_flush() is succeeds


def test_durations_go_with_other_metrics(registry: Registry, clock: FakeClock) -> None:
    """
    Without others there is nothing to add them to; without names there are none, and no metric.
    """
    sent = Sent()
    exporter = DurationExporter(sent, registry)
    others = MetricsData([ResourceMetrics(Resource({}), [], "")])
    exporter.export(others)
    make(registry)
    exporter.export(NOTHING)
    exporter.export(others)
    scopes = [[each.scope_metrics for each in data.resource_metrics] for data in sent.data]
    assert scopes[:2] == [[[]], []]
    (((scope,),),) = scopes[2:]
    assert [metric.name for metric in scope.metrics] == ["resilience.call.duration"]
