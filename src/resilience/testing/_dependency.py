"""FaultyDependency: a dependency that plays a history on a fake clock."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, final

from resilience._tasks import current_task
from resilience._units import NANOS, show
from resilience.errors import ConfigurationError
from resilience.testing._clock import FakeClock
from resilience.testing._history import History, Kind, Step

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DependencyError", "FaultyDependency", "Interrupted", "leave"]

HOUR: Final = 3600.0
"""Seconds after which a call that hangs fails by itself: nobody has cut it off."""

leave: ContextVar[Callable[[], object] | None] = ContextVar("resilience_leave", default=None)
"""What cancels the caller on whose behalf code runs; `None`: the task that runs is the caller."""


class DependencyError(Exception):
    """
    What a `FaultyDependency` raises while it fails.

    Example:
        >>> from resilience.testing import (
        ...     DependencyError,
        ...     FakeClock,
        ...     FaultyDependency,
        ...     History,
        ...     fail,
        ... )
        >>> FaultyDependency(History(fail()), FakeClock())()
        Traceback (most recent call last):
            ...
        resilience.testing.DependencyError: the dependency fails
    """

    __module__ = "resilience.testing"


class Interrupted(BaseException):
    """
    What a `cancel` step raises in sync code: nothing an `except Exception` may catch.

    It stands for what a signal handler raises, as `KeyboardInterrupt` does, without ending the test
    run if it gets through.

    Example:
        >>> from resilience.testing import FakeClock, FaultyDependency, History, Interrupted, cancel
        >>> try:
        ...     FaultyDependency(History(cancel()), FakeClock())()
        ... except Interrupted as left:
        ...     print(left)
        the caller of the dependency leaves
    """

    __module__ = "resilience.testing"


@final
class FaultyDependency:
    """
    A dependency that plays a history: call it from sync code, or await its `acall`.

    Its history begins when it is made. What becomes of a call is said by the step in which it
    begins. It takes its time on the clock: by `FakeClock.sleep` in sync code, which stops at the
    deadline around it, and by sleeping in a task that `FakeClock.run` plays.

    Args:
        history: What becomes of it.
        clock: The clock it lives by.
        answer: Gives what a call returns that is answered, of the call's own arguments; `None`:
            `None` is returned.
        error: Gives what a call raises that fails: an exception class, or a function of nothing.
        name: What its errors call it.

    Raises:
        ConfigurationError: One of them is of another kind.

    Example:
        >>> from resilience import Registry
        >>> from resilience.testing import FakeClock, FaultyDependency, History, fail, recover
        >>> clock = FakeClock()
        >>> prices = FaultyDependency(History(fail(2), recover()), clock, lambda sku: 9.5)
        >>> price = Registry(clock=clock).command("prices", fallback=lambda error, sku: 0)(prices)
        >>> price("pen")
        0
        >>> clock.advance(2)
        >>> price("pen")
        9.5

        What it tells:

        >>> prices.calls, prices.in_flight, prices.peak
        (2, 0, 1)
        >>> prices.age, prices.step
        (2.0, recover())
    """

    __module__ = "resilience.testing"

    def __init__(
        self,
        history: History,
        clock: FakeClock,
        answer: Callable[..., Any] | None = None,
        *,
        error: Callable[[], BaseException] | None = None,
        name: str = "dependency",
    ) -> None:
        faults = _faults_of(history)
        if not isinstance(clock, FakeClock):
            faults.append(f"clock must be a FakeClock, not {show(clock)}")
        for field, given in (("answer", answer), ("error", error)):
            if given is not None and not callable(given):
                faults.append(f"{field} must be a callable or None, not {show(given)}")
        if faults:
            raise ConfigurationError(*faults)
        self.name = name
        self._clock = clock
        self.begin(history)
        self._answer = answer
        self._error = error
        self._lock = Lock()
        self._calls = self._in_flight = self._peak = 0

    def begin(self, history: History) -> None:
        """
        Play another history, from now on; calls under way end as they began.

        Args:
            history: What becomes of it.

        Raises:
            ConfigurationError: `history` is no `History`.

        Example:
            >>> from resilience.testing import FakeClock, FaultyDependency, History, fail, ok
            >>> prices = FaultyDependency(History(fail()), FakeClock(), lambda sku: 9.5)
            >>> prices.begin(History(ok()))
            >>> prices("pen")
            9.5
        """
        faults = _faults_of(history)
        if faults:
            raise ConfigurationError(*faults)
        self.history = history
        self._began = self._clock.ticks

    # -- what is seen of it

    @property
    def calls(self) -> int:
        """How many calls have reached it."""
        return self._calls

    @property
    def in_flight(self) -> int:
        """How many calls are with it now."""
        return self._in_flight

    @property
    def peak(self) -> int:
        """How many calls were with it at once, at most."""
        return self._peak

    @property
    def age(self) -> float:
        """Seconds since its history began."""
        return (self._clock.ticks - self._began) / NANOS

    @property
    def step(self) -> Step:
        """The step of its history it is in."""
        return self.history.at(self.age)

    def __repr__(self) -> str:
        return f"<FaultyDependency {self.name!r}, {self.step}>"

    # -- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer, or not, as the history has it."""
        step = self._enter()
        try:
            if step.kind is Kind.CANCEL:
                leaving = leave.get()
                if leaving is not None:
                    leaving()
                raise Interrupted(f"the caller of the {self.name} leaves")
            self._clock.sleep(_time(step))
            return self._end(step, args, kwargs)
        finally:
            self._exit()

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """
        Answer, or not, as the history has it, in a task.

        Args:
            *args: What `answer` is given.
            **kwargs: What `answer` is given by keyword.

        Raises:
            Exception: What the step says: `DependencyError` or the `error` that was given,
                `ConnectionRefusedError`, or `TimeoutError` after an hour that nobody cut off.

        Example:
            >>> from resilience.testing import FakeClock, FaultyDependency, History, slow
            >>> clock = FakeClock()
            >>> prices = FaultyDependency(History(slow(takes=2)), clock, lambda sku: 9.5)
            >>> clock.run(prices.acall, "pen")
            9.5
            >>> round(prices.age, 3)
            2.0
        """
        step = self._enter()
        try:
            if step.kind is Kind.CANCEL:
                (leave.get() or _cancel_task)()
            await self._clock.asleep(_time(step))
            return self._end(step, args, kwargs)
        finally:
            self._exit()

    def _enter(self) -> Step:
        with self._lock:
            self._calls += 1
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            return self.step

    def _exit(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def _end(self, step: Step, args: Any, kwargs: Any) -> Any:
        """Return or raise, once the time it takes is over."""
        match step.kind:
            case Kind.FAIL if self._error is not None:
                raise self._error()
            case Kind.FAIL:
                raise DependencyError(f"the {self.name} fails")
            case Kind.REFUSE:
                raise ConnectionRefusedError(f"the {self.name} refuses connections")
            case Kind.HANG | Kind.CANCEL:
                raise TimeoutError(f"nobody cut off a call of the {self.name} for an hour")
            case _:
                return None if self._answer is None else self._answer(*args, **kwargs)


def _faults_of(history: object) -> list[str]:
    if isinstance(history, History):
        return []
    return [f"history must be a History, not {show(history)}"]


def _time(step: Step) -> float:
    """Return the seconds that pass before a call ends."""
    return HOUR if step.kind in (Kind.HANG, Kind.CANCEL) else step.takes


def _cancel_task() -> None:
    """Cancel the task that runs: in trio, where a task has no cancel, with those beside it."""
    task = current_task()
    if hasattr(task, "cancel"):
        task.cancel()
    else:
        task.parent_nursery.cancel_scope.cancel()
