"""
Threads that are stopped before a line of the library, and threads that run meanwhile.

Nothing is measured in seconds: a thread that runs aside has ended, or is known to wait for the lock
of an entry, because that lock says so.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import FrameType
from typing import Any

import resilience
from resilience import _results

HOME = str(Path(resilience.__file__).parent)
PATIENCE = 20.0
"""Seconds after which two threads wait for each other."""


class Aside(threading.Thread):
    """A thread that is let run to its end, or for as long as it can without the entry's lock."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.fn = fn
        self.waits = False
        self.paused = threading.Event()

    def run(self) -> None:
        """As a thread: run it."""
        try:
            self.fn()
        finally:
            self.paused.set()

    def let_run(self) -> None:
        """Start it, and wait until it has ended or waits for the lock."""
        self.start()
        assert self.paused.wait(PATIENCE), "it waits for something else than the lock"

    def end(self, where: object) -> None:
        """Wait until it has ended, if it was started."""
        if self.ident is not None:
            self.join(PATIENCE)
            assert not self.is_alive(), f"a deadlock: {where}"


class TellingLock(type(threading.RLock())):  # type: ignore[misc]
    """A lock that tells a thread that runs aside when it has to wait."""

    def __enter__(self) -> bool:
        thread = threading.current_thread()
        if isinstance(thread, Aside) and not self.acquire(blocking=False):
            thread.waits = True
            thread.paused.set()
        elif isinstance(thread, Aside):
            return True
        return bool(self.acquire())


@contextmanager
def telling() -> Iterator[None]:
    """Give what is made meanwhile locks that tell, and nothing else: an interrupt may keep one."""
    _results.RLock = TellingLock  # type: ignore[misc]
    try:
        yield
    finally:
        _results.RLock = RLock  # type: ignore[misc]


class Stop:
    """
    A thread's own view of itself: before its nth line in the library it lets another one run.

    Args:
        line: Which line.
        other: What lets the other one run.
    """

    def __init__(self, line: int, other: Callable[[], None]) -> None:
        self.line = line
        self.other = other
        self.lines = 0
        self.place = ""

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.line:
                self.place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                self.other()
        return self

    def watch(self, fn: Callable[[], Any]) -> Any:
        """Run something in this thread, stopped there."""
        sys.settrace(self)
        try:
            return fn()
        finally:
            sys.settrace(None)
