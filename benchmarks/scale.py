"""
Scale: what must not make a call dearer.

The sides of each row are the same command without a timeout, called on the closed path. They differ
in what there is besides: somebody who looks, a long window, many calls, many names, other threads.
"""

import gc
from collections.abc import Iterator
from functools import cache
from typing import Any

from opentelemetry.context import attach
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_current_span, set_span_in_context
from prometheus_client import CollectorRegistry

from benchmarks.library import LONG, Fn
from benchmarks.limits import limits
from benchmarks.row import Row, Timed
from benchmarks.runtimes import RUNTIMES, Threads
from benchmarks.subject import TRIPS, Subject
from benchmarks.work import RESULT, answer, fail, work
from resilience import CircuitOpenError, Registry
from resilience.opentelemetry import instrument
from resilience.prometheus import ResilienceCollector

LONGER = 0.1
"""Seconds of a sample with threads, which take turns of milliseconds."""
MILLION = 1_000_000
NAMES = 100_000
YEAR = 31_536_000.0
"""A window that keeps all calls."""


def scale_rows() -> Iterator[Row]:
    """Make a row for each thing that must not matter."""
    sync = RUNTIMES["sync"]
    for key, title, small, large in (
        (
            "collector",
            "a collector registered, and no listener any more",
            Timed("nobody looks", sync, _plain),
            Timed("collected", sync, _collected),
        ),
        (
            "opentelemetry",
            "instrumented for OpenTelemetry, in a span that is recorded",
            Timed("nobody looks", sync, _in_a_span),
            Timed("instrumented", sync, _instrumented),
        ),
        (
            "refusals opentelemetry",
            "refusals by an open circuit, each an event of the span it is in",
            Timed("no span events", sync, lambda: _refused(span_events=False)),
            Timed("span events", sync, lambda: _refused(span_events=True)),
        ),
        (
            "buckets",
            "a window of 1,000 buckets",
            Timed("10 buckets", sync, lambda: _plain(buckets=10)),
            Timed("1,000 buckets", sync, lambda: _plain(buckets=1000)),
        ),
        (
            "calls",
            "1,000,000 calls in the window",
            Timed("no calls before", sync, lambda: _after(0)),
            Timed("1,000,000 calls before", sync, lambda: _after(MILLION), lambda: _after(100)),
        ),
        (
            "threads",
            "eight threads calling one command",
            Timed("1 thread", Threads(count=1), _plain, seconds=LONGER),
            Timed("8 threads", Threads(count=8), _plain, seconds=LONGER),
        ),
        (  # the last one, for its names stay
            "names",
            "100,000 commands in the registry",
            Timed("1 name", sync, lambda: _among(1)),
            Timed("100,000 names", sync, lambda: _among(NAMES), lambda: _among(100)),
        ),
    ):
        yield Row(key, title, (small, large), limits(key))


def _guarded(registry: Registry, **fields: Any) -> Fn:
    guarded: Fn = registry.command("command", fallback=answer, **fields)(work)
    return guarded


def _plain(**fields: Any) -> Subject:
    return Subject(_guarded(Registry(), **fields), returns=RESULT)


def _collected() -> Subject:
    registry = Registry()
    guarded = _guarded(registry)
    metrics = CollectorRegistry()
    metrics.register(ResilienceCollector(registry))
    registry.subscribe(print)()  # somebody listened, and has gone
    guarded()
    assert metrics.get_sample_value(
        "resilience_calls_total", {"name": "command", "outcome": "success"}
    )
    return Subject(guarded, returns=RESULT)


def _in_a_span() -> Subject:
    _enter_span()
    return _plain()


def _instrumented() -> Subject:
    registry = Registry()
    guarded = _guarded(registry)
    _instrument(registry, span_events=True)
    return Subject(guarded, returns=RESULT)


def _refused(*, span_events: bool) -> Subject:
    registry = Registry()
    guarded = registry.command("command", fallback=answer, sleep_window=LONG)(fail)
    _instrument(registry, span_events=span_events)
    return Subject(guarded, returns=CircuitOpenError, trips=TRIPS)


def _instrument(registry: Registry, *, span_events: bool) -> None:
    _enter_span()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    instrument(registry, meter_provider=provider, span_events=span_events)
    assert reader.get_metrics_data() is not None


def _enter_span() -> None:
    if not get_current_span().is_recording():
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("benchmarks")
        attach(set_span_in_context(tracer.start_span("request")))


@cache
def _after(calls: int) -> Subject:
    guarded = _guarded(Registry(), rolling_window=YEAR)
    for _ in range(calls):
        guarded()
    assert guarded.command.snapshot().window.calls == calls
    return Subject(guarded, returns=RESULT)


@cache
def _among(names: int) -> Subject:
    registry = Registry()
    others = (registry.command(f"command-{number}", fallback=answer) for number in range(names - 1))
    gc.disable()  # or collections would look at what is there already, again and again
    _kept.extend(other(work) for other in others)
    gc.enable()
    assert len(registry) == names - 1
    if names == NAMES:
        gc.freeze()  # as above, before each sample
    return Subject(_guarded(registry), returns=RESULT)


_kept: list[Fn] = []
