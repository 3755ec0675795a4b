"""The decision table, row by row: calls that are never made."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from resilience import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
    Registry,
    State,
)
from tests.support.runtime import Runtime
from tests.support.scene import (
    ERROR,
    NOTHING,
    SLEEP_WINDOW,
    Answer,
    Ended,
    Scene,
    cancelled_after,
    ended,
)


async def nothing() -> None:
    """Do nothing."""


def expired(scene: Scene) -> Callable[[], Awaitable[Ended]]:
    """Return a scenario: a call whose caller has no time left."""
    guarded = scene.guard(nothing)

    async def scenario() -> Ended:
        with scene.within(1):
            scene.block(2)
            return await ended(guarded)

    return scenario


# -- the caller's deadline had run out


@pytest.mark.parametrize("timeout", [None, 2.0])
@pytest.mark.promise("E3")
def test_an_expired_caller_is_refused_at_once(
    run: Runtime, registry: Registry, timeout: float | None
) -> None:
    """
    Where the caller's time had run out the function is not called, and no fallback either.

    It counts as expired, shows in no window, and its error says that no time was spent.
    """
    asked = Answer()
    scene = Scene(run, registry, fallback=asked, timeout=timeout)
    before = scene.snapshot
    end = scene.play(expired(scene))
    assert isinstance(end.error, DeadlineExceededError)
    assert end.error.elapsed == 0
    assert scene.runs == 0
    assert asked.errors == []
    effect = scene.since(before)
    assert effect.outcomes == {"expired": 1}
    assert effect.window == NOTHING
    assert scene.snapshot.latency == {}


@pytest.mark.parametrize("seconds", [0, -1])
@pytest.mark.promise("E3")
def test_a_deadline_of_nothing_refuses_at_once(
    run: Runtime, registry: Registry, seconds: float
) -> None:
    """
    Under a deadline of 0 or less no call is made.
    """
    scene = Scene(run, registry)
    guarded = scene.guard(nothing)

    async def scenario() -> Ended:
        with scene.within(seconds):
            return await ended(guarded)

    end = scene.play(scenario)
    assert isinstance(end.error, DeadlineExceededError)
    assert end.error.elapsed == 0
    assert scene.runs == 0


def test_a_call_is_made_down_to_the_last_nanosecond(run: Runtime, registry: Registry) -> None:
    """
    A caller with one nanosecond left is not too late; one with none is.
    """
    scene = Scene(run, registry)
    guarded = scene.guard(nothing)

    async def scenario() -> tuple[Ended, Ended]:
        with scene.within(1):
            scene.block(1 - 1e-9)
            first = await ended(guarded)
            scene.block(1e-9)
            return first, await ended(guarded)

    first, second = scene.play(scenario)
    assert first == Ended()
    assert isinstance(second.error, DeadlineExceededError)
    assert scene.runs == 1


@pytest.mark.promise("E3", "A8")
def test_an_expired_caller_consumes_no_trial(run: Runtime, registry: Registry) -> None:
    """
    A call after the sleep window whose caller is out of time leaves the trial to the next one.
    """
    scene = Scene(run, registry)
    scene.await_trial()
    before = scene.snapshot
    scene.play(expired(scene))
    assert scene.command.state is State.OPEN
    assert scene.snapshot.generation == before.generation
    assert scene.since(before).trials == {}
    scene.succeed()
    assert scene.command.state is State.CLOSED


def test_an_expired_caller_comes_before_an_open_circuit(run: Runtime, registry: Registry) -> None:
    """
    The first row that fits decides: expired, although the circuit is open and every slot taken.
    """
    scene = Scene(run, registry, max_concurrency=0)
    scene.command.configure(max_concurrency=1)
    scene.trip()
    scene.command.configure(max_concurrency=0)
    before = scene.snapshot
    end = scene.play(expired(scene))
    assert isinstance(end.error, DeadlineExceededError)
    assert scene.since(before).outcomes == {"expired": 1}


# -- the circuit refuses


def test_an_open_circuit_refuses(run: Runtime, registry: Registry) -> None:
    """
    While it is open no call is made.

    Each counts as short-circuited, shows in no window, and says when to come again and what had
    gone wrong.
    """
    scene = Scene(run, registry)
    for _ in range(4):
        scene.calls += 1
        scene.command.acquire().fail(ConnectionError("refused"))
    run.advance(2)
    before = scene.snapshot
    end = scene.play(lambda: ended(scene.guard(nothing)))
    error = end.error
    assert isinstance(error, CircuitOpenError)
    assert error.name == "db"
    assert error.state == "open"
    assert error.retry_after == 3
    assert error.last_error == "ConnectionError: refused"
    assert "refused" not in str(error).replace("refused the call", "")
    assert scene.runs == 0
    effect = scene.since(before)
    assert effect.outcomes == {"short_circuited": 1}
    assert effect.window == NOTHING


@pytest.mark.promise("A7")
def test_an_open_circuit_refuses_until_the_sleep_window_is_over(
    run: Runtime, registry: Registry
) -> None:
    """
    One nanosecond before the end of the sleep window it still refuses; at the end it does not.
    """
    scene = Scene(run, registry)
    scene.trip()
    guarded = scene.guard(nothing)
    run.advance(SLEEP_WINDOW - 1e-9)
    assert isinstance(scene.play(lambda: ended(guarded)).error, CircuitOpenError)
    run.advance(1e-9)
    assert scene.play(lambda: ended(guarded)) == Ended()
    assert scene.runs == 1


def test_a_fallback_answers_for_an_open_circuit(run: Runtime, registry: Registry) -> None:
    """
    The fallback is given the refusal.
    """
    asked = Answer()
    scene = Scene(run, registry, fallback=asked)
    scene.trip()
    assert scene.play(lambda: ended(scene.guard(nothing))) == Ended("instead")
    assert [type(error) for error in asked.errors] == [CircuitOpenError]
    assert scene.total("short_circuited") == 1


@pytest.mark.promise("A9", "A18")
def test_a_half_open_circuit_with_its_trials_taken_refuses(
    run: Runtime, registry: Registry
) -> None:
    """
    While as many trials run as may, everyone else is refused until the first lease ends.

    The trial goes on as if nothing had been.
    """
    asked = Answer()
    scene = Scene(run, registry, fallback=asked)
    scene.await_trial()
    scene.calls += 1
    trial = scene.command.acquire()
    run.advance(2)
    before = scene.snapshot
    assert scene.play_open(lambda: ended(scene.guard(nothing))) == Ended("instead")
    (error,) = asked.errors
    assert isinstance(error, CircuitOpenError)
    assert error.state == "half_open"
    assert error.retry_after == 3
    effect = scene.since(before)
    assert effect.outcomes == {"short_circuited": 1}
    assert effect.window == NOTHING
    assert effect.trials == {}
    assert scene.snapshot.trials_running == 1
    trial.succeed()
    assert scene.command.state is State.CLOSED
    scene.check()


@pytest.mark.promise("A18", "A17")
def test_each_refusal_is_an_object_of_its_own(run: Runtime, registry: Registry) -> None:
    """
    Two refusals are two errors, and neither has the other in its context.
    """
    scene = Scene(run, registry)
    scene.trip()
    guarded = scene.guard(nothing)
    first = scene.play(lambda: ended(guarded)).error
    second = scene.play(lambda: ended(guarded)).error
    assert first is not second
    assert second is not None
    assert second.__context__ is None
    assert second.__cause__ is None


# -- the bulkhead is full


@pytest.mark.promise("C1")
def test_a_full_bulkhead_refuses(run: Runtime, registry: Registry) -> None:
    """
    With its only slot taken it refuses: the call counts as bulkhead_full and is in no window.
    """
    scene = Scene(run, registry, max_concurrency=1)
    holder = scene.hold()
    before = scene.snapshot
    end = scene.play_open(lambda: ended(scene.guard(nothing)))
    assert isinstance(end.error, BulkheadFullError)
    assert end.error.name == "db"
    assert end.error.max_concurrency == 1
    assert end.error.waiting == 0
    assert scene.runs == 0
    effect = scene.since(before)
    assert effect.outcomes == {"bulkhead_full": 1}
    assert effect.window == NOTHING
    holder.succeed()
    scene.check()


def test_a_fallback_answers_for_a_full_bulkhead(run: Runtime, registry: Registry) -> None:
    """
    The fallback is given the refusal.
    """
    asked = Answer()
    scene = Scene(run, registry, max_concurrency=0, fallback=asked)
    assert scene.play(lambda: ended(scene.guard(nothing))) == Ended("instead")
    assert [type(error) for error in asked.errors] == [BulkheadFullError]


def test_a_rejection_counts_as_an_error_where_asked(run: Runtime, registry: Registry) -> None:
    """
    With `count_rejections` a refusal by the bulkhead is an error in the window, as in Hystrix.
    """
    scene = Scene(run, registry, max_concurrency=0, count_rejections=True)
    before = scene.snapshot
    scene.play(lambda: ended(scene.guard(nothing)))
    effect = scene.since(before)
    assert effect.outcomes == {"bulkhead_full": 1}
    assert effect.window == ERROR


@pytest.mark.promise("A5")
def test_rejections_that_count_open_the_circuit(run: Runtime, registry: Registry) -> None:
    """
    The fourth of four counted rejections opens the circuit; the fifth call is short-circuited.
    """
    scene = Scene(run, registry, max_concurrency=0, count_rejections=True)
    guarded = scene.guard(nothing)
    for _ in range(3):
        scene.play(lambda: ended(guarded))
    assert scene.command.state is State.CLOSED
    end = scene.play(lambda: ended(guarded))
    assert isinstance(end.error, BulkheadFullError)
    assert scene.command.state is State.OPEN
    end = scene.play(lambda: ended(guarded))
    assert isinstance(end.error, CircuitOpenError)


def test_rejections_count_among_the_successes_before_them(run: Runtime, registry: Registry) -> None:
    """
    Four rejections after as many successes and one more are less than half of all.
    """
    scene = Scene(run, registry, count_rejections=True)
    guarded = scene.guard(nothing)
    for _ in range(5):
        scene.play(lambda: ended(guarded))
    scene.command.configure(max_concurrency=1)
    held = scene.hold()
    for _ in range(4):
        assert isinstance(scene.play_open(lambda: ended(guarded)).error, BulkheadFullError)
    assert scene.command.state is State.CLOSED
    assert scene.snapshot.window.calls == 9
    held.succeed()
    scene.check()


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.promise("A8")
def test_a_full_bulkhead_consumes_no_trial(run: Runtime, registry: Registry, counted: bool) -> None:
    """
    An attempt after the sleep window that the bulkhead refuses leaves the circuit open.

    The trial is the next one's; so it is where rejections count.
    """
    scene = Scene(run, registry, count_rejections=counted, max_concurrency=1)
    scene.await_trial()
    before = scene.snapshot
    scene.command.configure(max_concurrency=0)
    scene.play(lambda: ended(scene.guard(nothing)))
    assert scene.command.state is State.OPEN
    effect = scene.since(before)
    assert effect.outcomes == {"bulkhead_full": 1}
    assert effect.trials == {}
    assert effect.window == NOTHING
    assert scene.snapshot.generation == before.generation
    scene.command.configure(max_concurrency=1)
    scene.succeed()
    assert scene.command.state is State.CLOSED


def test_a_full_bulkhead_leaves_a_running_trial_alone(run: Runtime, registry: Registry) -> None:
    """
    While a trial holds the only slot another is refused by the bulkhead; the first still closes.
    """
    scene = Scene(run, registry, max_concurrency=1, half_open_calls=2, half_open_successes=1)
    scene.await_trial()
    trial = scene.hold()
    before = scene.snapshot
    end = scene.play_open(lambda: ended(scene.guard(nothing)))
    assert isinstance(end.error, BulkheadFullError)
    assert scene.since(before).trials == {}
    assert scene.snapshot.trials_running == 1
    trial.succeed()
    assert scene.command.state is State.CLOSED
    scene.check()


@pytest.mark.parametrize("budget", [None, 60])
def test_an_open_circuit_comes_before_a_full_bulkhead(
    run: Runtime, registry: Registry, budget: float | None
) -> None:
    """
    The circuit is asked first: nobody waits for a slot of an open one, nor counts as rejected.

    So it is for a caller with a deadline.
    """
    scene = Scene(run, registry, max_concurrency=1, count_rejections=True)
    scene.trip()
    scene.command.configure(max_concurrency=0)
    guarded = scene.guard(nothing)

    async def scenario() -> Ended:
        with contextlib.nullcontext() if budget is None else scene.within(budget):
            return await ended(guarded)

    assert isinstance(scene.play(scenario).error, CircuitOpenError)
    assert scene.total("bulkhead_full") == 0


# -- waiting for a slot


def holding_for(scene: Scene, seconds: float) -> Any:
    """Return a function that holds its slot for a while."""

    async def does() -> str:
        await scene.spend(seconds)
        return "held"

    return does


async def together(scene: Scene, *calls: Callable[[], Awaitable[Any]]) -> list[Ended]:
    """Make calls at once in tasks of their own; each starts before the next."""
    ends: list[Ended] = [Ended()] * len(calls)

    async def make(index: int, call: Callable[[], Awaitable[Any]]) -> None:
        ends[index] = await ended(call)

    async with anyio.create_task_group() as tasks:
        for index, call in enumerate(calls):
            tasks.start_soon(make, index, call)
            await scene.run.sleep(0.001)
    return ends


def test_a_waiter_is_asked_by_the_circuit_again(task: Any, registry: Registry) -> None:
    """
    The call that frees the slot opens the circuit: who waited for it is short-circuited.
    """
    scene = Scene(task, registry, max_concurrency=1, max_waiting=1, volume_threshold=1)

    async def fails() -> None:
        await task.sleep(1)
        raise ConnectionError

    first, second = scene.guard(fails), scene.guard(nothing)
    ends = scene.play(lambda: together(scene, first, second))
    assert isinstance(ends[0].error, ConnectionError)
    assert isinstance(ends[1].error, CircuitOpenError)
    assert scene.total("short_circuited") == 1


@pytest.mark.promise("D4")
def test_a_wait_ends_in_bulkhead_full(task: Any, registry: Registry) -> None:
    """
    A wait of `max_wait` ends in `BulkheadFullError`, and is never run later.
    """
    scene = Scene(task, registry, max_concurrency=1, max_waiting=1, max_wait=2.0)
    first, second = scene.guard(holding_for(scene, 5)), scene.guard(nothing)
    ends = scene.play(lambda: together(scene, first, second))
    assert ends[0] == Ended("held")
    assert isinstance(ends[1].error, BulkheadFullError)
    assert scene.runs == 1
    assert scene.total("bulkhead_full") == 1


@pytest.mark.promise("D4")
def test_a_wait_ends_with_the_caller_s_deadline(task: Any, registry: Registry) -> None:
    """
    Where the caller's deadline is the end of the wait, the caller gets that deadline's error.

    The call counts as expired: it was never started.
    """
    scene = Scene(task, registry, max_concurrency=1, max_waiting=1, max_wait=60.0)
    first, second = scene.guard(holding_for(scene, 5)), scene.guard(nothing)

    async def with_a_deadline() -> None:
        with scene.within(2):
            await second()

    ends = scene.play(lambda: together(scene, first, with_a_deadline))
    assert ends[0] == Ended("held")
    assert isinstance(ends[1].error, DeadlineExceededError)
    assert scene.runs == 1
    assert scene.total("expired") == 1


@pytest.mark.promise("C6", "F1", "D6")
def test_a_cancelled_waiter_leaves_the_queue(task: Any, registry: Registry) -> None:
    """
    A caller cancelled while it waits counts as cancelled, and the slot goes to the next.
    """
    scene = Scene(task, registry, max_concurrency=1, max_waiting=2, max_wait=60.0)
    first = scene.guard(holding_for(scene, 5))
    second, third = scene.guard(nothing), scene.guard(nothing)

    async def cancelled() -> None:
        end = await cancelled_after(task, 2, second)
        assert end.error is not None
        assert not isinstance(end.error, Exception)

    ends = scene.play(lambda: together(scene, first, cancelled, third))
    assert ends == [Ended("held"), Ended(), Ended()]
    assert scene.runs == 2
    assert scene.total("cancelled") == 1
