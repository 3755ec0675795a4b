"""
A circuit beside its model, as hypothesis plays it: it looks for a story that tells them apart.

    python -m proof machine --steps 1e6 --seeds 3

What it finds it makes as short as it can, and prints: each rule is a stretch of events of a kind.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.beside import EVENTS, TABLE, Beside, Event

RULES = 25
"""Rules of one example, at most."""

CELLS = 68
"""Pairs of a state and an event that can meet it."""

numbers = st.integers(0, 65535)


class CircuitMachine(RuleBasedStateMachine):
    """Plays a circuit beside its model."""

    hits: ClassVar[Counter[tuple[str, str]]] = Counter()
    steps = 0

    @initialize(number=numbers)
    def begin(self, number: int) -> None:
        """Begin with the rules and at the time that a number stands for."""
        self.beside = Beside(number, self.hits)

    def play(self, event: Event, number: int) -> None:
        """Let one event happen to both."""
        type(self).steps += 1
        event(self.beside, number)
        self.beside.compare()

    @rule(stretch=st.binary(min_size=150, max_size=300))
    def many_things_happen(self, stretch: bytes) -> None:
        """Events happen as often as they do: three bytes for each."""
        for code, high, low in zip(stretch[::3], stretch[1::3], stretch[2::3], strict=False):
            self.play(TABLE[code], 256 * high + low)

    @rule(event=st.sampled_from(list(EVENTS)), number=numbers)
    def one_thing_happens(self, event: Event, number: int) -> None:
        """Any event is as likely as any other."""
        self.play(event, number)

    @invariant()
    def they_are_alike(self) -> None:
        """All of both is compared after each rule."""
        self.beside.compare_all()


def run(steps: int = 10**6, seeds: int = 3) -> dict[str, Any]:
    """Play at least so many events with each of so many seeds."""
    figures: dict[str, Any] = {}
    hits: ClassVar[Counter[tuple[str, str]]] = Counter()
    for number in range(1, seeds + 1):
        played = play(steps, number)
        hits += played.hits
        figures[f"events, seed {number}"] = played.steps
    least = min(hits.values())
    assert len(hits) == CELLS, "what can meet has met"
    assert least >= 1000 or steps * seeds < 3_000_000, f"a cell was hit {least} times only"
    figures["cells of state × event"] = len(hits)
    figures["hits of the rarest cell"] = least
    figures["divergences"] = 0
    for (state, event), count in sorted(hits.items()):
        print(f"{state:10} {event:28} {count:10,}")
    return figures


def play(steps: int, number: int) -> type[CircuitMachine]:
    """Play with one seed; return the class that has counted what was played."""
    counting: type[CircuitMachine] = type(
        "CircuitMachine", (CircuitMachine,), {"hits": Counter(), "steps": 0}
    )
    chosen = settings(
        max_examples=100,
        stateful_step_count=RULES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    batch = 0
    while counting.steps < steps:
        batch += 1
        run_state_machine_as_test(seed(f"{number}/{batch}")(counting), settings=chosen)
    return counting
