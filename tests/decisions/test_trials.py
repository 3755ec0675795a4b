"""Across all rows: slow calls, results of an earlier generation, riding on a trial."""

from __future__ import annotations

import gc
import math
import weakref
from contextvars import Context
from typing import Any

import anyio
import pytest

from resilience import CircuitOpenError, Registry, State
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime
from tests.support.scene import (
    SLEEP_WINDOW,
    SUCCESS,
    THRESHOLD,
    Answer,
    Ended,
    Scene,
    cancelled_after,
    ended,
)


async def nothing() -> None:
    """Do nothing."""


async def fails() -> None:
    """Fail."""
    raise ConnectionError


def lasting(scene: Scene, seconds: float, error: type[BaseException] | None = None) -> Any:
    """Return a function that takes its time and cannot be cut off."""

    async def does() -> str:
        scene.block(seconds)
        if error is not None:
            raise error
        return "done"

    return does


# -- slow calls


@pytest.mark.parametrize(("seconds", "slow"), [(1.0, 1), (1 - 1e-9, 0), (60.0, 1), (0.0, 0)])
@pytest.mark.promise("A16")
def test_a_call_is_slow_from_its_duration_on(
    run: Runtime, registry: Registry, seconds: float, slow: int
) -> None:
    """
    A call of exactly `slow_call_duration` is slow, one that is a nanosecond shorter is not.
    """
    scene = Scene(run, registry, slow_call_duration=1.0)
    before = scene.snapshot
    scene.play(scene.guard(lasting(scene, seconds)))
    effect = scene.since(before)
    assert effect.slow == slow
    assert effect.outcomes == {"success": 1}
    assert effect.window == SUCCESS
    assert scene.snapshot.window.slow == slow


@pytest.mark.promise("A16", "A5")
def test_slow_calls_open_the_circuit(run: Runtime, registry: Registry) -> None:
    """
    Two slow calls of four are 50 %: the fourth call opens the circuit, though none failed.
    """
    scene = Scene(run, registry, slow_call_duration=1.0, slow_call_percent=50)
    for seconds in (0, 1, 0):
        scene.play(scene.guard(lasting(scene, seconds)))
    assert scene.command.state is State.CLOSED
    assert scene.play(scene.guard(lasting(scene, 1))) == "done"
    assert scene.command.state is State.OPEN
    assert scene.snapshot.window.failures == 0


@pytest.mark.promise("A16")
def test_a_slow_success_fails_its_trial(run: Runtime, registry: Registry) -> None:
    """
    A trial that succeeds slowly counts as a success, and opens the circuit again.
    """
    scene = Scene(run, registry, slow_call_duration=1.0)
    scene.await_trial()
    before = scene.snapshot
    assert scene.play(scene.guard(lasting(scene, 1))) == "done"
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.trials == {"failure": 1}
    assert effect.slow == 1
    assert scene.command.state is State.OPEN
    assert scene.snapshot.retry_after == SLEEP_WINDOW


@pytest.mark.parametrize(
    ("error", "outcome", "trial"),
    [
        pytest.param(ConnectionError, "failure", "failure", id="failure"),
        pytest.param(ValueError, "success", "failure", id="an error that is an answer"),
        pytest.param(KeyError, "ignored", "released", id="ignored"),
        pytest.param(KeyboardInterrupt, "cancelled", "released", id="interrupted"),
    ],
)
@pytest.mark.promise("A16")
def test_any_outcome_may_be_slow(
    run: Runtime, registry: Registry, error: type[BaseException], outcome: str, trial: str
) -> None:
    """
    Slow is a matter of time alone; only what counts in the window can fail a trial for it.
    """
    scene = Scene(run, registry, slow_call_duration=1.0, handle=OSError, ignore=KeyError)
    scene.await_trial()
    before = scene.snapshot
    scene.play(lambda: ended(scene.guard(lasting(scene, 1, error))))
    effect = scene.since(before)
    assert effect.outcomes == {outcome: 1}
    assert effect.slow == 1
    assert effect.trials == {trial: 1}


def test_a_refused_call_is_never_slow(run: Runtime, registry: Registry) -> None:
    """
    What was not executed took no time.
    """
    scene = Scene(run, registry, slow_call_duration=1e-9)
    scene.trip()
    before = scene.snapshot
    scene.play(lambda: ended(scene.guard(nothing)))
    assert scene.since(before).slow == 0


# -- stale results


@pytest.mark.parametrize(
    ("error", "outcome", "answered"),
    [
        pytest.param(None, "success", False, id="success"),
        pytest.param(ConnectionError, "failure", True, id="failure"),
    ],
)
@pytest.mark.promise("A3", "A4")
def test_a_result_of_an_earlier_generation_changes_nothing(
    run: Runtime, registry: Registry, error: type[Exception] | None, outcome: str, answered: bool
) -> None:
    """
    A call begun before the circuit opened ends while it is open.

    It counts its outcome and as stale, its fallback is its own, and the circuit stays open for as
    long as it would have.
    """
    answer = Answer()
    scene = Scene(run, registry, fallback=answer)

    async def outlasts_its_generation() -> str:
        scene.trip()
        scene.block(2)
        if error is not None:
            raise error
        return "late"

    end = scene.play(lambda: ended(scene.guard(outlasts_its_generation)))
    assert end == Ended("instead" if answered else "late")
    now = scene.snapshot
    assert now.totals[outcome] == 1 + (THRESHOLD if outcome == "failure" else 0)
    assert now.stale == 1
    assert now.state is State.OPEN
    assert now.generation == 2
    assert now.retry_after == SLEEP_WINDOW - 2
    assert now.window.calls == THRESHOLD


@pytest.mark.parametrize("error", [None, ConnectionError])
@pytest.mark.promise("A3", "C3")
def test_an_old_result_does_not_judge_a_trial(
    run: Runtime, registry: Registry, error: type[Exception] | None
) -> None:
    """
    A call begun while the circuit was closed ends while a trial runs: the trial goes on.
    """
    scene = Scene(run, registry)
    trials = []

    async def outlasts_its_generation() -> None:
        scene.await_trial()
        trials.append(scene.hold())
        if error is not None:
            raise error

    scene.play_open(lambda: ended(scene.guard(outlasts_its_generation)))
    now = scene.snapshot
    assert now.state is State.HALF_OPEN
    assert now.trials_running == 1
    assert now.stale == 1
    trials[0].succeed()
    assert scene.command.state is State.CLOSED
    assert scene.snapshot.window.calls == 0
    scene.check()


@pytest.mark.promise("A3", "C3")
def test_an_old_failure_does_not_count_after_the_circuit_closed(
    run: Runtime, registry: Registry
) -> None:
    """
    A failure begun before the circuit opened and closed again leaves the new window empty.
    """
    scene = Scene(run, registry)

    async def outlasts_its_generation() -> None:
        scene.await_trial()
        scene.succeed()
        raise ConnectionError

    scene.play(lambda: ended(scene.guard(outlasts_its_generation)))
    assert scene.command.state is State.CLOSED
    assert scene.snapshot.window.calls == 0
    assert scene.snapshot.stale == 1


@pytest.mark.promise("A3")
def test_a_late_timeout_of_an_earlier_generation_changes_nothing(
    run: Runtime, registry: Registry
) -> None:
    """
    A call that its timeout cuts off after the circuit opened counts as a timeout, and is stale.
    """
    scene = Scene(run, registry, timeout=3.0)

    async def outlasts_its_generation() -> None:
        scene.trip()
        await scene.spend(10)

    scene.play(lambda: ended(scene.guard(outlasts_its_generation)))
    now = scene.snapshot
    assert now.totals["timeout"] == 1
    assert now.stale == 1
    assert now.retry_after == pytest.approx(SLEEP_WINDOW - 3)


@pytest.mark.promise("A3", "C3", "A11")
def test_an_old_cancellation_gives_no_trial_back(run: Runtime, registry: Registry) -> None:
    """
    A call begun before the trial that now runs frees nothing when it is cancelled.
    """
    scene = Scene(run, registry)
    trials = []

    async def outlasts_its_generation() -> None:
        scene.await_trial()
        trials.append(scene.hold())
        raise KeyboardInterrupt

    scene.play_open(lambda: ended(scene.guard(outlasts_its_generation)))
    assert scene.snapshot.trials_running == 1
    end = scene.play_open(lambda: ended(scene.guard(nothing)))
    assert isinstance(end.error, CircuitOpenError)
    trials[0].succeed()
    scene.check()


@pytest.mark.promise("A3")
def test_a_rotation_of_the_window_makes_nothing_stale(run: Runtime, registry: Registry) -> None:
    """
    A call that outlasts the window still counts: only a change of state raises the generation.
    """
    scene = Scene(run, registry)
    scene.play(scene.guard(lasting(scene, 60)))
    assert scene.snapshot.stale == 0
    assert scene.snapshot.window.calls == 1


@pytest.mark.parametrize(("error", "state"), [(None, State.CLOSED), (ConnectionError, State.OPEN)])
@pytest.mark.promise("A10", "C8")
def test_a_trial_slower_than_its_lease_still_counts(
    run: Runtime, registry: Registry, error: type[Exception] | None, state: State
) -> None:
    """
    A lease that ran out lets the next trial in; the result of the first still judges.
    """
    scene = Scene(run, registry)
    scene.await_trial()
    others = []

    async def outlasts_its_lease() -> None:
        scene.block(SLEEP_WINDOW)
        others.append(scene.hold())
        if error is not None:
            raise error

    scene.play_open(lambda: ended(scene.guard(outlasts_its_lease)))
    assert scene.command.state is state
    assert scene.snapshot.trials["expired"] == 1
    others[0].fail()
    assert scene.command.state is state
    assert scene.snapshot.stale == 1
    scene.check()


@pytest.mark.promise("A10")
def test_a_lease_lasts_as_long_as_a_call_may_take(run: Runtime, registry: Registry) -> None:
    """
    Where that is longer than a sleep window, the next trial waits for it.
    """
    scene = Scene(run, registry, timeout=4 * SLEEP_WINDOW)
    scene.await_trial()
    trial = scene.hold()
    run.advance(SLEEP_WINDOW)
    end = scene.play_open(lambda: ended(scene.guard(nothing)))
    assert isinstance(end.error, CircuitOpenError)
    assert end.error.retry_after == pytest.approx(3 * SLEEP_WINDOW)
    trial.succeed()
    scene.check()


@pytest.mark.promise("A10")
def test_a_trial_that_hangs_does_not_block_the_next(task: AsyncRuntime, registry: Registry) -> None:
    """
    While a trial hangs for ever the next caller is let in when its lease ends, and closes.
    """
    scene = Scene(task, registry)
    scene.await_trial()

    async def scenario() -> None:
        hung = scene.guard(lambda: task.sleep(math.inf))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hung)
            await task.sleep(SLEEP_WINDOW - 1)
            end = await ended(scene.guard(nothing))
            assert isinstance(end.error, CircuitOpenError)
            assert end.error.retry_after == pytest.approx(1)
            await task.sleep(1)
            assert await ended(scene.guard(nothing)) == Ended()
            assert scene.command.state is State.CLOSED
            tasks.cancel_scope.cancel()

    scene.play(scenario)


@pytest.mark.promise("C2", "A11")
def test_a_cancelled_caller_gives_one_trial_back(task: AsyncRuntime, registry: Registry) -> None:
    """
    Of two trials one is cancelled: one more caller may try, and no second one.
    """
    scene = Scene(task, registry, half_open_calls=2)
    scene.await_trial()
    other = scene.hold()
    scene.play_open(lambda: cancelled_after(task, 1, scene.guard(lambda: task.sleep(10))))
    assert scene.snapshot.trials_running == 1
    next_one = scene.hold()
    end = scene.play_open(lambda: ended(scene.guard(nothing)))
    assert isinstance(end.error, CircuitOpenError)
    other.succeed()
    next_one.succeed()
    assert scene.command.state is State.CLOSED
    scene.check()


# -- riding


@pytest.mark.promise("C7")
def test_the_same_command_inside_its_own_trial_rides_on_it(
    run: Runtime, registry: Registry
) -> None:
    """
    A trial that calls its own command is let in on the one trial there is; both count a call.
    """
    scene = Scene(run, registry)
    inner = scene.guard(nothing)

    async def outer() -> None:
        await inner()
        assert scene.command.state is State.HALF_OPEN
        assert scene.snapshot.trials_running == 1
        await inner()

    scene.await_trial()
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(outer))) == Ended()
    effect = scene.since(before)
    assert effect.outcomes == {"success": 3}
    assert effect.trials == {"success": 1}
    assert scene.command.state is State.CLOSED


@pytest.mark.promise("C7")
def test_a_call_from_before_the_transition_rides_on_nothing(
    run: Runtime, registry: Registry
) -> None:
    """
    It is no trial itself: what it calls while another's runs is refused like anybody.
    """
    scene = Scene(run, registry)

    async def outer() -> None:
        scene.await_trial()
        trial = scene.hold()
        end = await ended(scene.guard(nothing))
        assert isinstance(end.error, CircuitOpenError)
        assert end.error.state == "half_open"
        trial.succeed()

    with scene.within(60):
        assert scene.play(lambda: ended(scene.guard(outer))) == Ended()
    assert scene.command.state is State.CLOSED


@pytest.mark.promise("C7")
def test_nobody_rides_on_the_trial_of_another_name(run: Runtime, registry: Registry) -> None:
    """
    Inside a trial of one name the other's is refused that is taken by somebody else.
    """
    scene = Scene(run, registry)
    other = registry.command("other", volume_threshold=1, sleep_window=SLEEP_WINDOW)

    async def outer() -> None:
        trial = Context().run(other.acquire)
        with pytest.raises(CircuitOpenError, match="half-open"):
            other.acquire()
        trial.release()

    other.acquire().fail()
    scene.await_trial()
    assert scene.play(lambda: ended(scene.guard(outer))) == Ended()


@pytest.mark.promise("C7")
def test_what_rides_does_not_judge_the_trial(run: Runtime, registry: Registry) -> None:
    """
    A failure inside counts as one; whether the trial failed is for the outer call to say.
    """
    scene = Scene(run, registry)
    inner = scene.guard(fails)

    async def outer() -> str:
        end = await ended(inner)
        assert isinstance(end.error, ConnectionError)
        assert scene.command.state is State.HALF_OPEN
        return "recovered"

    scene.await_trial()
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(outer))) == Ended("recovered")
    effect = scene.since(before)
    assert effect.outcomes == {"failure": 1, "success": 1}
    assert effect.trials == {"success": 1}
    assert scene.command.state is State.CLOSED


@pytest.mark.promise("C7", "C1")
def test_an_interrupt_inside_gives_the_trial_back_once(run: Runtime, registry: Registry) -> None:
    """
    An interrupt that leaves both calls gives back the one trial.
    """
    scene = Scene(run, registry)

    async def interrupted() -> None:
        raise KeyboardInterrupt

    inner = scene.guard(interrupted)
    scene.await_trial()
    before = scene.snapshot
    scene.play(lambda: ended(scene.guard(inner)))
    effect = scene.since(before)
    assert effect.outcomes == {"cancelled": 2}
    assert effect.trials == {"released": 1}
    assert scene.command.state is State.HALF_OPEN


@pytest.mark.promise("C7")
def test_a_child_task_rides_on_its_parent_s_trial(task: AsyncRuntime, registry: Registry) -> None:
    """
    Tasks started inside a trial ride on it as well.
    """
    scene = Scene(task, registry)
    inner = scene.guard(lambda: task.sleep(0.1))

    async def outer() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(inner)

    scene.await_trial()
    assert scene.play(lambda: ended(scene.guard(outer))) == Ended()
    assert scene.total("success") == 4
    assert scene.command.state is State.CLOSED


@pytest.mark.promise("C7")
def test_a_thread_rides_on_the_trial_it_was_called_in(clock: FakeClock, registry: Registry) -> None:
    """
    A command that runs on a worker thread is inside its caller's trial there as well.
    """
    command = registry.command("db", isolation="thread", volume_threshold=1, sleep_window=5)
    inner = command(lambda: "inner")
    outer = command(lambda: inner())  # noqa: PLW0108 - a function of its own
    command.acquire().fail()
    clock.advance(5)
    assert outer() == "inner"
    assert command.state is State.CLOSED
    assert command.snapshot().totals["success"] == 2


@pytest.mark.promise("C7")
def test_nobody_rides_on_a_trial_that_is_over(task: AsyncRuntime, registry: Registry) -> None:
    """
    A task that outlives the trial it was started in is a caller like any other.
    """
    scene = Scene(task, registry, half_open_calls=1, half_open_successes=2)
    inner = scene.guard(nothing)
    ends: list[Ended] = []

    async def later() -> None:
        await task.sleep(1)
        ends.append(await ended(inner))

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:

            async def outer() -> None:
                tasks.start_soon(later)

            await scene.guard(outer)()
            other = scene.hold()
            await task.sleep(2)
            other.succeed()

    scene.await_trial()
    scene.play(scenario)
    assert isinstance(ends[0].error, CircuitOpenError)
    assert scene.command.state is State.CLOSED


@pytest.mark.promise("D10")
def test_a_ride_still_needs_a_slot(run: Runtime, registry: Registry) -> None:
    """
    What rides on a trial takes a slot of its own: with one slot it is refused, not hung.
    """
    scene = Scene(run, registry, max_concurrency=1)
    inner = scene.guard(nothing)
    scene.await_trial()
    before = scene.snapshot
    end = scene.play(lambda: ended(scene.guard(inner)))
    assert type(end.error).__name__ == "BulkheadFullError"
    effect = scene.since(before)
    assert effect.outcomes == {"bulkhead_full": 1, "ignored": 1}
    assert effect.trials == {"released": 1}


# -- what a result leaves behind


class ProbeError(Exception):
    """An error that can be seen to go."""


@pytest.mark.promise("A17")
def test_nothing_of_a_failed_call_is_kept(clock: FakeClock, registry: Registry) -> None:
    """
    Once its caller has let go of it the error that opened the circuit is collected; text remains.
    """
    command = registry.command("db", volume_threshold=1, isolation="semaphore")

    @command
    def fetch() -> None:
        raise ProbeError("refused")

    def call() -> weakref.ref[ProbeError]:
        try:
            fetch()
        except ProbeError as error:
            return weakref.ref(error)
        raise AssertionError

    kept = call()
    gc.collect()
    assert kept() is None
    assert command.snapshot().last_error == "ProbeError: refused"
