from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest

from resilience import Command, DeadlineExceededError, Registry
from resilience.hystrix_stream import AsgiApp
from resilience.testing import FakeClock
from tests.support.visitor import AsgiVisitor

PERCENTILES = dict.fromkeys(("0", "25", "50", "75", "90", "95", "99", "99.5", "100"), int)

# What com.netflix.hystrix.serial.SerialHystrixDashboardData of Hystrix 1.5.18 writes, in its order.
COMMAND = {
    "type": str,
    "name": str,
    "group": str,
    "currentTime": int,
    "isCircuitBreakerOpen": bool,
    "errorPercentage": int,
    "errorCount": int,
    "requestCount": int,
    "rollingCountBadRequests": int,
    "rollingCountCollapsedRequests": int,
    "rollingCountEmit": int,
    "rollingCountExceptionsThrown": int,
    "rollingCountFailure": int,
    "rollingCountFallbackEmit": int,
    "rollingCountFallbackFailure": int,
    "rollingCountFallbackMissing": int,
    "rollingCountFallbackRejection": int,
    "rollingCountFallbackSuccess": int,
    "rollingCountResponsesFromCache": int,
    "rollingCountSemaphoreRejected": int,
    "rollingCountShortCircuited": int,
    "rollingCountSuccess": int,
    "rollingCountThreadPoolRejected": int,
    "rollingCountTimeout": int,
    "currentConcurrentExecutionCount": int,
    "rollingMaxConcurrentExecutionCount": int,
    "latencyExecute_mean": int,
    "latencyExecute": PERCENTILES,
    "latencyTotal_mean": int,
    "latencyTotal": PERCENTILES,
    "propertyValue_circuitBreakerRequestVolumeThreshold": int,
    "propertyValue_circuitBreakerSleepWindowInMilliseconds": int,
    "propertyValue_circuitBreakerErrorThresholdPercentage": int,
    "propertyValue_circuitBreakerForceOpen": bool,
    "propertyValue_circuitBreakerForceClosed": bool,
    "propertyValue_circuitBreakerEnabled": bool,
    "propertyValue_executionIsolationStrategy": str,
    "propertyValue_executionIsolationThreadTimeoutInMilliseconds": int,
    "propertyValue_executionTimeoutInMilliseconds": int,
    "propertyValue_executionIsolationThreadInterruptOnTimeout": bool,
    "propertyValue_executionIsolationThreadPoolKeyOverride": type(None),
    "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests": int,
    "propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests": int,
    "propertyValue_metricsRollingStatisticalWindowInMilliseconds": int,
    "propertyValue_requestCacheEnabled": bool,
    "propertyValue_requestLogEnabled": bool,
    "reportingHosts": int,
    "threadPool": str,
}
POOL = {
    "type": str,
    "name": str,
    "currentTime": int,
    "currentActiveCount": int,
    "currentCompletedTaskCount": int,
    "currentCorePoolSize": int,
    "currentLargestPoolSize": int,
    "currentMaximumPoolSize": int,
    "currentPoolSize": int,
    "currentQueueSize": int,
    "currentTaskCount": int,
    "rollingCountThreadsExecuted": int,
    "rollingMaxActiveThreads": int,
    "rollingCountCommandRejections": int,
    "propertyValue_queueSizeRejectionThreshold": int,
    "propertyValue_metricsRollingStatisticalWindowInMilliseconds": int,
    "reportingHosts": int,
}


def kinds(value: Any) -> Any:
    """Return the type of a value, or those of all values in it."""
    return (
        {key: kinds(each) for key, each in value.items()}
        if isinstance(value, dict)
        else type(value)
    )


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves when it is told to."""
    return FakeClock()


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """Keep commands apart from those of other tests."""
    return Registry(clock=clock)


class Reader:
    """Reads the stream now and then."""

    def __init__(self, registry: Registry, clock: FakeClock) -> None:
        self.clock = clock
        self.visitor = AsgiVisitor(AsgiApp(registry, clock=clock), clock)

    def read(self, after: float = 1.0) -> list[dict[str, Any]]:
        self.clock.advance(after)
        return self.visitor.get("/hystrix.stream", stays=0.1).events

    def of(self, kind: str, after: float = 1.0) -> dict[str, Any]:
        (found,) = [event for event in self.read(after) if event["type"] == kind]
        return found

    def command(self, after: float = 1.0) -> dict[str, Any]:
        return self.of("HystrixCommand", after)

    def pool(self, after: float = 1.0) -> dict[str, Any]:
        return self.of("HystrixThreadPool", after)


@pytest.fixture
def reader(registry: Registry, clock: FakeClock) -> Reader:
    """Make somebody who reads the stream."""
    return Reader(registry, clock)


def fail(cmd: Command, error: Exception | None = None) -> None:
    """Make a call that fails."""

    def body() -> None:
        raise error or OSError("no")

    with suppress(Exception):
        cmd.call(body)


def differs(event: dict[str, Any], **expected: Any) -> dict[str, Any]:
    """Return the expected values of which an event has others."""
    return {key: event[key] for key, value in expected.items() if event[key] != value}


def test_a_command_has_every_field_of_java(registry: Registry, reader: Reader) -> None:
    """An event of a command has the fields of the Java implementation, in its order and types."""
    registry.command("users").call(len, "abc")
    event = reader.command()
    assert list(event) == list(COMMAND)
    assert kinds(event) == COMMAND


def test_a_pool_has_every_field_of_java(registry: Registry, reader: Reader) -> None:
    """An event of a thread pool has the fields of the Java implementation, order and types too."""
    registry.command("users").call(len, "abc")
    event = reader.pool()
    assert list(event) == list(POOL)
    assert kinds(event) == POOL


def test_every_rolling_count_is_its_own(
    registry: Registry, reader: Reader, clock: FakeClock
) -> None:
    """What became of the calls since the first look is counted in the field of that name."""
    cmd = registry.command("users", max_concurrency=2, volume_threshold=9, ignore=KeyError)
    slow = registry.command("users", timeout=0.5)
    cmd.call(len, "before the first look")
    reader.read()
    for _ in range(4):
        cmd.call(len, "abc")
    fail(cmd)
    fail(cmd, KeyError("bad request"))
    with suppress(DeadlineExceededError):
        slow.call(clock.sleep, 0.6)
    with cmd.acquire(), cmd.acquire():
        fail(cmd)  # full
        held = reader.command()
    for _ in range(8):
        fail(cmd)
    event = reader.command()
    assert held["currentConcurrentExecutionCount"] == 2
    assert differs(event, isCircuitBreakerOpen=True) == {}
    assert (
        differs(
            event,
            rollingCountSuccess=6,  # four calls and two permits
            rollingCountFailure=6,
            rollingCountTimeout=1,
            rollingCountBadRequests=1,
            rollingCountSemaphoreRejected=1,
            rollingCountThreadPoolRejected=0,
            rollingCountShortCircuited=3,
            rollingMaxConcurrentExecutionCount=2,
            currentConcurrentExecutionCount=0,
            rollingCountExceptionsThrown=12,
            rollingCountFallbackMissing=11,
            requestCount=14,
            errorCount=7,
            errorPercentage=50,
        )
        == {}
    )


def test_what_does_not_exist_here_is_neutral(registry: Registry, reader: Reader) -> None:
    """Fields that Java has for what this library does not do say that nothing of it was done."""
    registry.command("users", max_concurrency=77).call(len, "abc")  # like no other: not remembered
    reader.read()
    assert (
        differs(
            reader.command(),
            rollingCountExceptionsThrown=0,
            rollingCountFallbackMissing=0,
            rollingCountCollapsedRequests=0,
            rollingCountEmit=0,
            rollingCountFallbackEmit=0,
            rollingCountResponsesFromCache=0,
            rollingCountThreadPoolRejected=0,
            propertyValue_executionIsolationThreadInterruptOnTimeout=False,
            propertyValue_executionIsolationThreadPoolKeyOverride=None,
            propertyValue_requestCacheEnabled=False,
            propertyValue_requestLogEnabled=False,
        )
        == {}
    )


def test_what_was_refused_was_no_task_of_the_pool(registry: Registry, reader: Reader) -> None:
    """Neither by the circuit nor for want of a slot; what was executed was one anyhow."""
    cmd = registry.command("users", max_concurrency=1, ignore=KeyError)
    reader.read()
    cmd.call(len, "abc")
    fail(cmd, KeyError("ignored"))
    fail(cmd)
    with cmd.acquire():
        fail(cmd)  # full
    cmd.force_open()
    for _ in range(5):
        fail(cmd)
    event = reader.pool()
    assert (
        differs(
            event,
            currentCompletedTaskCount=4,
            currentTaskCount=4,
            rollingCountThreadsExecuted=4,
            rollingCountCommandRejections=1,
        )
        == {}
    )


def test_the_shortest_setting_is_a_millisecond(registry: Registry, reader: Reader) -> None:
    """None is rounded to zero, which would mean that there is no timeout."""
    registry.command("users", timeout=0.0001, sleep_window=0.0014)(len)
    command, _ = reader.read()
    assert (
        differs(
            command,
            propertyValue_executionTimeoutInMilliseconds=1,
            propertyValue_executionIsolationThreadTimeoutInMilliseconds=1,
            propertyValue_circuitBreakerSleepWindowInMilliseconds=1,
        )
        == {}
    )


def test_fallbacks_are_counted_by_how_they_ended(registry: Registry, reader: Reader) -> None:
    """A fallback that answers leaves no exception; one that fails or may not run does."""
    answers = registry.command("users", fallback=lambda error: "anonymous", volume_threshold=99)
    raises = registry.command("users", fallback=lambda error: 1 // 0)
    refused = registry.command("users", fallback=lambda error: None)
    registry.configure("users", fallback_max_concurrency=0)
    reader.read()
    for cmd in (answers, raises, answers, raises):
        fail(cmd)
    event = reader.command()
    assert differs(event, rollingCountFallbackRejection=4, rollingCountFallbackSuccess=0) == {}
    registry.configure("users", fallback_max_concurrency=None)
    for cmd in (answers, answers, answers, raises, refused):
        fail(cmd)
    event = reader.command()
    assert (
        differs(
            event,
            rollingCountFailure=9,
            rollingCountFallbackSuccess=4,
            rollingCountFallbackFailure=1,
            rollingCountFallbackRejection=4,
            rollingCountFallbackMissing=0,
            rollingCountExceptionsThrown=5,
            propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests=2147483647,
        )
        == {}
    )


def test_counts_leave_with_their_window(registry: Registry, reader: Reader) -> None:
    """What happened a rolling window ago is counted no more."""
    cmd = registry.command("users", rolling_window=4.0)
    reader.read()
    cmd.call(len, "abc")
    assert [reader.command()["rollingCountSuccess"] for _ in range(6)] == [1, 1, 1, 1, 0, 0]


def test_latency_is_that_of_the_window(
    registry: Registry, reader: Reader, clock: FakeClock
) -> None:
    """Percentiles are those of the executed calls of the window, to within their bucket."""
    cmd = registry.command("users", rolling_window=4.0, latency_buckets=(0.1, 0.2, 0.4, 1.0))
    cmd.call(clock.sleep, 0.9)
    reader.read()
    for _ in range(9):
        cmd.call(clock.sleep, 0.15)
    cmd.call(clock.sleep, 0.3)
    event = reader.command()
    assert event["latencyExecute"] == {
        "0": 100, "25": 128, "50": 156, "75": 183, "90": 200, "95": 300, "99": 380, "99.5": 390,
        "100": 400,
    }  # fmt: skip
    assert event["latencyExecute_mean"] == 165
    assert event["latencyTotal"] == event["latencyExecute"]
    assert event["latencyTotal_mean"] == 165
    later = reader.command(after=5)
    assert set(later["latencyExecute"].values()) == {0}
    assert later["latencyExecute_mean"] == 0


def test_what_is_beyond_the_last_bucket_counts_as_just_there(
    registry: Registry, reader: Reader, clock: FakeClock
) -> None:
    """Nobody knows how long the longest calls took, only that it was longer than that."""
    cmd = registry.command("users", latency_buckets=(0.1, 0.2))
    cmd.call(len, "abc")
    reader.read()
    with suppress(DeadlineExceededError):
        cmd.call(clock.sleep, 3)
    event = reader.command()
    assert set(event["latencyExecute"].values()) == {200}
    assert event["latencyExecute_mean"] == 3000


def test_settings_are_milliseconds_and_whole_percents(registry: Registry, reader: Reader) -> None:
    """Settings are told in the units of Java; what has none is told as documented."""
    registry.command(
        "users", timeout=0.25, sleep_window=3, volume_threshold=7, error_percent=33.4,
        rolling_window=20, max_concurrency=12, fallback_max_concurrency=4, max_waiting=5,
    )(len)  # fmt: skip
    events = reader.read()
    command, pool = events
    assert (
        differs(
            command,
            propertyValue_circuitBreakerRequestVolumeThreshold=7,
            propertyValue_circuitBreakerSleepWindowInMilliseconds=3000,
            propertyValue_circuitBreakerErrorThresholdPercentage=34,
            propertyValue_circuitBreakerForceOpen=False,
            propertyValue_circuitBreakerForceClosed=False,
            propertyValue_circuitBreakerEnabled=True,
            propertyValue_executionIsolationStrategy="SEMAPHORE",
            propertyValue_executionIsolationThreadTimeoutInMilliseconds=250,
            propertyValue_executionTimeoutInMilliseconds=250,
            propertyValue_executionIsolationSemaphoreMaxConcurrentRequests=12,
            propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests=4,
            propertyValue_metricsRollingStatisticalWindowInMilliseconds=20_000,
            name="users",
            group="users",
            threadPool="users",
            reportingHosts=1,
        )
        == {}
    )
    assert (
        differs(
            pool,
            currentPoolSize=12,
            propertyValue_queueSizeRejectionThreshold=5,
            propertyValue_metricsRollingStatisticalWindowInMilliseconds=20_000,
        )
        == {}
    )


def test_no_limit_and_no_timeout(registry: Registry, reader: Reader) -> None:
    """Without a limit there is no pool; no limit is Java's largest integer, no timeout is 0."""
    registry.command("users", max_concurrency=None, timeout=None)(len)
    (event,) = reader.read()
    assert (
        differs(
            event,
            propertyValue_executionTimeoutInMilliseconds=0,
            propertyValue_executionIsolationSemaphoreMaxConcurrentRequests=2147483647,
        )
        == {}
    )


@pytest.mark.parametrize(
    ("override", "is_open", "flags"),
    [
        (None, True, (False, False, True)),
        ("force_open", True, (True, False, True)),
        ("force_closed", False, (False, True, True)),
        ("shadow", False, (False, False, False)),
    ],
)
def test_open_is_what_callers_meet(
    registry: Registry,
    reader: Reader,
    override: str | None,
    is_open: bool,
    flags: tuple[bool, bool, bool],
) -> None:
    """An open circuit is open, unless an override lets calls pass."""
    cmd = registry.command("users", volume_threshold=1)
    fail(cmd)
    if override is not None:
        getattr(cmd, override)()
    event = reader.command()
    assert event["isCircuitBreakerOpen"] is is_open
    names = ("ForceOpen", "ForceClosed", "Enabled")
    assert tuple(event[f"propertyValue_circuitBreaker{name}"] for name in names) == flags


def test_half_open_is_open(registry: Registry, reader: Reader, clock: FakeClock) -> None:
    """As in Java, a circuit on trial is not closed yet."""
    cmd = registry.command("users", volume_threshold=1)
    fail(cmd)
    clock.advance(6)
    with cmd.acquire():
        event = reader.command()
    assert event["isCircuitBreakerOpen"] is True


def test_slots_are_a_pool(registry: Registry, reader: Reader) -> None:
    """The bulkhead of a command is shown as its thread pool."""
    cmd = registry.command("users", max_concurrency=3)
    cmd.call(len, "abc")
    reader.read()
    held = [cmd.acquire() for _ in range(3)]
    fail(cmd)
    event = reader.pool()
    assert (
        differs(
            event,
            currentActiveCount=3,
            currentCompletedTaskCount=1,
            currentTaskCount=4,
            currentQueueSize=0,
            currentCorePoolSize=3,
            currentLargestPoolSize=3,
            currentMaximumPoolSize=3,
            currentPoolSize=3,
            rollingCountThreadsExecuted=0,
            rollingMaxActiveThreads=3,
            rollingCountCommandRejections=1,
        )
        == {}
    )
    for permit in held:
        permit.succeed()
    assert reader.pool()["rollingCountThreadsExecuted"] == 3


def test_times_are_those_of_the_wall(registry: Registry, reader: Reader) -> None:
    """`currentTime` is milliseconds since 1970."""
    registry.command("users")
    before = time.time_ns() // 1_000_000
    command, pool = reader.read()
    after = time.time_ns() // 1_000_000
    assert before <= command["currentTime"] == pool["currentTime"] <= after


@pytest.mark.parametrize("name", ['"', "\\", "</script>", "ü", "\U0001f525", "a/b c", "x" * 1000])
def test_names_are_quoted(registry: Registry, reader: Reader, name: str) -> None:
    """Any name comes out as it went in."""
    registry.command(name)
    assert {event["name"] for event in reader.read()} == {name}


def test_an_event_is_one_line(registry: Registry, clock: FakeClock) -> None:
    """An event is `data:`, one line of JSON and an empty line."""
    registry.command("users", max_concurrency=None)(len)
    visit = AsgiVisitor(AsgiApp(registry, clock=clock), clock).get("/hystrix.stream", stays=0.1)
    assert visit.body.startswith(b"data: {")
    assert visit.body.endswith(b"}\n\n")
    assert visit.body.count(b"\n") == 2
    assert json.loads(visit.body[6:])["name"] == "users"
