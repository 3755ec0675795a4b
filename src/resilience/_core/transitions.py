"""
The transition table: the states of a circuit, and the events that move it.

The diagram in the documentation is drawn from it, and the circuit moves by nothing else.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from .outcome import State

__all__ = ["TRANSITIONS", "Event", "Transition"]


class Event(enum.StrEnum):
    """What moves a circuit from one state to another."""

    TRIPPED = "too many errors or slow calls"
    ATTEMPTED = "sleep window over, a trial starts"
    RECOVERED = "enough trials succeeded"
    RELAPSED = "a trial failed"
    RESET = "reset by an operator"


TRANSITIONS: Final = {
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.ATTEMPTED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.RECOVERED): State.CLOSED,
    (State.HALF_OPEN, Event.RELAPSED): State.OPEN,
    (State.OPEN, Event.RESET): State.CLOSED,
    (State.HALF_OPEN, Event.RESET): State.CLOSED,
}


class Transition(NamedTuple):
    """One change of state."""

    old: State
    new: State
    event: Event
    reason: str
    at: int
