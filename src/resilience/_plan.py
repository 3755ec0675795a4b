"""Plan: what one call goes by, computed once for a configuration and seen whole by the call."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import attrs

from resilience._units import nanoseconds

if TYPE_CHECKING:
    from resilience.settings import Settings

__all__ = ["Plan", "make_plan", "untimed"]

NEVER: Final = 1 << 62


@attrs.frozen(kw_only=True)
class Plan:
    """Settings of a guard in nanoseconds, as a call needs them."""

    timeout: int | None
    """How long the call may take, where that is enforced or at least judged."""
    quick: int
    """A call shorter than this is neither late nor slow; 0: look at each result."""
    slow: int
    """From here on a call is slow."""
    fair: int
    """Cut off by its caller's deadline after this long, a call counts as a timeout."""
    max_wait: int | None
    """The longest wait for a slot."""
    lease: int
    """How long a trial may take at least."""
    histogram: bool
    """Whether durations are counted."""
    bare: bool
    """Whether the duration of a call does not matter, nor what it returned."""
    nested: bool
    """Whether a call inside this one could wait for the slot that this one holds."""
    scoped: bool
    """Whether each call needs a scope: it has a deadline, or inner calls must know of its slot."""


@lru_cache(maxsize=1024)
def make_plan(
    settings: Settings,
    *,
    timeout: float | None,
    enforced: bool,
    nested: bool,
    waits: bool = True,
    histogram: bool = True,
    judges_results: bool = False,
) -> Plan:
    """
    Make the plan of a guard; guards of equal settings share one.

    Args:
        settings: Of its name.
        timeout: Of the guard itself.
        enforced: Whether the timeout applies to the call; otherwise it only tells what is fair.
        waits: Whether the wait for a slot ends with the timeout where no other end is set.
        histogram: Whether durations are counted.
        judges_results: Whether a predicate looks at results.
        nested: Whether a call inside this one could wait for the slot that this one holds.
    """
    length = None if timeout is None else nanoseconds(timeout)
    slow = (
        NEVER if settings.slow_call_duration is None else nanoseconds(settings.slow_call_duration)
    )
    histogram = histogram or slow != NEVER
    fair = NEVER if length is None else round(length * settings.fair_share)
    limit = length if enforced else None
    max_wait = None if settings.max_wait is None else nanoseconds(settings.max_wait)
    return Plan(
        timeout=limit,
        quick=0 if judges_results else min(slow, NEVER if limit is None else limit),
        slow=slow,
        fair=fair if slow == NEVER else slow,
        max_wait=length if max_wait is None and waits else max_wait,
        lease=0 if length is None else length,
        histogram=histogram,
        bare=not histogram and not judges_results and limit is None,
        nested=nested,
        scoped=limit is not None or nested,
    )


@lru_cache(maxsize=1024)
def untimed(plan: Plan) -> Plan:
    """Return a plan without the deadline."""
    quick = 0 if plan.quick == 0 else plan.slow
    return attrs.evolve(plan, timeout=None, quick=quick)
