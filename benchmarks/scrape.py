"""
Scrape: what it costs to read and write out the metrics of many commands.

The other side has as many series, of the same names, labels and values, made with the counters,
gauges and histograms of prometheus_client.
"""

from collections.abc import Callable, Iterator
from functools import cache
from time import perf_counter_ns
from typing import Any

import attrs
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric

from benchmarks.limits import limits
from benchmarks.row import Row
from benchmarks.runtimes import quiet
from benchmarks.work import work
from resilience import Registry
from resilience.prometheus import register

COMMANDS = 1000
FEW = 3
KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


@attrs.frozen
class Scrape:
    """
    An exposition that is written out.

    Attributes:
        name: What it is called in the table.
        make: Makes it, with so many commands.
    """

    name: str
    make: Callable[[int], CollectorRegistry]

    def check(self) -> None:
        """See that it has the series of every command, and no others."""
        text = generate_latest(self.make(FEW))
        assert text == generate_latest(_ours(FEW)), self.name

    def sample(self, scale: float) -> float:
        """Return the nanoseconds of one scrape; a short one has fewer commands."""
        metrics = self.make(max(FEW, int(COMMANDS * min(1.0, scale))))
        with quiet():
            start = perf_counter_ns()
            generate_latest(metrics)
            return perf_counter_ns() - start


def scrape_rows() -> Iterator[Row]:
    """Make the row."""
    key = "scrape"
    sides = (Scrape("resilience", _ours), Scrape("plain series", _plain))
    yield Row(key, f"a scrape of {COMMANDS:,} commands", sides, limits(key))


@cache
def _ours(commands: int) -> CollectorRegistry:
    registry, metrics = Registry(clock=lambda: 0), CollectorRegistry()
    for number in range(commands):
        registry.command(f"command-{number}")(work)()
    register(metrics, registry)
    return metrics


@cache
def _plain(commands: int) -> CollectorRegistry:
    disable_created_metrics()  # a series more for each counter and histogram, which we have not
    metrics = CollectorRegistry()
    for family in _ours(commands).collect():
        _fill(metrics, family)
    return metrics


def _fill(metrics: CollectorRegistry, family: Metric) -> None:
    """Make a metric with the series of a family."""
    names = [name for name in family.samples[0].labels if name != "le"]
    options: dict[str, Any] = {}
    if family.type == "histogram":
        bounds = {float(each.labels["le"]) for each in family.samples if "le" in each.labels}
        options["buckets"] = sorted(bounds)
    made = KINDS[family.type](family.name, family.documentation, names, registry=metrics, **options)
    for sample in family.samples:
        child = made.labels(**{name: sample.labels[name] for name in names})
        if family.type == "counter":
            child.inc(sample.value)
        elif family.type == "gauge":
            child.set(sample.value)
        elif sample.name.endswith("_count") and sample.value:
            child.observe(0.0)  # the one call that was made took no time
