from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, parser
from prometheus_client import generate_latest as classic
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    Registry,
    command,
    deadline,
    default_registry,
)
from resilience.prometheus import ResilienceCollector, register
from resilience.settings import FIELDS
from tests.support.runtime import NANOS, FakeClock

OUTCOMES = (
    "success", "failure", "timeout", "short_circuited", "bulkhead_full", "expired", "ignored",
    "cancelled",
)  # fmt: skip
EXECUTED = ("success", "failure", "timeout", "expired", "ignored", "cancelled")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
STATES = ("closed", "open", "half_open")
EDGES = (
    ("closed", "open"), ("open", "half_open"), ("half_open", "closed"), ("half_open", "open"),
    ("open", "closed"),
)  # fmt: skip


def each(label: str, *values: str) -> list[dict[str, str]]:
    """Series that differ in one label."""
    return [{label: value} for value in values]


BUCKETS = [
    {"outcome": outcome, "le": le} for outcome in EXECUTED for le in (*map(repr, BOUNDS), "+Inf")
]
# Metric, type, what its series are called, and their labels beside `name`.
CATALOGUE = [
    ("resilience_calls", "counter", "_total", each("outcome", *OUTCOMES)),
    ("resilience_call_duration_seconds", "histogram", "_bucket", BUCKETS),
    ("resilience_call_duration_seconds", "histogram", "_count", each("outcome", *EXECUTED)),
    ("resilience_call_duration_seconds", "histogram", "_sum", each("outcome", *EXECUTED)),
    ("resilience_slow_calls", "counter", "_total", [{}]),
    ("resilience_stale_results", "counter", "_total", [{}]),
    ("resilience_circuit_state", "gauge", "", each("state", *STATES)),
    ("resilience_circuit_override", "gauge", "", each("override", "open", "closed", "shadow")),
    (
        "resilience_circuit_transitions", "counter", "_total",
        [{"from": old, "to": new} for old, new in EDGES],
    ),
    ("resilience_circuit_state_seconds", "counter", "_total", each("state", *STATES)),
    (
        "resilience_trials", "counter", "_total",
        each("outcome", "success", "failure", "released", "expired"),
    ),
    (
        "resilience_shadowed", "counter", "_total",
        each("reason", "short_circuited", "bulkhead_full", "expired"),
    ),
    ("resilience_window_calls", "gauge", "", [{}]),
    ("resilience_window_error_ratio", "gauge", "", [{}]),
    ("resilience_in_flight", "gauge", "", [{}]),
    ("resilience_waiting", "gauge", "", [{}]),
    ("resilience_abandoned", "gauge", "", [{}]),
    ("resilience_max_concurrency", "gauge", "", [{}]),
    (
        "resilience_fallbacks", "counter", "_total",
        each("outcome", "success", "failure", "rejected"),
    ),
    ("resilience_setting", "gauge", "", each("setting", *(FIELDS.keys() - {"latency_buckets"}))),
]  # fmt: skip
COUNTING = ("_total", "_bucket", "_count", "_sum")

Labels = frozenset[tuple[str, str]]


class Scrape:
    """What both text formats say of a registry; they must agree."""

    def __init__(self, metrics: CollectorRegistry) -> None:
        collected = list(metrics.collect())
        once: Any = SimpleNamespace(collect=lambda: collected)
        self.text = openmetrics(once).decode()
        found = openmetrics_parser.text_string_to_metric_families(self.text)
        self.families = {family.name: family for family in found}
        self.series = self._series(self.families.values())
        older = parser.text_string_to_metric_families(classic(once).decode())
        assert self._series(older) == self.series

    @staticmethod
    def _series(families: Any) -> dict[tuple[str, Labels], float]:
        samples = [sample for family in families for sample in family.samples]
        series = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
        assert len(series) == len(samples)
        return series

    def labels(self, metric: str) -> list[dict[str, str]]:
        return [dict(labels) for found, labels in self.series if found == metric]

    def names(self) -> set[str]:
        return {labels["name"] for labels in self.labels("resilience_in_flight")}

    def value(self, metric: str, name: str = "users", **labels: str) -> float:
        return self.series[metric, frozenset({"name": name, **labels}.items())]

    def by(self, label: str, metric: str, name: str = "users") -> dict[str, float]:
        """Return the values of one label that are not zero."""
        found = self.labels(metric)
        wanted = {labels[label]: labels for labels in found if labels["name"] == name}
        values = {value: self.value(metric, **labels) for value, labels in wanted.items()}
        return {value: number for value, number in values.items() if number}

    def counters(self, *names: str) -> dict[tuple[str, Labels], float]:
        return {
            (metric, labels): value
            for (metric, labels), value in self.series.items()
            if metric.endswith(COUNTING) and dict(labels)["name"] in names
        }


Scraper = Callable[[], Scrape]


@pytest.fixture
def metrics(registry: Registry) -> CollectorRegistry:
    """What exposes the registry."""
    metrics = CollectorRegistry()
    metrics.register(ResilienceCollector(registry))
    return metrics


@pytest.fixture
def scrape(metrics: CollectorRegistry) -> Scraper:
    """Read everything that is exposed."""
    return lambda: Scrape(metrics)


@pytest.fixture
def users(registry: Registry) -> Command:
    """A command with the default settings."""
    return registry.command("users")


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads that take turns a hundred times as often."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(interval / 100)
    yield
    sys.setswitchinterval(interval)


def fail(*_: object) -> None:
    """Be called in vain."""
    raise ConnectionError


def attempt(command: Command, fn: Callable[..., Any], *args: Any) -> BaseException | None:
    """Return what a call raises, or `None`."""
    try:
        command.call(fn, *args)
    except BaseException as error:
        return error
    return None


# -- the catalogue


@pytest.mark.parametrize(
    ("metric", "kind", "suffix", "labels"), CATALOGUE, ids=[row[0] + row[2] for row in CATALOGUE]
)
@pytest.mark.promise("J7")
def test_every_series_is_there_from_the_creation_of_its_command(
    scrape: Scraper, users: Command, metric: str, kind: str, suffix: str, labels: Any
) -> None:
    """
    A new command has every series of the catalogue, and counts nothing yet.
    """
    seen = scrape()
    assert seen.families[metric].type == kind
    found = [sorted(each.items()) for each in seen.labels(metric + suffix)]
    assert sorted(found) == sorted(sorted({"name": "users", **each}.items()) for each in labels)
    if suffix in COUNTING:
        assert {seen.value(metric + suffix, users.name or "", **each) for each in labels} == {0}


def test_nothing_but_the_catalogue_is_exported(scrape: Scraper, users: Command) -> None:
    """
    There is no metric and no series beyond the catalogue, creation times included.
    """
    seen = scrape()
    assert seen.families.keys() == {metric for metric, *_ in CATALOGUE}
    assert {found for found, _ in seen.series} == {row[0] + row[2] for row in CATALOGUE}
    assert all(family.documentation.endswith(".") for family in seen.families.values())


def test_durations_say_their_unit(scrape: Scraper, users: Command) -> None:
    """
    Whatever is named seconds has that unit in OpenMetrics.
    """
    units = {name: family.unit for name, family in scrape().families.items() if family.unit}
    assert units == {
        "resilience_call_duration_seconds": "seconds",
        "resilience_circuit_state_seconds": "seconds",
    }


def test_an_empty_registry_has_metrics_without_series(scrape: Scraper) -> None:
    """
    Without a command every metric is described and has no series.
    """
    seen = scrape()
    assert seen.families.keys() == {metric for metric, *_ in CATALOGUE}
    assert not seen.series


def test_what_has_no_name_is_not_exported(scrape: Scraper, registry: Registry) -> None:
    """
    A private breaker is nobody's business; a named one and a named bulkhead are.
    """
    CircuitBreaker(registry=registry)
    CircuitBreaker("breaker", registry=registry)
    Bulkhead(3, name="bulkhead", registry=registry)
    assert scrape().names() == {"breaker", "bulkhead"}


# -- calls


def test_each_call_counts_its_outcome_once(
    scrape: Scraper, registry: Registry, clock: FakeClock
) -> None:
    """
    One call of each outcome counts one of each, and a duration where the call was executed.
    """
    users = registry.command(
        "users", isolation="semaphore", timeout=2.0, max_concurrency=1, ignore=KeyError
    )

    def interrupted() -> None:
        raise KeyboardInterrupt

    assert attempt(users, dict) is None
    assert isinstance(attempt(users, fail), ConnectionError)
    assert attempt(users, clock.advance, 2.0) is None
    assert isinstance(attempt(users, {}.__getitem__, "missing"), KeyError)
    assert isinstance(attempt(users, interrupted), KeyboardInterrupt)
    with users.acquire():
        assert isinstance(attempt(users, dict), BulkheadFullError)
    with deadline(0):
        assert isinstance(attempt(users, dict), DeadlineExceededError)
    users.force_open()
    assert isinstance(attempt(users, dict), CircuitOpenError)

    seen = scrape()
    calls = seen.by("outcome", "resilience_calls_total")
    assert calls == {**dict.fromkeys(OUTCOMES, 1), "success": 2}  # the permit's was the second
    executed = {"success": 2, "failure": 1, "timeout": 1, "ignored": 1, "cancelled": 1}
    assert seen.by("outcome", "resilience_call_duration_seconds_count") == executed


def test_histograms_agree_with_the_clock(scrape: Scraper, users: Command, clock: FakeClock) -> None:
    """
    Buckets are cumulative, a duration on a bound is in its bucket, and sums lose nothing.
    """
    durations = [0, 5_000_000, 5_000_001, 50_000_000, 300_000_000, 10 * NANOS, 60 * NANOS]

    def work(duration: int) -> None:
        clock.now += duration

    for duration in durations:
        users.call(work, duration)
    seen = scrape()
    found = {
        float(labels["le"]): seen.value("resilience_call_duration_seconds_bucket", **labels)
        for labels in seen.labels("resilience_call_duration_seconds_bucket")
        if labels["outcome"] == "success"
    }
    expected = {
        bound: sum(duration <= bound * NANOS for duration in durations) for bound in (*BOUNDS, inf)
    }
    assert found == expected
    total = seen.by("outcome", "resilience_call_duration_seconds_sum")
    assert total == {"success": sum(durations) / NANOS}
    count = seen.by("outcome", "resilience_call_duration_seconds_count")
    assert count == {"success": len(durations)}


def test_histograms_have_the_bounds_of_the_settings(scrape: Scraper, users: Command) -> None:
    """
    New bounds apply at once, and durations counted by the old ones are dropped.
    """
    users.call(dict)
    users.configure(latency_buckets=(0.5, 1, 86_400))
    seen = scrape()
    bounds = {labels["le"] for labels in seen.labels("resilience_call_duration_seconds_bucket")}
    assert set(map(float, bounds)) == {0.5, 1, 86_400, inf}
    assert not seen.by("outcome", "resilience_call_duration_seconds_count")
    assert seen.value("resilience_calls_total", outcome="success") == 1


def test_a_breaker_alone_times_only_what_it_judges(
    scrape: Scraper, registry: Registry, clock: FakeClock
) -> None:
    """
    The histograms of a breaker are there, and stay empty unless it judges slow calls.
    """
    CircuitBreaker("plain", registry=registry)(clock.advance)(3)
    CircuitBreaker("judge", registry=registry, slow_call_duration=3)(clock.advance)(3)
    seen = scrape()
    for name, timed in (("plain", 0), ("judge", 1)):
        labels = {"name": name, "outcome": "success"}
        assert seen.value("resilience_calls_total", **labels) == 1
        assert seen.value("resilience_call_duration_seconds_count", **labels) == timed
        assert seen.value("resilience_call_duration_seconds_sum", **labels) == 3 * timed
        assert seen.value("resilience_slow_calls_total", name) == timed


def test_fallbacks_count_how_they_ended(scrape: Scraper, registry: Registry) -> None:
    """
    A fallback that answers, one that fails and one that finds no room are told apart.
    """

    def answer(error: BaseException, how: str) -> None:
        if how == "fails":
            raise LookupError
        if how == "is full":
            users.call(fail, "answers")

    users = registry.command("users", fallback=answer, fallback_max_concurrency=1)
    assert attempt(users, fail, "answers") is None
    assert isinstance(attempt(users, fail, "fails"), LookupError)
    assert isinstance(attempt(users, fail, "is full"), ConnectionError)
    ends = scrape().by("outcome", "resilience_fallbacks_total")
    assert ends == {"success": 1, "failure": 2, "rejected": 1}


# -- the circuit


@pytest.mark.promise("A8", "J3")
def test_a_circuit_through_all_its_states(
    scrape: Scraper, registry: Registry, clock: FakeClock
) -> None:
    """
    One state is 1 and the others 0; the ways between them and the time in them are counted.
    """
    users = registry.command("users", volume_threshold=1, sleep_window=5)
    seen = []

    def look() -> None:
        now = scrape()
        states = now.by("state", "resilience_circuit_state")
        assert list(states.values()) == [1]
        seen.extend(states)

    clock.advance(2)
    look()
    attempt(users, fail)
    clock.advance(7)
    look()  # and again, so a scrape is no attempt
    look()
    with users.acquire() as trial:
        look()
        clock.advance(1)
        trial.fail()
    look()
    clock.advance(5)
    users.call(dict)
    look()
    assert seen == ["closed", "open", "open", "half_open", "open", "closed"]

    now = scrape()
    spent = now.by("state", "resilience_circuit_state_seconds_total")
    assert spent == {"closed": 2, "open": 12, "half_open": 1}
    ways = {(old, new): {"from": old, "to": new} for old, new in EDGES}
    counted = {
        way: now.value("resilience_circuit_transitions_total", **labels)
        for way, labels in ways.items()
    }
    assert counted == {
        ("closed", "open"): 1,
        ("open", "half_open"): 2,
        ("half_open", "open"): 1,
        ("half_open", "closed"): 1,
        ("open", "closed"): 0,
    }


def test_trials_count_how_they_ended(scrape: Scraper, registry: Registry, clock: FakeClock) -> None:
    """
    A trial succeeds, fails, is given back, or lives longer than its lease.
    """
    users = registry.command("users", volume_threshold=1, sleep_window=5, half_open_calls=2)
    attempt(users, fail)
    clock.advance(5)
    hung = users.acquire()
    with pytest.raises(KeyboardInterrupt), users.acquire():
        raise KeyboardInterrupt
    clock.advance(5)
    users.call(dict)
    attempt(users, fail)
    ends = scrape().by("outcome", "resilience_trials_total")
    assert ends == {"success": 1, "failure": 1, "released": 1, "expired": 1}
    hung.succeed()
    assert scrape().value("resilience_stale_results_total") == 1


@pytest.mark.parametrize(
    ("override", "operate"),
    [
        ("open", Command.force_open),
        ("closed", Command.force_closed),
        ("shadow", Command.shadow),
    ],
)
def test_an_override_shows_beside_the_state(
    scrape: Scraper, users: Command, override: str, operate: Callable[[Command], None]
) -> None:
    """
    The override is 1 while it lies over the circuit, and the live state shows as ever.
    """
    operate(users)
    seen = scrape()
    assert seen.by("override", "resilience_circuit_override") == {override: 1}
    assert seen.by("state", "resilience_circuit_state") == {"closed": 1}
    users.clear_override()
    assert scrape().by("override", "resilience_circuit_override") == {}


def test_shadowed_refusals_count_by_reason(scrape: Scraper, registry: Registry) -> None:
    """
    In shadow mode each refusal that was not carried out counts, and the call counts as made.
    """
    users = registry.command("users", volume_threshold=1, error_percent=1, max_concurrency=1)
    users.shadow()
    with users.acquire():
        users.call(dict)
    with deadline(0):
        users.call(dict)
    attempt(users, fail)
    users.call(dict)
    seen = scrape()
    reasons = {"short_circuited": 1, "bulkhead_full": 1, "expired": 1}
    assert seen.by("reason", "resilience_shadowed_total") == reasons
    assert seen.by("outcome", "resilience_calls_total") == {"success": 4, "failure": 1}


def test_the_window_shows_calls_and_a_ratio(
    scrape: Scraper, users: Command, clock: FakeClock
) -> None:
    """
    The share of errors is between 0 and 1, and 0 in an empty window.
    """
    for fn in (fail, dict, dict, dict):
        attempt(users, fn)
    seen = scrape()
    assert seen.value("resilience_window_calls") == 4
    assert seen.value("resilience_window_error_ratio") == 0.25
    clock.advance(10)
    seen = scrape()
    assert seen.value("resilience_window_calls") == 0
    assert seen.value("resilience_window_error_ratio") == 0


# -- the bulkhead


@pytest.mark.promise("J3")
def test_slots_and_waiters_come_and_go(scrape: Scraper, registry: Registry) -> None:
    """
    Held slots and waiting callers show while they are there.
    """
    users = registry.command("users", max_concurrency=1, max_waiting=1, timeout=None)

    def load() -> tuple[float, float]:
        seen = scrape()
        return seen.value("resilience_in_flight"), seen.value("resilience_waiting")

    async def enter() -> None:
        async with users:
            await asyncio.sleep(0)  # the other one comes to wait
            seen.append(load())

    async def main() -> None:
        await asyncio.gather(enter(), enter())

    seen: list[tuple[float, float]] = []
    asyncio.run(main())
    assert [*seen, load()] == [(1, 1), (1, 0), (0, 0)]


@pytest.mark.promise("J3")
def test_an_abandoned_call_is_in_flight_until_its_thread_ends(
    scrape: Scraper, registry: Registry
) -> None:
    """
    A call that timed out on its thread holds its slot, and counts as abandoned, until it is over.
    """
    users = registry.command("users", timeout=0.01, isolation="thread")
    over = threading.Event()
    assert isinstance(attempt(users, over.wait), DeadlineExceededError)
    seen = scrape()
    assert seen.value("resilience_abandoned") == 1
    assert seen.value("resilience_in_flight") == 1
    over.set()
    looks = (scrape() for _ in range(1_000))
    assert any(
        not seen.value("resilience_abandoned") and not seen.value("resilience_in_flight")
        for seen in looks
    )


# -- settings


def test_settings_are_numbers(scrape: Scraper, registry: Registry) -> None:
    """
    Every setting but the bounds of the histogram shows as it is in force, flags as 0 or 1.
    """
    fields: dict[str, Any] = {
        "timeout": 0.5, "max_concurrency": 7, "volume_threshold": 8, "sleep_window": 9,
        "error_percent": 12.5, "rolling_window": 11, "buckets": 12, "half_open_calls": 2,
        "half_open_successes": 3, "slow_call_duration": 0.25, "slow_call_percent": 75,
        "fair_share": 0.5, "sleep_window_max": 90, "sleep_window_jitter": 0.1, "max_waiting": 4,
        "max_wait": 0.125, "fallback_max_concurrency": 5, "count_rejections": True,
    }  # fmt: skip
    assert fields.keys() == FIELDS.keys() - {"latency_buckets"}
    registry.configure("users", **fields)
    registry.command("users")
    seen = scrape()
    assert seen.by("setting", "resilience_setting") == fields
    assert seen.value("resilience_max_concurrency") == 7


def test_no_limit_is_infinity(scrape: Scraper, registry: Registry) -> None:
    """
    What has no limit is +Inf, in both text formats.
    """
    registry.configure("users", max_concurrency=None, timeout=None)
    registry.command("users")
    seen = scrape()
    assert seen.value("resilience_max_concurrency") == inf
    unlimited = {
        setting
        for setting, value in seen.by("setting", "resilience_setting").items()
        if value == inf
    }
    limits = {"max_concurrency", "timeout", "fallback_max_concurrency", "slow_call_duration"}
    assert unlimited == {*limits, "max_wait"}
    assert 'resilience_max_concurrency{name="users"} +Inf\n' in seen.text


def test_none_shows_as_the_setting_it_stands_for(scrape: Scraper, registry: Registry) -> None:
    """
    Where None means "as another setting", the value of that one shows.
    """
    registry.configure("users", half_open_calls=3, sleep_window=4, timeout=0.5)
    registry.command("users")
    settings = scrape().by("setting", "resilience_setting")
    assert settings["half_open_successes"] == 3
    assert settings["sleep_window_max"] == 4
    assert settings["max_wait"] == 0.5


# -- names


@pytest.mark.parametrize(
    "name",
    [
        'say "hi"', "back\\slash", "at the end\\", "no \\n line", '{x="y"} 1', "a,b=c", "# EOF",
        " ", "naïve Ünïcode 🙂 العربية", "x" * 1_000,
    ],
    ids=range(10),
)  # fmt: skip
@pytest.mark.promise("J4")
def test_any_printable_name_survives_the_round_trip(
    scrape: Scraper, registry: Registry, name: str
) -> None:
    """
    Quotes, backslashes and every other printable character come back as they went out.
    """
    registry.command(name).call(dict)
    seen = scrape()
    assert seen.names() == {name}
    assert seen.value("resilience_calls_total", name, outcome="success") == 1


@pytest.mark.parametrize("name", ["\ud800", "a\nb 1", "nul\0", "a\u2028b", "a\rb", "\x85\x1b"])
@pytest.mark.promise("J1", "J4")
def test_a_name_that_no_registry_takes_breaks_no_scrape(
    scrape: Scraper,
    registry: Registry,
    users: Command,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """
    Should an unprintable name get in all the same, it is escaped and starts no line of its own.
    """
    lines = len(scrape().text.splitlines())
    with pytest.raises(ConfigurationError):
        registry.command(name)
    found = registry.snapshot()
    monkeypatch.setattr(Registry, "snapshot", lambda _: {name: found["users"]})
    seen = scrape()
    assert seen.names() == {name.encode("unicode_escape").decode()}
    assert len(seen.text.splitlines()) == lines


@pytest.mark.promise("J4")
def test_names_that_look_alike_are_one(
    scrape: Scraper, users: Command, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Names that are the same text once escaped give one set of series, never a doubled one.
    """
    found = registry.snapshot()["users"]
    monkeypatch.setattr(Registry, "snapshot", lambda _: {"\ud800": found, "\\ud800": found})
    assert scrape().names() == {"\\ud800"}


@pytest.mark.promise("J5")
def test_keys_are_bounded(scrape: Scraper, registry: Registry) -> None:
    """
    However many keys there are, so many are exported, and the rest under one name.
    """
    hosts = registry.keyed("http:{host}", max_size=3)
    held = [hosts(host=f"host{number}") for number in range(50)]
    for host in held:
        host.call(dict)
    seen = scrape()
    assert seen.names() == {"http:host0", "http:host1", "http:host2", "http:other"}
    assert seen.value("resilience_calls_total", "http:other", outcome="success") == 47


@pytest.mark.promise("J6", "M7")
def test_no_argument_and_no_message_becomes_a_label(scrape: Scraper, registry: Registry) -> None:
    """
    What a call was given and what its error says appear nowhere in a scrape.
    """
    users = registry.command("users", volume_threshold=1)

    def login(password: str) -> None:
        raise PermissionError(password)

    attempt(users, login, "hunter2")
    assert "hunter2" in str(users.snapshot().last_error)
    assert "hunter2" not in scrape().text


# -- coming and going


@pytest.mark.promise("J7")
def test_a_removed_name_takes_its_series_with_it(scrape: Scraper, registry: Registry) -> None:
    """
    Removal ends the series though the command lives on, and what takes the name starts clean.
    """
    before = registry.command("users", volume_threshold=1)
    registry.command("orders").call(dict)
    attempt(before, fail)
    registry.remove("users")
    seen = scrape()
    assert seen.names() == {"orders"}
    assert "users" not in seen.text

    after = registry.command("users")
    attempt(before, fail)
    after.call(dict)
    seen = scrape()
    assert seen.names() == {"orders", "users"}
    assert seen.by("outcome", "resilience_calls_total") == {"success": 1}
    assert seen.by("state", "resilience_circuit_state") == {"closed": 1}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.promise("J2")
def test_counters_never_decrease(
    registry: Registry, scrape: Scraper, clock: FakeClock, seed: int
) -> None:
    """
    Whatever callers and operators do, no counter goes down, and outcomes sum to the calls made.
    """
    rng = random.Random(seed)
    users = registry.command(
        "users", volume_threshold=3, ignore=KeyError, max_concurrency=2, fallback=dict
    )
    calls = itertools.count(1)
    made = 0

    def call(fn: Callable[[], Any]) -> None:
        nonlocal made
        made = next(calls)
        attempt(users, fn)

    steps: list[Callable[[], Any]] = [
        lambda: call(dict),
        lambda: call(fail),
        lambda: call(fail),
        lambda: call({}.popitem),
        lambda: call(lambda: call(lambda: call(dict))),
        lambda: clock.advance(rng.expovariate(1 / 3)),
        lambda: users.configure(sleep_window=rng.uniform(0.1, 5), max_concurrency=rng.randrange(4)),
        *(users.reset, users.shadow, users.force_open, users.force_closed, users.clear_override),
    ]
    before = scrape().counters("users")
    for _ in range(40):
        rng.choice(steps)()
        seen = scrape()
        now = seen.counters("users")
        assert now.keys() == before.keys()
        assert [key for key in now if now[key] < before[key]] == []
        assert sum(seen.by("outcome", "resilience_calls_total").values()) == made
        before = now


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.promise("I2", "J1", "J2", "J3", "J7")
def test_scrapes_amid_eight_threads(registry: Registry, scrape: Scraper) -> None:
    """
    While eight threads call, create and remove commands each scrape is whole, and the last exact.
    """
    steady = registry.command("steady", max_concurrency=2, volume_threshold=10**6, ignore=KeyError)
    closed = registry.command("closed")
    closed.force_open()
    words = {
        type(None): "success",
        ConnectionError: "failure",
        KeyError: "ignored",
        KeyboardInterrupt: "cancelled",
        BulkheadFullError: "bulkhead_full",
        CircuitOpenError: "short_circuited",
    }
    start = threading.Barrier(9)

    def body(raises: type[BaseException] | None) -> None:
        if raises is not None:
            raise raises

    def work(seed: int) -> Counter[tuple[str, str]]:
        rng = random.Random(seed)
        mine: Counter[tuple[str, str]] = Counter()
        start.wait()
        for turn in range(250):
            command = steady if rng.random() < 0.8 else closed
            raises = rng.choice([None, None, ConnectionError, KeyError, KeyboardInterrupt])
            mine[command.name or "", words[type(attempt(command, body, raises))]] += 1
            if turn % 5 == 0:
                passing = f"passing {rng.randrange(4)}"
                registry.command(passing).call(body, None)
                registry.remove(passing)
        return mine

    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(work, seed) for seed in range(8)]
        start.wait()
        before = scrape().counters("steady", "closed")
        while not all(worker.done() for worker in workers):
            now = scrape().counters("steady", "closed")
            assert now.keys() == before.keys()
            assert [key for key in now if now[key] < before[key]] == []
            before = now
        made = sum((worker.result() for worker in workers), Counter[tuple[str, str]]())

    seen = scrape()
    assert seen.names() == {"steady", "closed"}
    for name in ("steady", "closed"):
        mine = {outcome: count for (command, outcome), count in made.items() if command == name}
        assert seen.by("outcome", "resilience_calls_total", name) == mine
        assert seen.value("resilience_in_flight", name) == 0
    assert made.total() == 8 * 250
    executed = seen.by("outcome", "resilience_call_duration_seconds_count", "steady")
    refused = seen.value("resilience_calls_total", "steady", outcome="bulkhead_full")
    assert sum(executed.values()) + refused == sum(
        count for (command, _), count in made.items() if command == "steady"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests' idle threads
@pytest.mark.promise("J8")
def test_each_forked_worker_shows_its_own_calls(scrape: Scraper, users: Command) -> None:
    """
    The totals of a forked worker begin at zero, and the parent's are left alone.
    """

    def worker(number: int, pipe: int) -> None:
        try:
            for _ in range(number):
                users.call(dict)
            seen = scrape()
            totals = [seen.by("outcome", "resilience_calls_total"), sorted(seen.names())]
            os.write(pipe, json.dumps(totals).encode())
        finally:
            os._exit(0)

    users.call(dict)
    for number in range(1, 5):
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            worker(number, theirs)
        os.close(theirs)
        with os.fdopen(ours) as answer:
            assert json.load(answer) == [{"success": number}, ["users"]]
        os.waitpid(child, 0)
    assert scrape().by("outcome", "resilience_calls_total") == {"success": 1}


# -- the collector


@pytest.mark.promise("J8")
def test_a_call_does_not_know_of_the_collector(registry: Registry, users: Command) -> None:
    """
    With a collector, scraped or not, a call runs the very same steps as without one.
    """
    fetch = users(lambda: 1)
    metrics = CollectorRegistry()

    def steps() -> list[Any]:
        seen: list[Any] = []
        sys.setprofile(lambda frame, event, _: seen.append((event, frame.f_code)))
        try:
            fetch()
        finally:
            sys.setprofile(None)
        return seen

    fetch()
    before = steps()
    metrics.register(ResilienceCollector(registry))
    assert steps() == before
    Scrape(metrics)
    assert steps() == before


@pytest.mark.promise("J8")
def test_a_scrape_that_fails_leaves_calls_alone(
    scrape: Scraper, metrics: CollectorRegistry, users: Command
) -> None:
    """
    Another collector that raises spoils the scrape it is part of, and nothing else.
    """

    class Broken:
        def collect(self) -> Any:
            raise OSError("the disk is gone")

    metrics.register(Broken())
    with pytest.raises(OSError, match="gone"):
        scrape()
    assert users.call(lambda: 1) == 1
    assert attempt(users, fail) is not None
    assert sum(users.snapshot().totals.values()) == 2


@pytest.mark.promise("I3")
def test_nothing_is_locked_in_the_middle_of_a_scrape(registry: Registry, users: Command) -> None:
    """
    A scraper that stops half-way holds nobody up, and what it goes on to read is of one instant.
    """
    scraper = ResilienceCollector(registry).collect()
    next(scraper)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(users.call, dict).result() == {}
        assert pool.submit(registry.remove, "users").result()
    rest = {family.name: family.samples for family in scraper}
    assert [sample.value for sample in rest["resilience_window_calls"]] == [0]


def test_a_scrape_reads_the_clock_once_for_each_name_and_registering_never() -> None:
    """
    Registering only asks for descriptions; a scrape takes one snapshot of each name.
    """
    reads = itertools.count()
    registry = Registry(clock=lambda: next(reads))
    registry.command("users")
    registry.command("orders")
    collector = ResilienceCollector(registry)
    before = next(reads)
    CollectorRegistry(auto_describe=True).register(collector)
    assert next(reads) == before + 1
    list(collector.collect())
    assert next(reads) == before + 4


def test_a_collector_describes_what_it_collects(registry: Registry, users: Command) -> None:
    """
    The descriptions are the metrics themselves, without series.
    """
    collector = ResilienceCollector(registry)
    described = [(each.name, each.type, each.documentation) for each in collector.describe()]
    collected = [(each.name, each.type, each.documentation) for each in collector.collect()]
    assert described == collected
    assert not any(each.samples for each in collector.describe())


def test_one_registry_in_two_expositions(registry: Registry, users: Command) -> None:
    """
    Two collectors of one registry, or one collector twice, serve two expositions.
    """
    collector = ResilienceCollector(registry)
    users.call(dict)
    for each in (collector, collector, ResilienceCollector(registry)):
        metrics = CollectorRegistry()
        metrics.register(each)
        assert Scrape(metrics).value("resilience_calls_total", outcome="success") == 1


def test_an_exposition_takes_one_collector(registry: Registry, users: Command) -> None:
    """
    A second collector in the same exposition is an error; after the first has left it is not.
    """
    first, second = ResilienceCollector(registry), ResilienceCollector(registry)
    metrics = CollectorRegistry()
    metrics.register(first)
    for each in (first, second):
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            metrics.register(each)
    metrics.unregister(first)
    metrics.register(second)
    assert Scrape(metrics).names() == {"users"}


def test_registering_twice_is_harmless(registry: Registry, users: Command) -> None:
    """
    `register` leaves one collector, wherever and however often it is called.
    """
    metrics, others = CollectorRegistry(), CollectorRegistry()
    collector = register(metrics, registry)
    assert register(metrics, registry) is collector
    assert register(others, registry) is not collector
    users.call(dict)
    for each in (metrics, others):
        assert Scrape(each).value("resilience_calls_total", outcome="success") == 1
    metrics.unregister(collector)
    assert not Scrape(metrics).names()
    assert register(metrics, registry) is collector
    assert Scrape(metrics).names() == {"users"}


@pytest.mark.usefixtures("eager_threads")
def test_registering_from_many_threads_at_once(registry: Registry, users: Command) -> None:
    """
    All of them get the same collector.
    """
    metrics, start = CollectorRegistry(), threading.Barrier(8)

    def work() -> ResilienceCollector:
        start.wait()
        return register(metrics, registry)

    with ThreadPoolExecutor(8) as pool:
        made = {future.result() for future in [pool.submit(work) for _ in range(8)]}
    assert len(made) == 1
    assert Scrape(metrics).names() == {"users"}


def test_another_registry_in_the_same_exposition_is_refused(registry: Registry) -> None:
    """
    Two registries may have the same names; the first one stays.
    """
    metrics = CollectorRegistry()
    collector = register(metrics, registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        register(metrics, Registry())
    assert register(metrics, registry) is collector


def test_another_registry_may_take_the_place_of_one_that_left(registry: Registry) -> None:
    """
    What is unregistered is shown no more, whoever comes after it.
    """
    metrics = CollectorRegistry()
    metrics.unregister(register(metrics, Registry()))
    registry.command("users")
    assert register(metrics, registry).registry is registry
    assert Scrape(metrics).names() == {"users"}


def test_an_exposition_that_is_forgotten_is_not_kept(registry: Registry) -> None:
    """
    Nothing is kept of it but by its owner.
    """
    metrics = CollectorRegistry()
    collector = register(metrics, registry)
    gone = weakref.ref(metrics), weakref.ref(collector)
    del metrics, collector
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


@pytest.mark.promise("J5")
def test_however_many_keys_there_are_a_bounded_number_is_shown(
    scrape: Scraper, registry: Registry
) -> None:
    """
    With keys from outside that are all in use, the rest is shown under one name.
    """
    hosts = registry.keyed("http:{host}", max_size=10)
    kept = [hosts(host=f"{number}.example") for number in range(1_000)]
    for each in kept:
        each.call(dict)
    seen = scrape()
    assert seen.names() == {*(f"http:{number}.example" for number in range(10)), "http:other"}
    assert seen.value("resilience_calls_total", "http:other", outcome="success") == 990


PROGRAM = """
import atexit, builtins, sys, threading
from prometheus_client import CollectorRegistry, generate_latest
from resilience import command
from resilience.prometheus import register
metrics = CollectorRegistry()
register(metrics)
command("users").call(dict)

def scrape():
    print(len(generate_latest(metrics)) > 0)

def keep_scraping():
    while True:
        generate_latest(metrics)

class Last:
    def __init__(self):
        self.collector, self.tell = register(metrics), print
    def __del__(self):
        self.tell(list(self.collector.collect()))

"""


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("atexit.register(scrape)", "True"),
        ("threading.Thread(target=scrape).start()", "True"),
        ("[threading.Thread(target=keep_scraping, daemon=True).start() for _ in range(3)]", ""),
        ("builtins.last = Last()", "[]"),
    ],
    ids=["exit handler", "thread", "daemons", "finalizer"],
)
@pytest.mark.promise("I7")
def test_a_scrape_during_interpreter_exit(then: str, told: str) -> None:
    """
    As long as there are exit handlers it is answered; afterwards there is nothing, and no noise.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM + then],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", told)


def test_an_interpreter_that_is_torn_down_shows_nothing(
    metrics: CollectorRegistry, users: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever still scrapes then gets an empty page, for nothing can be relied upon any more.
    """
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    assert list(metrics.collect()) == []


def test_one_metric_can_be_asked_for(metrics: CollectorRegistry, users: Command) -> None:
    """
    A scrape by `name[]` gives the series asked for alone.
    """
    found = classic(metrics.restricted_registry(["resilience_in_flight"])).decode()
    assert found.splitlines()[2:] == ['resilience_in_flight{name="users"} 0.0']


def test_the_default_registry_is_the_default() -> None:
    """
    Without a registry, the names of `default_registry` are exported.
    """
    command("tests/test_prometheus.py")
    try:
        metrics = CollectorRegistry()
        metrics.register(ResilienceCollector())
        assert "tests/test_prometheus.py" in Scrape(metrics).names()
    finally:
        default_registry.remove("tests/test_prometheus.py")


@pytest.mark.parametrize(
    "registry", [CollectorRegistry(), None, "users"], ids=["theirs", "", "name"]
)
def test_another_kind_of_registry_is_refused(registry: Any) -> None:
    """
    prometheus_client's registry, easily mistaken for ours, is refused at construction.
    """
    with pytest.raises(ConfigurationError, match=r"registry must be a resilience\.Registry, not"):
        ResilienceCollector(registry)


@pytest.mark.promise("M9")
def test_without_prometheus_client_the_import_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Where prometheus_client is missing, importing the exporter says what to install.
    """
    for module in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
        monkeypatch.setitem(sys.modules, module, None)
    for module in [name for name in sys.modules if name.startswith("resilience.prometheus")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ImportError, match=r"python-resilience\[prometheus\]") as raised:
        importlib.import_module("resilience.prometheus")
    assert isinstance(raised.value.__cause__, ImportError)
