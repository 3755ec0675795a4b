"""Callers on threads of their own, and a clock that tells when they wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support.runtime import FakeClock

PATIENCE = 20.0
"""Seconds after which something that should have happened is taken not to happen."""


class Caller(threading.Thread):
    """Calls a function on a thread of its own, at once."""

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._fn, self._args = fn, args
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._fn(*self._args)
        except BaseException as error:
            self.error = error

    def join(self, timeout: float | None = PATIENCE) -> None:
        super().join(timeout)
        assert not self.is_alive(), "the caller hangs"

    def outcome(self) -> Any:
        """Wait for the end; return what was returned, or raise what was raised."""
        self.join()
        if self.error is not None:
            raise self.error
        return self.result


class Gate:
    """A function to guard that tells when it has begun and goes on when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        self.calls += 1
        self.begun.set()
        assert self.open.wait(PATIENCE), "nobody opened the gate"
        return self.calls


class WatchingClock(FakeClock):
    """A clock that looks around whenever it is read, so that nobody has to wait and see."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[tuple[Callable[[], bool], threading.Event]] = []

    def __call__(self) -> int:
        for condition, event in tuple(self._seen):
            if condition():
                event.set()
        return super().__call__()

    def when(self, condition: Callable[[], bool]) -> threading.Event:
        """Return an event that is set by the first reading at which `condition()` holds."""
        event = threading.Event()
        self._seen.append((condition, event))
        return event


def together(count: int, fn: Callable[[int], Any]) -> list[Any]:
    """Call `fn` with 0, 1, … on as many threads, all at the same moment; return the results."""
    start = threading.Barrier(count)

    def caller(number: int) -> Any:
        start.wait(PATIENCE)
        return fn(number)

    callers = [Caller(caller, number) for number in range(count)]
    return [each.outcome() for each in callers]
