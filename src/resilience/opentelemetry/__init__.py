"""
OpenTelemetry: every name of a registry as metrics, and span events where a call was not just made.

    from resilience.opentelemetry import instrument

    instrument()  # once, at the start of the program

Metrics are observable instruments, read from snapshots when a reader collects: a call is not
slowed by them. They are those of `resilience.prometheus`, dotted and with the same attributes, so
what is exported to Prometheus has the same names there:

- `resilience.calls` (name, outcome), `resilience.slow_calls`, `resilience.stale_results`,
  `resilience.trials` (outcome), `resilience.shadowed` (reason), `resilience.fallbacks` (outcome),
  `resilience.circuit.transitions` (from, to), `resilience.circuit.state_seconds` (state): counters;
- `resilience.circuit.state` (state), `resilience.circuit.override` (override),
  `resilience.window.calls`, `resilience.window.error_ratio`, `resilience.in_flight`,
  `resilience.waiting`, `resilience.abandoned`, `resilience.max_concurrency`,
  `resilience.setting` (setting): gauges. What has no limit has no value: infinity is none here.
- `resilience.call.duration.bucket` (outcome, le) and `resilience.call.duration.sum` (outcome):
  counters. OpenTelemetry has no observable histogram, and recording each call in a histogram would
  be paid by each call, so the buckets that are counted anyway are shown as Prometheus does, each
  with all that is not above `le`. To have `resilience.call.duration` as a histogram of
  OpenTelemetry's, see `resilience.opentelemetry.durations`.

Span events are added to the span that is current where a call is made, by the thread or task that
makes it, whatever tracer provider that span is of: `resilience.rejection`, `resilience.timeout`,
`resilience.fallback` and `resilience.transition`, with the attributes `resilience.name`, `.state`,
`.reason` and some of their own. Calls that succeed or fail have none.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from types import TracebackType
from typing import Final, Self, final

import attrs

from resilience import Registry, default_registry
from resilience._units import show
from resilience.errors import ConfigurationError

try:
    from opentelemetry.metrics import MeterProvider

    from resilience.opentelemetry.metrics import Source, instruments_of
    from resilience.opentelemetry.spans import add_event
except ImportError as error:
    raise ImportError(
        "resilience.opentelemetry needs opentelemetry-api: "
        "install python-resilience[opentelemetry]",
        name=error.name,
        path=error.path,
    ) from error

__all__ = ["Instrumentation", "instrument"]

_lock: Final = RLock()
_active: Final[dict[Registry, Instrumentation]] = {}


@attrs.frozen
class _Asked:
    """What `instrument` was asked for."""

    meter_provider: MeterProvider | None
    metrics: bool
    duration_buckets: bool
    span_events: bool


@final
class Instrumentation:
    """
    What `instrument` has started, until it is closed: by `close`, or at the end of a `with`.

    Its instruments stay, for OpenTelemetry cannot remove one, and show nothing any more.

    Example:
        >>> from resilience import Registry
        >>> from resilience.opentelemetry import instrument
        >>> shown = instrument(Registry(), span_events=False)
        >>> shown.asked.metrics
        True
        >>> shown.close()
    """

    def __init__(self, registry: Registry, asked: _Asked) -> None:
        self._registry = registry
        self._asked = asked
        self._ends: list[Callable[[], None]] = []
        if asked.metrics:
            source = Source(registry, durations=asked.duration_buckets)
            self._ends.append(instruments_of(asked.meter_provider).show(source))
        if asked.span_events:
            # At once: by the time that another thread would tell it, the span may have ended.
            self._ends.append(registry.listeners.subscribe(add_event, at_once=True))

    @property
    def asked(self) -> _Asked:
        """What was asked for."""
        return self._asked

    def close(self) -> None:
        """End it. A second time it does nothing."""
        with _lock:
            if _active.get(self._registry) is self:
                del _active[self._registry]
            while self._ends:
                self._ends.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def instrument(
    registry: Registry = default_registry,
    *,
    meter_provider: MeterProvider | None = None,
    metrics: bool = True,
    duration_buckets: bool = True,
    span_events: bool = True,
) -> Instrumentation:
    """
    Show the names of a registry to OpenTelemetry from now on.

    Asked the same again, it gives what it gave: nothing is shown twice.

    Args:
        registry: Whose names are shown.
        meter_provider: Where; `None`: the global one, which may be set later.
        metrics: Whether there are metrics.
        duration_buckets: Whether durations are among them: 90 series of each name, with the default
            `latency_buckets`.
        span_events: Whether events are added to spans.

    Returns:
        What ends it by `close()`.

    Raises:
        ConfigurationError: `registry` is something else, or is shown already in another way.

    Example:
        >>> from resilience import Registry
        >>> from resilience.opentelemetry import instrument
        >>> with instrument(Registry(), duration_buckets=False):
        ...     pass  # shown until here
    """
    if not isinstance(registry, Registry):
        raise ConfigurationError(f"registry must be a resilience.Registry, not {show(registry)}")
    asked = _Asked(meter_provider, metrics, duration_buckets, span_events)
    with _lock:
        active = _active.get(registry)
        if active is None:
            active = _active[registry] = Instrumentation(registry, asked)
        elif active.asked != asked:
            raise ConfigurationError(
                "this registry is instrumented in another way already: close that first"
            )
        return active
