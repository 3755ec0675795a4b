"""Exemplars: the trace of what went wrong, while OpenTelemetry is active, and nothing otherwise."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider
from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest as classic
from prometheus_client.openmetrics import parser
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from resilience import Command, Registry
from resilience.prometheus import ResilienceCollector, exemplars, register
from tests.support.runtime import FakeClock

Found = dict[tuple[str, frozenset[tuple[str, str]]], Any]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """The SDK, set up for this test alone."""
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return provider


@pytest.fixture
def scrape(registry: Registry) -> Callable[[], Found]:
    """Read the exemplars that are exposed."""
    metrics = CollectorRegistry()
    register(metrics, registry)

    def scrape() -> Found:
        families = parser.text_string_to_metric_families(openmetrics(metrics).decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.exemplar
            for family in families
            for sample in family.samples
            if sample.exemplar is not None
        }

    return scrape


def fail() -> None:
    """Be called in vain."""
    raise ConnectionError


def attempt(command: Command, fn: Any, *args: Any) -> None:
    """Call, whatever comes of it."""
    try:
        command.call(fn, *args)
    except Exception:
        return


def key(metric: str, **labels: str) -> Any:
    """Return what a series of `users` is found by."""
    return metric, frozenset({"name": "users", **labels}.items())


def ids(span: Any) -> dict[str, str]:
    """Return the labels of a span's exemplars."""
    context = span.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def test_what_goes_wrong_has_its_trace(
    registry: Registry, clock: FakeClock, provider: TracerProvider, scrape: Any
) -> None:
    """
    A timeout, the transition it causes, a refusal and a fallback: each leads to its own trace.
    """
    users = registry.command(
        "users", isolation="semaphore", timeout=2.0, volume_threshold=1, fallback=repr
    )
    assert scrape() == {}
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("slow") as slow:
        attempt(users, clock.advance, 3.0)
    with tracer.start_as_current_span("refused") as refused:
        attempt(users, dict)
    found = scrape()
    assert {series: each.labels for series, each in found.items()} == {
        key("resilience_calls_total", outcome="timeout"): ids(slow),
        key("resilience_call_duration_seconds_bucket", outcome="timeout", le="5.0"): ids(slow),
        key("resilience_circuit_transitions_total", **{"from": "closed", "to": "open"}): ids(slow),
        key("resilience_calls_total", outcome="short_circuited"): ids(refused),
        key("resilience_fallbacks_total", outcome="success"): ids(refused),
    }
    bucket = key("resilience_call_duration_seconds_bucket", outcome="timeout", le="5.0")
    assert found[bucket].value == 3.0


def test_the_longest_timeouts_are_in_the_last_bucket(
    registry: Registry, clock: FakeClock, provider: TracerProvider, scrape: Any
) -> None:
    """
    Beyond all bounds the exemplar is in the bucket without one.
    """
    users = registry.command("users", isolation="semaphore", timeout=2.0, latency_buckets=(1,))
    scrape()
    with provider.get_tracer("test").start_as_current_span("slow"):
        attempt(users, clock.advance, 3.0)
    assert key("resilience_call_duration_seconds_bucket", outcome="timeout", le="+Inf") in scrape()


def test_the_latest_trace_is_shown(
    registry: Registry, provider: TracerProvider, scrape: Any
) -> None:
    """
    One series has one exemplar, of what happened last.
    """
    users = registry.command("users")
    scrape()
    users.force_open()
    for _ in range(3):
        with provider.get_tracer("test").start_as_current_span("refused") as span:
            attempt(users, dict)
    assert [each.labels for each in scrape().values()] == [ids(span)]


def test_only_openmetrics_shows_them(registry: Registry, provider: TracerProvider) -> None:
    """
    The older format has no place for them, and is as it was.
    """
    metrics = CollectorRegistry()
    register(metrics, registry)
    users = registry.command("users")
    users.force_open()
    classic(metrics)
    with provider.get_tracer("test").start_as_current_span("refused") as span:
        attempt(users, dict)
    assert ids(span)["trace_id"].encode() in openmetrics(metrics)
    assert ids(span)["trace_id"].encode() not in classic(metrics)


def test_calls_without_a_trace_have_no_exemplar(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, scrape: Any
) -> None:
    """
    Neither outside of a span, nor in one that is not sampled and so will never be found.
    """
    provider = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    users = registry.command("users")
    scrape()
    users.force_open()
    attempt(users, dict)
    with provider.get_tracer("test").start_as_current_span("dropped"):
        attempt(users, dict)
    assert scrape() == {}


def test_what_is_kept_is_bounded(
    registry: Registry, provider: TracerProvider, scrape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Names may come and go, each with its exemplars, while nobody scrapes.
    """
    monkeypatch.setattr(exemplars, "MOST", 5)
    scrape()
    kept = []
    for number in range(7):
        passing = registry.command(f"{number}")
        passing.force_open()
        with provider.get_tracer("test").start_as_current_span("refused"):
            attempt(passing, dict)
        kept.append(len(scrape()))
    assert kept == [1, 2, 3, 4, 5, 1, 2]


def test_a_name_that_was_removed_meanwhile_is_no_trouble(
    registry: Registry,
    clock: FakeClock,
    provider: TracerProvider,
    scrape: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    A call may time out when its name is gone, and its bounds with it.
    """
    users = registry.command("users", isolation="semaphore", timeout=2.0)
    scrape()

    def body() -> None:
        registry.remove("users")
        clock.advance(3.0)

    with provider.get_tracer("test").start_as_current_span("slow"):
        attempt(users, body)
    registry.command("users")
    assert key("resilience_call_duration_seconds_bucket", outcome="timeout", le="+Inf") in scrape()
    assert caplog.records == []


def test_a_tracer_may_go_again(
    registry: Registry,
    provider: TracerProvider,
    scrape: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    What happens afterwards has no trace, and is no trouble.
    """
    users = registry.command("users")
    users.force_open()
    scrape()
    monkeypatch.setattr(trace, "get_tracer_provider", NoOpTracerProvider)
    with provider.get_tracer("test").start_as_current_span("refused"):
        attempt(users, dict)
    assert scrape() == {}
    assert caplog.records == []


@pytest.mark.parametrize("idle", [ProxyTracerProvider, NoOpTracerProvider])
def test_without_an_sdk_nobody_listens(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, scrape: Any, idle: Any
) -> None:
    """
    The interface of OpenTelemetry alone traces nothing, so no event is made for it.
    """
    monkeypatch.setattr(trace, "get_tracer_provider", idle)
    scrape()
    assert registry.listeners.all == ()


def test_a_tracer_may_come_later(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, scrape: Any
) -> None:
    """
    Each scrape looks whether there is one now; there is one listener, however many scrapes.
    """
    scrape()
    assert registry.listeners.all == ()
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    scrape()
    scrape()
    assert len(registry.listeners.all) == 1


def test_a_collector_that_is_gone_does_not_listen(
    registry: Registry, provider: TracerProvider
) -> None:
    """
    With the collector its listener goes, and what it kept.
    """
    collector = ResilienceCollector(registry)
    list(collector.collect())
    (listener,) = registry.listeners.all
    gone = weakref.ref(collector)
    del collector
    gc.collect()
    assert gone() is None
    assert registry.listeners.all == ()
    late: Any = None
    listener(late)  # another thread may be telling it still


@pytest.fixture
def steps() -> Iterator[Callable[[Callable[[], Any]], list[Any]]]:
    """Count the functions that a call runs."""

    def steps(call: Callable[[], Any]) -> list[Any]:
        seen: list[Any] = []
        sys.setprofile(lambda frame, event, _: seen.append((event, frame.f_code)))
        try:
            call()
        finally:
            sys.setprofile(None)
        return seen

    yield steps
    sys.setprofile(None)


def test_a_call_that_succeeds_is_not_asked_for_its_trace(
    registry: Registry, provider: TracerProvider, scrape: Any, steps: Any
) -> None:
    """
    On the closed path a call runs the very same steps, whether somebody traces or not.
    """
    fetch = registry.command("users")(lambda: 1)
    fetch()
    before = steps(fetch)
    scrape()
    assert len(registry.listeners.all) == 1
    assert steps(fetch) == before


@pytest.mark.promise("M9")
def test_opentelemetry_is_not_imported() -> None:
    """
    Who does not use it does not load it.
    """
    code = (
        "import sys\nfrom prometheus_client import CollectorRegistry, generate_latest\n"
        "from resilience.prometheus import register\nmetrics = CollectorRegistry()\n"
        "register(metrics)\ngenerate_latest(metrics)\n"
        "sys.exit('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert done.returncode == 0
