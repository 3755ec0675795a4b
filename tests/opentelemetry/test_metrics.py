"""OpenTelemetry: every name of a registry as metrics."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, CollectorRegistry

from resilience import Command, ConfigurationError, Override, Registry, Snapshot, State, deadline
from resilience.opentelemetry import instrument, metrics
from resilience.opentelemetry.metrics import METRICS
from resilience.prometheus import ResilienceCollector
from tests.support.runtime import FakeClock, Runtime

Series = dict[tuple[str, frozenset[tuple[str, Any]]], float]


class Collected:
    """A meter provider whose metrics are read here."""

    def __init__(self, **options: Any) -> None:
        self.reader = InMemoryMetricReader(**options)
        self.provider = MeterProvider([self.reader])

    def metrics(self) -> dict[str, Any]:
        """The metrics that are there now, by name."""
        data: Any = self.reader.get_metrics_data()
        if data is None:
            return {}
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        assert scope.scope.name == "resilience"
        return {metric.name: metric for metric in scope.metrics}

    def series(self, metric: str) -> dict[tuple[Any, ...], float]:
        """Each value of a metric by those of its attributes, without the name if that is alone."""
        found = self.metrics().get(metric)
        points = found.data.data_points if found else ()
        return {tuple(point.attributes.values()): point.value for point in points}


@pytest.fixture
def collected() -> Iterator[Collected]:
    """A meter provider of the test's own."""
    collected = Collected()
    yield collected
    collected.provider.shutdown()


@pytest.fixture
def shown(registry: Registry, collected: Collected) -> Iterator[Any]:
    """The registry of the test, instrumented."""
    with instrument(registry, meter_provider=collected.provider) as shown:
        yield shown


def play(run: Runtime, registry: Registry) -> int:
    """Let a command live through everything; returns the calls made."""
    cmd = Command(
        "db",
        registry=registry,
        volume_threshold=3,
        sleep_window=5,
        timeout=1,
        isolation="semaphore",
        max_concurrency=1,
        ignore=LookupError,
        fallback=lambda error: "instead",
    )
    fine = cmd(run.body(returns=1, takes=0.3))
    run.call(fine)
    run.call(cmd(run.body(raises=OSError)))
    run.raised(cmd(run.body(raises=LookupError)))
    run.raised(deadline(0, clock=run.clock)(fine))
    with cmd.acquire():
        run.call(fine)
    run.call(cmd(run.body(takes=2)))
    run.call(cmd(run.body(raises=OSError)))
    run.call(fine)
    run.advance(5)
    run.call(fine)
    return 10


# -- what is shown


def test_each_metric_has_its_unit_and_its_type(registry: Registry, clock: FakeClock) -> None:
    """
    What only grows is a monotonic sum, the rest are gauges, and each says what it counts.
    """
    collected = Collected()
    with instrument(registry, meter_provider=collected.provider):
        registry.command("db")
        metrics = collected.metrics()
    assert list(metrics) == [metric.name for metric in METRICS]
    for metric in METRICS:
        found = metrics[metric.name]
        assert (found.unit, found.description) == (metric.unit, metric.description)
        assert getattr(found.data, "is_monotonic", False) is (metric.kind == "counter")
        for point in found.data.data_points:
            assert tuple(point.attributes) == ("name", *metric.attributes)
    collected.provider.shutdown()


def test_the_outcomes_add_up_to_the_calls(
    run: Runtime, registry: Registry, collected: Collected, shown: Any
) -> None:
    """
    Whatever becomes of calls, in whatever colour: each counts once.
    """
    calls = play(run, registry)
    counts = collected.series("resilience.calls")
    assert counts == {
        ("db", "success"): 2 + 1,  # and the permit that was given back
        ("db", "failure"): 1,
        ("db", "timeout"): 1,
        ("db", "short_circuited"): 2,
        ("db", "bulkhead_full"): 1,
        ("db", "expired"): 1,
        ("db", "ignored"): 1,
        ("db", "cancelled"): 0,
    }
    assert sum(counts.values()) == calls
    # What is only late in sync code keeps its value, and so needs no fallback.
    assert collected.series("resilience.fallbacks")["db", "success"] == (5 if run.is_async else 4)
    assert collected.series("resilience.circuit.transitions") == {
        ("db", "closed", "open"): 1,
        ("db", "open", "half_open"): 1,
        ("db", "half_open", "closed"): 1,
        ("db", "half_open", "open"): 0,
        ("db", "open", "closed"): 0,
    }
    assert collected.series("resilience.trials")["db", "success"] == 1
    assert collected.series("resilience.circuit.state")["db", "closed"] == 1


def test_what_is_exported_to_prometheus_has_its_names(run: Runtime, registry: Registry) -> None:
    """
    By way of OpenTelemetry's own exporter every series has the name and the value it has directly.

    But for the histogram, and for infinity, which OpenTelemetry has not.
    """
    reader = PrometheusMetricReader()
    provider = MeterProvider([reader])
    direct = CollectorRegistry()
    direct.register(ResilienceCollector(registry))
    with instrument(registry, meter_provider=provider):
        play(run, registry)
        by_way, directly = read(REGISTRY), read(direct)
    provider.shutdown()
    durations = {key: value for key, value in directly.items() if "_duration_" in key[0]}
    infinite = {key: value for key, value in directly.items() if value == float("inf")}
    left = directly.keys() - durations.keys() - infinite.keys()
    assert {name for name, _ in infinite} == {"resilience_setting"}
    assert len(left) > 50
    assert {key: by_way[key] for key in left} == {key: directly[key] for key in left}
    for (name, labels), value in durations.items():
        if name.endswith("_bucket"):
            assert by_way["resilience_call_duration_bucket_total", labels] == value
        elif name.endswith("_sum"):
            assert by_way["resilience_call_duration_sum_seconds_total", labels] == value


def read(metrics: CollectorRegistry) -> Series:
    """All series of a registry of prometheus_client that are of this library."""
    return {
        (sample.name, frozenset(item for item in sample.labels.items() if item[0][:4] != "otel")): (
            sample.value
        )
        for metric in metrics.collect()
        for sample in metric.samples
        if sample.name.startswith("resilience") and not sample.name.endswith("_created")
    }


def test_every_series_is_there_from_the_creation(
    registry: Registry, clock: FakeClock, collected: Collected, shown: Any
) -> None:
    """
    A command that was never called has all of its series, at zero or as it is configured.
    """
    registry.configure("db", max_concurrency=7)
    registry.command("db")
    first = {name: len(metric.data.data_points) for name, metric in collected.metrics().items()}
    registry.command("db").call(len, "abc")
    last = {name: len(metric.data.data_points) for name, metric in collected.metrics().items()}
    assert first == last
    assert collected.series("resilience.max_concurrency") == {("db",): 7}
    assert collected.series("resilience.window.error_ratio") == {("db",): 0}


def test_no_limit_has_no_value(
    registry: Registry,
    clock: FakeClock,
    collected: Collected,
    shown: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    OpenTelemetry takes no infinity, and would complain of each one.
    """
    registry.configure("db", max_concurrency=None, timeout=None)
    registry.command("db")
    assert collected.series("resilience.max_concurrency") == {}
    settings = collected.series("resilience.setting")
    assert ("db", "timeout") not in settings
    assert settings["db", "half_open_successes"] == 1
    assert caplog.records == []


def test_a_removed_command_takes_its_series_along(
    registry: Registry, clock: FakeClock, collected: Collected, shown: Any
) -> None:
    """
    What is removed is gone from the next collection, counters and gauges alike.
    """
    registry.command("db").call(len, "abc")
    registry.command("stays")
    collected.metrics()
    registry.remove("db")
    names = {
        point.attributes["name"]
        for metric in collected.metrics().values()
        for point in metric.data.data_points
    }
    assert names == {"stays"}


def test_a_name_that_fooled_the_registry_is_escaped(
    registry: Registry, clock: FakeClock, collected: Collected, shown: Any
) -> None:
    """
    No exporter gets a name that it cannot encode.
    """

    class Sly(str):
        __slots__ = ()

        def isprintable(self) -> bool:
            return True

    registry._entries["a\n\ud800"] = registry.entry(Sly("fine"))
    assert ("a\\n\\ud800",) in collected.series("resilience.in_flight")


def test_the_states_follow_the_circuit(
    registry: Registry, clock: FakeClock, collected: Collected, shown: Any
) -> None:
    """
    State and override are told apart, and each collection tells the present.
    """
    cmd = registry.command("db", volume_threshold=1)
    cmd.force_closed()
    cmd.acquire().fail()
    states, overrides = (f"resilience.circuit.{each}" for each in ("state", "override"))
    assert collected.series(states) == {("db", each): each is State.OPEN for each in State}
    found = collected.series(overrides)
    assert found == {("db", each): each is Override.CLOSED for each in Override}
    cmd.clear_override()
    cmd.reset()
    assert collected.series(states)["db", "closed"] == 1
    assert sum(collected.series(overrides).values()) == 0


def test_the_window_shows_its_share_of_errors(
    registry: Registry, clock: FakeClock, collected: Collected, shown: Any
) -> None:
    """
    The ratio that the circuit decides by, 0 to 1.
    """
    cmd = registry.command("db")
    for _ in range(3):
        cmd.call(len, "abc")
    cmd.acquire().fail()
    assert collected.series("resilience.window.calls") == {("db",): 4}
    assert collected.series("resilience.window.error_ratio") == {("db",): 0.25}


@pytest.mark.parametrize("installed", ["1.2.3", None])
def test_the_scope_has_our_version(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, installed: str | None
) -> None:
    """
    It is that of the package; of a mere checkout nobody knows it.
    """

    def told(name: str) -> str:
        if installed is None:
            raise metadata.PackageNotFoundError(name)
        return {"python-resilience": installed}[name]

    registry.command("db")
    collected = Collected()
    monkeypatch.setattr(metadata, "version", told)
    with instrument(registry, meter_provider=collected.provider):
        data: Any = collected.reader.get_metrics_data()
    assert data.resource_metrics[0].scope_metrics[0].scope.version == installed
    collected.provider.shutdown()


# -- at what cost


def test_one_collection_takes_each_snapshot_once(
    registry: Registry, collected: Collected, shown: Any, clock: FakeClock
) -> None:
    """
    However many instruments there are; and nothing of it is kept until the next collection.
    """
    reads = Counter[str]()

    def counting() -> int:
        reads["clock"] += 1
        return 0

    quiet = Registry(clock=counting)
    quiet.command("only here")
    with instrument(quiet, meter_provider=collected.provider):
        collected.metrics()
        before = reads["clock"]
        collected.metrics()
        assert reads["clock"] - before == 1
        kept = weakref.ref(quiet._entries["only here"])
        quiet.remove("only here")
        gc.collect()
        assert kept() is None
        names = {each.name for each in gc.get_objects() if type(each) is Snapshot}
        assert "only here" not in names


def test_two_readers_each_see_the_present(registry: Registry, clock: FakeClock) -> None:
    """
    What one reader has collected is not shown to the other as the present.
    """
    readers = InMemoryMetricReader(), InMemoryMetricReader()
    provider = MeterProvider(readers)
    cmd = registry.command("db")
    with instrument(registry, meter_provider=provider):
        for calls in range(1, 4):
            cmd.call(len, "abc")
            for reader in readers:
                data: Any = reader.get_metrics_data()
                metric = data.resource_metrics[0].scope_metrics[0].metrics[0]
                assert metric.data.data_points[0].value == calls
    provider.shutdown()


def test_nobody_listens_for_metrics_alone(registry: Registry, collected: Collected) -> None:
    """
    Without span events no call makes an event.
    """
    with instrument(registry, meter_provider=collected.provider, span_events=False):
        assert registry.listeners.all == ()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock()


# -- starting and ending


def test_instrumenting_twice_is_harmless(
    registry: Registry, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The second time gives what the first gave: no series, no listener and no complaint more.
    """
    collected = Collected()
    registry.command("db").call(len, "abc")
    first = instrument(registry, meter_provider=collected.provider)
    assert instrument(registry, meter_provider=collected.provider) is first
    assert collected.series("resilience.calls")["db", "success"] == 1
    assert len(registry.listeners.all) == 1
    first.close()
    first.close()
    assert collected.metrics() == {}
    assert registry.listeners.all == ()
    with instrument(registry, meter_provider=collected.provider) as again:
        assert again is not first
        assert collected.series("resilience.calls")["db", "success"] == 1
        first.close()  # ends nothing that is not its own
        assert collected.series("resilience.calls")["db", "success"] == 1
    assert caplog.records == []
    collected.provider.shutdown()


def test_two_registries_share_a_provider(
    registry: Registry, clock: FakeClock, collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Each shows its names on the same instruments, and ends for itself.
    """
    other = Registry()
    registry.command("one")
    other.command("two")
    with instrument(registry, meter_provider=collected.provider):
        with instrument(other, meter_provider=collected.provider, duration_buckets=False):
            assert collected.series("resilience.in_flight").keys() == {("one",), ("two",)}
            durations = collected.series("resilience.call.duration.sum")
            assert {name for name, _ in durations} == {"one"}
        assert collected.series("resilience.in_flight").keys() == {("one",)}
    assert caplog.records == []


def test_another_way_is_refused_while_there_is_one(
    registry: Registry, clock: FakeClock, collected: Collected, shown: Any
) -> None:
    """
    Who asks for something else is told, instead of not being given it silently.
    """
    with pytest.raises(ConfigurationError, match="already"):
        instrument(registry, meter_provider=collected.provider, span_events=False)
    shown.close()
    with instrument(registry, meter_provider=collected.provider, span_events=False):
        pass


def test_only_a_registry_can_be_instrumented() -> None:
    """
    What is no registry is named in the error.
    """
    wrong: Any = "default"
    with pytest.raises(ConfigurationError, match="not 'default'"):
        instrument(wrong)


def test_metrics_can_be_left_to_others(registry: Registry, clock: FakeClock) -> None:
    """
    A program whose metrics go to Prometheus has span events alone.
    """
    collected = Collected()
    with instrument(registry, meter_provider=collected.provider, metrics=False):
        registry.command("db")
        assert collected.metrics() == {}
        assert len(registry.listeners.all) == 1
    collected.provider.shutdown()


GLOBAL = """
import logging
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from resilience import Registry, command
from resilience.opentelemetry import instrument

logging.basicConfig()  # a complaint would be seen
early = instrument()
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
assert instrument() is early
registry = Registry()
instrument(registry)
command("a").call(len, "abc")
registry.command("b").call(len, "abc")
(scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
names = [metric.name for metric in scope.metrics]
assert len(names) == len(set(names)), names
shown = {point.attributes["name"] for point in scope.metrics[0].data.data_points}
assert shown == {"a", "b"}, shown
print("well")
"""


def test_the_global_provider_may_come_later() -> None:
    """
    What was instrumented before the SDK was set up is shown by it, and only once.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GLOBAL],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_the_global_provider_has_its_instruments_once(
    registry: Registry,
    clock: FakeClock,
    collected: Collected,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    Whether it is named or not, and however many registries it shows.
    """
    made: list[object] = []
    monkeypatch.setattr(metrics, "_of_all", made)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: collected.provider)
    other = Registry()
    registry.command("one")
    other.command("two")
    with instrument(registry), instrument(other, meter_provider=collected.provider):
        assert collected.series("resilience.in_flight").keys() == {("one",), ("two",)}
    assert len(made) == 1  # OpenTelemetry could not remove others
    assert caplog.records == []


def test_a_callback_that_fails_is_the_sdks_to_tell(
    registry: Registry, collected: Collected, shown: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A clock of the user's that raises costs a collection, and no call and no later collection.
    """
    broken = [True]

    def clock() -> int:
        if broken[0]:
            raise OSError("no clock")
        return 0

    broken[0] = False
    sick = Registry(clock=clock)
    sick.command("db")
    with instrument(sick, meter_provider=collected.provider):
        broken[0] = True
        with caplog.at_level(logging.CRITICAL):
            assert collected.metrics() == {}
        broken[0] = False
        assert collected.series("resilience.in_flight") == {("db",): 0}


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(sys.argv[1]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
try:
    import resilience.opentelemetry
    print("imported")
    import resilience.opentelemetry.durations
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (
            "opentelemetry",
            (
                "resilience.opentelemetry needs opentelemetry-api: "
                "install python-resilience[opentelemetry]\n"
            ),
        ),
        (
            "opentelemetry.sdk",
            "imported\nresilience.opentelemetry.durations needs opentelemetry-sdk: install it\n",
        ),
    ],
)
def test_without_opentelemetry_the_import_names_what_to_install(missing: str, says: str) -> None:
    """
    The interface is enough for all but the histogram, which needs the SDK.
    """
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == says
