"""
The words for what became of a call, and the states of a circuit.

Every call counts exactly one Outcome. Their string values are the label values of the metrics.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["CLOSED", "HALF_OPEN", "OPEN", "Outcome", "Override", "State"]


class Outcome(enum.StrEnum):
    """
    What became of one call; as text, the label value of the metrics.

    Example:
        >>> from resilience import CircuitBreaker, Outcome
        >>> breaker = CircuitBreaker()
        >>> breaker.acquire().succeed()
        >>> breaker.snapshot().totals[Outcome.SUCCESS]
        1
    """

    __module__ = "resilience"

    place: int
    """Where it stands among them, from 0."""

    def __init__(self, _: str) -> None:
        self.place = len(type(self).__members__)

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    SHORT_CIRCUITED = "short_circuited"
    BULKHEAD_FULL = "bulkhead_full"
    EXPIRED = "expired"
    IGNORED = "ignored"
    CANCELLED = "cancelled"


class State(enum.StrEnum):
    """
    The live state of a circuit; as text, the label value of the metrics.

    Example:
        >>> from resilience import CircuitBreaker, State
        >>> CircuitBreaker().state is State.CLOSED
        True
    """

    __module__ = "resilience"

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


# To look a member up in its class takes longer than to admit a call.
CLOSED: Final = State.CLOSED
OPEN: Final = State.OPEN
HALF_OPEN: Final = State.HALF_OPEN


class Override(enum.StrEnum):
    """
    What an operator has put over the live state; the live state moves on underneath.

    Example:
        >>> from resilience import CircuitBreaker, Override
        >>> breaker = CircuitBreaker()
        >>> breaker.force_open()
        >>> breaker.override is Override.OPEN, str(breaker.state)
        (True, 'closed')
    """

    __module__ = "resilience"

    OPEN = "open"
    CLOSED = "closed"
    SHADOW = "shadow"
