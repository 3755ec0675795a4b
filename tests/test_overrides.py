"""Overrides: what an operator puts over the live state, and `reset`; shadow is in `decisions/`."""

from __future__ import annotations

from typing import Any

import pytest

from resilience import (
    CircuitBreaker,
    CircuitOpenError,
    Command,
    Override,
    Registry,
    State,
    StateChanged,
)
from tests.support.runtime import FakeClock, Runtime
from tests.support.scene import (
    NOTHING,
    SLEEP_WINDOW,
    SUCCESS,
    THRESHOLD,
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


@pytest.fixture
def scene(run: Runtime, registry: Registry) -> Scene:
    """A command that opens at half of four calls."""
    return Scene(run, registry)


# -- forced open


@pytest.mark.promise("A1")
def test_forced_open_refuses_everyone(run: Runtime, scene: Scene) -> None:
    """
    Forced open, the circuit refuses with nobody knowing until when; the live state stays closed.
    """
    scene.command.force_open()
    before = scene.snapshot
    end = scene.play(lambda: ended(scene.guard(answers)))
    assert isinstance(end.error, CircuitOpenError)
    assert end.error.retry_after is None
    assert end.error.state == "open"
    assert scene.runs == 0
    effect = scene.since(before)
    assert effect.outcomes == {"short_circuited": 1}
    assert effect.window == NOTHING
    assert scene.command.state is State.CLOSED
    assert scene.command.override is Override.OPEN
    assert scene.snapshot.generation == before.generation


@pytest.mark.promise("A8")
def test_forced_open_starts_no_trial(run: Runtime, scene: Scene) -> None:
    """
    However long the sleep window is over, a circuit forced open makes no trial.
    """
    scene.await_trial()
    scene.command.force_open()
    run.advance(1000)
    end = scene.play(lambda: ended(scene.guard(answers)))
    assert isinstance(end.error, CircuitOpenError)
    assert end.error.retry_after is None
    assert scene.command.state is State.OPEN
    assert scene.snapshot.trials_running == 0


def test_a_fallback_answers_while_forced_open(run: Runtime, registry: Registry) -> None:
    """
    A refusal by an override is a refusal.
    """
    answer = Answer()
    scene = Scene(run, registry, fallback=answer)
    scene.command.force_open()
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("instead")
    assert [type(error) for error in answer.errors] == [CircuitOpenError]


@pytest.mark.promise("A13", "C7")
def test_forced_open_refuses_inside_a_trial_too(run: Runtime, scene: Scene) -> None:
    """
    Everyone is refused, also the call that would ride on the trial it is made in.
    """
    inner = scene.guard(answers)

    async def outer() -> Ended:
        scene.command.force_open()
        return await ended(inner)

    scene.await_trial()
    end = scene.play(scene.guard(outer))
    assert isinstance(end.error, CircuitOpenError)
    assert end.error.retry_after is None


@pytest.mark.promise("A13")
def test_a_call_in_flight_counts_although_forced_open(run: Runtime, scene: Scene) -> None:
    """
    A call begun before the override ends in its generation: the live window takes it.
    """

    async def is_overridden() -> str:
        scene.command.force_open()
        return "answer"

    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(is_overridden))) == Ended("answer")
    effect = scene.since(before)
    assert effect.window == SUCCESS
    assert effect.stale == 0


@pytest.mark.promise("A13")
def test_a_trial_in_flight_closes_underneath_forced_open(run: Runtime, scene: Scene) -> None:
    """
    The live state moves underneath: a trial begun before closes it, and everyone is still refused.
    """

    async def is_overridden() -> str:
        scene.command.force_open()
        return "answer"

    scene.await_trial()
    assert scene.play(lambda: ended(scene.guard(is_overridden))) == Ended("answer")
    assert scene.command.state is State.CLOSED
    end = scene.play(lambda: ended(scene.guard(answers)))
    assert isinstance(end.error, CircuitOpenError)
    scene.command.clear_override()
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("answer")


# -- forced closed


@pytest.mark.promise("A1")
def test_forced_closed_admits_everyone(run: Runtime, scene: Scene) -> None:
    """
    Forced closed, an open circuit lets calls pass, which count their outcomes and move nothing.
    """
    scene.trip()
    scene.command.force_closed()
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("answer")
    scene.play(lambda: ended(scene.guard(fails)))
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1, "failure": 1}
    assert (effect.window, effect.stale) == (NOTHING, 0)
    assert effect.shadowed == {}
    assert scene.command.state is State.OPEN
    assert scene.command.override is Override.CLOSED
    assert scene.snapshot.generation == before.generation


@pytest.mark.promise("A5")
def test_the_live_circuit_opens_underneath_forced_closed(run: Runtime, scene: Scene) -> None:
    """
    The window decides as ever: it opens the live circuit, and calls go on passing.
    """
    scene.command.force_closed()
    guarded = scene.guard(fails)
    for _ in range(THRESHOLD + 2):
        assert isinstance(scene.play(lambda: ended(guarded)).error, ConnectionError)
    assert scene.runs == THRESHOLD + 2
    assert scene.command.state is State.OPEN
    scene.command.clear_override()
    assert isinstance(scene.play(lambda: ended(guarded)).error, CircuitOpenError)


def test_the_bulkhead_stays_under_forced_closed(run: Runtime, registry: Registry) -> None:
    """
    An override is of the circuit: a full bulkhead refuses as before, and answers as before.
    """
    scene = Scene(run, registry, max_concurrency=0)
    scene.command.force_closed()
    end = scene.play(lambda: ended(scene.guard(answers)))
    assert type(end.error).__name__ == "BulkheadFullError"


def test_fallbacks_and_timeouts_stay_under_forced_closed(run: Runtime, registry: Registry) -> None:
    """
    A call let through by an override is cut off at its timeout, and answered, like any other.
    """
    answer = Answer()
    scene = Scene(run, registry, fallback=answer, timeout=2.0)
    scene.trip()
    scene.command.force_closed()
    before = scene.snapshot
    assert scene.play(lambda: ended(scene.guard(lambda: scene.spend(5)))) == Ended("instead")
    effect = scene.since(before)
    assert effect.outcomes == {"timeout": 1}
    assert effect.window == NOTHING


@pytest.mark.promise("A13", "A3")
def test_calls_let_through_by_an_override_move_nothing_later(run: Runtime, scene: Scene) -> None:
    """
    A call that only the override let in does not judge, though the override is gone when it ends.
    """

    async def outlasts_the_override() -> None:
        scene.command.clear_override()
        raise ConnectionError

    scene.trip()
    scene.command.force_closed()
    before = scene.snapshot
    scene.play(lambda: ended(scene.guard(outlasts_the_override)))
    effect = scene.since(before)
    assert effect.outcomes == {"failure": 1}
    assert effect.window == NOTHING
    assert scene.snapshot.retry_after == SLEEP_WINDOW


# -- all of them


OPERATIONS = {
    "force_open": Override.OPEN,
    "force_closed": Override.CLOSED,
    "shadow": Override.SHADOW,
    "clear_override": None,
}


@pytest.mark.parametrize("then", list(OPERATIONS))
@pytest.mark.parametrize("first", list(OPERATIONS))
@pytest.mark.promise("A1", "A2")
def test_the_last_override_counts(
    clock: FakeClock, registry: Registry, first: str, then: str
) -> None:
    """
    Overrides replace one another; none is a state, so nothing is told of a transition.
    """
    events: list[Any] = []
    registry.subscribe(events.append)
    command = registry.command("db")
    getattr(command, first)()
    assert command.override is OPERATIONS[first]
    getattr(command, then)()
    assert command.override is OPERATIONS[then]
    assert command.snapshot().override is OPERATIONS[then]
    assert command.state is State.CLOSED
    assert command.snapshot().generation == 1
    assert events == []


@pytest.mark.parametrize("operation", list(OPERATIONS))
@pytest.mark.promise("A13", "C1")
def test_a_trial_in_flight_survives_an_override(run: Runtime, scene: Scene, operation: str) -> None:
    """
    Whatever an operator does meanwhile, the trial's own result closes the live circuit.
    """
    scene.await_trial()
    trial = scene.hold()
    getattr(scene.command, operation)()
    assert scene.snapshot.trials_running == 1
    trial.succeed()
    assert scene.command.state is State.CLOSED
    scene.check()


def test_an_override_is_of_the_name(clock: FakeClock, registry: Registry) -> None:
    """
    What one command forces holds for everything of that name.
    """
    command = registry.command("db")
    breaker = CircuitBreaker("db", registry=registry)
    command.force_open()
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    assert breaker.state is State.CLOSED


# -- reset


@pytest.mark.promise("A1", "A2")
def test_reset_closes_with_an_empty_window(run: Runtime, scene: Scene) -> None:
    """
    A reset closes an open circuit and empties its window; totals stay, and it is told once.
    """
    events: list[StateChanged] = []
    scene.trip()
    scene.registry.subscribe(events.append)
    before = scene.snapshot
    scene.command.reset()
    now = scene.snapshot
    assert now.state is State.CLOSED
    assert now.window.calls == 0
    assert now.totals == before.totals
    assert now.generation == before.generation + 1
    assert [(event.old, event.new) for event in events] == [(State.OPEN, State.CLOSED)]
    assert scene.play(lambda: ended(scene.guard(answers))) == Ended("answer")


@pytest.mark.promise("A2")
def test_reset_of_a_closed_circuit_empties_its_window(run: Runtime, scene: Scene) -> None:
    """
    Of a closed circuit only the window goes: there is no transition to tell of.
    """
    for _ in range(THRESHOLD - 1):
        scene.play(lambda: ended(scene.guard(fails)))
    before = scene.snapshot
    scene.command.reset()
    assert scene.snapshot.window.calls == 0
    assert scene.snapshot.generation == before.generation
    scene.play(lambda: ended(scene.guard(fails)))
    assert scene.command.state is State.CLOSED


def test_reset_forgets_successes_that_nobody_has_looked_at(run: Runtime, scene: Scene) -> None:
    """
    Those before it are in the totals and in no window, though nothing had counted them yet.
    """
    for _ in range(3):
        scene.play_open(lambda: ended(scene.guard(answers)))
    scene.command.reset()
    assert scene.snapshot.window.calls == 0
    assert scene.total("success") == 3


@pytest.mark.promise("A3", "A13")
def test_a_call_in_flight_is_stale_after_a_reset(run: Runtime, scene: Scene) -> None:
    """
    A call begun before the circuit opened ends after a reset: it is not in the new window.
    """

    async def is_reset() -> None:
        scene.trip()
        scene.command.reset()
        raise ConnectionError

    scene.play(lambda: ended(scene.guard(is_reset)))
    now = scene.snapshot
    assert now.state is State.CLOSED
    assert now.window.calls == 0
    assert now.stale == 1


@pytest.mark.parametrize("error", [None, ConnectionError])
@pytest.mark.promise("A3", "A13", "C3")
def test_a_trial_in_flight_judges_nothing_after_a_reset(
    run: Runtime, scene: Scene, error: type[Exception] | None
) -> None:
    """
    A trial begun before a reset is given back by it; its result is stale.
    """

    async def is_reset() -> None:
        scene.command.reset()
        if error is not None:
            raise error

    scene.await_trial()
    before = scene.snapshot
    scene.play(lambda: ended(scene.guard(is_reset)))
    effect = scene.since(before)
    assert effect.trials == {"released": 1}
    assert effect.stale == 1
    assert scene.command.state is State.CLOSED
    assert scene.snapshot.window.calls == 0


@pytest.mark.promise("A12")
def test_a_reset_ends_the_back_off(clock: FakeClock, registry: Registry) -> None:
    """
    After a reset the sleep window is as short as at first.
    """
    command: Command = registry.command(
        "db", volume_threshold=1, sleep_window=1, sleep_window_max=60
    )
    command.acquire().fail()
    for sleep in (1, 2, 4):
        assert command.snapshot().retry_after == sleep
        clock.advance(sleep)
        command.acquire().fail()
    assert command.snapshot().retry_after == 8
    command.reset()
    command.acquire().fail()
    assert command.snapshot().retry_after == 1


@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_a_reset_leaves_the_override(clock: FakeClock, registry: Registry, operation: str) -> None:
    """
    A reset is of the live state.
    """
    command = registry.command("db")
    getattr(command, operation)()
    command.reset()
    assert command.override is OPERATIONS[operation]
