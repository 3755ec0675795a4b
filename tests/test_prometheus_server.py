"""What the real Prometheus makes of a live process, asked back in PromQL."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, start_http_server

from resilience import CircuitOpenError, Command, DeadlineExceededError, Registry
from resilience.prometheus import register
from tests.support.prometheus_server import Prometheus, eventually, prometheus


@attrs.frozen
class Live:
    """A registry that is being scraped."""

    registry: Registry
    server: Prometheus
    instance: str


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One registry and one server for all tests, each with names of its own."""
    registry, metrics = Registry(), CollectorRegistry()
    register(metrics, registry)
    server, thread = start_http_server(0, "127.0.0.1", metrics)
    try:
        with prometheus(tmp_path_factory.mktemp("prometheus"), server.server_port) as found:
            yield Live(registry, found, f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fail() -> None:
    """Be called in vain."""
    raise ConnectionError


def attempt(command: Command, fn: Any, *args: Any) -> None:
    """Call, whatever comes of it."""
    try:
        command.call(fn, *args)
    except Exception:
        return


def seen(live: Live, name: str) -> None:
    """Wait until a name has been scraped twice, so that it has rates."""
    live.server.until(
        f'count_over_time(resilience_in_flight{{name="{name}"}}[1h]) > bool 1',
        {(live.instance, "test", name): 1.0},
    )


def test_the_state_and_its_transitions(live: Live) -> None:
    """
    The server sees a circuit open, be on trial and close, and each transition once.
    """
    # A trial ends with its timeout: a busy machine takes more than a second to look.
    users = live.registry.command("state", volume_threshold=2, sleep_window=0.5, timeout=60)
    state = 'sum by (state) (resilience_circuit_state{name="state"})'
    moves = 'sum by (from, to) (resilience_circuit_transitions_total{name="state"}) > 0'
    live.server.until(state, {("closed",): 1, ("open",): 0, ("half_open",): 0})
    for _ in range(2):
        attempt(users, fail)
    live.server.until(state, {("closed",): 0, ("open",): 1, ("half_open",): 0})
    trial = eventually(lambda: _trial(users), "a trial is admitted")
    live.server.until(state, {("closed",): 0, ("open",): 0, ("half_open",): 1})
    trial.succeed()
    live.server.until(state, {("closed",): 1, ("open",): 0, ("half_open",): 0})
    live.server.until(
        moves, {("closed", "open"): 1, ("open", "half_open"): 1, ("half_open", "closed"): 1}
    )


def _trial(command: Command) -> Any:
    try:
        return command.acquire()
    except CircuitOpenError:
        return None


def test_the_error_ratio(live: Live) -> None:
    """
    A quarter of the calls fails, as the window says and as the rates of the counters say.
    """
    users = live.registry.command("ratio", volume_threshold=1000)
    seen(live, "ratio")
    for turn in range(100):
        attempt(users, fail if turn % 4 == 0 else dict)
    live.server.until(
        'resilience_window_error_ratio{name="ratio"} * 100',
        {(live.instance, "test", "ratio"): 25},
    )
    failed = 'sum(increase(resilience_calls_total{name="ratio", outcome=~"failure|timeout"}[1h]))'
    made = 'sum(increase(resilience_calls_total{name="ratio"}[1h]))'
    live.server.until(f"{failed} / {made} * 100", {(): 25})


def test_the_quantiles_of_the_latency(live: Live) -> None:
    """
    Nine of ten calls take some 20 ms and one some 200: so say the 50th and the 99th percentile.
    """
    users = live.registry.command("latency", timeout=None)
    seen(live, "latency")
    wait = threading.Event().wait
    for turn in range(20):
        users.call(wait, 0.2 if turn % 10 == 9 else 0.02)
    live.server.until('sum(resilience_call_duration_seconds_count{name="latency"})', {(): 20})

    def quantile(share: float) -> float:
        (found,) = live.server.query(
            f"histogram_quantile({share}, sum by (name, le) "
            '(increase(resilience_call_duration_seconds_bucket{name="latency"}[1h])))'
        ).values()
        return found

    # Within the bounds of their buckets, or the next ones on a machine that is busy.
    assert 0.01 <= quantile(0.5) <= 0.075
    assert 0.1 <= quantile(0.99) <= 0.5


@pytest.mark.promise("J4")
def test_names_come_through_as_they_are(live: Live) -> None:
    """
    Quotes, backslashes and any script are the same name on the other side.
    """
    names = ['say "hi"', "back\\slash", "naïve 🙂 العربية", '{x="y"} 1', "x" * 1_000]
    names += [live.registry.keyed("key {k}")(k=key).name or "" for key in ("\n", "\0", "\ud800")]
    kept = [live.registry.command(name) for name in names]
    eventually(lambda: set(names) <= set(live.server.ask("label/name/values")), "all are there")
    assert len(kept) == len(names)


@pytest.mark.promise("J7")
def test_a_removed_name_leaves(live: Live) -> None:
    """
    Its series are gone with the next scrape, and do not linger for five minutes.
    """
    query = 'count by (name) (resilience_in_flight{name="passing"})'
    live.registry.command("passing")
    live.server.until(query, {("passing",): 1})
    live.registry.remove("passing")
    live.server.until(query, {})


def test_the_queries_of_the_documentation_are_answered(live: Live) -> None:
    """
    Each is PromQL, and finds what happened.
    """
    page = Path("docs/how-to/prometheus.md").read_text(encoding="utf-8")
    queries = re.findall(r"^```promql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(queries) == 6
    users = live.registry.command("docs")
    seen(live, "docs")
    users.call(dict)
    for query in queries:
        eventually(lambda query=query: live.server.query(query), query)


def test_a_timeout_leads_to_its_trace(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While OpenTelemetry is active, the exemplar of a call that timed out has its trace.
    """
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    users = live.registry.command("traced", timeout=0.02, isolation="thread")
    seen(live, "traced")
    over = threading.Event()
    with provider.get_tracer("test").start_as_current_span("request") as span:
        with pytest.raises(DeadlineExceededError):
            users.call(over.wait, 5)
        over.set()
    wanted = f"{span.get_span_context().trace_id:032x}"
    query = 'resilience_call_duration_seconds_bucket{name="traced", outcome="timeout"}'

    def found() -> Any:
        answers = live.server.ask("query_exemplars", query=query, start=0, end=10**10)
        return [one for each in answers for one in each["exemplars"]]

    (exemplar,) = eventually(found, "it is there")
    assert exemplar["labels"]["trace_id"] == wanted
    assert 0.02 <= float(exemplar["value"]) < 5
