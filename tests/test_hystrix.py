"""
What hystrix-go documents, played with its settings and with our defaults.

Its README and `settings.go`: a command times out after 1,000 ms; at most 10 run at once; once 20
requests were made in the rolling window, 50 % of errors open the circuit; after a sleep window of
5,000 ms one request tests for recovery, and its success closes with fresh statistics; a fallback is
given the error.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from resilience import (
    BulkheadFullError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    Registry,
    Settings,
    State,
)
from tests.support.runtime import AsyncRuntime, Runtime
from tests.support.scene import Answer, Ended, ended


@pytest.fixture(
    params=[
        pytest.param(Settings(), id="our defaults"),
        pytest.param(Settings.from_hystrix({}), id="hystrix-go's"),
        pytest.param(
            Settings.from_hystrix(
                {
                    "timeout": 1000,
                    "max_concurrent_requests": 10,
                    "request_volume_threshold": 20,
                    "sleep_window": 5000,
                    "error_percent_threshold": 50,
                }
            ),
            id="written out",
        ),
        pytest.param(Settings.from_hystrix({"timeout": 0, "sleep_window": 0}), id="zeros"),
    ]
)
def settings(request: pytest.FixtureRequest) -> Settings:
    """hystrix-go's defaults, by whatever way they come."""
    found: Settings = request.param
    return found


class Service:
    """A command around a dependency that fails when told, and the answers of its fallback."""

    def __init__(self, run: Runtime, registry: Registry, settings: Settings) -> None:
        self.run = run
        self.answer = Answer()
        self.command = registry.command(
            "user_service", settings, fallback=self.answer, isolation="semaphore"
        )
        self.fetch = run.body(returns="user")
        self.guarded = self.command(self.fetch)

    def calls(self, good: int = 0, bad: int = 0) -> None:
        """Make good calls, then bad ones."""
        for raises in [None] * good + [ConnectionError] * bad:
            self.fetch.body.raises = raises
            self.run.call(self.guarded)
        self.fetch.body.raises = None

    @property
    def open(self) -> bool:
        return self.command.state is State.OPEN


@pytest.fixture
def service(run: Runtime, registry: Registry, settings: Settings) -> Service:
    """A service in its runtime."""
    return Service(run, registry, settings)


def test_the_defaults_are_hystrix_s(settings: Settings) -> None:
    """
    Timeout 1 s, 10 at once, 20 requests, 5 s of sleep, 50 %, over 10 s of statistics.
    """
    assert settings.timeout == 1
    assert settings.max_concurrency == 10
    assert settings.volume_threshold == 20
    assert settings.sleep_window == 5
    assert settings.error_percent == 50
    assert settings.rolling_window == 10
    assert settings.buckets == 10
    assert settings.half_open_calls == 1


def test_rejections_are_errors_as_in_hystrix() -> None:
    """
    hystrix-go counts a rejection as an error; `from_hystrix` sets that, our default does not.
    """
    assert Settings.from_hystrix({}).count_rejections is True
    assert Settings().count_rejections is False


def test_its_settings_are_read_in_milliseconds() -> None:
    """
    Its JSON names and its milliseconds become our fields in seconds.
    """
    settings = Settings.from_hystrix(
        {
            "timeout": 250,
            "max_concurrent_requests": 100,
            "request_volume_threshold": 5,
            "sleep_window": 1,
            "error_percent_threshold": 25,
        }
    )
    assert settings.timeout == 0.25
    assert settings.max_concurrency == 100
    assert settings.volume_threshold == 5
    assert settings.sleep_window == 0.001
    assert settings.error_percent == 25


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("timeout", -5, "timeout"),
        ("error_percent_threshold", 400, "error_percent"),
        ("max_concurrent_requests", -1, "max_concurrent_requests"),
        ("timeout", True, "timeout"),
        ("timeout", "1000", "timeout"),
        ("Timeout", 1000, "Timeout"),
    ],
)
@pytest.mark.promise("K1")
def test_what_hystrix_would_swallow_is_refused(field: str, value: Any, named: str) -> None:
    """
    Negative times and numbers, 400 % and misspelt names are errors that name the field.
    """
    with pytest.raises(ConfigurationError, match=named):
        Settings.from_hystrix({field: value})


@pytest.mark.promise("A6")
def test_nineteen_failures_are_too_few(service: Service) -> None:
    """
    Below the request volume threshold the circuit never opens.
    """
    service.calls(bad=19)
    assert not service.open
    service.calls(bad=1)
    assert service.open


@pytest.mark.parametrize(
    ("good", "bad", "opens"), [(10, 10, True), (11, 10, False), (19, 1, False), (101, 99, False)]
)
@pytest.mark.promise("A5")
def test_fifty_percent_of_errors_open(service: Service, good: int, bad: int, opens: bool) -> None:
    """
    50 % open, 49.5 % do not.
    """
    service.calls(good, bad)
    assert service.open is opens


@pytest.mark.promise("A5", "B1")
def test_only_the_last_ten_seconds_count(service: Service, run: Runtime) -> None:
    """
    Failures of more than a rolling window ago are forgotten.
    """
    service.calls(bad=19)
    run.advance(10)
    service.calls(bad=19)
    assert not service.open


@pytest.mark.promise("A7")
def test_an_open_circuit_short_circuits(service: Service, run: Runtime) -> None:
    """
    While the circuit is open the dependency is left alone, and the fallback answers.
    """
    service.calls(bad=20)
    made = service.fetch.body.calls
    run.advance(4.999)
    assert run.call(service.guarded) == "instead"
    assert service.fetch.body.calls == made
    error = service.answer.errors[-1]
    assert isinstance(error, CircuitOpenError)
    assert error.retry_after == pytest.approx(0.001)


@pytest.mark.promise("A8", "A9")
def test_one_request_tests_for_recovery(service: Service, run: Runtime) -> None:
    """
    After the sleep window one request goes through; while it runs the others are short-circuited.
    """
    service.calls(bad=20)
    run.advance(5)
    assert service.open
    trial = service.command.acquire()
    assert service.command.state is State.HALF_OPEN
    made = service.fetch.body.calls
    for _ in range(3):
        assert run.call(service.guarded) == "instead"
    assert service.fetch.body.calls == made
    trial.succeed()
    assert run.call(service.guarded) == "user"


@pytest.mark.promise("A10")
def test_a_request_that_hangs_is_followed_by_another(service: Service, run: Runtime) -> None:
    """
    As in hystrix-go there is one test for each sleep window, whatever became of the one before.
    """
    service.calls(bad=20)
    run.advance(5)
    hung = service.command.acquire()
    run.advance(4.999)
    assert run.call(service.guarded) == "instead"
    run.advance(0.001)
    assert run.call(service.guarded) == "user"
    assert service.command.state is State.CLOSED
    hung.release()


@pytest.mark.promise("A12")
def test_a_failed_test_opens_for_another_sleep_window(service: Service, run: Runtime) -> None:
    """
    Each failed test is followed by one more sleep window, as long as the last.
    """
    service.calls(bad=20)
    for _ in range(3):
        run.advance(5)
        made = service.fetch.body.calls
        service.calls(bad=1)
        assert service.fetch.body.calls == made + 1
        assert service.open
        assert service.command.snapshot().retry_after == 5


def test_a_successful_test_closes_with_fresh_statistics(service: Service, run: Runtime) -> None:
    """
    On recovery the statistics are emptied: it takes the whole volume of failures to open again.
    """
    service.calls(bad=20)
    run.advance(5)
    service.calls(good=1)
    assert service.command.state is State.CLOSED
    assert service.command.snapshot().window.calls == 0
    service.calls(bad=19)
    assert not service.open
    service.calls(bad=1)
    assert service.open


@pytest.mark.promise("G1")
def test_the_fallback_is_given_the_error(service: Service, run: Runtime) -> None:
    """
    `fallbackFunc(err)`: the very error of the call.
    """
    error = ConnectionError("refused")
    service.fetch.body.raises = error
    assert run.call(service.guarded) == "instead"
    assert service.answer.errors == [error]


@pytest.mark.promise("G1")
def test_a_success_has_no_fallback(service: Service, run: Runtime) -> None:
    """
    The fallback does not run where the call succeeded.
    """
    assert run.call(service.guarded) == "user"
    assert service.answer.errors == []


def test_an_eleventh_request_is_rejected(service: Service, run: Runtime) -> None:
    """
    Ten run at once; the eleventh is `max concurrency` to its fallback and is not made.
    """
    running = [service.command.acquire() for _ in range(10)]
    assert run.call(service.guarded) == "instead"
    assert [type(error) for error in service.answer.errors] == [BulkheadFullError]
    assert service.fetch.body.calls == 0
    running.pop().succeed()
    assert run.call(service.guarded) == "user"


def test_a_request_times_out_after_a_second(service: Service, run: Runtime) -> None:
    """
    A call of more than a second is a timeout; where it can be cut off the fallback answers.
    """
    service.fetch.body.takes = 1.5
    expected = "instead" if run.is_async else "user"
    if not run.is_async:
        # What stays in its caller's thread has a deadline only where one was given.
        service.command.configure(timeout=1.0)
    assert run.call(service.guarded) == expected
    assert service.command.snapshot().totals["timeout"] == 1
    if run.is_async:
        assert [type(error) for error in service.answer.errors] == [DeadlineExceededError]


def test_timeouts_open_the_circuit(service: Service, run: Runtime) -> None:
    """
    Twenty timeouts are twenty errors.
    """
    service.command.configure(timeout=0.1)
    service.fetch.body.takes = 0.2
    for _ in range(20):
        run.call(service.guarded)
    assert service.open


@pytest.mark.promise("D1")
def test_ten_requests_really_run_at_once(
    task: AsyncRuntime, registry: Registry, settings: Settings
) -> None:
    """
    Of thirty calls made together ten run, hang, and are cancelled at their timeout.

    Again and again ten at most really run, and the fallback answers for all.
    """
    running = most = 0

    async def hangs() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await task.sleep(60)
        finally:
            running -= 1

    command = registry.command("user_service", settings, fallback=Answer())
    guarded = command(hangs)
    ends: list[Ended] = []

    async def call() -> None:
        ends.append(await ended(guarded))

    async def main() -> None:
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(call)
            await task.sleep(5)

    task.call(main)
    assert most == 10
    assert running == 0
    assert ends == [Ended("instead")] * 90
    assert command.snapshot().in_flight == 0
    assert sum(command.snapshot().totals.values()) == 90
