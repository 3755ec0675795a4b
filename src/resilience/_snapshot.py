"""Snapshots: everything about one name at one instant, as frozen records, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, final

import attrs

from resilience._core.outcome import Outcome, Override, State
from resilience._units import NANOS, seconds

if TYPE_CHECKING:
    from resilience._entry import Entry
    from resilience.settings import Settings

__all__ = ["Latency", "Snapshot", "Window", "explain", "take"]

REFUSALS: Final = (Outcome.SHORT_CIRCUITED, Outcome.BULKHEAD_FULL, Outcome.EXPIRED)
"""What becomes of a call that would have been refused, were its circuit not shadowed."""


@final
@attrs.frozen(kw_only=True)
class Window:
    """
    The statistics the circuit decides by.

    Attributes:
        calls: How many successes, failures and timeouts.
        failures: How many failures and timeouts.
        slow: How many calls of `slow_call_duration` or more.
        error_percent: Share of failures in percent; 0 of an empty window.

    Example:
        >>> from resilience import CircuitBreaker
        >>> breaker = CircuitBreaker()
        >>> breaker.acquire().fail()
        >>> breaker.acquire().succeed()
        >>> breaker.snapshot().window
        Window(calls=2, failures=1, slow=0, error_percent=50.0)
    """

    __module__ = "resilience"
    calls: int
    failures: int
    slow: int
    error_percent: float


@final
@attrs.frozen(kw_only=True)
class Latency:
    """
    The histogram of one outcome.

    Attributes:
        bounds: Upper bounds of the buckets, in seconds.
        counts: Calls in each bucket (not cumulative), and one more count for what is beyond.
        sum: Seconds of all calls together.

    Example:
        >>> from resilience import Registry
        >>> from resilience.testing import FakeClock
        >>> clock = FakeClock()
        >>> naps = Registry(clock=clock).command("naps", latency_buckets=(1, 10))
        >>> naps.call(clock.advance, 3)
        >>> naps.snapshot().latency["success"]
        Latency(bounds=(1.0, 10.0), counts=(0, 1, 0), sum=3.0)
    """

    __module__ = "resilience"
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@final
@attrs.frozen(kw_only=True)
class Snapshot:
    """
    Everything about one name, at one instant.

    Attributes:
        name: The name; `None` of a private guard.
        state: The live state.
        override: What an operator has put over it.
        generation: The number of the circuit's present life: raised by one with each transition.
        window: The statistics the circuit decides by.
        totals: Calls by outcome, since the beginning.
        in_flight: Slots held, by abandoned calls too. Of a bulkhead that several names share, all
            that are held.
        waiting: Callers waiting for a slot.
        max_concurrency: How many slots there are; `None`: no limit.
        abandoned: Threads still running calls that nobody waits for any more.
        trials_running: Trial calls not yet settled.
        latency: A histogram for each outcome of executed calls that occurred.
        slow: Calls that were slow.
        stale: Results that came after the circuit had moved on.
        trials: Trial calls by how they ended: success, failure, released, expired.
        fallbacks: Fallbacks by how they ended: success, failure, rejected.
        shadowed: Calls that would have been refused, by outcome, while shadowed.
        transitions: How many changes of state, by (old, new).
        state_seconds: Seconds spent in each state.
        retry_after: Seconds until a call may be admitted; `None` where calls are admitted, and
            where nobody knows.
        reason: Why the circuit last moved; `None` if it never did.
        moved_from: The state it then left; `None` if it never moved.
        moved_at: When it then moved, in seconds on the registry's clock; `None` if it never did.
        last_error: Type and message of the failure that opened it.
        settings: The settings in force.
        at: When this was taken, in seconds on the registry's clock.

    Example:
        >>> from resilience import Registry
        >>> registry = Registry()
        >>> registry.command("users").call(len, "abc")
        3
        >>> now = registry.snapshot()["users"]
        >>> now.state, now.totals["success"], now.in_flight
        (<State.CLOSED: 'closed'>, 1, 0)
    """

    __module__ = "resilience"
    name: str | None
    state: State
    override: Override | None
    generation: int
    window: Window
    totals: Mapping[Outcome, int]
    in_flight: int
    waiting: int
    max_concurrency: int | None
    abandoned: int
    trials_running: int
    latency: Mapping[Outcome, Latency]
    slow: int
    stale: int
    trials: Mapping[str, int]
    fallbacks: Mapping[str, int]
    shadowed: Mapping[str, int]
    transitions: Mapping[tuple[State, State], int]
    state_seconds: Mapping[State, float]
    retry_after: float | None
    reason: str | None
    moved_from: State | None
    moved_at: float | None
    last_error: str | None
    settings: Settings
    at: float


def take(entry: Entry, now: int) -> Snapshot:
    """Take the snapshot of an entry; its lock must be held."""
    circuit, tally, window = entry.circuit, entry.tally, entry.circuit.look(now)
    last = circuit.last
    calls, failures = window.calls, window.errors
    slots = entry.pool.slots
    refusal = entry.refusal(now)
    wait = None if refusal is None else refusal.retry_after
    bounds = entry.settings.latency_buckets
    return Snapshot(
        name=entry.name,
        state=circuit.state,
        override=circuit.override,
        generation=circuit.generation,
        window=Window(
            calls=calls,
            failures=failures,
            slow=window.slow,
            error_percent=100 * failures / calls if calls else 0.0,
        ),
        totals=MappingProxyType(tally.counts),
        in_flight=slots.in_flight,
        waiting=len(slots.waiters),
        max_concurrency=slots.capacity,
        abandoned=len(entry.abandoned),
        trials_running=circuit.trials_running,
        latency=MappingProxyType(
            {
                outcome: Latency(
                    bounds=bounds, counts=tuple(durations.counts), sum=durations.total / NANOS
                )
                for outcome, durations in tally.latency.items()
            }
        ),
        slow=tally.slow,
        stale=tally.stale,
        trials=MappingProxyType(
            {
                end: circuit.trials.get(end, 0)
                for end in ("success", "failure", "released", "expired")
            }
        ),
        fallbacks=MappingProxyType(tally.fallbacks),
        shadowed=MappingProxyType(
            {outcome: tally.shadowed.get(outcome, 0) for outcome in REFUSALS}
        ),
        transitions=MappingProxyType(dict(circuit.transitions)),
        state_seconds=MappingProxyType(
            {state: seconds(spent) for state, spent in circuit.spent(now).items()}
        ),
        retry_after=None if wait is None else seconds(wait),
        reason=None if last is None else last.reason,
        moved_from=None if last is None else last.old,
        moved_at=None if last is None else seconds(last.at),
        last_error=circuit.last_error,
        settings=entry.settings,
        at=seconds(now),
    )


def explain(snapshot: Snapshot) -> str:
    """Say in one paragraph why calls are being admitted or refused right now."""
    subject = "The unnamed guard" if snapshot.name is None else f"{snapshot.name!r}"
    sentences = [f"{subject} {_circuit(snapshot)}", _window(snapshot), _slots(snapshot)]
    if snapshot.abandoned:
        threads = "thread is" if snapshot.abandoned == 1 else "threads are"
        sentences.append(
            f"{snapshot.abandoned} abandoned {threads} still running calls that timed out, "
            f"and hold their slots."
        )
    return " ".join(sentences)


def _circuit(snapshot: Snapshot) -> str:
    live = snapshot.state.replace("_", "-")
    if snapshot.override is Override.OPEN:
        return f"refuses every call: it is forced open (the circuit itself is {live})."
    if snapshot.override is Override.CLOSED:
        return (
            f"lets every call pass the circuit: it is forced closed (the circuit itself is {live})."
        )
    if snapshot.override is Override.SHADOW:
        return f"refuses no call: it is in shadow mode (the circuit itself is {live})."
    why = "" if snapshot.reason is None else f" since {snapshot.reason}"
    if snapshot.state is State.CLOSED:
        return f"admits calls: its circuit is closed{why}."
    if snapshot.retry_after is None:
        return f"admits a trial call: its circuit is {live}{why}."
    when = f"{snapshot.retry_after:.3g} s"
    if snapshot.state is State.OPEN:
        return f"refuses calls for another {when}: its circuit is open{why}."
    trials = snapshot.settings.half_open_calls
    return f"refuses calls while {trials} at most are on trial, for another {when}: half-open{why}."


def _window(snapshot: Snapshot) -> str:
    window, settings = snapshot.window, snapshot.settings
    if not window.calls:
        return f"There was no call in the last {settings.rolling_window:g} s."
    return (
        f"Of {window.calls} calls in the last {settings.rolling_window:g} s "
        f"{window.error_percent:.3g} % failed; it opens at {settings.error_percent:g} % "
        f"of at least {settings.volume_threshold}."
    )


def _slots(snapshot: Snapshot) -> str:
    limit = snapshot.max_concurrency
    if limit is None:
        return f"{snapshot.in_flight} calls are in flight, without a limit."
    full = ": it is full and refuses more" if snapshot.in_flight >= limit else ""
    waiting = f"; {snapshot.waiting} wait" if snapshot.waiting else ""
    return f"{snapshot.in_flight} of at most {limit} calls are in flight{full}{waiting}."
