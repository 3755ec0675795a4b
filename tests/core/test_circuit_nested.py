"""A step inside a step: what a signal handler that uses the library does to a circuit."""

from __future__ import annotations

import pytest

from resilience import Override, State
from resilience._core.journal import Journal
from resilience._core.transitions import Event
from tests.core.test_circuit_interrupts import STEPS, Scene
from tests.support.interrupt import watched

INNER = {
    "failures": lambda scene: [scene.end(None, "OSError", 12) for _ in range(3)],
    "a trial": lambda scene: scene.circuit.ask(99) or scene.circuit.admit(scene.next, 99),
    "a journal": lambda scene: scene.circuit.read(scene.circuit.journal, 12),
    "a reset": lambda scene: scene.circuit.reset(12),
    "an override": lambda scene: scene.circuit.lay_over(Override.OPEN),
}


@pytest.mark.promise("I10")
@pytest.mark.parametrize("inner", INNER.values(), ids=INNER.keys())
@pytest.mark.parametrize(("build", "step"), STEPS.values(), ids=STEPS.keys())
def test_a_step_may_run_inside_another(build, step, inner) -> None:
    """
    Wherever a handler's own step falls, nothing is raised, and what it forced stays forced.

    Two steps at once may miscount; that is the price of a handler that never waits for a lock.
    """
    for at in range(1, watched(lambda: step(build()), lambda _: None) + 1):
        scene = build()

        def nest(number: int, at: int = at, scene: Scene = scene) -> None:
            if number == at:
                inner(scene)

        watched(lambda scene=scene: step(scene), nest)
        circuit = scene.circuit
        assert circuit.journal.generation == circuit.generation
        assert circuit.passing in (None, circuit.journal)
        if circuit.state is not State.CLOSED or circuit.override is not None:
            assert circuit.passing is None


def test_an_event_that_does_not_fit_moves_nothing() -> None:
    """
    A step that finds the circuit elsewhere than where it began leaves it there.
    """
    circuit = Scene(State.CLOSED).circuit
    circuit._move(Event.RECOVERED, "too late", 12, 0, 0, None)
    assert (circuit.state, circuit.generation, circuit.last) == (State.CLOSED, 1, None)


def test_a_transition_inside_a_transition_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where a handler resets the circuit while it is about to trip, the reset stands.
    """
    scene = Scene(State.OPEN)
    circuit = scene.circuit

    class Meddling(Journal):
        def __init__(self, generation: int) -> None:
            monkeypatch.undo()
            circuit.reset(12)
            super().__init__(generation)

    monkeypatch.setattr("resilience._core.circuit.Journal", Meddling)
    circuit.admit(scene.next, 99)
    assert (circuit.state, circuit.generation) == (State.CLOSED, 3)
    assert circuit.passing is circuit.journal
