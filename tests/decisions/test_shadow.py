"""
Shadow mode: every decision is taken and counted, and none is carried out.

A call that would be refused runs, touches no window and counts as shadowed, by the first row that
fits. Nothing is cancelled, and no fallback is called.
"""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from resilience import DeadlineExceededError, Override, Registry, State, command, deadline
from tests.support.runtime import AsyncioRuntime, AsyncRuntime, FakeClock, Runtime
from tests.support.scene import (
    ERROR,
    NOTHING,
    SLEEP_WINDOW,
    SUCCESS,
    Answer,
    Ended,
    Scene,
    ended,
)


async def answers() -> str:
    """Answer."""
    return "answer"


async def fails() -> None:
    """Fail."""
    raise ConnectionError


def shadowed(run: Runtime, registry: Registry, **options: Any) -> Scene:
    """Return a scene in shadow mode."""
    scene = Scene(run, registry, **options)
    scene.command.shadow()
    assert scene.command.override is Override.SHADOW
    return scene


# -- refusals that are not carried out


def test_an_open_circuit_lets_a_shadowed_call_run(run: Runtime, registry: Registry) -> None:
    """
    A call that the open circuit would refuse runs and counts its own outcome, outside the window.
    """
    scene = shadowed(run, registry)
    scene.trip()
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("answer")
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.shadowed == {"short_circuited": 1}
    assert effect.window == NOTHING
    assert effect.stale == 0
    assert scene.command.state is State.OPEN
    assert scene.snapshot.generation == before.generation


def test_a_failure_in_the_shadow_of_an_open_circuit_moves_nothing(
    run: Runtime, registry: Registry
) -> None:
    """
    It counts as a failure, reaches its caller, and neither extends nor shortens the sleep window.
    """
    scene = shadowed(run, registry)
    scene.trip()
    run.advance(2)
    before = scene.snapshot
    end = scene.play(lambda: ended(scene.guard(fails)))
    assert end.error is scene.thrown
    effect = scene.since(before)
    assert effect.outcomes == {"failure": 1}
    assert effect.window == NOTHING
    scene.command.clear_override()
    assert scene.snapshot.retry_after == SLEEP_WINDOW - 2


def test_trials_taken_let_a_shadowed_call_run(run: Runtime, registry: Registry) -> None:
    """
    While the trials are taken a call that would be refused runs beside them, and judges nothing.
    """
    scene = shadowed(run, registry)
    scene.await_trial()
    trial = scene.hold()
    before = scene.snapshot
    scene.play_open(lambda: ended(scene.guard(fails)))
    effect = scene.since(before)
    assert effect.shadowed == {"short_circuited": 1}
    assert effect.window == NOTHING
    assert effect.trials == {}
    assert scene.command.state is State.HALF_OPEN
    trial.succeed()
    assert scene.command.state is State.CLOSED
    scene.check()


@pytest.mark.parametrize("counted", [False, True])
def test_a_full_bulkhead_lets_a_shadowed_call_run(
    run: Runtime, registry: Registry, counted: bool
) -> None:
    """
    A call that the bulkhead would refuse runs beside the others, and touches no window.
    """
    scene = shadowed(run, registry, max_concurrency=1, count_rejections=counted)
    holder = scene.hold()
    before = scene.snapshot
    assert scene.play_open(lambda: ended(scene.guard(answers))) == Ended("answer")
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.shadowed == {"bulkhead_full": 1}
    assert effect.window == NOTHING
    holder.succeed()
    scene.check()


def test_failures_beyond_the_bulkhead_do_not_open_the_circuit(
    run: Runtime, registry: Registry
) -> None:
    """
    Calls that would never have been made cannot trip the live circuit.
    """
    scene = shadowed(run, registry, max_concurrency=0)
    for _ in range(5):
        scene.play(lambda: ended(scene.guard(fails)))
    assert scene.total("failure") == 5
    assert scene.command.state is State.CLOSED
    assert scene.snapshot.window.calls == 0


@pytest.mark.promise("A8")
def test_a_shadowed_call_beyond_the_bulkhead_is_no_trial(run: Runtime, registry: Registry) -> None:
    """
    After the sleep window a call that the bulkhead would refuse leaves the live circuit open.
    """
    scene = shadowed(run, registry, max_concurrency=1)
    scene.await_trial()
    scene.command.configure(max_concurrency=0)
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("answer")
    effect = scene.since(before)
    assert effect.shadowed == {"bulkhead_full": 1}
    assert effect.trials == {}
    assert scene.command.state is State.OPEN


def test_an_expired_caller_s_shadowed_call_runs(run: Runtime, registry: Registry) -> None:
    """
    A call whose caller has no time left runs, and touches no window.
    """
    scene = shadowed(run, registry)
    guarded = scene.guard(answers)

    async def scenario() -> Ended:
        with scene.within(1):
            scene.block(2)
            return await ended(guarded)

    before = scene.snapshot
    assert scene.play(scenario) == Ended("answer")
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.shadowed == {"expired": 1}
    assert effect.window == NOTHING


def test_a_caller_s_shadowed_call_expires_with_its_last_nanosecond(
    run: Runtime, registry: Registry
) -> None:
    """
    With one nanosecond left nothing is shadowed; with none the call would have been refused.
    """
    scene = shadowed(run, registry)
    guarded = scene.guard(answers)
    before = scene.snapshot

    async def scenario() -> None:
        with scene.within(1):
            scene.block(1 - 1e-9)
            await ended(guarded)
            assert scene.since(before).shadowed == {}
            scene.block(1e-9)
            await ended(guarded)

    scene.play(scenario)
    assert scene.since(before).shadowed == {"expired": 1}


def test_a_shadowed_call_holds_its_slot(run: Runtime, registry: Registry) -> None:
    """
    A call that the open circuit would refuse takes a slot all the same, as long as it runs.
    """
    scene = shadowed(run, registry)
    scene.trip()

    async def counts() -> int:
        return scene.snapshot.in_flight

    assert scene.play(lambda: ended(scene.guard(counts))) == Ended(1)


def test_a_shadowed_call_counts_one_reason(run: Runtime, registry: Registry) -> None:
    """
    Expired, the circuit open and the bulkhead full: the first row that fits is the reason.
    """
    scene = shadowed(run, registry, max_concurrency=1)
    scene.trip()
    scene.command.configure(max_concurrency=0)
    guarded = scene.guard(answers)

    async def scenario() -> Ended:
        with scene.within(1):
            scene.block(2)
            return await ended(guarded)

    before = scene.snapshot
    assert scene.play(scenario) == Ended("answer")
    assert scene.since(before).shadowed == {"expired": 1}
    before = scene.snapshot
    assert scene.play(lambda: ended(guarded)) == Ended("answer")
    assert scene.since(before).shadowed == {"short_circuited": 1}


# -- nothing is cancelled, nothing answered


def test_a_shadowed_timeout_cancels_nothing(run: Runtime, registry: Registry) -> None:
    """
    A call that its timeout would cut off runs to its end; it counts as a timeout, and an error.
    """
    scene = shadowed(run, registry, timeout=2.0)

    async def takes_its_time() -> str:
        await scene.spend(5)
        return "late"

    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(takes_its_time))) == Ended("late")
    effect = scene.since(before)
    assert effect.outcomes == {"timeout": 1}
    assert effect.window == ERROR


def test_a_shadowed_timeout_on_a_thread_leaves_nobody_behind(
    clock: FakeClock, registry: Registry
) -> None:
    """
    The caller of a worker thread waits for its result, however late on our clock.
    """
    quotes = registry.command("db", timeout=2.0)
    quotes.shadow()

    @quotes
    def fetch() -> str:
        clock.advance(5)
        return "late"

    assert fetch() == "late"
    now = quotes.snapshot()
    assert now.totals["timeout"] == 1
    assert now.abandoned == 0


def test_a_shadowed_call_is_not_cut_off_in_another_task(registry_of_loop: Any) -> None:
    """
    A task that carries its caller's deadline is not cut off by a shadowed command.
    """
    loop, registry = registry_of_loop
    scene = shadowed(loop, registry)

    async def takes_its_time() -> str:
        await asyncio.sleep(5)
        return "late"

    async def scenario() -> Ended:
        guarded = scene.guard(takes_its_time)
        with pytest.raises(DeadlineExceededError), scene.within(2):
            task = asyncio.ensure_future(ended(guarded))
            await asyncio.sleep(10)
        return await task

    assert scene.play(scenario) == Ended("late")


@pytest.fixture
def registry_of_loop() -> Any:
    """A loop in virtual time, and a registry on its clock."""
    loop = AsyncioRuntime()
    yield loop, Registry(clock=loop.clock)
    loop.close()


@pytest.mark.parametrize("why", ["failed", "late", "open", "full"])
@pytest.mark.promise("G1")
def test_a_shadowed_call_has_no_fallback(run: Runtime, registry: Registry, why: str) -> None:
    """
    Whatever goes wrong, the call's own error reaches the caller.
    """
    answer = Answer()
    scene = shadowed(
        run, registry, fallback=answer, timeout=2.0, max_concurrency=0 if why == "full" else None
    )
    if why == "open":
        scene.trip()

    async def goes_wrong() -> None:
        if why == "late":
            scene.block(5)
        raise ConnectionError

    before = scene.snapshot
    end = scene.play(lambda: ended(scene.guard(goes_wrong)))
    assert end.error is scene.thrown
    assert answer.errors == []
    assert scene.since(before).fallbacks == {}


# -- the live state moves underneath


@pytest.mark.promise("A5", "A13")
def test_the_live_circuit_opens_in_the_shadow(run: Runtime, registry: Registry) -> None:
    """
    Calls that would be admitted count in the window as ever, and trip the live circuit.
    """
    scene = shadowed(run, registry)
    before = scene.snapshot
    guarded = scene.guard(fails)
    for _ in range(4):
        scene.play(lambda: ended(guarded))
    assert scene.since(before).window == (4, 4)
    assert scene.since(before).shadowed == {}
    assert scene.command.state is State.OPEN
    assert scene.command.override is Override.SHADOW


@pytest.mark.promise("A13")
def test_the_live_circuit_closes_in_the_shadow(run: Runtime, registry: Registry) -> None:
    """
    After the sleep window a call is the live circuit's trial: admitted, so nothing is shadowed.
    """
    scene = shadowed(run, registry)
    scene.await_trial()
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("answer")
    effect = scene.since(before)
    assert effect.shadowed == {}
    assert effect.trials == {"success": 1}
    assert scene.command.state is State.CLOSED


def test_what_is_admitted_anyway_is_not_shadowed(run: Runtime, registry: Registry) -> None:
    """
    With nothing to refuse a shadowed call is like any other.
    """
    scene = shadowed(run, registry)
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("answer")
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.window == SUCCESS
    assert effect.shadowed == {}


def test_out_of_the_shadow_the_live_state_decides(run: Runtime, registry: Registry) -> None:
    """
    Once the override is cleared, a circuit that opened in the shadow refuses.
    """
    scene = shadowed(run, registry)
    scene.trip()
    scene.command.clear_override()
    end = scene.play(lambda: ended(scene.guard(answers)))
    assert type(end.error).__name__ == "CircuitOpenError"
    assert scene.runs == 0


def test_a_shadowed_block_and_permit_are_admitted(clock: FakeClock, registry: Registry) -> None:
    """
    Blocks and permits that would be refused are admitted, and judge nothing.
    """
    quotes = command("db", registry=registry, max_concurrency=0, isolation="semaphore")
    quotes.shadow()
    with quotes:
        pass
    with quotes.acquire():
        pass
    with pytest.raises(ConnectionError), quotes:
        raise ConnectionError
    now = quotes.snapshot()
    assert now.shadowed["bulkhead_full"] == 3
    assert now.window.calls == 0
    assert (now.totals["success"], now.totals["failure"]) == (2, 1)
    with deadline(1, clock=clock):
        clock.advance(2)
        with quotes:
            pass
    assert quotes.snapshot().shadowed["expired"] == 1


def test_who_waits_for_a_slot_is_served_in_the_shadow_of_what_happened(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    The circuit opens while a caller waits for a slot, and goes into shadow mode.

    The caller would be refused now: it runs, that is counted as shadowed, and it moves nothing.
    """
    scene = Scene(task, registry, max_concurrency=1, max_waiting=1, max_wait=60.0)
    guarded = scene.guard(answers)

    async def scenario() -> None:
        first = scene.hold()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(guarded)
            await task.sleep(1)
            assert scene.snapshot.waiting == 1
            before = scene.snapshot
            scene.command.configure(volume_threshold=1)
            first.fail()
            scene.command.shadow()
            await task.sleep(1)
        effect = scene.since(before)
        assert effect.outcomes == {"failure": 1, "success": 1}
        assert effect.window == ERROR
        assert effect.shadowed == {"short_circuited": 1}

    scene.play(scenario)
    assert scene.command.state is State.OPEN
