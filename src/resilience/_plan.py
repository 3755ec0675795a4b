"""Plan: what one call goes by, computed once for a configuration and seen whole by the call."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from resilience._units import nanoseconds

if TYPE_CHECKING:
    from resilience.settings import Settings

__all__ = ["NEVER", "Plan", "make_plan", "untimed"]

NEVER: Final = 1 << 62


class Plan:
    """Settings of a guard in nanoseconds, as a call needs them. Never changed, and shared."""

    __slots__ = (
        "bare",
        "fair",
        "histogram",
        "lease",
        "max_wait",
        "nested",
        "quick",
        "scoped",
        "slow",
        "timeout",
    )

    def __init__(
        self,
        *,
        timeout: int | None,
        quick: int,
        slow: int,
        fair: int,
        max_wait: int | None,
        lease: int,
        histogram: bool,
        bare: bool,
        nested: bool,
        scoped: bool,
    ) -> None:
        self.timeout = timeout
        """How long the call may take, where that is enforced or at least judged."""
        self.quick = quick
        """A call shorter than this is neither late nor slow; 0: look at each result."""
        self.slow = slow
        """From here on a call is slow."""
        self.fair = fair
        """Cut off by its caller's deadline after this long, a call counts as a timeout."""
        self.max_wait = max_wait
        """The longest wait for a slot."""
        self.lease = lease
        """How long a trial may take at least."""
        self.histogram = histogram
        """Whether durations are counted."""
        self.bare = bare
        """Whether the duration of a call does not matter, nor what it returned."""
        self.nested = nested
        """Whether a call inside this one could wait for the slot that this one holds."""
        self.scoped = scoped
        """Whether each call needs a scope: for a deadline, or for inner calls to know its slot."""


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
    """Return a plan without the deadline, for what ends with no result that could be judged."""
    parts: dict[str, Any] = {name: getattr(plan, name) for name in Plan.__slots__}
    parts |= {"timeout": None, "quick": plan.slow}
    return Plan(**parts)
