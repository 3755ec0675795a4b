"""
Intake: what a server does with a request before its application sees it, in either colour.

It reads how much time the caller has left, and knows the slots. The budget it gives is a scope like
that of `deadline`, with two differences: it can be entered for one step of an answer at a time, all
steps sharing one beginning, and it ends with the answer. What the application does after that (a
background task) has all the time it wants.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, final

from resilience._budget_header import REQUEST_TIMEOUT, spelling
from resilience._bulkhead import Bulkhead
from resilience._chain import enclosing
from resilience._deadline import Deadline
from resilience._units import YEAR, nanoseconds, number, several, show
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from resilience._units import Duration

__all__ = ["HEADERS", "LONGEST", "Budget", "Header", "Intake"]

HEADERS: Final = (REQUEST_TIMEOUT, "grpc-timeout")
"""The headers that are read unless others are named."""

LONGEST: Final = 60.0
"""Seconds that a request may ask for, unless something else is said."""


class Header(NamedTuple):
    """A header that carries a budget."""

    name: str
    read: Callable[[bytes | str], int | None]


@final
class Intake:
    """
    How requests are taken in: what a middleware was told.

    Args:
        headers: Names of the headers that carry a budget.
        default_budget: For requests that bring none.
        max_budget: The most that a request may ask for.
        bulkhead: A bulkhead, or how many requests may run at once.
        exempt: Paths that are let through as they are, with all that is below them.
        clock: Gives integer nanoseconds.

    Raises:
        ConfigurationError: Any of it is wrong.
    """

    __slots__ = ("_clock", "_default", "_exempt", "_longest", "bulkhead", "headers")

    def __init__(
        self,
        *,
        headers: str | Sequence[str],
        default_budget: Duration | None,
        max_budget: Duration | None,
        bulkhead: Bulkhead | int | None,
        exempt: str | Sequence[str],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        faults: list[str] = []
        names = _texts("headers", "names of headers", headers, faults)
        paths = _texts("exempt", "paths", exempt, faults)
        default = self._default = _length("default_budget", default_budget, faults)
        longest = self._longest = _length("max_budget", max_budget, faults)
        if default is not None and longest is not None and default > longest:
            faults.append(
                f"default_budget must not be more than max_budget, not {show(default_budget)} "
                f"beside {show(max_budget)}"
            )
        if faults:
            raise ConfigurationError(*faults)
        self.headers = tuple(Header(name, spelling(name).read) for name in names)
        self._exempt = tuple(path.rstrip("/") for path in paths)
        self._clock = clock
        self.bulkhead = (
            bulkhead if bulkhead is None or isinstance(bulkhead, Bulkhead) else Bulkhead(bulkhead)
        )

    def exempts(self, path: str) -> bool:
        """Whether a path is to be let through as it is."""
        return any(path == each or path.startswith(f"{each}/") for each in self._exempt)

    def length(self, asked: Iterable[int | None]) -> int | None:
        """
        Return how long a request may take, in nanoseconds; `None`: as long as it likes.

        Args:
            asked: What its headers ask for, of which the shortest counts.
        """
        shortest = min((each for each in asked if each is not None), default=None)
        if shortest is None:
            return self._default
        return shortest if self._longest is None else min(shortest, self._longest)

    def budget(self, length: int, started: int | None = None) -> Budget:
        """Return a budget that begins now, or began before."""
        return Budget(Deadline(self._clock, length, enclosing(), started))


@final
class Budget:
    """One scope, entered once by `with`."""

    __slots__ = ("_done", "scope")

    def __init__(self, scope: Deadline) -> None:
        self.scope = scope
        self._done = False

    def done(self) -> None:
        """Take note that the answer was given: nothing is left that would have to be in time."""
        self._done = True
        self.scope.lift()

    def __enter__(self) -> Deadline:
        try:
            self.scope.start()
        except BaseException:
            self.scope.leave()
            raise
        return self.scope

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Whatever came after the answer is not what the budget was for.
        exceeded = self.scope.leave(error, self.scope.started if self._done else None)
        if exceeded is not None:
            try:
                raise exceeded from error
            finally:
                del exceeded  # its traceback leads to this frame


def _length(field: str, value: Any, faults: list[str]) -> int | None:
    if value is None:
        return None
    length = number(value)
    if length is None or not 0 < length <= YEAR:
        faults.append(
            f"{field} must be a time of at most {YEAR:,} seconds or None, not {show(value)}"
        )
        return None
    return nanoseconds(length)


def _texts(field: str, what: str, value: object, faults: list[str]) -> tuple[str, ...]:
    texts = several(value)
    if not all(isinstance(each, str) and each and each.isascii() for each in texts):
        faults.append(f"{field} must be {what}, not {show(value)}")
        return ()
    return cast("tuple[str, ...]", texts)
