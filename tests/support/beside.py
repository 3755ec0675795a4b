"""
A circuit beside its model: each event is played to both, and they must not be told apart.

An event takes one number in [0, 65536) that says everything about it, so whoever plays a story
(hypothesis, or a loop over random bytes) only draws numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from resilience._core.circuit import Circuit, Rules, Trial
from resilience._core.journal import Journal
from resilience._core.outcome import Override, State
from tests.support.model import CircuitModel
from tests.support.whole import check_circuit

FULL = 4
"""Successes after which a journal is read by its writer."""
MOST = 12
"""Calls that run at once, at most."""

# Which events may move a circuit, and along which edges.
EDGES = {
    "admit": {("open", "half_open")},
    "record": {("closed", "open"), ("half_open", "closed"), ("half_open", "open")},
    "read": {("closed", "open")},
    "reset": {("open", "closed"), ("half_open", "closed")},
}

BEGINNINGS = (0, -3, 10**18)
JUMPS = (10**9, 2**62, -(2**62), 10**18)
ENDS = (
    *("error", "success", "slow", "slow error", "cancelled") * 3,
    "success",
)
OVERRIDES = (None, None, *Override)

Event = Callable[["Beside", int], None]


class Call(NamedTuple):
    """A call that runs; it went past the circuit with a journal, or was admitted."""

    generation: int
    trial: Trial | None = None
    journal: Journal | None = None


def rules_of(number: int) -> Rules:
    """Return rules, small enough for all of them to matter, that a number stands for."""
    draw = Random(number)
    ratios = (1, 1000), (1, 3), (1, 2), (2, 3), (1, 1)
    return Rules(
        volume_threshold=draw.randint(1, 3),
        error_ratio=draw.choice(ratios),
        slow_ratio=draw.choice(ratios),
        sleep_window=draw.randint(1, 10),
        sleep_window_max=draw.choice((None, draw.randint(10, 50))),
        sleep_window_jitter=draw.choice((0.0, 0.5, 1.0)),
        half_open_calls=draw.randint(1, 3),
        half_open_successes=draw.randint(1, 3),
        bucket_width=draw.randint(1, 8),
        buckets=draw.randint(1, 3),
    )


RULES = [rules_of(number) for number in range(256)]


class Beside:
    """
    A circuit and its model.

    Args:
        number: Stands for the rules and the time they begin with.
        hits: Counts how often each event met each state; what happened is known only afterwards.
    """

    def __init__(self, number: int, hits: Counter[tuple[str, str]]) -> None:
        rules = RULES[number % 256]
        self.now = BEGINNINGS[number // 256 % 3]
        self.circuit = Circuit(rules, self.now)
        self.model = CircuitModel(rules, self.now)
        self.calls: list[Call] = []
        self.spent: dict[State, int] = {}
        self.hits = hits
        self.moves = 0

    # -- calls

    def a_call_begins(self, number: int) -> None:
        """Ask and be admitted; or go past the circuit where that lets everyone pass."""
        circuit, model, now = self.circuit, self.model, self.now
        if len(self.calls) >= MOST:
            self.a_call_ends(number)
            return
        state, journal = model.state, circuit.passing
        if number & 1 and journal is not None:
            assert model.open_to_all
            self.hits[state, "goes past"] += 1
            self.calls.append(Call(circuit.generation, None, journal))
            return
        refusal, expected = circuit.ask(now), model.ask(now)
        if refusal is not None:
            self.hits[state, "is refused"] += 1
            assert (refusal.state, refusal.retry_after) == expected
            assert refusal.retry_after is not None
            assert refusal.retry_after > 0
            return
        assert expected is None
        self.hits[state, "is admitted"] += 1
        timeout = number >> 1 & 31
        trial, last = Trial(timeout), circuit.last
        is_trial = circuit.admit(trial, now)
        assert is_trial == model.admit(trial, timeout, now)
        if is_trial:
            assert circuit.state is State.HALF_OPEN
            unexpired = [held for held in circuit._trials if held.expires > now]
            assert len(unexpired) <= circuit.rules.half_open_calls
        self.calls.append(Call(circuit.generation, trial if is_trial else None))
        self._moved("admit", last)

    def a_call_rides(self, number: int) -> None:
        """A call inside a trial rides on it."""
        if self.circuit.state is State.HALF_OPEN and len(self.calls) < MOST:
            self.hits["half_open", "rides on a trial"] += 1
            self.calls.append(Call(self.circuit.generation))
        else:
            self.a_call_ends(number)

    def a_call_ends(self, number: int) -> None:
        """One of those that run ends somehow, perhaps after its time."""
        if not self.calls:
            return
        circuit = self.circuit
        how = ENDS[number & 15]
        call = self.calls.pop((number >> 4) % len(self.calls))
        late = "" if call.generation == circuit.generation else "late "
        self.hits[self.model.state, f"{late}{how}"] += 1
        if how == "cancelled":
            self._give_back(call)
        elif how == "success" and call.journal is not None and self.now < call.journal.until:
            call.journal.append(self.now)  # in the place of a duration, for the model
            if circuit.passing is not call.journal or len(call.journal) >= FULL:
                self._read(call.journal)
        else:
            self._read(circuit.journal)
            self._record(call, how, number >> 8)

    def a_call_begins_and_ends(self, number: int) -> None:
        """Nothing happens meanwhile, so it is not late."""
        running = len(self.calls)
        self.a_call_begins(number)
        if len(self.calls) > running:
            self.a_call_ends((number & 15) + 16 * running)

    def _record(self, call: Call, how: str, number: int) -> None:
        circuit, last = self.circuit, self.circuit.last
        draw, hold = (number & 3) / 4, (0, 0, 0, 30)[number >> 2 & 3]
        error, slow = ("OSError: no" if "error" in how else None), "slow" in how
        before = None if call.generation == circuit.generation else self._fields()
        counted = circuit.record(
            call.generation, call.trial, self.now, error=error, slow=slow, draw=draw, hold=hold
        )
        assert counted == self.model.record(
            call.generation, call.trial, self.now, error=error, slow=slow, draw=draw, hold=hold
        )
        if before is not None:
            assert not counted
            assert self._fields() == before
        elif circuit.state is State.CLOSED:
            assert (circuit.passing is not None) == self.model.open_to_all
        self._moved("record", last)

    def _give_back(self, call: Call) -> None:
        if call.trial is None:
            return
        last = self.circuit.last
        self.circuit.give_back(call.trial)
        before = self._fields()
        self.circuit.give_back(call.trial)
        assert self._fields() == before, "given back twice"
        self.model.give_back(call.trial)
        self._moved("give back", last)

    def _read(self, journal: Journal) -> None:
        if not journal:
            return
        last, written = self.circuit.last, journal.copy()
        counted = self.model.read(journal.generation, written)
        assert self.circuit.read(journal, self.now) == (written, counted)
        assert not journal
        self._moved("read", last)

    # -- time

    def time_passes(self, number: int) -> None:
        """Mostly a little, sometimes not at all."""
        self._clock("time passes", number % 10)

    def time_goes_back(self, number: int) -> None:
        """As a clock does that is set."""
        self._clock("time goes back", -(number % 10))

    def time_jumps(self, number: int) -> None:
        """Far, there and back."""
        self._clock("time jumps", JUMPS[number % 4])

    def the_next_attempt_is_due(self, number: int) -> None:
        """Go to the moment a refusal told of, or to the one before it."""
        refusal = self.circuit.ask(self.now)
        wait = 0 if refusal is None or refusal.retry_after is None else refusal.retry_after
        self._clock("the next attempt is due", wait - (number % 4 == 0))

    def _clock(self, event: str, delta: int) -> None:
        self.hits[self.model.state, event] += 1
        self.now += delta

    # -- from outside

    def somebody_looks(self, _: int) -> None:
        """Take a snapshot."""
        self.hits[self.model.state, "is looked at"] += 1
        self._read(self.circuit.journal)
        last = self.circuit.last
        self.circuit.look(self.now)
        self.model.window.show(self.now)
        spent = self.circuit.spent(self.now)
        assert spent == self.model.spent(self.now)
        assert all(spent[state] >= self.spent.get(state, 0) for state in State)
        self.spent = spent
        self._moved("look", last)

    def it_is_configured(self, number: int) -> None:
        """Go by other rules."""
        self.hits[self.model.state, "is configured"] += 1
        self._read(self.circuit.journal)  # by the rules it was written under
        rules, last = RULES[number % 256], self.circuit.last
        self.circuit.configure(rules, self.now)
        self.model.configure(rules, self.now)
        self._moved("configure", last)

    def it_is_reset(self, _: int) -> None:
        """Close with an empty window."""
        self.hits[self.model.state, "is reset"] += 1
        self._read(self.circuit.journal)
        last = self.circuit.last
        self.circuit.reset(self.now)
        self.model.reset(self.now)
        assert self.circuit.state is State.CLOSED
        assert self.circuit.window.calls == 0
        self._moved("reset", last)

    def it_is_overridden(self, number: int) -> None:
        """Lay an override over it, or take it off."""
        override = OVERRIDES[number % 5]
        self.hits[self.model.state, f"override {override and override.value}"] += 1
        last = self.circuit.last
        self.circuit.lay_over(override)
        self.model.override = override
        assert (self.circuit.passing is not None) == self.model.open_to_all
        self._moved("override", last)

    def the_process_forks(self, _: int) -> None:
        """Go on in the child."""
        self.hits[self.model.state, "is forked"] += 1
        self.circuit.forked(self.now)
        self.model.forked(self.now)
        self.spent = {}
        assert self.circuit.oldest == self.circuit.generation

    # -- what holds

    def _fields(self) -> tuple[Any, ...]:
        circuit = self.circuit
        window = circuit.window
        parts = [getattr(circuit, name) for name in Circuit.__slots__]
        return *parts, window.calls, window.errors, window.slow, window.edge

    def _moved(self, kind: str, last: Any) -> None:
        """An event moves a circuit along its own edges, and tells of it."""
        circuit = self.circuit
        if circuit.last is not last:
            self.moves += 1
            assert circuit.last is not None
            assert (circuit.last.old, circuit.last.new) in EDGES.get(kind, set())
            assert circuit.last.new is circuit.state
            assert circuit.last.at == self.now or kind == "read", "a journal says when"

    def compare(self) -> None:
        """What anyone can see of the two is the same."""
        circuit, model, window = self.circuit, self.model, self.circuit.window
        assert circuit.state == model.state
        assert circuit.generation == model.generation
        assert (window.calls, window.errors, window.slow) == model.window.sums
        assert circuit.retry_at == (model.retry_at if model.state == "open" else 0)
        assert len(circuit._trials) == len(model.leases)
        assert circuit.passing is None or model.open_to_all

    def compare_all(self) -> None:
        """The two are the same in every part, and the circuit agrees with itself."""
        self.compare()
        circuit, model = self.circuit, self.model
        check_circuit(circuit)
        assert circuit.override == model.override
        assert circuit.last_error == model.last_error
        assert circuit.trials == Counter(model.ended)
        assert {held: held.expires for held in circuit._trials} == model.leases
        assert circuit.transitions == Counter(model.moves)


EVENTS: dict[Event, int] = {
    Beside.a_call_begins: 60,
    Beside.a_call_rides: 10,
    Beside.a_call_ends: 64,
    Beside.a_call_begins_and_ends: 46,
    Beside.time_passes: 26,
    Beside.time_goes_back: 6,
    Beside.time_jumps: 2,
    Beside.the_next_attempt_is_due: 16,
    Beside.somebody_looks: 4,
    Beside.it_is_configured: 4,
    Beside.it_is_reset: 4,
    Beside.it_is_overridden: 10,
    Beside.the_process_forks: 4,
}
"""What can happen, and how often of 256 times it does."""
TABLE = [event for event, times in EVENTS.items() for _ in range(times)]
assert len(TABLE) == 256
