"""The collector: one process's own numbers, read when they are asked for."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping
from itertools import accumulate
from threading import RLock
from typing import Any, Final, final

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from resilience import Latency, Registry, Snapshot, default_registry
from resilience._units import show
from resilience.errors import ConfigurationError
from resilience.prometheus.exemplars import Exemplars, Find, Labels
from resilience.prometheus.families import CATALOGUE, HISTOGRAM, Family, bounds, plain

__all__ = ["ResilienceCollector", "checked", "register"]

Snapshots = Mapping[str, Snapshot]


@final
class ResilienceCollector(Collector):
    """
    All names of a registry as metrics, for any registry of prometheus_client.

    It may be registered with several of them; a second one in the same is prometheus_client's
    error, which `register` spares you.

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
        self._registry = checked(registry)
        self._exemplars = Exemplars(registry)

    @property
    def registry(self) -> Registry:
        """
        Whose names are exported.

        Example:
            >>> from resilience import Registry
            >>> from resilience.prometheus import ResilienceCollector
            >>> registry = Registry()
            >>> ResilienceCollector(registry).registry is registry
            True
        """
        return self._registry

    def describe(self) -> Iterator[Metric]:
        """
        Yield the metrics without their series: what registering asks for.

        Example:
            >>> from resilience import Registry
            >>> from resilience.prometheus import ResilienceCollector
            >>> [metric.name for metric in ResilienceCollector(Registry()).describe()][0]
            'resilience_calls'
        """
        return (self._family(family, {}) for family in CATALOGUE)

    def collect(self) -> Iterator[Metric]:
        """
        Yield the metrics, all from one set of snapshots. Nothing is locked in between.

        There are none any more while the interpreter is being torn down, after the exit handlers.

        Example:
            >>> from resilience import Registry
            >>> from resilience.prometheus import ResilienceCollector
            >>> [metric.type for metric in ResilienceCollector(Registry()).collect()][0]
            'counter'
        """
        if sys.is_finalizing():
            return iter(())
        self._exemplars.watch()
        snapshots = {plain(name): found for name, found in self._registry.snapshot().items()}
        return (self._family(family, snapshots) for family in CATALOGUE)

    def _family(self, family: Family, snapshots: Snapshots) -> Metric:
        """Return one metric with the series of all names."""
        made: Any = family.kind(
            family.name, family.help, labels=("name", *family.labels), unit=family.unit
        )
        find = self._exemplars.of(family.name)
        for name, snapshot in snapshots.items():
            for labels, value in family.of(snapshot):
                mine = (name, *labels)
                if family.kind is HISTOGRAM:
                    made.add_metric(mine, list(_buckets(value, mine, find)), value.sum)
                    continue
                made.add_metric(mine, value)
                exemplar = find(mine)
                if exemplar is not None:
                    made.samples[-1] = made.samples[-1]._replace(exemplar=exemplar)
        filled: Metric = made
        return filled


def _buckets(latency: Latency, labels: Labels, find: Find) -> Iterator[tuple[Any, ...]]:
    for le, count in zip(bounds(latency), accumulate(latency.counts), strict=True):
        yield le, count, find((*labels, le))


_lock: Final = RLock()
_registered: Final[weakref.WeakKeyDictionary[CollectorRegistry, ResilienceCollector]] = (
    weakref.WeakKeyDictionary()
)
"""What `register` has put where."""


def register(
    metrics: CollectorRegistry = REGISTRY, registry: Registry = default_registry
) -> ResilienceCollector:
    """
    Let an exposition show all names of a registry; to do so twice is harmless.

    Args:
        metrics: What your program exposes: prometheus_client's registry.
        registry: Whose names are shown.

    Returns:
        The collector, which `metrics.unregister` takes.

    Raises:
        ConfigurationError: `registry` is no `resilience.Registry`.
        ValueError: `metrics` shows another registry already, or metrics of the same names.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from resilience import Registry
        >>> from resilience.prometheus import register
        >>> metrics, registry = CollectorRegistry(), Registry()
        >>> register(metrics, registry) is register(metrics, registry)
        True
    """
    with _lock:
        found = _registered.get(metrics)
        known = found is not None and found.registry is registry
        collector = found if found is not None and known else ResilienceCollector(registry)
        try:
            metrics.register(collector)
        except ValueError:
            if not known:
                raise
        _registered[metrics] = collector
    return collector


def checked(registry: Any) -> Registry:
    """
    Return a registry.

    Raises:
        ConfigurationError: It is something else, such as one of prometheus_client's.
    """
    if not isinstance(registry, Registry):
        raise ConfigurationError(f"registry must be a resilience.Registry, not {show(registry)}")
    return registry
