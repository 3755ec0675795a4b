"""
Prometheus: every name of a registry as metrics, read at the moment of a scrape.

Register a collector once, with whatever registry of prometheus_client your program exposes; a call
is not slowed by it, for the numbers are counted anyway and only read here:

    >>> from prometheus_client import CollectorRegistry
    >>> from resilience import Registry
    >>> from resilience.prometheus import register
    >>> registry = Registry()
    >>> metrics = CollectorRegistry()
    >>> collector = register(metrics, registry)
    >>> registry.command("users").call(len, "abc")
    3
    >>> metrics.get_sample_value("resilience_calls_total", {"name": "users", "outcome": "success"})
    1.0

In a program it is `register()`, for `prometheus_client.REGISTRY` and the commands of
`default_registry`. The metrics are the rows of `CATALOGUE`. What holds for all of them:

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
- While OpenTelemetry is active, what goes wrong has an exemplar with its trace: see `exemplars`.
- Each process shows its own numbers. prometheus_client's multiprocess mode leaves out collectors
  like this one: there, let each worker `start_multiprocess_writer()`.

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

from importlib import import_module

try:
    import_module("prometheus_client")  # first, to tell what is missing
except ImportError as error:
    raise ImportError(
        "resilience.prometheus needs prometheus_client: install python-resilience[prometheus]",
        name=error.name,
        path=error.path,
    ) from error

from resilience.prometheus.collector import ResilienceCollector, register
from resilience.prometheus.families import CATALOGUE
from resilience.prometheus.multiprocess import MultiprocessWriter, start_multiprocess_writer

__all__ = [
    "CATALOGUE",
    "MultiprocessWriter",
    "ResilienceCollector",
    "register",
    "start_multiprocess_writer",
]
