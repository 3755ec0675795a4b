"""
Events: what listeners are told.

Imported when the first of them is made: most programs have no listener.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import attrs

if TYPE_CHECKING:
    from resilience._core.outcome import Outcome, State
    from resilience._snapshot import Snapshot

__all__ = ["CallRejected", "CallTimedOut", "Event", "FallbackCalled", "StateChanged"]


@final
@attrs.frozen(kw_only=True)
class StateChanged:
    """
    A circuit moved from one state to another.

    Attributes:
        name: Of the command or breaker.
        old: The state before.
        new: The state after.
        reason: Why, in a few words.
        snapshot: Everything as it was right after.
        at: When, in seconds on the registry's clock.
    """

    __module__ = "resilience"
    name: str | None
    old: State
    new: State
    reason: str
    snapshot: Snapshot
    at: float


@final
@attrs.frozen(kw_only=True)
class CallRejected:
    """
    A call was refused.

    Attributes:
        name: Of the command, breaker or bulkhead.
        outcome: `short_circuited`, `bulkhead_full` or `expired`.
        state: Of its circuit.
        reason: Why, in a few words.
        at: When, in seconds on the registry's clock.
    """

    __module__ = "resilience"
    name: str | None
    outcome: Outcome
    state: State
    reason: str
    at: float


@final
@attrs.frozen(kw_only=True)
class CallTimedOut:
    """
    A call took longer than it may.

    Attributes:
        name: Of the command.
        elapsed: Seconds it had taken.
        state: Of its circuit, after that was counted.
        reason: Whose time was over, in a few words.
        at: When, in seconds on the registry's clock.
    """

    __module__ = "resilience"
    name: str | None
    elapsed: float
    state: State
    reason: str
    at: float


@final
@attrs.frozen(kw_only=True)
class FallbackCalled:
    """
    A fallback was asked for an answer.

    Attributes:
        name: Of the command.
        outcome: `success`, `failure`, or `rejected` where too many were running.
        state: Of its circuit.
        reason: The type of the error that it was asked to answer for.
        at: When, in seconds on the registry's clock.
    """

    __module__ = "resilience"
    name: str | None
    outcome: str
    state: State
    reason: str
    at: float


Event = StateChanged | CallRejected | CallTimedOut | FallbackCalled
