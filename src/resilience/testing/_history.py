"""
Histories: what becomes of a dependency in the course of time, as a script that reads as a story.

`History(ok(3), fail(2), recover())` answers for three seconds, fails for two and is well again. Its
`repr` is what is written to make it.
"""

from __future__ import annotations

import enum
import math
from itertools import accumulate
from typing import TYPE_CHECKING, final

import attrs

from resilience._units import show
from resilience.errors import ConfigurationError
from resilience.testing._read import plain, read_time

if TYPE_CHECKING:
    from resilience._units import Duration

__all__ = [
    "History",
    "Kind",
    "Step",
    "cancel",
    "fail",
    "hang",
    "ok",
    "recover",
    "refuse",
    "slow",
]


class Kind(enum.StrEnum):
    """
    What becomes of calls that begin during a step.

    Example:
        >>> from resilience.testing import Kind, hang
        >>> hang(2).kind is Kind.HANG
        True
    """

    __module__ = "resilience.testing"

    OK = "ok"
    SLOW = "slow"
    FAIL = "fail"
    HANG = "hang"
    REFUSE = "refuse"
    CANCEL = "cancel"
    RECOVER = "recover"


@final
@attrs.frozen(repr=False)
class Step:
    """
    One step of a history: made by `ok`, `slow`, `fail`, `hang`, `refuse`, `cancel`, `recover`.

    Attributes:
        kind: What becomes of calls that begin during it.
        lasts: How many seconds it lasts.
        takes: How many seconds an answer takes.

    Example:
        >>> from resilience.testing import slow
        >>> step = slow(3, takes=0.5)
        >>> step.lasts, step.takes
        (3.0, 0.5)
    """

    __module__ = "resilience.testing"
    kind: Kind
    lasts: float
    takes: float = 0.0

    def __repr__(self) -> str:
        if self.kind is Kind.RECOVER:
            return "recover()"
        takes = f", takes={plain(self.takes)}" if self.kind is Kind.SLOW else ""
        return f"{self.kind.value}({plain(self.lasts)}{takes})"


def ok(lasts: Duration = 1) -> Step:
    """
    Answer at once.

    Args:
        lasts: For how long, in seconds above 0.

    Raises:
        ConfigurationError: `lasts` is no such time.

    Example:
        >>> from resilience.testing import History, fail, ok, recover
        >>> History(ok(3), fail(0.5), recover())
        History(ok(3), fail(0.5), recover())
    """
    return _step(Kind.OK, lasts)


def slow(lasts: Duration = 1, *, takes: Duration = 2) -> Step:
    """
    Answer, but late.

    Args:
        lasts: For how long, in seconds above 0.
        takes: How many seconds each answer takes, above 0.

    Raises:
        ConfigurationError: One of them is no such time.

    Example:
        >>> from resilience.testing import slow
        >>> slow(3, takes=0.5)
        slow(3, takes=0.5)
    """
    return _step(Kind.SLOW, lasts, read_time("takes", takes, zero=False))


def fail(lasts: Duration = 1) -> Step:
    """
    Raise the dependency's own error: `DependencyError`, unless it was given another.

    Args:
        lasts: For how long, in seconds above 0.

    Raises:
        ConfigurationError: `lasts` is no such time.

    Example:
        >>> from resilience.testing import fail
        >>> fail(2).lasts
        2.0
    """
    return _step(Kind.FAIL, lasts)


def hang(lasts: Duration = 1) -> Step:
    """
    Never answer: a call waits until it is cut off; one that nobody cuts off fails after an hour.

    Args:
        lasts: For how long calls begin to hang, in seconds above 0.

    Raises:
        ConfigurationError: `lasts` is no such time.

    Example:
        >>> from resilience.testing import hang
        >>> hang(2).lasts
        2.0
    """
    return _step(Kind.HANG, lasts)


def refuse(lasts: Duration = 1) -> Step:
    """
    Refuse the connection at once: `ConnectionRefusedError`.

    Args:
        lasts: For how long, in seconds above 0.

    Raises:
        ConfigurationError: `lasts` is no such time.

    Example:
        >>> from resilience.testing import refuse
        >>> refuse(2).lasts
        2.0
    """
    return _step(Kind.REFUSE, lasts)


def cancel(lasts: Duration = 1) -> Step:
    """
    Let the caller leave: its task is cancelled, sync code is interrupted by `Interrupted`.

    Args:
        lasts: For how long, in seconds above 0.

    Raises:
        ConfigurationError: `lasts` is no such time.

    Example:
        >>> from resilience.testing import cancel
        >>> cancel(2).lasts
        2.0
    """
    return _step(Kind.CANCEL, lasts)


def recover() -> Step:
    """
    Be well from here on: the last step of a history that ends well.

    Example:
        >>> from resilience.testing import History, fail, recover
        >>> History(fail(2), recover()).at(2)
        recover()
    """
    return Step(Kind.RECOVER, math.inf)


def _step(kind: Kind, lasts: Duration, takes: float = 0.0) -> Step:
    return Step(kind, read_time("lasts", lasts, zero=False), takes)


@final
@attrs.frozen(init=False, repr=False)
class History:
    """
    What becomes of a dependency, step by step; what the last step says holds for ever.

    Args:
        *steps: The steps in their order, at least one; `recover()` is the last if it is there.

    Attributes:
        steps: The steps.

    Raises:
        ConfigurationError: There is no step, something is none, or something follows `recover()`.

    Example:
        >>> from resilience.testing import History, hang, ok, recover
        >>> story = History(ok(3), hang(1), recover())
        >>> story.at(3.5)
        hang(1)
        >>> story.recovers_at
        4.0
    """

    __module__ = "resilience.testing"
    steps: tuple[Step, ...]

    def __init__(self, *steps: Step) -> None:
        given: tuple[object, ...] = steps
        faults = [
            f"steps must be those of ok(), slow(), fail(), hang(), refuse(), cancel() or "
            f"recover(), not {show(step)}"
            for step in given
            if not isinstance(step, Step)
        ]
        if not steps:
            faults.append("steps must be 1 or more, not 0")
        if not faults and any(step.kind is Kind.RECOVER for step in steps[:-1]):
            faults.append(f"recover() must be the last step, not followed by {steps[-1]}")
        if faults:
            raise ConfigurationError(*faults)
        object.__setattr__(self, "steps", steps)

    def __repr__(self) -> str:
        return f"History({', '.join(map(repr, self.steps))})"

    def at(self, seconds: float) -> Step:
        """
        Return the step that calls belong to which begin so many seconds after its begin.

        Args:
            seconds: Since its begin, from 0 on. Raises nothing: before that it is the first step.
        """
        ends = accumulate(step.lasts for step in self.steps[:-1])
        for step, end in zip(self.steps, ends, strict=False):
            if seconds < end:
                return step
        return self.steps[-1]

    @property
    def recovers_at(self) -> float | None:
        """Seconds from its begin to its `recover()`; `None`: it has none."""
        if self.steps[-1].kind is not Kind.RECOVER:
            return None
        return float(sum(step.lasts for step in self.steps[:-1]))


for _each in (ok, slow, fail, hang, refuse, cancel, recover):
    _each.__module__ = "resilience.testing"
