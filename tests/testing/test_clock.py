from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from resilience import ConfigurationError, DeadlineExceededError, Registry, deadline
from resilience.testing import FakeClock

BACKENDS = ["asyncio", "trio"]


def test_it_stands_still_until_it_is_told_to_move() -> None:
    """
    A fake clock gives integer nanoseconds, and moves by seconds or a timedelta.
    """
    clock = FakeClock(10)
    assert (clock(), clock(), clock.time()) == (10_000_000_000, 10_000_000_000, 10.0)
    clock.advance(0.5)
    clock.advance(timedelta(seconds=1))
    assert clock() == 11_500_000_000
    assert repr(clock) == "<FakeClock at 11.5 s>"


def test_it_can_be_put_somewhere_and_set_back() -> None:
    """
    A clock that goes back does so for its readers; the time that event loops live by goes on.
    """
    clock = FakeClock(10)
    clock.set_back(3)
    assert (clock.time(), clock.ticks) == (7.0, 10_000_000_000)
    clock.now = 20_000_000_000
    assert (clock.time(), clock.ticks) == (20.0, 23_000_000_000)
    clock.now = 0
    assert (clock.time(), clock.ticks) == (0.0, 23_000_000_000)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), True, "1", 31_536_001])
@pytest.mark.parametrize("move", ["advance", "set_back", "sleep"])
def test_a_wrong_time_is_refused(move: str, seconds: Any) -> None:
    """
    The message names the field, its range and the value.
    """
    with pytest.raises(ConfigurationError) as caught:
        getattr(FakeClock(), move)(seconds)
    assert str(caught.value) == (
        f"seconds must be a time in [0, 31,536,000] seconds, not {seconds!r}"
    )


def test_a_wrong_start_is_refused() -> None:
    """
    A clock does not show a time before zero.
    """
    with pytest.raises(ConfigurationError, match="start must be a time"):
        FakeClock(-1)


def test_sleep_stops_at_the_deadline_around_it() -> None:
    """
    Sync code that sleeps as long as the deadline lasts sees its end at that very moment.
    """
    clock = FakeClock(0)
    with pytest.raises(DeadlineExceededError), deadline(2, clock=clock):
        clock.sleep(1)
        clock.sleep(60)
    assert clock.time() == 2.0


def test_sleep_that_lasts_as_long_as_the_deadline_is_not_cut_off() -> None:
    """
    It has ended when the deadline comes.
    """
    clock = FakeClock(0)
    with deadline(2, clock=clock):
        clock.sleep(2)
    assert clock.time() == 2.0


def test_sleep_takes_its_whole_time_under_a_deadline_of_another_clock() -> None:
    """
    A deadline on real time says nothing of fake time.
    """
    clock = FakeClock(0)
    with deadline(20):
        clock.sleep(60)
    assert clock.time() == 60.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_tasks_sleep_in_no_time(backend: Any) -> None:
    """
    An hour of a task passes at once, on the clock, and the sleeps of tasks overlap.
    """
    clock = FakeClock(0)
    woken = []

    async def nap(seconds: float) -> None:
        await anyio.sleep(seconds)
        woken.append((seconds, round(clock.time())))

    async def main(most: float) -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(nap, most)
            group.start_soon(nap, 60)
        return "rested"

    assert clock.run(main, 3600, backend=backend) == "rested"
    assert woken == [(60, 60), (3600, 3600)]
    assert round(clock.time(), 6) == 3600


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_sleeps_pass_in_no_time_as_well(backend: Any) -> None:
    """
    No jump of the clock waits for anything, and none goes further than a nanosecond too far.
    """
    clock = FakeClock(0)

    async def nap() -> None:
        for _ in range(100):
            await anyio.sleep(36)

    clock.run(nap, backend=backend)
    assert 3_600_000_000_000 <= clock() <= 3_600_000_000_100


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_that_is_let_pass_wakes_who_sleeps(backend: Any) -> None:
    """
    Inside of a loop as well, whoever was to wake meanwhile wakes at once.
    """
    clock = FakeClock(0)
    woken = []

    async def nap() -> None:
        await anyio.sleep(5)
        woken.append(round(clock.time()))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(nap)
            await anyio.sleep(1)
            clock.advance(10)

    clock.run(main, backend=backend)
    assert woken == [11]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_clock_serves_sync_and_async_code_in_turn(backend: Any) -> None:
    """
    What sync code advances and what tasks sleep add up, inside of the loop as well.
    """
    clock = FakeClock(0)
    users = Registry(clock=clock).command("users", volume_threshold=1, sleep_window=5)

    async def main() -> None:
        await clock.asleep(1)
        clock.advance(2)
        clock.now += 1_000_000_000
        await anyio.lowlevel.checkpoint()
        users.acquire().fail()

    clock.advance(10)
    clock.run(main, backend=backend)
    assert round(clock.time(), 6) == 14
    assert users.snapshot().retry_after == 5.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_timeout_fires_in_virtual_time(backend: Any) -> None:
    """
    A command's deadline cuts a task off after its time on the clock.
    """
    clock = FakeClock(0)

    @Registry(clock=clock).command("users", timeout=0.5)
    async def hang() -> None:
        await clock.asleep(3600)

    with pytest.raises(DeadlineExceededError):
        clock.run(hang, backend=backend)
    assert round(clock.time(), 6) == 0.5


@pytest.mark.parametrize("run", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)])
def test_asleep_refuses_to_wait_for_real(run: Any) -> None:
    """
    A loop that lives by real time would really wait, so it is told how to play it.
    """
    with pytest.raises(RuntimeError, match="play it by FakeClock"):
        run(FakeClock().asleep(3600))


def test_an_unknown_backend_is_refused() -> None:
    """
    There are two.
    """
    with pytest.raises(
        ConfigurationError, match="backend must be 'asyncio' or 'trio', not 'curio'"
    ):
        FakeClock().run(anyio.sleep, 1, backend="curio")


def test_a_test_runner_may_make_its_own_loops() -> None:
    """
    `new_event_loop` is a loop factory.
    """
    clock = FakeClock(0)
    with asyncio.Runner(loop_factory=clock.new_event_loop) as runner:
        runner.run(clock.asleep(60))
    assert round(clock.time()) == 60


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_that_fails_leaves_the_clock_usable(backend: Any) -> None:
    """
    What a run raises comes out of it, and the clock goes on from there.
    """
    clock = FakeClock(0)

    async def fail() -> None:
        await anyio.sleep(1)
        raise LookupError

    with pytest.raises(LookupError):
        clock.run(fail, backend=backend)
    clock.advance(1)
    assert round(clock.time(), 6) == 2
