"""
Exemplars: which trace to look at, beside the numbers of what went wrong.

They are taken from the events of the registry, and nothing else: a call that is admitted and
succeeds or fails is not asked for its trace, which would cost it more than all else that is done
for it. What has exemplars is what has events:

- `resilience_calls_total` of calls that were refused or timed out,
- `resilience_call_duration_seconds` of calls that timed out, in the bucket of their duration,
- `resilience_circuit_transitions_total`, the trace of the call that moved the circuit,
- `resilience_fallbacks_total`.

There is a listener from the first scrape on at which an OpenTelemetry SDK is set up, and none
before: without one, nothing costs anything. It runs in the thread that caused the event, or, if
two happen at once, maybe in that of the other. Only the OpenMetrics format shows exemplars.
"""

from __future__ import annotations

import sys
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final, cast, final

from prometheus_client.samples import Exemplar

from resilience import CallRejected, CallTimedOut, FallbackCalled, Registry
from resilience.prometheus.families import bound, plain

__all__ = ["Exemplars", "Find", "Labels"]

MOST: Final = 10_000
"""Exemplars that are kept; names come and go, and nobody may ever scrape."""

Labels = tuple[str, ...]
Find = Callable[[Labels], Exemplar | None]


@final
class Exemplars:
    """The latest trace of each series of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._latest: dict[tuple[str, Labels], Exemplar] = {}
        self._listening = False

    def of(self, metric: str) -> Find:
        """Return what finds the exemplars of a metric."""
        latest = self._latest
        if not latest:
            return _none
        return lambda labels: latest.get((metric, labels))

    def watch(self) -> None:
        """Listen from now on, if somebody traces."""
        if self._listening or _current_span() is None:
            return
        self._listening = True
        ref = weakref.ref(self)

        def listen(event: object) -> None:
            exemplars = ref()
            if exemplars is not None:
                exemplars.heard(event)

        weakref.finalize(self, self._registry.subscribe(listen))

    def heard(self, event: object) -> None:
        """Keep the trace of an event, if it has one."""
        current = _current_span()
        span = None if current is None else current().get_span_context()
        if span is None or not span.is_valid or not span.trace_flags.sampled:
            return
        trace = {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        if len(self._latest) >= MOST:
            self._latest.clear()
        for metric, labels, value in self._series(event):
            self._latest[metric, labels] = Exemplar(trace, value)

    def _series(self, event: Any) -> Iterator[tuple[str, Labels, float]]:
        """Yield the series that an event moves."""
        name = plain(event.name or "")
        if isinstance(event, CallRejected):
            yield "resilience_calls_total", (name, event.outcome.value), 1.0
        elif isinstance(event, CallTimedOut):
            yield "resilience_calls_total", (name, "timeout"), 1.0
            le = self._bucket(event)
            yield "resilience_call_duration_seconds", (name, "timeout", le), event.elapsed
        elif isinstance(event, FallbackCalled):
            yield "resilience_fallbacks_total", (name, event.outcome), 1.0
        else:
            edge = (name, event.old.value, event.new.value)
            yield "resilience_circuit_transitions_total", edge, 1.0

    def _bucket(self, event: CallTimedOut) -> str:
        found = self._registry.get(event.name or "")
        limits = () if found is None else found.settings.latency_buckets
        at = bisect_left(limits, event.elapsed)
        return bound(limits[at] if at < len(limits) else inf)


def _none(_: Labels) -> None:
    """There is none."""


def _current_span() -> Callable[[], Any] | None:
    """Return what gives the current span, if an OpenTelemetry SDK is set up."""
    # If it is, somebody has imported it; the interface alone traces nothing.
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None or isinstance(
        trace.get_tracer_provider(), (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    ):
        return None
    return cast("Callable[[], Any]", trace.get_current_span)
