"""
Prometheus: what `chaos` does, as metrics, beside those of the commands it does it to.

    >>> from prometheus_client import CollectorRegistry
    >>> from resilience.testing import chaos
    >>> from resilience.testing.prometheus import ChaosCollector
    >>> faults = chaos(error_rate=0.1, name="staging")
    >>> metrics = CollectorRegistry()
    >>> metrics.register(ChaosCollector(faults))
    >>> metrics.get_sample_value("resilience_chaos_enabled", {"name": "staging"})
    0.0

The metrics, all there from the beginning, at zero:

- `resilience_chaos_enabled` (gauge; name): 1 while it is enabled. A dashboard that shows it beside
  an error rate tells a drill from an outage.
- `resilience_chaos_calls_total` (counter; name): calls made while it was enabled.
- `resilience_chaos_faults_total` (counter; name, fault = error, latency, hang): what it did to
  them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from resilience._units import show
from resilience.errors import ConfigurationError
from resilience.testing._chaos import chaos

try:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "resilience.testing.prometheus needs prometheus_client: "
        "install python-resilience[prometheus]",
        name=error.name,
        path=error.path,
    ) from error

__all__ = ["ChaosCollector"]


@final
class ChaosCollector(Collector):
    """
    Some `chaos` as metrics, for any registry of prometheus_client.

    Args:
        *each: Those to show, of different names.

    Raises:
        ConfigurationError: One is none, or two have one name.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from resilience.testing import chaos
        >>> from resilience.testing.prometheus import ChaosCollector
        >>> metrics = CollectorRegistry()
        >>> metrics.register(ChaosCollector(chaos(error_rate=0.1, name="drill")))
        >>> metrics.get_sample_value("resilience_chaos_calls_total", {"name": "drill"})
        0
    """

    def __init__(self, *each: chaos) -> None:
        faults = [f"each must be a chaos, not {show(one)}" for one in each if not _is_chaos(one)]
        names = [one.name for one in each if _is_chaos(one)]
        faults += [
            f"name must be another for each chaos, not {name!r} twice"
            for name in sorted(set(names))
            if names.count(name) > 1
        ]
        if faults:
            raise ConfigurationError(*faults)
        self._each = each

    def collect(self) -> Iterator[Metric]:
        """
        Yield the metrics.

        Example:
            >>> from resilience.testing import chaos
            >>> from resilience.testing.prometheus import ChaosCollector
            >>> len(list(ChaosCollector(chaos()).collect()))
            3
        """
        enabled = GaugeMetricFamily(
            "resilience_chaos_enabled", "1 while faults are made on purpose.", labels=("name",)
        )
        calls = CounterMetricFamily(
            "resilience_chaos_calls_total",
            "Calls made while faults were made on purpose.",
            labels=("name",),
        )
        faults = CounterMetricFamily(
            "resilience_chaos_faults_total",
            "Faults that were made on purpose.",
            labels=("name", "fault"),
        )
        for snapshot in [one.snapshot() for one in self._each]:
            enabled.add_metric((snapshot.name,), float(snapshot.enabled))
            calls.add_metric((snapshot.name,), snapshot.calls)
            faults.add_metric((snapshot.name, "error"), snapshot.errors)
            faults.add_metric((snapshot.name, "latency"), snapshot.delays)
            faults.add_metric((snapshot.name, "hang"), snapshot.hangs)
        yield from (enabled, calls, faults)


def _is_chaos(one: object) -> bool:
    return isinstance(one, chaos)
