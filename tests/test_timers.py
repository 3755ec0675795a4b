"""The timers that deadlines take of an asyncio loop: how few they are, and what stays behind."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import pytest

from resilience import DeadlineExceededError, _alarm, deadline
from resilience.testing._virtual_asyncio import VirtualLoop
from tests.support.runtime import NANOS, AsyncioRuntime, FakeClock


class CountingLoop(VirtualLoop):
    """Counts the timers that are set."""

    timers = 0

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **kwargs)

    @property
    def waiting(self) -> int:
        """How many timers are set now."""
        scheduled: Any = self._scheduled
        return sum(not timer.cancelled() for timer in scheduled)


class Counting(AsyncioRuntime):
    """asyncio, on a loop that counts timers."""

    loop = CountingLoop


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """A loop that counts timers; those of loops before it are out of the way."""
    monkeypatch.setattr(_alarm, "_timers", {})
    run = Counting()
    yield run
    run.close()


def loop_here() -> Any:
    """Return the loop that runs."""
    return asyncio.get_running_loop()


async def hangs(clock: FakeClock, seconds: float) -> float:
    """Hang until a deadline ends it; return how long that took."""
    began = clock()
    with pytest.raises(DeadlineExceededError), deadline(seconds, clock=clock):
        await asyncio.sleep(1000)
    return round((clock() - began) / NANOS, 3)


def test_deadlines_of_one_length_take_one_timer(counting: Counting) -> None:
    """
    However many there are at once or one after the other: who ends in time sets none of its own.
    """

    async def one() -> None:
        with deadline(5, clock=counting.clock):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(50)))
        for _ in range(50):
            counting.clock.advance(0.01)
            await one()
        assert loop_here().timers == 1

    counting.call(main)


def test_who_ends_in_time_takes_nobody_s_timer_along(counting: Counting) -> None:
    """
    Of two deadlines of one length the first is over early, and the second still cuts off.
    """

    async def main() -> float:
        with deadline(5, clock=counting.clock):
            late = asyncio.ensure_future(hangs(counting.clock, 5))
            await asyncio.sleep(1)
        return await late

    assert counting.call(main) == 5


def test_an_alarm_of_its_own_takes_its_timer_along(counting: Counting) -> None:
    """
    A task that carries a deadline is cut off by a timer of its own, gone when it ends in time.
    """

    async def carries() -> None:
        with deadline(math.inf):
            await asyncio.sleep(0)
            assert loop_here().waiting == 2

    async def main() -> None:
        with deadline(5, clock=counting.clock):
            await asyncio.create_task(carries())
            assert loop_here().waiting == 1

    counting.call(main)


def test_an_alarm_that_was_set_anew_takes_its_timer_along(counting: Counting) -> None:
    """
    A task goes by the next deadline once one that it carries is left, and then ends in time.
    """

    async def carries(go: asyncio.Event) -> None:
        with deadline(60, clock=counting.clock):
            await go.wait()

    async def main() -> None:
        go = asyncio.Event()
        with deadline(2, clock=counting.clock):
            task = asyncio.create_task(carries(go))
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # it is told that this one was left
        before = loop_here().waiting
        go.set()
        await task
        assert loop_here().waiting == before - 1

    counting.call(main)


def test_more_lengths_than_share_timers_end_each_in_its_time(counting: Counting) -> None:
    """
    Those beyond have a timer for each alarm, which cuts off as well, and takes no other along.
    """
    lengths = [10 + number for number in range(_alarm.MANY)]

    async def main() -> None:
        others = [asyncio.ensure_future(hangs(counting.clock, length)) for length in lengths]
        await asyncio.sleep(0)
        with deadline(5, clock=counting.clock):
            late = asyncio.ensure_future(hangs(counting.clock, 5))
            await asyncio.sleep(1)
        assert await late == 5
        assert await asyncio.gather(*others) == lengths

    counting.call(main)


def test_lengths_that_came_and_went_are_forgotten(counting: Counting) -> None:
    """
    A length that nobody asks for any more makes room for another, of this loop or the next.
    """

    async def main() -> None:
        for number in range(2 * _alarm.MANY):
            with deadline(1 + number, clock=counting.clock):
                await asyncio.sleep(0)
        await asyncio.sleep(1000)  # the last timer comes due
        loop_here().timers = 0
        for _ in range(2):
            with deadline(5, clock=counting.clock):
                await asyncio.sleep(0)
        assert loop_here().timers == 1

    counting.call(main)
