"""
Deadlines: a moment after which work is of no use, ambient as in Go's `context`.

- The scopes of one task form a chain; what binds is the one that ends first, so an inner scope
  never lengthens an outer one.
- A scope that was left in time binds nobody any more, though a child task may still carry it.
  One that ran out stays so. One whose entering was interrupted never binds.
- A scope opened in a task is enforced there by an alarm. Carried to another task or thread it is
  enforced by each command there, and by whoever asks `remaining()`.
- A scope knows weakly who entered it. If an interrupt kept that one from leaving it, it has been
  lost: it binds nobody, and whoever next enters a scope there takes it off.
- Each scope has the clock it was made with; chains may mix clocks, so what is compared is the
  time left.
"""

from __future__ import annotations

import contextlib
import enum
import math
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from resilience._alarm import set_alarm
from resilience._chain import binding, current, step_over, time_left
from resilience._tasks import current_task
from resilience._units import NANOS, seconds
from resilience.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol
    from weakref import ref

    from resilience._alarm import Alarm

    class Holder(Protocol):
        """Who entered a scope and is to leave it."""

        def holds(self, scope: object, /) -> bool: ...


__all__ = ["Deadline"]


class _Stage(enum.Enum):
    NEW = enum.auto()
    RUNNING = enum.auto()
    LEFT = enum.auto()
    OVER = enum.auto()


# Looking a member up in its class is slow, and this is done for every call.
_NEW: Final = _Stage.NEW
_RUNNING: Final = _Stage.RUNNING
_LEFT: Final = _Stage.LEFT
_OVER: Final = _Stage.OVER
_NOBODY: Final[tuple[Deadline, ...]] = ()
_carrying: Final = RLock()  # for those who carry a scope from one task to another


class _Watch(NamedTuple):
    """What a scope enforces in place of itself: one that was carried to its task."""

    bound: Deadline | None
    soon: Callable[[Callable[[], None]], object]
    """Has something done in the task that enforces it; called from any thread."""


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
        "_carriers",
        "_clock",
        "_cut_off",
        "_ends",
        "_holder",
        "_stage",
        "_watch",
        "before",
        "name",
        "outer",
        "started",
        "strand",
    )

    def __init__(
        self,
        clock: Callable[[], int],
        length: int | None,
        outer: Deadline | None,
        started: int | None = None,
        name: str | None = None,
        holder: ref[Holder] | None = None,
    ) -> None:
        if started is None:
            started = clock()
        self._clock = clock
        self.started = started
        """When it began, on its clock."""
        self._ends = None if length is None else started + length
        self.outer = outer
        """The next scope that encloses this one."""
        self._stage = _NEW
        self.before: Deadline | None = None
        self._alarm: Alarm | None = None
        self._cut_off = False
        self._watch: _Watch | None = None
        self._carriers = _NOBODY
        self.name = name
        self._holder = holder
        self.strand: object = None if outer is None else outer.strand
        """The task or thread that entered it, if it or one around it holds a contended slot."""

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
        """
        The moment it ends, in seconds on its clock; infinity where nothing binds.

        Example:
            >>> import time
            >>> from resilience import deadline
            >>> with deadline(60) as budget:
            ...     budget.at > time.monotonic()
            True
        """
        left = time_left(self)
        return math.inf if left is None else seconds(self._clock() + left)

    def check(self) -> None:
        """
        Raise if time has run out: for loops in sync code, which nothing can cut off.

        Raises:
            DeadlineExceededError: For the scope whose time it was.

        Example:
            >>> from resilience import deadline
            >>> with deadline(60) as budget:
            ...     for row in ["a", "b"]:
            ...         budget.check()
        """
        bound = self.first()
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
    def longest(self) -> float:
        """Seconds of this scope alone, as a lock waits for them."""
        left = self.left
        return left / NANOS if left > 0 else 0.0

    @property
    def holder(self) -> Holder | None:
        """Who entered it, if it keeps that in mind and they are still there."""
        return None if self._holder is None else self._holder()

    @property
    def lost(self) -> bool:
        """Whether it is entered, and an interrupt has kept its holder from leaving it."""
        if self._holder is None or self._stage is not _RUNNING:
            return False
        holder = self._holder()
        return holder is None or not holder.holds(self)

    @property
    def running(self) -> bool:
        """Whether it is entered."""
        return self._stage is _RUNNING and not self.lost

    @property
    def left_in_time(self) -> bool:
        """Whether it was left before its end, or lost: it binds nobody any more."""
        return self._stage is _LEFT or self.lost

    @property
    def binds(self) -> bool:
        """Whether it has an end, was entered, and was not left before the end."""
        return self._ends is not None and (self._stage is _OVER or self.running)

    def first(self) -> Deadline | None:
        """Return the scope that ends first, of this one and those around it; `None`: none binds."""
        if self.outer is None:
            return self if self.binds else None
        first: Deadline | None = None
        scope: Deadline | None = self
        while scope is not None:
            if scope.binds and (first is None or scope.left < first.left):
                first = scope
            scope = scope.outer
        return first

    @property
    def cut_off(self) -> bool:
        """Whether its alarm rang and nobody else cancelled the task as well."""
        return self._cut_off if self._alarm is None else self._alarm.alone

    def encloses(self, inner: Deadline | None) -> bool:
        """Whether it is `inner` or one of the scopes around it."""
        while inner is not None:
            if inner is self:
                return True
            inner = inner.outer
        return False

    def error(self) -> DeadlineExceededError:
        """Return the error that says this scope ran out."""
        assert self._ends is not None, "said of scopes that run out"
        limit = seconds(self._ends - self.started)
        elapsed = seconds(max(self._clock() - self.started, 0))
        return DeadlineExceededError(self.name, timeout=limit, elapsed=elapsed, deadline=self)

    def enter(self) -> None:
        """Make it the current one, without an alarm; if it is interrupted, `leave` undoes it."""
        self.before = current.get()
        current.set(self)
        self._stage = _RUNNING

    def start(self) -> None:
        """Make it the current one and enforce it."""
        self.before = current.get()  # as `enter`, which costs a call
        current.set(self)
        self._stage = _RUNNING
        task = current_task()
        if task is not None:
            self._enforce(task)

    def enforce(self) -> None:
        """Set an alarm for the scope that binds, unless its own alarm is set in this task."""
        task = current_task()
        if task is not None:  # otherwise nothing can be cut off here
            self._enforce(task)

    def _enforce(self, task: Any) -> None:
        bound = self if self.outer is None else self.first()
        if bound is None or bound._ends is None:
            return
        left = bound._ends - bound._clock()
        if bound is self:
            self._alarm = set_alarm(task, left, bound._ends - bound.started)
        elif bound._alarm is None or bound._alarm.task is not task:
            self._alarm = alarm = set_alarm(task, left)
            self._carry(bound, alarm.messenger())

    def _carry(self, bound: Deadline, soon: Callable[[Callable[[], None]], object]) -> None:
        """Be told when `bound` is left in time."""
        self._watch = _Watch(bound, soon)
        if bound is self:
            return
        with _carrying:
            bound._carriers = (*bound._carriers, self)
        if bound.left_in_time:  # just now
            self.go_by_another()

    def _let_go(self) -> None:
        """Tell those who enforce this scope in other tasks that it was left in time."""
        with _carrying:
            carriers, self._carriers = self._carriers, _NOBODY
        for carrier in carriers:
            if carrier._watch is not None:
                with contextlib.suppress(RuntimeError):  # its loop was closed
                    carrier._watch.soon(carrier.go_by_another)

    def go_by_another(self) -> None:
        """Enforce the scope that binds now, in place of one that was left."""
        alarm, watch, bound = self._alarm, self._watch, binding(self)
        if alarm is not None and watch is not None and self.running and not alarm.rang:
            alarm.reset(None if bound is None else bound.left)
            if bound is None:
                self._watch = watch._replace(bound=None)
            else:
                self._carry(bound, watch.soon)

    def leave(
        self, error: BaseException | None = None, now: int | None = None
    ) -> DeadlineExceededError | None:
        """
        Restore the outer scope and disarm.

        Args:
            error: What leaves.
            now: The time on its clock, where the caller has read it.

        Returns:
            The error that is to leave instead, if `error` is the cancellation by its alarm.
        """
        inner = current.get()
        if inner is self:
            current.set(self.before)
        else:  # left out of turn: what is inside of it goes on
            step_over(self, inner)
        in_time = self._ends is None or (self._clock() if now is None else now) < self._ends
        self._stage = _LEFT if in_time else _OVER
        if self._carriers is not _NOBODY and in_time:
            self._let_go()
        alarm = self._alarm
        if alarm is None:
            return None
        self._alarm = None
        bound = self if self._watch is None else self._unwatch()
        if error is not None:
            self._cut_off = alarm.alone
        return bound.error() if alarm.disarm(error) else None

    def lift(self) -> None:
        """
        Bind nobody from now on, though it is left later: what had to be done in time is done.

        Where its alarm has rung already, nothing changes. It is then to be left as of a moment at
        which it had not run out, so that it stays lifted.
        """
        alarm = self._alarm
        if not self.running or (alarm is not None and alarm.rang):
            return
        self._stage = _LEFT
        if alarm is not None and self._watch is None:  # otherwise it is set for another scope
            alarm.reset(None)
        if self._carriers is not _NOBODY:
            self._let_go()

    def _unwatch(self) -> Deadline:
        watch, self._watch = self._watch, None
        if watch is None or watch.bound is None:
            return self
        with _carrying:
            others = (each for each in watch.bound._carriers if each is not self)
            watch.bound._carriers = tuple(others)
        return watch.bound
