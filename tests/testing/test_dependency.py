from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

from resilience import ConfigurationError, DeadlineExceededError, Outcome, Registry
from resilience.testing import (
    DependencyError,
    FakeClock,
    FaultyDependency,
    History,
    Interrupted,
    cancel,
    fail,
    hang,
    ok,
    recover,
    refuse,
    slow,
)

COLOURS = ["sync", "asyncio", "trio"]


class Player:
    """Calls a dependency in one colour."""

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.clock = FakeClock(0)

    def dependency(self, *steps: Any, **options: Any) -> FaultyDependency:
        return FaultyDependency(History(*steps), self.clock, lambda *args: args, **options)

    def of(self, dependency: FaultyDependency) -> Callable[..., Any]:
        return dependency if self.colour == "sync" else dependency.acall

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        if self.colour == "sync":
            return fn(*args)
        return self.clock.run(fn, *args, backend=self.colour)

    @property
    def now(self) -> float:
        return round(self.clock.time(), 6)


@pytest.fixture(params=COLOURS)
def player(request: pytest.FixtureRequest) -> Player:
    """A player for each colour."""
    return Player(request.param)


def test_a_story_is_played_on_the_clock(player: Player) -> None:
    """
    Each call is answered as the step says in which it begins.
    """
    told = player.dependency(ok(1), slow(1, takes=3), fail(5), refuse(1), recover(), name="shop")
    ask = player.of(told)
    assert (player.call(ask, "pen"), player.now) == (("pen",), 0)
    player.clock.advance(1)
    assert (player.call(ask, "pen"), player.now) == (("pen",), 4)
    with pytest.raises(DependencyError, match="the shop fails"):
        player.call(ask, "pen")
    player.clock.advance(3)
    with pytest.raises(ConnectionRefusedError, match="the shop refuses connections"):
        player.call(ask, "pen")
    player.clock.advance(1)
    assert player.call(ask) == ()
    assert (told.calls, told.in_flight, told.peak, round(told.age)) == (5, 0, 1, 8)
    assert repr(told) == "<FaultyDependency 'shop', recover()>"


def test_a_hang_is_cut_off_by_the_deadline(player: Player) -> None:
    """
    The command's timeout ends the wait in time, and it is counted as one.
    """
    hung = player.of(player.dependency(hang(1), recover()))
    guard = Registry(clock=player.clock).command("d", timeout=0.5, isolation="semaphore")
    with pytest.raises(DeadlineExceededError):
        player.call(guard(hung))
    assert player.now == 0.5
    assert guard.snapshot().totals[Outcome.TIMEOUT] == 1


def test_a_hang_that_nobody_cuts_off_ends_after_an_hour(player: Player) -> None:
    """
    A missing timeout costs an hour, which any promise about time will notice.
    """
    with pytest.raises(TimeoutError, match="nobody cut off a call of the dependency for an hour"):
        player.call(player.of(player.dependency(hang())))
    assert player.now == 3600


def test_a_cancelled_caller_counts_as_cancelled(player: Player) -> None:
    """
    In a cancel step the caller leaves in the way of its colour: nothing is said of the dependency.
    """
    left = player.of(player.dependency(cancel(1), recover()))
    guard = Registry(clock=player.clock).command("d", fallback=lambda error: "never")
    guarded = guard(left)

    async def call() -> None:
        with anyio.CancelScope():
            await guarded()

    kinds = {"sync": Interrupted, "asyncio": asyncio.CancelledError, "trio": trio.Cancelled}
    with pytest.raises(kinds[player.colour]):
        player.call(guarded if player.colour == "sync" else call)
    assert guard.snapshot().totals[Outcome.CANCELLED] == 1


def test_an_error_of_ones_own_may_be_raised(player: Player) -> None:
    """
    `error` makes what a failing call raises.
    """
    with pytest.raises(KeyError):
        player.call(player.of(player.dependency(fail(), error=KeyError)))


def test_another_history_may_begin(player: Player) -> None:
    """
    `begin` plays another one, from now on.
    """
    told = player.dependency(fail())
    player.clock.advance(10)
    told.begin(History(ok(1), refuse()))
    assert player.call(player.of(told)) == ()
    player.clock.advance(1)
    assert told.step == refuse()


def test_without_an_answer_it_gives_none() -> None:
    """
    An answer is whatever the test needs.
    """
    assert FaultyDependency(History(recover()), FakeClock())("anything", at="all") is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_tells_how_many_were_with_it_at_once(backend: Any) -> None:
    """
    Its own count is a witness to the bulkhead's.
    """
    clock = FakeClock(0)
    busy = FaultyDependency(History(slow(1, takes=5)), clock)
    guarded = Registry(clock=clock).command("d", max_concurrency=3, max_waiting=9)(busy.acall)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(7):
                group.start_soon(guarded)

    with pytest.raises(ExceptionGroup):  # those whose wait was too long
        clock.run(main, backend=backend)
    assert (busy.peak, busy.in_flight) == (3, 0)


def test_setting_the_clock_back_does_not_heal_it() -> None:
    """
    The dependency lives by the time that passed.
    """
    clock = FakeClock(100)
    told = FaultyDependency(History(ok(5), fail()), clock)
    clock.advance(6)
    clock.set_back(50)
    assert told.step == fail()


def test_wrong_arguments_are_told_together() -> None:
    """
    Each fault names its field and the value.
    """
    with pytest.raises(ConfigurationError) as caught:
        FaultyDependency([ok()], int, 5, error="no")
    assert caught.value.faults == (
        "history must be a History, not [ok(1)]",
        "clock must be a FakeClock, not <class 'int'>",
        "answer must be a callable or None, not 5",
        "error must be a callable or None, not 'no'",
    )
    with pytest.raises(ConfigurationError, match="clock must be a FakeClock"):
        FaultyDependency(History(ok()), int)
    with pytest.raises(ConfigurationError, match="history must be a History, not 'x'"):
        FaultyDependency(History(ok()), FakeClock()).begin("x")
