from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from resilience import ConfigurationError, DeadlineExceededError, Outcome, Registry
from resilience.testing import ChaosError, FakeClock, chaos
from resilience.testing.prometheus import ChaosCollector

BACKENDS = ["asyncio", "trio"]


def struck(faults: chaos, calls: int) -> list[bool]:
    """Which of some calls fail."""

    @faults
    def answer() -> None: ...

    found = []
    for _ in range(calls):
        try:
            answer()
        except ChaosError:
            found.append(True)
        else:
            found.append(False)
    return found


def test_it_is_off_until_it_is_enabled_and_after_it_is_disabled() -> None:
    """
    Faults are switched on and off while the program runs; a call is not counted while it is off.
    """
    faults = chaos(error_rate=1)
    assert struck(faults, 2) == [False, False]
    assert not faults.enabled
    faults.enable()
    assert struck(faults, 2) == [True, True]
    assert repr(faults) == "<chaos 'chaos', enabled>"
    faults.disable()
    assert struck(faults, 2) == [False, False]
    done = faults.snapshot()
    assert (done.calls, done.errors, done.delays, done.hangs) == (2, 2, 0, 0)
    assert repr(faults) == "<chaos 'chaos', disabled>"


def test_rates_are_changed_at_run_time() -> None:
    """
    `enable` takes other rates; what it is not told stays.
    """
    faults = chaos(error_rate=0.5, latency=0.25)
    faults.enable(error_rate=0)
    assert struck(chaos(), 1) == [False]
    snapshot = faults.snapshot()
    assert (snapshot.error_rate, snapshot.latency, snapshot.enabled) == (0, 0.25, True)
    with pytest.raises(ConfigurationError, match=r"error_rate must be a number in \[0, 1\], not 2"):
        faults.enable(error_rate=2)
    assert faults.snapshot().error_rate == 0


def test_a_seed_gives_the_same_faults_every_time() -> None:
    """
    The choice of calls is the seed's, and about as many as the rate says.
    """
    first, second, other = (chaos(error_rate=0.3, seed=seed) for seed in (7, 7, 8))
    for faults in (first, second, other):
        faults.enable()
    choice = struck(first, 200)
    assert choice == struck(second, 200)
    assert choice != struck(other, 200)
    assert 40 <= sum(choice) <= 80


def test_a_delay_is_what_the_command_sees() -> None:
    """
    As the innermost guard it takes its time from the command's budget.
    """
    clock = FakeClock(0)
    faults = chaos(latency=5, sleep=clock.sleep)
    command = Registry(clock=clock).command("d", timeout=1, isolation="semaphore")
    guarded = command(faults(lambda: "answer"))
    assert guarded() == "answer"
    faults.enable()
    with pytest.raises(DeadlineExceededError):
        guarded()
    assert clock.time() == 1.0
    faults.enable(latency=0.5)
    assert guarded() == "answer"
    assert command.snapshot().totals[Outcome.TIMEOUT] == 1
    assert faults.snapshot().delays == 2


def test_a_hung_sync_call_ends_when_it_is_disabled() -> None:
    """
    Switched off, it lets go of what it holds, within a second.
    """
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            faults.disable()

    faults = chaos(hang=1, sleep=sleep, name="drill")
    faults.enable()
    with pytest.raises(ChaosError, match="drill made it hang"):
        faults(lambda: None)()
    assert waited == [1.0, 1.0, 1.0]


def test_a_hang_lasts_an_hour_at_most() -> None:
    """
    A drill that was forgotten does not keep a thread for ever.
    """
    clock = FakeClock(0)
    faults = chaos(hang=1, sleep=clock.sleep, error=LookupError)
    faults.enable()
    with pytest.raises(LookupError):
        faults(lambda: None)()
    assert clock.time() == 3600


@pytest.mark.parametrize("backend", BACKENDS)
def test_tasks_are_struck_in_their_own_time(backend: Any) -> None:
    """
    A coroutine function is delayed and hangs in its task, and is cut off as any other.
    """
    clock = FakeClock(0)
    faults = chaos(latency=0.25, hang=1)
    command = Registry(clock=clock).command("d", timeout=1)

    @command
    @faults
    async def answer() -> str:
        return "answer"

    assert clock.run(answer, backend=backend) == "answer"
    faults.enable(hang=0)
    assert clock.run(answer, backend=backend) == "answer"
    assert round(clock.time(), 6) == 0.25
    faults.enable(hang=1)
    with pytest.raises(DeadlineExceededError):
        clock.run(answer, backend=backend)
    assert round(clock.time(), 6) == 1.25


def test_a_stream_is_struck_before_its_first_item() -> None:
    """
    Once it flows it flows, and what is sent and thrown into it arrives.
    """
    faults = chaos(error_rate=1)

    @faults
    def items() -> Iterator[int]:
        got = yield 1
        try:
            yield got
        except KeyError:
            yield 3

    stream: Any = items()
    assert (next(stream), stream.send(2), stream.throw(KeyError)) == (1, 2, 3)
    assert list(items()) == [1, None]
    closed = items()
    next(closed)
    closed.close()
    faults.enable()
    with pytest.raises(ChaosError):
        next(items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_async_stream_is_struck_before_its_first_item(backend: Any) -> None:
    """
    As a stream.
    """
    faults = chaos(error_rate=1)

    @faults
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def read() -> list[int]:
        return [item async for item in items()]

    clock = FakeClock()
    assert clock.run(read, backend=backend) == [1, 2]
    faults.enable()
    with pytest.raises(ChaosError):
        clock.run(read, backend=backend)


def test_methods_are_struck_as_well() -> None:
    """
    It decorates what a command decorates, and keeps its looks.
    """
    faults = chaos()

    class Client:
        @faults
        def get(self, key: str) -> str:
            """Get it."""
            return key

    assert Client().get("a") == "a"
    assert Client.get.__doc__ == "Get it."
    with pytest.raises(TypeError, match="cannot guard 5"):
        faults(5)


def test_wrong_rates_are_told_together() -> None:
    """
    Each fault names its field, its range and the value.
    """
    with pytest.raises(ConfigurationError) as caught:
        chaos(error_rate=2, latency=-1, hang="x")
    assert caught.value.faults == (
        "error_rate must be a number in [0, 1], not 2",
        "latency must be a time in [0, 31,536,000] seconds, not -1",
        "hang must be a number in [0, 1], not 'x'",
    )
    with pytest.raises(ConfigurationError) as caught:
        chaos(seed=1.5, error=5, sleep=None)
    assert caught.value.faults == (
        "seed must be an integer or None, not 1.5",
        "error must be a callable or None, not 5",
        "sleep must be a callable, not None",
    )
    with pytest.raises(ConfigurationError, match=r"error_rate must be a number in \[0, 1\], not "):
        chaos(error_rate=timedelta(milliseconds=500))
    with pytest.raises(ConfigurationError, match=r"hang together must be at most 1, not 1\.25"):
        chaos(error_rate=0.5, hang=0.75)
    with pytest.raises(ConfigurationError, match="name must be"):
        chaos(name="")
    with pytest.raises(
        ConfigurationError, match="'rate' is no rate; there are error_rate, latency, hang"
    ):
        chaos().enable(rate=1)


def test_what_it_does_is_seen_in_metrics() -> None:
    """
    Each fault has its series from the beginning, and a gauge tells a drill from an outage.
    """
    clock = FakeClock()
    faults = chaos(error_rate=1, latency=1, sleep=clock.sleep, name="drill")
    metrics = CollectorRegistry()
    metrics.register(ChaosCollector(faults, chaos(name="other")))

    def sample(name: str, **labels: str) -> float | None:
        return metrics.get_sample_value(name, {"name": "drill", **labels})

    assert sample("resilience_chaos_enabled") == 0
    assert sample("resilience_chaos_faults_total", fault="hang") == 0
    faults.enable()
    struck(faults, 3)
    assert sample("resilience_chaos_enabled") == 1
    assert sample("resilience_chaos_calls_total") == 3
    assert sample("resilience_chaos_faults_total", fault="error") == 3
    assert sample("resilience_chaos_faults_total", fault="latency") == 3
    assert metrics.get_sample_value("resilience_chaos_enabled", {"name": "other"}) == 0


def test_a_collector_takes_chaos_of_different_names() -> None:
    """
    Two of one name would be one series twice.
    """
    with pytest.raises(ConfigurationError) as caught:
        ChaosCollector(chaos(), chaos(), "x")
    assert caught.value.faults == (
        "each must be a chaos, not 'x'",
        "name must be another for each chaos, not 'chaos' twice",
    )
