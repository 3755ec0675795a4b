"""
Errors that are both ours and a client's, so that `except` clauses in use keep working.

Each client's module has three classes, made of one of ours, one of the client's, and `Both`. An
error of ours is exchanged for its like there, with the same facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Both", "Kinds", "kinds"]

LEFT_BEHIND = frozenset({"deadline", "request", "_request", "response"})
"""What belongs to one process: it is not pickled."""


class Both:
    """What errors with two parents need: both may have ideas of their own about pickling."""

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: None if name in LEFT_BEHIND else fact for name, fact in vars(self).items()}
        return _made, (type(self), self.args, facts)


def _made(kind: type[Any], args: tuple[Any, ...], facts: Mapping[str, Any]) -> Any:
    # Not by `__init__`: the parents' take different arguments.
    make: Any = kind.__new__
    error: Any = make(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class Kinds(NamedTuple):
    """The errors of one client."""

    ours: Mapping[type[BaseException], type[Exception]]
    """Which class stands for which of ours."""

    timeouts: tuple[type[Exception], ...]
    """What the client raises when a time is up that it was given."""

    misuse: tuple[type[Exception], ...]
    """What it raises where nothing could be sent: they say nothing about the other side."""

    def exchange(self, error: BaseException, **facts: Any) -> BaseException:
        """Return an error of ours as the client's as well; any other as it is."""
        kind = self.ours.get(type(error))
        if kind is None:
            return error
        both: BaseException = _made(kind, error.args, {**vars(error), **facts})
        both.__cause__ = error.__cause__
        return both


def kinds(
    circuit_open: type[Exception],
    bulkhead_full: type[Exception],
    deadline_exceeded: type[Exception],
    *,
    timeouts: tuple[type[Exception], ...],
    misuse: tuple[type[Exception], ...],
) -> Kinds:
    """Put the errors of a client together."""
    ours: dict[type[BaseException], type[Exception]] = {
        CircuitOpenError: circuit_open,
        BulkheadFullError: bulkhead_full,
        DeadlineExceededError: deadline_exceeded,
    }
    return Kinds(ours, timeouts, misuse)
