"""What exporters add to a call: nothing, counted in opcodes, which no machine disturbs."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.footprint import ROOT

# In a process of its own, where nothing else traces.
COUNT = """
import gc, json
from itertools import count
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from benchmarks.library import LONG
from benchmarks.opcodes import counted
from benchmarks.subject import TRIPS, Subject
from benchmarks.work import RESULT, answer, fail, work
from resilience import CircuitOpenError, Registry
from resilience.opentelemetry import instrument
from resilience.prometheus import ResilienceCollector

def plain(registry):
    pass

def prometheus(registry):
    metrics = CollectorRegistry()
    metrics.register(ResilienceCollector(registry))
    list(metrics.collect())

def opentelemetry(registry, span_events=False):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    instrument(registry, meter_provider=provider, span_events=span_events)
    reader.get_metrics_data()

def spans(registry):
    opentelemetry(registry, span_events=True)

def subject(path, exporter):
    registry = Registry(clock=count(start=10**9, step=1000).__next__)
    make = registry.command("command", timeout=None, fallback=answer, sleep_window=LONG)
    guarded = make(work if path == "closed" else fail)
    exporter(registry)
    if path == "closed":
        return Subject(guarded, returns=RESULT)
    return Subject(guarded, returns=CircuitOpenError, trips=TRIPS)

gc.disable()
with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("request"):
    print(json.dumps({
        f"{path} {exporter.__name__}": counted(subject(path, exporter))
        for path in ("closed", "open")
        for exporter in (plain, prometheus, opentelemetry, spans)
    }))
"""


def test_exporters_add_no_opcode_to_a_call() -> None:
    """
    Metrics are read where they are counted anyway: a call is the same with and without them.

    Span events cost the calls that have one, and no others.
    """
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    for exporter in ("prometheus", "opentelemetry", "spans"):
        assert counts[f"closed {exporter}"] == counts["closed plain"]
    for exporter in ("prometheus", "opentelemetry"):
        assert counts[f"open {exporter}"] == counts["open plain"]
    assert counts["open spans"] > counts["open plain"]
