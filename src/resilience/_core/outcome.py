"""
The words for what became of a call, and the states of a circuit.

Every call counts exactly one Outcome. Their string values are the label values of the metrics.
"""

from __future__ import annotations

import enum

__all__ = ["Outcome", "Override", "State"]


class Outcome(enum.StrEnum):
    """What became of one call."""

    __module__ = "resilience"

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    SHORT_CIRCUITED = "short_circuited"
    BULKHEAD_FULL = "bulkhead_full"
    EXPIRED = "expired"
    IGNORED = "ignored"
    CANCELLED = "cancelled"


class State(enum.StrEnum):
    """The live state of a circuit."""

    __module__ = "resilience"

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Override(enum.StrEnum):
    """What an operator has put over the live state; the live state moves on underneath."""

    __module__ = "resilience"

    OPEN = "open"
    CLOSED = "closed"
    SHADOW = "shadow"
