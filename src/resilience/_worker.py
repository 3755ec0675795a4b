"""
Workers: threads that run sync functions whose callers must not wait for longer than they want.

- A worker is started when a call finds none idle, so there are never more than calls running, which
  the bulkhead bounds; a command called from inside another's worker cannot starve.
- The worker that was idle last is taken first; one that was idle for IDLE seconds ends.
- A caller whose time is up leaves the job behind: abandoned. Who was first, the caller leaving or
  the worker ending, is decided by a claim that one of them can take. An abandoned job keeps the
  slot of its call until the thread really ends.
- Workers are daemons: a hung one does not keep the interpreter from exiting.
"""

from __future__ import annotations

import inspect
import itertools
from _thread import allocate_lock
from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from resilience import _fork
from resilience._awaitable import PLAIN, not_awaited
from resilience._tasks import work_for
from resilience._verdict import ThreadStartError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Job", "Workers"]

IDLE: Final = 10.0
"""Seconds a worker waits for its next job before it ends."""


class Job:
    """
    One call on a worker.

    Args:
        fn: What to call in the caller's context, with `args` and `kwargs`.
        strand: What the caller is, where somebody inside may ask: the two are one strand, for the
            caller waits for the worker.
    """

    __slots__ = (
        "__weakref__",
        "_args",
        "_claim",
        "_context",
        "_done",
        "_ended",
        "_error",
        "_fn",
        "_kwargs",
        "_result",
        "_strand",
        "unstarted",
    )

    def __init__(
        self, fn: Callable[..., Any], args: Any, kwargs: Any, strand: object = None
    ) -> None:
        self._fn, self._args, self._kwargs = fn, args, kwargs
        self._context = copy_context()
        self._strand = strand
        self.unstarted = False
        self._error: BaseException | None = None
        self._claim = [None]
        self._done = allocate_lock()
        self._done.acquire()

    # -- the caller's side

    def wait(self, seconds: float) -> bool:
        """Wait for the end, `FOR_EVER` or some seconds; false if it did not come in time."""
        return self._done.acquire(True, seconds)  # noqa: FBT003 - as it is documented

    def abandon(self, ended: Callable[[Job], None]) -> bool:
        """Leave it behind, to call `ended` with it when it ends; false if it has ended."""
        self._ended = ended
        try:
            self._claim.pop()  # succeeds for one of the two, whichever thread's it is
        except IndexError:
            return False
        return True

    def result(self) -> Any:
        """Return what it returned or raise what it raised, once it has ended."""
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            self._error = None  # its traceback leads to this frame, and so back to this job

    # -- the worker's side

    def run(self, ready: Callable[[], None]) -> None:
        """
        Call the function in the caller's context, and tell the caller.

        If that has left, whoever it named is told.

        Args:
            ready: Is called in between, so that the caller's next call finds this worker idle.
        """
        work_for(self._strand)
        try:
            result = self._context.run(self._fn, *self._args, **self._kwargs)
            if type(result) in PLAIN or not inspect.isawaitable(result):
                self._result = result
            else:
                self._error = not_awaited(self._fn, result)
        except BaseException as error:  # noqa: BLE001 - all of it is the caller's
            self._error = error
        work_for(None)
        ready()
        try:
            self._claim.pop()
        except IndexError:
            self._error = None
            self._ended(self)
        else:
            self._done.release()


class Workers:
    """The threads of one command."""

    __slots__ = ("_count", "_forks", "_idle", "_name")

    def __init__(self, name: str | None) -> None:
        self._name = f"resilience-{name or 'unnamed'}"
        self._count = itertools.count(1)
        self._forks = _fork.count
        self._idle: list[_Worker] = []

    def start(self, job: Job) -> None:
        """Give a job to an idle worker, or to a new one."""
        if self._forks != _fork.count:  # threads do not come along into a child process
            self._idle = []
            self._forks = _fork.count
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(f"{self._name}-{next(self._count)}", self._idle, job)
            try:
                worker.start()
            except RuntimeError as error:
                job.unstarted = True
                raise ThreadStartError(*error.args) from error
        else:
            worker.job = job
            worker.gate.release()


class _Worker(Thread):
    """A thread that runs one job after the other: whoever takes it from the idle gives it one."""

    def __init__(self, name: str, idle: list[_Worker], job: Job) -> None:
        super().__init__(name=name, daemon=True)
        self.job: Job | None = job
        self.gate = allocate_lock()
        self.gate.acquire()
        self._idle = idle

    def run(self) -> None:
        while self.job is not None:
            job, self.job = self.job, None
            job.run(self._ready)
            del job
            if not self.gate.acquire(timeout=IDLE):
                try:
                    self._idle.remove(self)
                except ValueError:  # taken at this very moment: the job is on its way
                    self.gate.acquire()

    def _ready(self) -> None:
        self._idle.append(self)
