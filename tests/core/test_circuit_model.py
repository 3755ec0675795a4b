"""A circuit beside its model: whatever happens to both, they cannot be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from resilience._core.circuit import Circuit, Rules, Trial
from resilience._core.journal import Journal
from resilience._core.outcome import Override, State
from tests.support.model import CircuitModel
from tests.support.whole import check_circuit

# Which steps may move a circuit, and along which edges.
EDGES = {
    "admit": {("open", "half_open")},
    "record": {("closed", "open"), ("half_open", "closed"), ("half_open", "open")},
    "read": {("closed", "open")},
    "reset": {("open", "closed"), ("half_open", "closed")},
}

FULL = 4
"""Successes after which a journal is read by its writer."""

ratios = st.sampled_from([(1, 1000), (1, 3), (1, 2), (2, 3), (1, 1)])
rules = st.builds(
    Rules,
    volume_threshold=st.integers(1, 3),
    error_ratio=ratios,
    slow_ratio=ratios,
    sleep_window=st.integers(1, 10),
    sleep_window_max=st.none() | st.integers(10, 50),
    sleep_window_jitter=st.sampled_from([0.0, 0.5, 1.0]),
    half_open_calls=st.integers(1, 3),
    half_open_successes=st.integers(1, 3),
    bucket_width=st.integers(1, 8),
    buckets=st.integers(1, 3),
)


@attrs.frozen
class End:
    """How a call ends."""

    how: str
    draw: float
    hold: int


ends = st.builds(
    End,
    how=st.sampled_from(
        ["error", "success", "error", "success", "slow", "slow error", "cancelled"]
    ),
    draw=st.sampled_from([0.0, 0.25, 0.875]),
    hold=st.sampled_from([0, 0, 30]),
)


@attrs.frozen
class Call:
    """A call that runs; it went past the circuit with a journal, or was admitted."""

    generation: int
    trial: Trial | None = None
    journal: Journal | None = None


class CircuitMachine(RuleBasedStateMachine):
    @initialize(rules=rules, now=st.sampled_from([0, -3, 10**18]))
    def begin(self, rules: Rules, now: int) -> None:
        self.now = now
        self.circuit = Circuit(rules, now)
        self.model = CircuitModel(rules, now)
        self.calls: list[Call] = []
        self.spent: dict[State, int] = {}

    @contextmanager
    def step(self, kind: str) -> Iterator[None]:
        """Watch a step: it moves along its own edges, and raises the generation with them."""
        circuit = self.circuit
        old, generation, last = circuit.state, circuit.generation, circuit.last
        yield
        if circuit.last is last:
            assert (circuit.state, circuit.generation) == (old, generation)
        else:
            assert (old, circuit.state) in EDGES.get(kind, set())
            assert circuit.generation == generation + 1
            assert circuit.last is not None
            assert (circuit.last.old, circuit.last.new) == (old, circuit.state)
            assert circuit.last.at == self.now or kind == "read", "a journal says when"

    def look(self) -> tuple[object, ...]:
        parts = [getattr(self.circuit, name) for name in Circuit.__slots__]
        return *parts, self.circuit.window.calls, self.circuit.window.edge

    # -- calls

    @rule(timeout=st.integers(0, 20), unasked=st.booleans())
    def a_call_begins(self, timeout: int, *, unasked: bool) -> None:
        circuit = self.circuit
        if unasked and circuit.passing is not None:
            self.calls.append(Call(circuit.generation, journal=circuit.passing))
            return
        before = self.look()
        refusal = circuit.ask(self.now)
        assert self.look() == before
        expected = self.model.ask(self.now)
        if refusal is not None:
            assert (refusal.state, refusal.retry_after) == expected
            assert refusal.retry_after is not None
            assert refusal.retry_after > 0
            return
        assert expected is None
        trial = Trial(timeout)
        with self.step("admit"):
            is_trial = circuit.admit(trial, self.now)
        assert is_trial == self.model.admit(trial, timeout, self.now)
        if is_trial:
            assert circuit.state is State.HALF_OPEN
            unexpired = [held for held in circuit._trials if held.expires > self.now]
            assert len(unexpired) <= circuit.rules.half_open_calls
        self.calls.append(Call(circuit.generation, trial if is_trial else None))

    @precondition(lambda self: self.circuit.state is State.HALF_OPEN)
    @rule()
    def a_call_rides_on_a_trial(self) -> None:
        self.calls.append(Call(self.circuit.generation))

    @precondition(lambda self: self.calls)
    @rule(number=st.integers(0, 3), end=ends)
    def a_call_ends(self, number: int, end: End) -> None:
        call = self.calls.pop(number % len(self.calls))
        if end.how == "cancelled":
            self.give_back(call)
        elif end.how == "success" and call.journal is not None and self.now < call.journal.until:
            call.journal.append(self.now)  # in the place of a duration, for the model
            if self.circuit.passing is not call.journal or len(call.journal) >= FULL:
                self.read(call.journal, end.draw)
        else:
            self.read(self.circuit.journal, end.draw)
            self.record(call, end)

    @rule(timeout=st.integers(0, 20), unasked=st.booleans(), end=ends)
    def a_call_begins_and_ends(self, timeout: int, *, unasked: bool, end: End) -> None:
        running = len(self.calls)
        self.a_call_begins(timeout, unasked=unasked)
        if len(self.calls) > running:
            self.a_call_ends(running, end)

    def record(self, call: Call, end: End) -> None:
        how = {
            "error": "OSError: no" if "error" in end.how else None,
            "slow": "slow" in end.how,
            "draw": end.draw,
            "hold": end.hold,
        }
        before = self.look()
        with self.step("record"):
            counted = self.circuit.record(call.generation, call.trial, self.now, **how)
        assert counted == self.model.record(call.generation, call.trial, self.now, **how)
        if not counted:
            assert self.look() == before
        elif self.circuit.state is State.CLOSED:
            assert (self.circuit.passing is not None) == self.model.open_to_all

    def give_back(self, call: Call) -> None:
        if call.trial is None:
            return
        with self.step("give back"):
            self.circuit.give_back(call.trial)
        before = self.look()
        self.circuit.give_back(call.trial)
        assert self.look() == before
        self.model.give_back(call.trial)

    def read(self, journal: Journal, draw: float = 0.0) -> None:
        written = journal.copy()
        with self.step("read"):
            assert self.circuit.read(journal, self.now, draw) == (
                written,
                self.model.read(journal.generation, written, draw),
            )
        assert not journal

    # -- time

    @rule(delta=st.integers(0, 9) | st.integers(-9, 9) | st.sampled_from([10**9, 2**62, -(2**62)]))
    def time_passes(self, delta: int) -> None:
        self.now += delta

    @rule(early=st.sampled_from([0, 0, 1]))
    def the_next_attempt_is_due(self, early: int) -> None:
        refusal = self.circuit.ask(self.now)
        if refusal is not None and refusal.retry_after is not None:
            self.now += refusal.retry_after - early

    # -- from outside

    @rule()
    def somebody_looks(self) -> None:
        self.read(self.circuit.journal)
        with self.step("look"):
            self.circuit.look(self.now)
            spent = self.circuit.spent(self.now)
        self.model.window.show(self.now)
        assert spent == self.model.spent(self.now)
        assert all(spent[state] >= self.spent.get(state, 0) for state in State)
        self.spent = spent

    @rule(what=st.none() | st.sampled_from(["reset", "fork", *Override]) | rules)
    def an_operator_acts(self, what: str | Rules | None) -> None:
        if isinstance(what, Rules):
            self.read(self.circuit.journal)  # by the rules it was written under
            with self.step("configure"):
                self.circuit.configure(what, self.now)
            self.model.configure(what, self.now)
        elif what == "reset":
            with self.step("reset"):
                self.circuit.reset(self.now)
            self.model.reset(self.now)
            assert self.circuit.state is State.CLOSED
            assert self.circuit.window.calls == 0
        elif what == "fork":
            self.circuit.forked(self.now)
            self.spent = {}
            self.model.forked(self.now)
            assert self.circuit.oldest == self.circuit.generation
        else:
            with self.step("override"):
                self.circuit.lay_over(what)
            self.model.override = what
            assert (self.circuit.passing is not None) == self.model.open_to_all

    @invariant()
    def it_is_whole(self) -> None:
        check_circuit(self.circuit)

    @invariant()
    def it_is_like_its_model(self) -> None:
        circuit, model = self.circuit, self.model
        assert circuit.passing is None or model.open_to_all
        assert (circuit.state, circuit.generation) == (model.state, model.generation)
        assert circuit.override == model.override
        assert circuit.retry_at == (model.retry_at if circuit.state is State.OPEN else 0)
        assert circuit.last_error == model.last_error
        window = circuit.window
        assert (window.calls, window.errors, window.slow) == model.window.sums
        assert circuit.trials == {how: model.ended.count(how) for how in set(model.ended)}
        assert {held: held.expires for held in circuit._trials} == model.leases
        assert circuit.trials_running == len(model.leases)
        assert circuit.transitions == {edge: model.moves.count(edge) for edge in set(model.moves)}


@pytest.mark.promise(
    "A1",
    "A2",
    "A3",
    "A4",
    "A5",
    "A6",
    "A7",
    "A8",
    "A9",
    "A11",
    "A12",
    "A14",
    "A18",
    "C2",
    "C3",
    "C8",
)
def test_a_circuit_does_what_its_model_does() -> None:
    """
    Through any story of calls, trials, late results and operators, circuit and model are alike.
    """
    run_state_machine_as_test(
        CircuitMachine, settings=settings(max_examples=200, stateful_step_count=40, deadline=None)
    )
