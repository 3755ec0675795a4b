"""OpenTelemetry: span events where a call was not just made, and the trace it belongs to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitOpenError,
    Command,
    DeadlineExceededError,
    Registry,
    State,
)
from resilience.opentelemetry import instrument
from tests.support.runtime import FakeClock, Runtime
from tests.support.threads import PATIENCE, Caller, together


class Traced:
    """A tracer whose spans are read here."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def span(self, name: str) -> Any:
        """Start a span and make it current."""
        return self.tracer.start_as_current_span(name, record_exception=False)

    def spans(self) -> dict[str, Any]:
        """The spans that have ended, by name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def events(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """The events of a span."""
        return [(event.name, dict(event.attributes)) for event in self.spans()[name].events]


@pytest.fixture
def traced() -> Iterator[Traced]:
    """A tracer of the test's own."""
    traced = Traced()
    yield traced
    traced.provider.shutdown()


@pytest.fixture(autouse=True)
def shown(registry: Registry) -> Iterator[Any]:
    """The registry of the test, instrumented for spans."""
    with instrument(registry, metrics=False) as shown:
        yield shown


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock()


def make(registry: Registry, **fields: Any) -> Command:
    """A command that one failure opens."""
    return Command("db", registry=registry, volume_threshold=1, sleep_window=5, **fields)


def within(run: Runtime, traced: Traced, fn: Any, name: str = "request") -> Any:
    """Call a function in a span, in the runtime's colour."""

    async def coroutine() -> Any:
        with traced.span(name):
            return await fn()

    def function() -> Any:
        with traced.span(name):
            return fn()

    return run.raised(coroutine if run.is_async else function)


# -- the events


def test_a_call_that_is_just_made_has_no_event(
    run: Runtime, registry: Registry, traced: Traced
) -> None:
    """
    Neither what succeeds nor what fails below the limit.
    """
    cmd = Command("db", registry=registry)
    within(run, traced, cmd(run.body()))
    assert traced.events("request") == []
    within(run, traced, cmd(run.body(raises=OSError)), "failing")
    assert traced.events("failing") == []


def test_a_transition_is_an_event_of_the_call_that_moved_the_circuit(
    run: Runtime, registry: Registry, traced: Traced
) -> None:
    """
    With the state before and after, and the reason.
    """
    guarded = make(registry)(run.body(raises=OSError))
    within(run, traced, guarded, "opening")
    run.advance(5)
    guarded.__wrapped__.body.raises = None
    within(run, traced, guarded, "trial")
    assert traced.events("opening") == [
        (
            "resilience.transition",
            {
                "resilience.name": "db",
                "resilience.state": "open",
                "resilience.old_state": "closed",
                "resilience.reason": "1 of 1 calls failed, the limit is 50 %",
            },
        )
    ]
    assert [attributes["resilience.state"] for _, attributes in traced.events("trial")] == [
        "half_open",
        "closed",
    ]


def test_a_rejection_is_an_event(run: Runtime, registry: Registry, traced: Traced) -> None:
    """
    With its outcome, the state, and what stood in its way.
    """
    cmd = make(registry, max_concurrency=1)
    guarded = cmd(run.body())
    with cmd.acquire() as permit:
        within(run, traced, guarded, "full")
        permit.fail()
    within(run, traced, guarded, "open")
    assert traced.events("full") == [
        (
            "resilience.rejection",
            {
                "resilience.name": "db",
                "resilience.state": "closed",
                "resilience.outcome": "bulkhead_full",
                "resilience.reason": "none of 1 slots is free",
            },
        )
    ]
    assert traced.events("open") == [
        (
            "resilience.rejection",
            {
                "resilience.name": "db",
                "resilience.state": "open",
                "resilience.outcome": "short_circuited",
                "resilience.reason": "1 of 1 calls failed, the limit is 50 %",
            },
        )
    ]


def test_a_timeout_is_an_event(run: Runtime, registry: Registry, traced: Traced) -> None:
    """
    With the seconds it took, and whose time was over.
    """
    cmd = Command("db", registry=registry, timeout=1, isolation="semaphore")
    within(run, traced, cmd(run.body(takes=1)))
    ((name, attributes),) = traced.events("request")
    assert name == "resilience.timeout"
    assert attributes.pop("resilience.elapsed") == pytest.approx(1)
    assert attributes == {
        "resilience.name": "db",
        "resilience.state": "closed",
        "resilience.reason": "the call's own timeout was over",
    }


def test_a_fallback_is_an_event(run: Runtime, registry: Registry, traced: Traced) -> None:
    """
    With how it ended and the type of the error it answered for, and not its words.
    """
    cmd = Command("db", registry=registry, fallback=run.coloured(lambda error: "instead"))
    within(run, traced, cmd(run.body(raises=OSError("secret"))))
    assert traced.events("request") == [
        (
            "resilience.fallback",
            {
                "resilience.name": "db",
                "resilience.state": "closed",
                "resilience.outcome": "success",
                "resilience.reason": "OSError",
            },
        )
    ]


def test_events_come_in_the_order_of_the_call(
    run: Runtime, registry: Registry, traced: Traced
) -> None:
    """
    What opens the circuit, is told as late, and is answered by a fallback has all of it.
    """
    cmd = make(registry, timeout=1, isolation="semaphore", fallback=run.coloured(lambda error: 3))
    within(run, traced, cmd(run.body(takes=2, raises=OSError)))
    within(run, traced, cmd(run.body()), "refused")
    events = [name.partition(".")[2] for name, _ in traced.events("request")]
    assert events == ["transition", "timeout", "fallback"]
    events = [name.partition(".")[2] for name, _ in traced.events("refused")]
    assert events == ["rejection", "fallback"]


def test_the_parts_have_events_too(registry: Registry, traced: Traced) -> None:
    """
    A bulkhead alone tells of its refusals as a command does.
    """
    with traced.span("request"), pytest.raises(BulkheadFullError):
        Bulkhead(0, name="pool", registry=registry).acquire()
    ((name, attributes),) = traced.events("request")
    assert (name, attributes["resilience.name"]) == ("resilience.rejection", "pool")


# -- whose span


def test_the_event_is_in_the_span_although_another_thread_tells(
    registry: Registry, traced: Traced
) -> None:
    """
    While a listener holds up the thread that tells events, spans get theirs before they end.
    """
    begun, go_on = threading.Event(), threading.Event()

    def slow(event: Any) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    registry.subscribe(slow)
    held_up = Caller(lambda: make(registry).acquire().fail())
    assert begun.wait(PATIENCE)
    with traced.span("request"):
        Command("other", registry=registry, volume_threshold=1).acquire().fail()
    go_on.set()
    held_up.outcome()
    ((_, attributes),) = traced.events("request")
    assert attributes["resilience.name"] == "other"


def test_each_of_many_threads_has_its_own_events(
    registry: Registry, traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    """
    In a storm of refusals every span has its own events, all of them and no other.
    """
    refused = [registry.command(f"db {number}") for number in range(8)]
    for cmd in refused:
        cmd.force_open()
        cmd(len)  # settings are known

    def work(number: int) -> None:
        for turn in range(100):
            with traced.span(f"{number} {turn}"):
                for _ in range(3):
                    with pytest.raises(CircuitOpenError):
                        refused[number].call(len, "abc")

    with caplog.at_level(logging.WARNING):
        together(8, work)
    assert len(traced.spans()) == 800
    for name in traced.spans():
        names = [attributes["resilience.name"] for _, attributes in traced.events(name)]
        assert names == [f"db {name.split()[0]}"] * 3
    assert caplog.records == []


def test_without_a_span_or_a_sample_nothing_is_made(registry: Registry, clock: FakeClock) -> None:
    """
    Where nobody records, an event is nothing.
    """
    made: list[str] = []

    class Deaf(trace.NonRecordingSpan):
        def add_event(self, name: str, *_: Any, **__: Any) -> None:
            made.append(name)

    cmd = make(registry)
    with trace.use_span(Deaf(trace.INVALID_SPAN_CONTEXT)):
        cmd.acquire().fail()
    assert made == []
    unsampled = Traced(sampler=ALWAYS_OFF)
    with unsampled.span("request"):
        cmd.reset()
    assert unsampled.spans() == {}
    unsampled.provider.shutdown()


def test_what_is_closed_adds_nothing(registry: Registry, traced: Traced, shown: Any) -> None:
    """
    After `close` no span has an event of ours.
    """
    shown.close()
    with traced.span("request"):
        make(registry).acquire().fail()
    assert traced.events("request") == []


def test_a_span_that_raises_changes_nothing(registry: Registry, clock: FakeClock) -> None:
    """
    A span of somebody else's making is a guest like any listener.
    """

    class Broken(trace.NonRecordingSpan):
        def is_recording(self) -> bool:
            raise RuntimeError("no span")

    cmd = make(registry)
    with trace.use_span(Broken(trace.INVALID_SPAN_CONTEXT)):
        cmd.acquire().fail()
    assert cmd.state is State.OPEN


# -- threads


def test_trace_context_survives_thread_isolation(registry: Registry, traced: Traced) -> None:
    """
    On its worker thread a function sees the span and the baggage of its caller.

    What it starts there is a child of that, and what becomes of the call is an event of it.
    """
    registry = Registry()
    cmd = Command("db", registry=registry, volume_threshold=1, isolation="thread")

    @cmd
    def query() -> Any:
        with traced.span("query"):
            trace.get_current_span().set_attribute("thread", threading.get_ident())
            return baggage.get_baggage("tenant")

    @cmd
    def broken() -> None:
        raise ConnectionError

    with instrument(registry, metrics=False), traced.span("request") as request:
        token = context.attach(baggage.set_baggage("tenant", "blue"))
        assert query() == "blue"
        assert trace.get_current_span() is request
        with pytest.raises(ConnectionError):
            broken()
        context.detach(token)
    child, parent = (traced.spans()[name] for name in ("query", "request"))
    assert child.attributes["thread"] != threading.get_ident()
    assert child.parent.span_id == parent.context.span_id
    assert child.context.trace_id == parent.context.trace_id
    ((name, attributes),) = traced.events("request")
    assert (name, attributes["resilience.state"]) == ("resilience.transition", "open")


def test_a_call_left_behind_on_its_thread_stays_in_its_trace(traced: Traced) -> None:
    """
    The timeout is an event of the caller's span; what the thread does afterwards is its child.
    """
    registry = Registry()
    go_on, ended = threading.Event(), threading.Event()

    @registry.command("db", timeout=0.01)
    def query() -> None:
        assert go_on.wait(PATIENCE)
        with traced.span("late"):
            pass
        ended.set()

    with instrument(registry, metrics=False), traced.span("request"):
        with pytest.raises(DeadlineExceededError):
            query()
        registry.remove("db")
    go_on.set()
    assert ended.wait(PATIENCE)
    ((name, attributes),) = traced.events("request")
    assert name == "resilience.timeout"
    assert attributes["resilience.reason"] == "the call's own timeout was over"
    late, request = (traced.spans()[name] for name in ("late", "request"))
    assert late.parent.span_id == request.context.span_id
