"""What is true of a machine between any two of its steps, whatever the steps were."""

from __future__ import annotations

from resilience._core.circuit import Circuit
from resilience._core.outcome import State
from resilience._core.slots import Slots
from resilience._core.window import RollingWindow


def check_window(window: RollingWindow) -> None:
    """The running sums are the sums over the ring, and every part of them is possible."""
    current = window._index % window.size
    ring = [(calls, *window._bad.get(slot, (0, 0))) for slot, calls in enumerate(window._ring)]
    assert all(0 <= slot < window.size and any(bad) for slot, bad in window._bad.items())
    before = tuple(map(sum, zip(*ring, strict=True)))
    sums = window.calls, window.errors, window.slow
    assert before == window._before
    assert ring[current] == (0, 0, 0), "the current bucket is what the sums have gained"
    own = tuple(total - part for total, part in zip(sums, before, strict=True))
    for calls, errors, slow in (*ring, own, sums):
        assert 0 <= errors <= calls
        assert 0 <= slow <= calls
    assert window.edge == (window._index + 1) * window.width


def check_circuit(circuit: Circuit) -> None:
    """State, generation and what may be read without the lock agree; trials belong to half-open."""
    check_window(circuit.window)
    assert circuit.journal.generation == circuit.generation
    if circuit.passing is not None:
        assert circuit.passing is circuit.journal
        assert circuit.state is State.CLOSED
        assert circuit.override is None
    assert circuit.oldest <= circuit.generation
    assert circuit.generation == circuit.oldest + sum(circuit.transitions.values())
    assert circuit.state is State.HALF_OPEN or not circuit.trials_running
    assert circuit.last is None or circuit.last.new is circuit.state
    assert len(set(circuit._trials)) == circuit.trials_running


def check_slots(slots: Slots) -> None:
    """No idle slot is held twice, and whoever frees one is told while somebody waits for it."""
    assert len({id(token) for token in slots.free}) == len(slots.free)
    assert slots.in_flight >= 0
    assert slots.attention or not slots.waiters
