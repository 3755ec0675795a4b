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

    Example:
        >>> from resilience import Registry, StateChanged
        >>> def tell(event):
        ...     if isinstance(event, StateChanged):
        ...         print(f"{event.old} -> {event.new}: {event.reason}")
        >>> registry = Registry()
        >>> unsubscribe = registry.subscribe(tell)
        >>> registry.command("users", volume_threshold=1).acquire().fail()
        closed -> open: 1 of 1 calls failed, the limit is 50 %
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

    Example:
        >>> from resilience import CallRejected, Registry
        >>> registry, seen = Registry(), []
        >>> unsubscribe = registry.subscribe(seen.append)
        >>> users = registry.command("users", max_concurrency=0, fallback=lambda error: "?")
        >>> users.call(lambda: "Ada")
        '?'
        >>> [event.outcome for event in seen if isinstance(event, CallRejected)]
        [<Outcome.BULKHEAD_FULL: 'bulkhead_full'>]
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

    Example:
        >>> from resilience import CallTimedOut, Registry
        >>> from resilience.testing import FakeClock
        >>> clock, seen = FakeClock(), []
        >>> registry = Registry(clock=clock)
        >>> unsubscribe = registry.subscribe(seen.append)
        >>> users = registry.command("users", timeout=1, isolation="semaphore")
        >>> users.call(clock.advance, 3)
        >>> [event.elapsed for event in seen if isinstance(event, CallTimedOut)]
        [3.0]
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

    Example:
        >>> from resilience import FallbackCalled, Registry
        >>> registry, seen = Registry(), []
        >>> unsubscribe = registry.subscribe(seen.append)
        >>> users = registry.command("users", fallback=lambda error, text: 0)
        >>> users.call(int, "x")
        0
        >>> [event.outcome for event in seen if isinstance(event, FallbackCalled)]
        ['success']
    """

    __module__ = "resilience"
    name: str | None
    outcome: str
    state: State
    reason: str
    at: float


Event = StateChanged | CallRejected | CallTimedOut | FallbackCalled
