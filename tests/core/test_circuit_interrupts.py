"""An interrupt in the middle of a step leaves a circuit that adds up and goes on working."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resilience import Override, State
from resilience._core.circuit import Circuit, Rules, Trial
from tests.support.interrupt import interrupted
from tests.support.whole import check_circuit

RULES = Rules(
    volume_threshold=2,
    error_ratio=(1, 2),
    slow_ratio=(1, 1),
    sleep_window=5,
    sleep_window_max=40,
    sleep_window_jitter=0.5,
    half_open_calls=2,
    half_open_successes=2,
    bucket_width=10,
    buckets=3,
)


class Scene:
    """A circuit with its trials: two that run, one whose lease is over and one still to start."""

    def __init__(self, state: State, successes: int = 0) -> None:
        self.circuit = circuit = Circuit(RULES, 0)
        self.old, self.running, self.next = Trial(0), Trial(12), Trial(0)
        self.begun = 0
        circuit.record(1, None, 0, error="OSError")
        if state is State.CLOSED:
            return
        circuit.record(1, None, 0, error="OSError")
        if state is State.OPEN:
            return
        circuit.admit(self.old, 5)
        circuit.admit(self.running, 9)
        self.begun = 2
        for _ in range(successes):
            quick = Trial(0)
            circuit.admit(quick, 9)
            circuit.record(circuit.generation, quick, 9, error=None)
            self.begun += 1

    def end(self, trial: Trial | None, error: str | None, now: int = 12) -> None:
        self.circuit.record(self.circuit.generation, trial, now, error=error, draw=0.5)


def admit(scene: Scene) -> None:
    """Admit the trial that is still to start."""
    scene.circuit.admit(scene.next, 12)


def read(scene: Scene) -> None:
    """Read two successes."""
    scene.circuit.journal.extend([1, 1])
    scene.circuit.read(scene.circuit.journal, 12)


STEPS: dict[str, tuple[Callable[[], Scene], Callable[[Scene], object]]] = {
    "a result": (lambda: Scene(State.CLOSED), lambda scene: scene.end(None, None)),
    "a result long after": (lambda: Scene(State.CLOSED), lambda scene: scene.end(None, None, 999)),
    "the trip": (lambda: Scene(State.CLOSED), lambda scene: scene.end(None, "OSError")),
    "a journal": (lambda: Scene(State.CLOSED), read),
    "an attempt": (lambda: Scene(State.OPEN), admit),
    "another trial": (lambda: Scene(State.HALF_OPEN), admit),
    "a success": (
        lambda: Scene(State.HALF_OPEN),
        lambda scene: scene.end(scene.running, None),
    ),
    "the last success": (
        lambda: Scene(State.HALF_OPEN, 1),
        lambda scene: scene.end(scene.running, None),
    ),
    "the relapse": (
        lambda: Scene(State.HALF_OPEN),
        lambda scene: scene.end(scene.running, "OSError"),
    ),
    "a late success": (
        lambda: Scene(State.HALF_OPEN, 1),
        lambda scene: scene.end(scene.old, None, 30),
    ),
    "a trial given back": (
        lambda: Scene(State.HALF_OPEN),
        lambda scene: scene.circuit.give_back(scene.running),
    ),
    "a reset while closed": (
        lambda: Scene(State.CLOSED),
        lambda scene: scene.circuit.reset(12),
    ),
    "a reset while open": (lambda: Scene(State.OPEN), lambda scene: scene.circuit.reset(12)),
    "a reset while half-open": (
        lambda: Scene(State.HALF_OPEN),
        lambda scene: scene.circuit.reset(12),
    ),
    "an override": (
        lambda: Scene(State.CLOSED),
        lambda scene: scene.circuit.lay_over(Override.OPEN),
    ),
}

step_of = pytest.mark.parametrize(("build", "step"), STEPS.values(), ids=STEPS.keys())


def test_every_transition_is_interrupted_somewhere() -> None:
    """
    Together the steps make each transition there is, so none goes untried.
    """
    made = set()
    for build, step in STEPS.values():
        scene = build()
        step(scene)
        made |= set(scene.circuit.transitions)
    assert len(made) == 5


@step_of
def test_an_interrupt_leaves_a_transition_made_or_not_begun(
    build: Callable[[], Scene], step: Callable[[Scene], object]
) -> None:
    """
    State, generation, history and the time to try again change together or not at all.
    """

    def history(scene: Scene) -> tuple[object, ...]:
        circuit = scene.circuit
        return (
            circuit.state,
            circuit.generation,
            circuit.journal.generation,
            circuit.retry_at,
            circuit.last,
            circuit.last_error,
            circuit.transitions,
            circuit.spent(100),
            circuit._failed_trials,
        )

    before, after = build(), build()
    step(after)
    left = [history(scene) for scene in interrupted(build, step)]
    assert left
    assert all(each in (history(before), history(after)) for each in left)


@pytest.mark.promise("A9", "B7")
@step_of
def test_an_interrupt_leaves_a_circuit_that_adds_up(
    build: Callable[[], Scene], step: Callable[[Scene], object]
) -> None:
    """
    The window's sums, the state and its generation, and the number of trials still agree.
    """
    for scene in interrupted(build, step):
        check_circuit(scene.circuit)
        unexpired = [held for held in scene.circuit._trials if held.expires > 12]
        assert len(unexpired) <= RULES.half_open_calls


@pytest.mark.promise("C2")
@step_of
def test_an_interrupt_counts_no_trial_twice(
    build: Callable[[], Scene], step: Callable[[Scene], object]
) -> None:
    """
    Each trial that began is running or was counted with its outcome, once.
    """
    for scene in interrupted(build, step):
        circuit = scene.circuit
        begun = scene.begun + (scene.next in circuit._trials)
        assert sum(circuit.trials.values()) + circuit.trials_running == begun


@pytest.mark.promise("A10")
@step_of
def test_an_interrupted_circuit_goes_on_working(
    build: Callable[[], Scene], step: Callable[[Scene], object]
) -> None:
    """
    Once every lease is over it can be closed by trials and opened by failures again.
    """
    for scene in interrupted(build, step):
        circuit, now = scene.circuit, 1000
        for _ in range(RULES.half_open_successes):
            if circuit.state is not State.CLOSED:
                assert circuit.ask(now) is None
                trial = Trial(0)
                circuit.admit(trial, now)
                scene.end(trial, None, now)
        assert circuit.state is State.CLOSED
        for _ in range(RULES.volume_threshold):
            scene.end(None, "OSError", now)
        assert circuit.state is State.OPEN
