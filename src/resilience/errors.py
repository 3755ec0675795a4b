"""
Every error the library raises.

ResilienceError(Exception)
├── RejectedError               the function was not called
│   ├── CircuitOpenError        the circuit is open, or half-open with its trials taken
│   └── BulkheadFullError       every slot is taken, and so is the waiting room
├── DeadlineExceededError       time ran out; also a TimeoutError
└── ConfigurationError          a setting is not in its range; also a ValueError

The first two kinds are made anew for each call, so a traceback never grows from one
rejection to the next, and all of them can be pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from resilience._deadline import Deadline

__all__ = [
    "BulkheadFullError",
    "CircuitOpenError",
    "ConfigurationError",
    "DeadlineExceededError",
    "RejectedError",
    "ResilienceError",
]


T = TypeVar("T")


class ResilienceError(Exception):
    """
    Base of every error of this library.

    Example:
        >>> from resilience import CircuitOpenError, ResilienceError
        >>> issubclass(CircuitOpenError, ResilienceError)
        True
    """

    __module__ = "resilience"


class _Argument(Generic[T]):
    """An attribute that stands in `args`."""

    __slots__ = ("_default", "_place")

    def __init__(self, place: int, default: T) -> None:
        self._place = place
        self._default = default

    def __get__(self, error: BaseException | None, owner: type | None = None) -> T:
        args: tuple[Any, ...] = () if error is None else error.args
        return args[self._place] if len(args) > self._place else self._default

    def __set__(self, error: BaseException, value: T) -> None:
        args = list(error.args) + [None] * (self._place + 1 - len(error.args))
        args[self._place] = value
        error.args = tuple(args)


class RejectedError(ResilienceError):
    """
    The function was not called, so trying elsewhere is always safe.

    Attributes:
        name: The name of the command, breaker or bulkhead that refused; `None` if it has none.
        retry_after: Seconds (>= 0) until a call may be admitted again; `None` where nobody knows.

    Example:
        >>> from resilience import Bulkhead, RejectedError
        >>> try:
        ...     Bulkhead(0).acquire()
        ... except RejectedError as refused:
        ...     print(refused)
        the bulkhead of an unnamed guard is full (0 at once, 0 waiting)
    """

    __module__ = "resilience"

    # In `args`, where they are put without running `__init__`: refusals come by the thousand.
    name = _Argument[str | None](0, None)
    retry_after = _Argument[float | None](1, None)

    def __init__(self, name: str | None = None, retry_after: float | None = None) -> None:
        self.args = name, retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __str__(self) -> str:
        return f"{_title(self.name)} refused the call{_retry(self.retry_after)}"


class CircuitOpenError(RejectedError):
    """
    The circuit is open, or half-open with its trials taken; the function was not called.

    Attributes:
        state: The state that refused: `"open"` or `"half_open"`. A circuit forced open says
            `"open"` whatever its live state.
        last_error: Type and message (at most 200 characters) of the failure that opened the
            circuit, or `None`. It is kept out of `str()`, `repr()` and `args`, because messages of
            a dependency may hold what must not be logged, and it keeps no frame alive.

    Example:
        >>> from resilience import CircuitBreaker, CircuitOpenError
        >>> breaker = CircuitBreaker(volume_threshold=1)
        >>> breaker.acquire().fail(OSError("no route"))
        >>> try:
        ...     breaker.acquire()
        ... except CircuitOpenError as refused:
        ...     refused.state, refused.last_error, refused.retry_after <= 5
        ('open', 'OSError: no route', True)
    """

    __module__ = "resilience"

    state = _Argument[str](2, "open")
    # Not in a slot, which would be cheaper: an error that is a client's own as well has a layout
    # already, if that is an OSError.
    last_error: str | None = None

    def __init__(
        self,
        name: str | None = None,
        retry_after: float | None = None,
        state: str = "open",
        last_error: str | None = None,
    ) -> None:
        self.args = name, retry_after, state
        self.last_error = last_error

    def __str__(self) -> str:
        why = "is half-open and its trials are taken"
        if self.state == "open":
            why = "is forced open" if self.retry_after is None else "is open"
        return f"the circuit of {_title(self.name)} {why}{_retry(self.retry_after)}"


class BulkheadFullError(RejectedError):
    """
    Every slot is taken and the waiting room is full, or the wait came to its end.

    Attributes:
        max_concurrency: How many calls may run at once.
        waiting: How many callers were waiting for a slot.

    Example:
        >>> from resilience import Bulkhead, BulkheadFullError
        >>> try:
        ...     Bulkhead(0).acquire()
        ... except BulkheadFullError as refused:
        ...     refused.max_concurrency, refused.waiting
        (0, 0)
    """

    __module__ = "resilience"

    max_concurrency = _Argument[int | None](2, None)
    waiting = _Argument[int](3, 0)

    def __init__(
        self,
        name: str | None = None,
        retry_after: float | None = None,
        max_concurrency: int | None = None,
        waiting: int = 0,
    ) -> None:
        self.args = name, retry_after, max_concurrency, waiting

    def __str__(self) -> str:
        return (
            f"the bulkhead of {_title(self.name)} is full "
            f"({self.max_concurrency} at once, {self.waiting} waiting)"
        )


class DeadlineExceededError(ResilienceError, TimeoutError):
    """
    Time ran out.

    Attributes:
        name: The command whose `timeout` it was; `None` for a `deadline` of the caller.
        timeout: Seconds that were allowed.
        elapsed: Seconds that had passed, 0 if the call was never started.
        deadline: The `Deadline` it belongs to; `None` after pickling.

    Example:
        >>> from resilience import DeadlineExceededError, deadline
        >>> try:
        ...     with deadline(0) as budget:
        ...         budget.check()
        ... except DeadlineExceededError as late:
        ...     late.timeout, late.deadline is budget
        (0.0, True)
    """

    __module__ = "resilience"

    def __init__(
        self,
        name: str | None = None,
        *,
        timeout: float | None = None,
        elapsed: float = 0.0,
        deadline: Deadline | None = None,
    ) -> None:
        super().__init__(name)
        self.name = name
        self.timeout = timeout
        self.elapsed = elapsed
        self.deadline = deadline

    def __reduce__(self) -> tuple[Any, ...]:
        # A Deadline belongs to one clock of one process: it stays behind.
        return _rebuild, (type(self), self.args, {**self.__dict__, "deadline": None})

    def __str__(self) -> str:
        limit = "" if self.timeout is None else f" of {self.timeout:g} s"
        whose = "" if self.name is None else f" of {_title(self.name)}"
        return f"the deadline{limit}{whose} was exceeded after {self.elapsed:.3g} s"


class ConfigurationError(ResilienceError, ValueError):
    """
    One or more settings are wrong.

    The message names each field with its value and the values allowed; all faults of one call
    are reported together, a line each.

    Attributes:
        faults: The faults, one text each.

    Example:
        >>> from resilience import ConfigurationError, Settings
        >>> try:
        ...     Settings(buckets=0, timeuot=1)
        ... except ConfigurationError as wrong:
        ...     len(wrong.faults), wrong.faults[1]
        (2, "'timeuot' is no setting; did you mean timeout?")
    """

    __module__ = "resilience"

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


def _rebuild(kind: type[Exception], args: tuple[Any, ...], facts: dict[str, Any]) -> Exception:
    error = kind(*args)
    error.__dict__.update(facts)
    return error


def _revive(kind: type[Exception], args: tuple[Any, ...], facts: dict[str, Any]) -> Exception:
    # Not by `__init__`: that of a subclass may take other arguments.
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


def _title(name: str | None) -> str:
    return "an unnamed guard" if name is None else repr(name)


def _retry(seconds: float | None) -> str:
    return "" if seconds is None else f"; try again in {seconds:.3g} s"
