"""Defects 29, 34 and 38: what the deadlines of callers say about a dependency, and what not."""

from __future__ import annotations

import contextvars
from typing import Any

import anyio
import pytest

from resilience import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    DeadlineExceededError,
    Outcome,
    Registry,
    Settings,
    State,
    current_deadline,
    deadline,
    remaining,
)
from tests.support.runtime import AsyncRuntime, Runtime

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


# -- 29


@pytest.mark.promise("A14", "E3")
@any_guard
@pytest.mark.parametrize("seconds", [0, -1, -3600])
def test_a_deadline_that_has_run_out_says_nothing_about_the_dependency(
    run: Runtime, registry: Registry, kind: type, seconds: float
) -> None:
    """
    Fifty callers come with no time left.

    None of them reaches the dependency, and the circuit has no opinion about that.

    Defect 29, seen in nopanic: they opened it, without a single call.
    """
    guard = kind("db", registry=registry, volume_threshold=5)
    fn = run.body()
    guarded = deadline(seconds, clock=run.clock)(guard(fn))
    for _ in range(50):
        error = run.raised(guarded)
        assert isinstance(error, DeadlineExceededError)
        assert error.elapsed == 0
    assert fn.body.calls == 0
    after = guard.snapshot()
    assert after.state is State.CLOSED
    assert after.window.calls == 0
    assert after.totals[Outcome.EXPIRED] == 50


@pytest.mark.promise("A14", "C1", "E3")
@any_guard
def test_a_deadline_that_has_run_out_uses_no_trial_up(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    After the sleep window callers without time come first.

    The trial is there for the next one who has some.

    Defect 29.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5)
    guarded = guard(run.body())
    guard.acquire().fail()
    run.advance(5)
    late = deadline(0, clock=run.clock)(guarded)
    for _ in range(3):
        assert isinstance(run.raised(late), DeadlineExceededError)
    assert guard.state is State.OPEN
    run.call(guarded)
    assert guard.state is State.CLOSED


# -- 34


def hanging(run: Runtime, seconds: float) -> Any:
    """A dependency that hangs for `seconds`: cut off in a task, giving up on its own elsewhere."""
    if run.is_async:
        return run.body(takes=seconds)

    def patient() -> None:
        waited = 0.0
        while waited < seconds:
            run.advance(0.01)
            waited += 0.01
            remaining()

    return patient


@pytest.mark.promise("A5", "E1")
@any_guard
@pytest.mark.parametrize("fields", [{"timeout": 1}, {"timeout": 1, "slow_call_duration": 0.4}])
def test_a_dependency_that_hangs_longer_than_its_callers_wait_trips(
    run: Runtime, registry: Registry, kind: type, fields: dict[str, float]
) -> None:
    """
    Callers have half a second, the command would allow a whole one, and the dependency hangs.

    Being cut off after a fair share of the time counts as a timeout, so 20 calls open the circuit.

    Defect 34, seen in hystrix-go and interlock: it stayed closed, whatever hung.
    """
    guard = kind("db", Settings(**fields), registry=registry, rolling_window=60)
    guarded = deadline(0.5, clock=run.clock)(guard(hanging(run, 60)))
    errors = [run.raised(guarded) for _ in range(40)]
    assert {type(error) for error in errors[:20]} == {DeadlineExceededError}
    assert {type(error) for error in errors[20:]} == {CircuitOpenError}
    assert guard.state is State.OPEN
    totals = guard.snapshot().totals
    assert (totals[Outcome.TIMEOUT], totals[Outcome.SHORT_CIRCUITED]) == (20, 20)


@pytest.mark.promise("A14", "E9")
@any_guard
def test_a_caller_in_a_hurry_says_nothing_about_the_dependency(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    Who gives the dependency less than its fair share has learnt nothing about it.

    And a trial cut off so early goes to the next caller.

    Defect 34.
    """
    guard = kind("db", Settings(timeout=1), registry=registry, volume_threshold=1, sleep_window=5)
    guarded = deadline(0.2, clock=run.clock)(guard(hanging(run, 60)))
    for _ in range(40):
        assert isinstance(run.raised(guarded), DeadlineExceededError)
    after = guard.snapshot()
    assert (after.state, after.window.calls) == (State.CLOSED, 0)
    assert after.totals[Outcome.EXPIRED] == 40
    guard.acquire().fail()
    run.advance(5)
    assert isinstance(run.raised(guarded), DeadlineExceededError)
    assert guard.state is State.HALF_OPEN
    assert guard.snapshot().trials_running == 0


@pytest.mark.promise("A10")
def test_a_trial_that_hangs_longer_than_its_caller_waits_has_failed(
    run: Runtime, registry: Registry
) -> None:
    """
    The trial of a dependency that still hangs is cut off by its caller: the circuit opens again.

    Defect 34.
    """
    guard = Command(
        "db", Settings(timeout=1), registry=registry, volume_threshold=1, sleep_window=5
    )
    guard.acquire().fail()
    run.advance(5)
    guarded = deadline(0.5, clock=run.clock)(guard(hanging(run, 60)))
    assert isinstance(run.raised(guarded), DeadlineExceededError)
    assert guard.state is State.OPEN
    assert guard.snapshot().trials["failure"] == 1


# -- 38


@pytest.mark.promise("E2", "E5")
def test_a_background_task_outlives_the_deadline_of_the_request_that_started_it(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    A request ends in time and leaves a task behind that carries its context.

    Long after the request's time the task's calls are made, by every guard there is.

    Defect 38: the task was refused for ever.
    """
    layers = [
        Command("db", registry=registry),
        CircuitBreaker("queue", registry=registry),
        Bulkhead(5, registry=registry),
    ]
    fn = task.body(returns="answer")
    answers = []

    async def background() -> None:
        assert current_deadline() is not None
        for _ in range(3):
            await task.sleep(5)
            assert current_deadline() is None
            assert remaining(default=30.0) == 30.0
            answers.extend([await layer(fn)() for layer in layers])

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with deadline(1, clock=task.clock):
                group.start_soon(background)
                await task.sleep(0.5)

    task.call(main)
    assert answers == ["answer"] * 9
    assert layers[0].snapshot().totals[Outcome.EXPIRED] == 0


@pytest.mark.promise("E2", "E5")
def test_a_background_task_outlives_the_command_that_started_it(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    The same for the timeout of a command, and for the trial that it was.

    A task it left behind is no part of it any more.

    Defect 38.
    """
    guard = Command("db", registry=registry, timeout=1, volume_threshold=1, sleep_window=5)
    fn = task.body(returns="answer")
    answers = []

    async def background() -> None:
        await task.sleep(5)
        answers.append(await guard(fn)())

    async def main() -> None:
        async with anyio.create_task_group() as group:

            @guard
            async def request() -> None:
                group.start_soon(background)
                await task.sleep(0.5)

            await request()

    guard.acquire().fail()
    task.advance(5)
    task.call(main)
    assert answers == ["answer"]


@pytest.mark.promise("E2")
def test_a_context_copied_in_a_finished_request_is_free_of_its_deadline(
    run: Runtime, registry: Registry
) -> None:
    """
    Job queues and thread pools copy contexts.

    One that was copied under a deadline which was left in time does not refuse.

    Defect 38.
    """
    guard = Command("db", registry=registry)
    copies = []
    with deadline(1, clock=run.clock):
        copies.append(contextvars.copy_context())
        with deadline(0.1, clock=run.clock):
            copies.append(contextvars.copy_context())
    run.advance(3600)
    guarded = guard(run.body(returns="answer"))
    for context in copies:
        assert context.run(run.call, guarded) == "answer"


@pytest.mark.promise("E8")
def test_clean_up_and_background_work_have_a_budget_of_their_own(
    run: Runtime, registry: Registry
) -> None:
    """
    Where the request did run out of time, what must still be done is done detached from it.

    Defect 38.
    """
    guard = Command("db", registry=registry)
    guarded = guard(run.body(returns="answer"))
    detached = deadline(5, detached=True, clock=run.clock)(guarded)
    with deadline(0, clock=run.clock):
        context = contextvars.copy_context()
    assert isinstance(context.run(run.raised, guarded), DeadlineExceededError)
    assert context.run(run.call, detached) == "answer"
