"""deadline: a time budget around a block or a function."""

from __future__ import annotations

import math
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final, overload
from weakref import ref

from resilience._awaitable import PLAIN, is_awaitable
from resilience._chain import current, enclosing, forget_left
from resilience._deadline import Deadline
from resilience._streams import async_stream, stream
from resilience._units import NANOS, YEAR, nanoseconds, number, show
from resilience._wrap import wrap
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from resilience._typing import Guarded, Method
    from resilience._units import Duration

__all__ = ["deadline"]

P = ParamSpec("P")
R = TypeVar("R")


@final
class deadline:  # noqa: N801 - read as a statement: `with deadline(2.0):`
    """
    A time budget: `with deadline(2.0):` or `@deadline(2.0)`, in sync code, asyncio and trio.

    In a task it is enforced: what runs longer is cancelled, and `DeadlineExceededError` leaves the
    block. In sync code it is cooperative: commands, waits, `remaining()` and `check()` go by it.
    Inner deadlines never lengthen outer ones. A block must not hold a `yield` (PEP 789), except in
    context-manager functions that one task enters and leaves.

    Args:
        seconds: How long: a number or a `timedelta`; 0 or less is over at once, infinity is none.
        detached: Ignore outer deadlines: for clean-up and background work.
        clock: Gives integer nanoseconds.

    Raises:
        ConfigurationError: `seconds` is a NaN, a bool, no number, or more than a year.

    Example:
        >>> from resilience import deadline
        >>> with deadline(0.5) as budget:
        ...     budget.check()
        ...     0 < budget.remaining <= 0.5
        True
    """

    __module__ = "resilience"
    __slots__ = ("__weakref__", "_clock", "_detached", "_length", "_open")

    def __init__(
        self,
        seconds: Duration,
        *,
        detached: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._length = _read_length(seconds)
        self._detached = detached
        self._clock = clock
        self._open: set[Deadline] = set()

    def __enter__(self) -> Deadline:
        outer = current.get() and self._outer()
        scope = Deadline(self._clock, self._length, outer, None, None, ref(self))
        self._open.add(scope)
        try:
            scope.start()
        except BaseException:
            self._open.discard(scope)
            scope.leave()
            raise
        return scope

    def holds(self, scope: object) -> bool:
        """Whether a block of this object is inside of that scope."""
        return scope in self._open

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope = current.get()
        if scope not in self._open:  # not the innermost one that is entered here
            scope = self._find(scope)
        if scope is None:
            forget_left()
        else:
            self._open.discard(scope)
            exceeded = scope.leave(error)
            if exceeded is not None:
                try:
                    raise exceeded from error
                finally:
                    del exceeded  # its traceback leads to this frame

    def _find(self, scope: Deadline | None) -> Deadline | None:
        """Return the scope that ends here: one object may be entered by many tasks at once."""
        while scope is not None and scope not in self._open:  # another's, or left already
            scope = scope.outer
        if scope is None:  # left in another context than it was entered in
            scope = max(self._open.copy(), key=attrgetter("started"), default=None)
        return scope

    def _outer(self) -> Deadline | None:
        return None if self._detached else enclosing()

    def _scope(self, started: int | None = None) -> Deadline:
        return Deadline(self._clock, self._length, self._outer(), started)

    # -- as a decorator

    @overload
    def __call__(self, fn: Method, /) -> Method: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Guarded[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Give each call of a function this budget. Raises `TypeError` for what is no function."""
        return wrap(self, fn)

    def guard_function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Give each call this budget."""

        def call(*args: Any, **kwargs: Any) -> Any:
            scope = self._scope()
            try:
                try:
                    _start(scope)
                    result = fn(*args, **kwargs)
                except BaseException as error:
                    _stop(scope, error)
                    raise
                _stop(scope, None)
            except BaseException:
                _make_sure(scope)
                raise
            if type(result) not in PLAIN and is_awaitable(result):
                return awaited(result, scope)
            return result

        async def awaited(awaitable: Any, scope: Deadline) -> Any:
            # What is left of the same budget: the function has only begun.
            _start(scope)
            try:
                result = await awaitable
            except BaseException as error:
                _stop(scope, error)
                raise
            _stop(scope, None)
            return result

        return call

    def guard_coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Give each call this budget, enforced."""

        async def call(*args: Any, **kwargs: Any) -> Any:
            scope = self._scope()
            _start(scope)
            try:
                result = await fn(*args, **kwargs)
            except BaseException as error:
                _stop(scope, error)
                raise
            _stop(scope, None)
            return result

        return call

    def guard_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Give each stream this budget, from first to last item, without binding its consumer."""
        return stream(lambda args, kwargs: self._budget(lambda: fn(*args, **kwargs)))

    def guard_async_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Give each stream this budget, enforced, without binding its consumer."""
        return async_stream(lambda args, kwargs: self._budget(lambda: fn(*args, **kwargs)))

    def _budget(self, source: Callable[[], Any]) -> _Budget:
        return _Budget(self._scope, source)


class _Budget:
    """
    One budget over the steps of a stream: entered for each, left before its item is given.

    Each step has a scope of its own, inside of the deadlines of whoever asks for it: what a step
    has started is bound by that of its own step alone.
    """

    __slots__ = ("_make", "_scope", "_source", "_started")

    def __init__(self, make: Callable[[int | None], Deadline], source: Callable[[], Any]) -> None:
        self._make = make
        self._source = source
        self._scope = make(None)
        self._started = self._scope.started

    def start(self) -> Any:
        return self._source()

    async def astart(self) -> Any:
        return self.start()

    def run(self, step: Callable[[Any], Any], sent: Any) -> Any:
        try:
            try:
                self._resume()
                item = step(sent)
            except BaseException as error:
                _stop(self._scope, error)
                raise
            _stop(self._scope, None)
        except BaseException:
            _make_sure(self._scope)
            raise
        return item

    async def arun(self, step: Callable[[Any], Any], sent: Any) -> Any:
        self._resume()
        try:
            item = await step(sent)
        except BaseException as error:
            _stop(self._scope, error)
            raise
        _stop(self._scope, None)
        return item

    def _resume(self) -> None:
        self._scope = self._make(self._started)
        _start(self._scope)

    def exhausted(self) -> None: ...

    def closed(self) -> None: ...

    def failed(self, error: BaseException) -> Any:
        raise error

    async def afailed(self, error: BaseException) -> Any:
        raise error


def _start(scope: Deadline) -> None:
    try:
        scope.start()
    except BaseException:
        scope.leave()
        raise


def _make_sure(scope: Deadline) -> None:
    """Leave a scope that an interrupt has kept from being left."""
    if scope.running:
        scope.leave()


def _stop(scope: Deadline, error: BaseException | None) -> None:
    exceeded = scope.leave(error)
    if exceeded is not None:
        try:
            raise exceeded from error
        finally:
            del exceeded  # its traceback leads to this frame


def _read_length(value: Duration) -> int | None:
    """
    Read the length of a deadline; `None` for infinity.

    Raises:
        ConfigurationError: It is no time of at most a year, nor infinity.
    """
    if (type(value) is float or type(value) is int) and 0 < value <= YEAR:  # nearly always
        return round(value * NANOS) or 1
    length = number(value)
    if length is not None and length == math.inf:
        return None
    if length is None or length > YEAR:
        message = f"seconds must be a time of at most {YEAR:,} seconds or infinity"
        raise ConfigurationError(f"{message}, not {show(value)}")
    return nanoseconds(max(length, -YEAR))
