"""
Deadlines: a moment after which work is of no use, ambient as in Go's `context`.

- The scopes of one task form a chain; what binds is the one that ends first, so an inner scope
  never lengthens an outer one.
- A scope that was left in time binds nobody any more, though a child task may still carry it.
  One that ran out stays so. One whose entering was interrupted never binds.
- A scope opened in a task is enforced there by an alarm. Carried to another task or thread it is
  enforced by each command there, and by whoever asks `remaining()`.
- Each scope has the clock it was made with; chains may mix clocks, so what is compared is the
  time left.
"""

from __future__ import annotations

import contextlib
import enum
import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, final

from resilience import _alarm
from resilience._units import YEAR, nanoseconds, number, seconds, show
from resilience.errors import ConfigurationError, DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextvars import Token as Reset

    from resilience._units import Duration

__all__ = [
    "Deadline",
    "being_cut_off",
    "binding",
    "current",
    "enclosing",
    "read_length",
    "scopes",
]

current: ContextVar[Deadline | None] = ContextVar("resilience_deadline", default=None)


class _Stage(enum.Enum):
    NEW = enum.auto()
    RUNNING = enum.auto()
    LEFT = enum.auto()
    OVER = enum.auto()


_NOBODY: Final[list[Deadline]] = []  # shared, never changed
_BINDS: Final = (_Stage.RUNNING, _Stage.OVER)


@final
class Deadline:
    """
    A running time budget: what `with deadline(…) as d` and `current_deadline()` give.

    Everything it tells includes the enclosing scopes: the earliest one counts.

    Example:
        >>> from resilience import deadline
        >>> with deadline(60) as budget:
        ...     budget.expired, budget.remaining <= 60
        (False, True)
    """

    __module__ = "resilience"
    __slots__ = (
        "_alarm",
        "_bound",
        "_carriers",
        "_clock",
        "_cut_off",
        "_ends",
        "_length",
        "_outer",
        "_reset",
        "_stage",
        "_started",
        "name",
        "source",
        "strand",
    )

    def __init__(
        self,
        clock: Callable[[], int],
        length: int | None,
        outer: Deadline | None,
        *,
        started: int | None = None,
        name: str | None = None,
        source: object = None,
    ) -> None:
        self._clock = clock
        self._started = clock() if started is None else started
        self._length = length
        self._ends = None if length is None else self._started + length
        self._outer = outer
        self._stage = _Stage.NEW
        self._alarm: _alarm.Alarm | None = None
        self._bound: Deadline | None = None
        self._cut_off = False
        self._carriers: list[Deadline] = _NOBODY
        self._reset: Reset[Deadline | None] | None = None
        self.name = name
        self.source = source
        self.strand: object = None
        """The task or thread that entered it, where that matters."""

    # -- what users ask

    @property
    def remaining(self) -> float:
        """Seconds left, at least 0; infinity where nothing binds."""
        left = time_left(self)
        return math.inf if left is None else seconds(max(left, 0))

    @property
    def expired(self) -> bool:
        """Whether time has run out."""
        left = time_left(self)
        return left is not None and left <= 0

    @property
    def at(self) -> float:
        """The moment it ends, in seconds on its clock; infinity where nothing binds."""
        left = time_left(self)
        return math.inf if left is None else seconds(self._clock() + left)

    def check(self) -> None:
        """
        Raise if time has run out: for loops in sync code, which nothing can cut off.

        Raises:
            DeadlineExceededError: For the scope whose time it was.
        """
        bound = binding(self)
        if bound is not None and bound.left <= 0:
            raise bound.error()

    def __repr__(self) -> str:
        name = "" if self.name is None else f" of {self.name!r}"
        return f"<Deadline{name}, {self.remaining:.3g} s left>"

    # -- what the library asks

    @property
    def left(self) -> int:
        """Nanoseconds of this scope alone; negative once it has run out."""
        assert self._ends is not None, "asked of scopes that bind"
        return self._ends - self._clock()

    @property
    def bound(self) -> Deadline:
        """The scope its alarm is set for: this one, or one that was carried to this task."""
        return self if self._bound is None else self._bound

    @property
    def running(self) -> bool:
        """Whether it is entered."""
        return self._stage is _Stage.RUNNING

    @property
    def left_in_time(self) -> bool:
        """Whether it was left before its end: it binds nobody any more."""
        return self._stage is _Stage.LEFT

    @property
    def outer(self) -> Deadline | None:
        """The next scope that encloses this one."""
        return self._outer

    @property
    def binds(self) -> bool:
        """Whether it has an end, was entered, and was not left before the end."""
        return self._ends is not None and self._stage in _BINDS

    @property
    def cut_off(self) -> bool:
        """Whether its alarm rang and nobody else cancelled the task as well."""
        return self._cut_off if self._alarm is None else self._alarm.alone

    def encloses(self, inner: Deadline | None) -> bool:
        """Whether it is `inner` or one of the scopes around it."""
        while inner is not None:
            if inner is self:
                return True
            inner = inner._outer
        return False

    def error(self) -> DeadlineExceededError:
        """Return the error that says this scope ran out."""
        now = self._clock()
        limit = None if self._length is None else seconds(self._length)
        elapsed = seconds(max(now - self._started, 0))
        return DeadlineExceededError(self.name, timeout=limit, elapsed=elapsed, deadline=self)

    def enter(self) -> None:
        """Make it the current one, without an alarm."""
        self._reset = current.set(self)
        self._stage = _Stage.RUNNING

    def enforce(self, *, shared: bool = False) -> None:
        """
        Set an alarm for the scope that binds, unless its own alarm is set in this task.

        Args:
            shared: Whether many scopes of this length are enforced, one after the other.
        """
        bound = binding(self)
        if bound is self:
            self._alarm = _alarm.set_alarm(self.left, self._length if shared else None)
        elif bound is not None and not bound._guards(_alarm.current_task()):
            self._bound = bound
            self._alarm = _alarm.set_alarm(bound.left)
            bound._carriers = [*bound._carriers, self]

    def _let_go(self) -> None:
        """Tell those who enforce this scope in other tasks that it was left in time."""
        carriers, self._carriers = self._carriers, _NOBODY
        for carrier in carriers:
            alarm = carrier._alarm
            if alarm is not None:
                with contextlib.suppress(RuntimeError):  # its loop was closed
                    alarm.soon(carrier._go_by_another)

    def _go_by_another(self) -> None:
        """Enforce the scope that binds now, in place of one that was left."""
        alarm, bound = self._alarm, binding(self)
        if alarm is not None and self.running and not alarm.rang:
            self._bound = bound
            alarm.reset(None if bound is None else bound.left)

    def _guards(self, task: object) -> bool:
        return self._alarm is not None and self._alarm.task is task

    def leave(self, error: BaseException | None = None) -> bool:
        """Restore the outer scope and disarm; true if `error` is our own cancellation."""
        self._restore()
        in_time = self._ends is None or self.left > 0
        self._stage = _Stage.LEFT if in_time else _Stage.OVER
        if self._carriers and in_time:
            self._let_go()
        if self._alarm is None:
            return False
        bound = self._bound
        if bound is not None and bound is not self:
            bound._carriers = [each for each in bound._carriers if each is not self]
        alarm, self._alarm = self._alarm, None
        self._cut_off = alarm.alone
        return alarm.disarm(error)

    def _restore(self) -> None:
        reset, self._reset = self._reset, None
        if reset is None:
            return
        if current.get() is not self:  # left out of turn: what is inside of it goes on
            return
        try:
            current.reset(reset)
        except ValueError:  # left in another context than it was entered in
            current.set(self._outer)


def binding(scope: Deadline | None) -> Deadline | None:
    """Return the scope of a chain that ends first, or `None` if none binds."""
    if scope is None or scope.outer is None:
        return scope if scope is not None and scope.binds else None
    first: Deadline | None = None
    while scope is not None:
        if scope.binds and (first is None or scope.left < first.left):
            first = scope
        scope = scope.outer
    return first


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
    while scope is not None and scope.left_in_time:
        scope = scope.outer
    return scope


def being_cut_off() -> bool:
    """Whether a deadline of its callers, and nobody else, is cutting off the running task."""
    scope = current.get()
    while scope is not None:
        if scope.cut_off:
            return True
        scope = scope.outer
    return False


def read_length(value: Duration) -> int | None:
    """
    Read the length of a deadline; `None` for infinity.

    Raises:
        ConfigurationError: It is no time of at most a year, nor infinity.
    """
    length = number(value)
    if length is not None and length == math.inf:
        return None
    if length is None or length > YEAR:
        message = f"seconds must be a time of at most {YEAR:,} seconds or infinity"
        raise ConfigurationError(f"{message}, not {show(value)}")
    return nanoseconds(max(length, -YEAR))
