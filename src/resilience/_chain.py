"""The scopes that the running code is inside of, as a chain: which is current, which binds."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilience._deadline import Deadline

__all__ = [
    "being_cut_off",
    "binding",
    "current",
    "enclosing",
    "forget_left",
    "scopes",
    "step_over",
    "time_left",
]

current: ContextVar[Deadline | None] = ContextVar("resilience_deadline", default=None)


def binding(scope: Deadline | None) -> Deadline | None:
    """Return the scope of a chain that ends first, or `None` if none binds."""
    return None if scope is None else scope.first()


def time_left(scope: Deadline | None) -> int | None:
    """Nanoseconds until the first scope of a chain ends; `None` if none binds."""
    bound = binding(scope)
    return None if bound is None else bound.left


def scopes() -> Iterator[Deadline]:
    """Yield the scopes that the running code is inside of, innermost first."""
    scope = current.get()
    while scope is not None:
        if scope.running:
            yield scope
        scope = scope.outer


def enclosing() -> Deadline | None:
    """Return the scope that a new one is inside of: the innermost that was not left in time."""
    scope = current.get()
    if scope is not None and scope.lost:
        forget_left()
        scope = current.get()
    while scope is not None and scope.left_in_time:
        scope = scope.outer
    return scope


def forget_left() -> None:
    """Make the innermost scope current that was not left in time, by a copy of this context."""
    scope = current.get()
    while scope is not None and scope.left_in_time:
        scope = scope.before
    current.set(scope)


def being_cut_off() -> bool:
    """Whether a deadline of its callers, and nobody else, is cutting off the running task."""
    scope = current.get()
    while scope is not None:
        if scope.cut_off:
            return True
        scope = scope.outer
    return False


def step_over(left: Deadline, inner: Deadline | None) -> None:
    """Let a scope that was left out of turn not come back when those inside of it are left."""
    while inner is not None:
        if inner.before is left:
            inner.before = left.before
        inner = inner.before
