"""Found in review: a success that is written while the circuit trips is counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from resilience import CircuitBreaker, CircuitOpenError, Command, Outcome, Registry, State
from resilience._core.circuit import Circuit
from resilience._core.journal import Journal
from tests.support.runtime import FakeClock
from tests.support.threads import Caller, together

ROUNDS = 300
SUCCESSES = 7

any_kind = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


def fail() -> None:
    """Fail."""
    raise ConnectionError


@pytest.fixture
def busy() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@any_kind
def test_a_success_written_just_before_the_transition_is_counted(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """
    A success takes no lock: it may come between the last look at the journal and the transition.
    """
    guard = kind("db", registry=registry, volume_threshold=1, error_percent=1)
    succeed, record = guard(lambda: 1), Circuit.record
    guard(succeed)()  # two at once: from now on there is a slot for the success without the lock
    assert guard.snapshot().totals[Outcome.SUCCESS] == 2

    def late(circuit: Circuit, *args: Any, **kwargs: Any) -> bool:
        monkeypatch.undo()
        assert Caller(succeed).outcome() == 1
        assert len(circuit.journal) == 1
        return record(circuit, *args, **kwargs)

    monkeypatch.setattr(Circuit, "record", late)
    with pytest.raises(ConnectionError):
        guard(fail)()
    assert guard.state is State.OPEN
    totals = guard.snapshot().totals
    assert (totals[Outcome.SUCCESS], totals[Outcome.FAILURE]) == (3, 1)


@any_kind
def test_a_success_written_just_after_the_transition_is_counted(
    registry: Registry, clock: FakeClock, kind: Any
) -> None:
    """
    Its writer looks once more, and finds that nobody else reads that journal any more.
    """
    guard = kind("db", registry=registry, volume_threshold=1, error_percent=1)
    succeed = guard(lambda: 1)
    permit = guard.acquire()
    succeed()  # there is an idle slot now
    circuit = guard._guard.entry.circuit

    class Late(Journal):
        def append(self, duration: int) -> None:
            permit.fail()
            super().append(duration)

    guard.snapshot()  # reads what was written before
    late = Late(circuit.generation)
    late.until = circuit.journal.until
    circuit.journal = circuit.passing = late
    succeed()
    snapshot = guard.snapshot()
    assert (snapshot.state, snapshot.stale) == (State.OPEN, 1)
    assert snapshot.totals[Outcome.SUCCESS] == 2


@any_kind
def test_no_call_is_lost_when_a_circuit_trips_under_its_writers(
    registry: Registry, clock: FakeClock, busy: None, kind: Any
) -> None:
    """
    One thread succeeds while another trips the circuit: the totals are the calls that were made.
    """

    def calls(number: int) -> dict[Outcome, int]:
        made = dict.fromkeys(Outcome, 0)
        for _ in range(1 if number else SUCCESSES):
            try:
                (failing if number else succeeding)()
                made[Outcome.SUCCESS] += 1
            except ConnectionError:
                made[Outcome.FAILURE] += 1
            except CircuitOpenError:
                made[Outcome.SHORT_CIRCUITED] += 1
        return made

    for n in range(ROUNDS):
        guard = kind(f"db-{n}", registry=registry, volume_threshold=1)
        succeeding, failing = guard(lambda: 1), guard(fail)
        one, other = together(2, calls)
        totals = guard.snapshot().totals
        assert {each: totals.get(each, 0) for each in Outcome} == {
            each: one[each] + other[each] for each in Outcome
        }
