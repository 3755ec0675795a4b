"""What the running code may ask of its deadlines: which one binds, and how much time is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from resilience._chain import binding, current
from resilience._units import seconds

if TYPE_CHECKING:
    from resilience._deadline import Deadline

__all__ = ["current_deadline", "remaining"]

_T = TypeVar("_T")


def current_deadline() -> Deadline | None:
    """
    Return the deadline that binds the running code, or `None`.

    Example:
        >>> from resilience import current_deadline, deadline
        >>> current_deadline() is None
        True
        >>> with deadline(2.0) as outer, deadline(60):
        ...     current_deadline().remaining <= 2.0
        True
    """
    scope = current.get()
    while scope is not None and not scope.binds:
        scope = scope.outer
    return scope


@overload
def remaining() -> float | None: ...
@overload
def remaining(default: _T) -> float | _T: ...


def remaining(default: Any = None) -> Any:
    """
    Return the seconds left, always positive: what to hand to a client as its timeout.

    Args:
        default: What to return where there is no deadline, or an infinite one.

    Raises:
        DeadlineExceededError: Time has run out.

    Example:
        >>> from resilience import deadline, remaining
        >>> remaining(default=30.0)
        30.0
        >>> with deadline(2.0):
        ...     0 < remaining(default=30.0) <= 2.0
        True
    """
    bound = binding(current.get())
    if bound is None:
        return default
    left = bound.left
    if left <= 0:
        raise bound.error()
    return seconds(left)


for _each in (current_deadline, remaining):
    _each.__module__ = "resilience"
