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
        at: When, in seconds on the registry's clock.
    """

    __module__ = "resilience"
    name: str | None
    outcome: Outcome
    at: float


@final
@attrs.frozen(kw_only=True)
class CallTimedOut:
    """
    A call took longer than it may.

    Attributes:
        name: Of the command.
        elapsed: Seconds it had taken.
        at: When, in seconds on the registry's clock.
    """

    __module__ = "resilience"
    name: str | None
    elapsed: float
    at: float


@final
@attrs.frozen(kw_only=True)
class FallbackCalled:
    """
    A fallback was asked for an answer.

    Attributes:
        name: Of the command.
        outcome: `success`, `failure`, or `rejected` where too many were running.
        at: When, in seconds on the registry's clock.
    """

    __module__ = "resilience"
    name: str | None
    outcome: str
    at: float


Event = StateChanged | CallRejected | CallTimedOut | FallbackCalled
