"""
Several processes: snapshots written into the files of prometheus_client's multiprocess mode.

There, whoever is scraped adds up the files of all processes, and collectors have no part in it. So
each worker writes what its collector would have shown, once an interval, from a thread of its own:
the same names, and sums over the workers.

- A counter only ever grows: what was counted under a name that has been removed, or by a process
  that has died, stays counted. Series do not leave either, so there are `max_names` names, and the
  rest is added up under the name `other`.
- A gauge has its merge mode in the catalogue. States are the number of live workers in them.
- A process that is killed loses what it counted since it last wrote: an interval at most. One that
  ends by itself writes once more.
- A fork takes the writer along: the child's begins anew, in files of its own. The process that
  forked is taken for a master that only looks after its children, and is left out of the gauges
  that are added up until it makes a call.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from threading import Event, RLock, Thread, current_thread
from typing import TYPE_CHECKING, Final, final

from prometheus_client import values

from resilience import Registry, _log, default_registry
from resilience._units import YEAR, is_integer, number, show
from resilience.errors import ConfigurationError
from resilience.prometheus.collector import checked
from resilience.prometheus.files import forget_the_dead, prepare
from resilience.prometheus.ledger import Ledger

if TYPE_CHECKING:
    from resilience._units import Duration

__all__ = ["MultiprocessWriter", "start_multiprocess_writer"]

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


@final
class MultiprocessWriter:
    """
    What `start_multiprocess_writer` has started; it makes them.

    Example:
        >>> from resilience import Registry
        >>> from resilience.prometheus import MultiprocessWriter
        >>> writer = MultiprocessWriter(Registry())
        >>> def end_of_lifespan():
        ...     writer.flush()
        >>> writer.running
        False
        >>> writer.stop()
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ledger = Ledger()
        self._lock = RLock()
        self._writing = False
        self._interval = 1.0
        self._thread: Thread | None = None
        self._over = Event()

    def flush(self) -> None:
        """
        Write now what has changed since the last time.

        Raises:
            OSError: The files cannot be written.
        """
        with self._lock:
            # By this very thread: a signal handler, in the middle of it; or a finalizer at the end.
            if self._writing or sys.is_finalizing():
                return
            self._writing = True
            try:
                folder = Path(os.environ[FOLDER])
                prepare(folder)
                self._ledger.enter(self._registry.snapshot())
                forget_the_dead(folder)
            finally:
                self._writing = False

    def stop(self) -> None:
        """
        End the thread, and write once more.

        The numbers stay, and `start_multiprocess_writer` goes on from them.
        """
        with _lock:
            if self._halt():
                self._try_to_flush()

    @property
    def running(self) -> bool:
        """Whether it writes by itself."""
        return self._thread is not None

    def start(self, interval: float, max_names: int) -> None:
        """Write by itself from now on, which it may do already."""
        self._interval = interval
        self._ledger.max_names = max_names
        if self._thread is None:
            self._try_to_flush()
            self._launch()

    def _launch(self) -> None:
        self._over = Event()
        self._thread = Thread(
            target=self._keep_flushing, args=(self._over,), name="resilience-writer", daemon=True
        )
        self._thread.start()

    def _keep_flushing(self, over: Event) -> None:
        while True:
            self._try_to_flush()  # at once: in a child nobody else has
            if over.wait(self._interval):
                return

    def _try_to_flush(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - a full disk is no reason to stop counting
            _log.warn("multiprocess", "metrics could not be written", error=error)

    def _halt(self) -> bool:
        """End the thread; false if there was none."""
        thread, self._thread = self._thread, None
        self._over.set()
        if thread is not None and thread is not current_thread():
            thread.join()
        return thread is not None

    # -- forks

    def before_fork(self) -> bool:
        """Let nothing of it be under way; true if it is to go on afterwards."""
        # A thread that runs on could hold the lock of prometheus_client, for ever in the child.
        was_running = self._halt()
        self._lock.acquire()
        if was_running:
            self._try_to_flush()
        return was_running

    def after_fork(self, *, running: bool, child: bool) -> None:
        """Go on, or begin anew in a child."""
        self._ledger.forked(child=child)
        self._lock.release()
        if running:
            self._launch()


def start_multiprocess_writer(
    interval: Duration = 1.0, *, registry: Registry = default_registry, max_names: int = 1000
) -> MultiprocessWriter:
    """
    Write all names of a registry to prometheus_client's files from now on, again and again.

    To call it twice in a process is harmless: it goes on with the last arguments. It may be called
    in a worker, or in the process that forks the workers.

    Args:
        interval: Seconds from one time to the next, above 0 and at most a year.
        registry: Whose names are written; those of one registry in a process.
        max_names: How many names have series of their own, from 1 on; the rest share the name
            `other`.

    Returns:
        What can be stopped, or made to write now.

    Raises:
        ConfigurationError: An argument is wrong, another registry is written already, or
            `PROMETHEUS_MULTIPROC_DIR` did not name a folder when prometheus_client was imported.

    Example:
        >>> from resilience import ConfigurationError
        >>> from resilience.prometheus import start_multiprocess_writer
        >>> try:
        ...     writer = start_multiprocess_writer(interval=-1)
        ... except ConfigurationError as wrong:
        ...     print(wrong.faults[0])
        interval must be in (0, 31,536,000] seconds, not -1
    """
    faults: list[str] = []
    length = number(interval)
    if length is None or not 0 < length <= YEAR:
        faults.append(f"interval must be in (0, {YEAR:,}] seconds, not {show(interval)}")
    if not is_integer(max_names) or max_names < 1:
        faults.append(f"max_names must be an integer from 1 on, not {show(max_names)}")
    if not Path(os.environ.get(FOLDER, "/dev/null")).is_dir():
        faults.append(f"{FOLDER} must name a folder, not {show(os.environ.get(FOLDER))}")
    elif not getattr(values.ValueClass, "_multiprocess", False):
        faults.append(f"{FOLDER} must be set before prometheus_client is imported")
    if faults:
        raise ConfigurationError(*faults)
    with _lock:
        writer = _writers.get(checked(registry))
        if any(each.running for each in _writers.values() if each is not writer):
            raise ConfigurationError("registry must be the one that is written already")
        if writer is None:
            writer = _writers[registry] = MultiprocessWriter(registry)
        writer.start(length or 1.0, max_names)
        return writer


_lock: Final = RLock()
_writers: Final[dict[Registry, MultiprocessWriter]] = {}
_forking: Final[list[tuple[MultiprocessWriter, bool]]] = []


def _before() -> None:
    _lock.acquire()
    _forking.extend((writer, writer.before_fork()) for writer in _writers.values())


def _after(*, child: bool) -> None:
    while _forking:
        writer, running = _forking.pop()
        writer.after_fork(running=running, child=child)
    _lock.release()


def _in_parent() -> None:
    _after(child=False)


def _in_child() -> None:
    _after(child=True)


def _at_exit() -> None:
    for writer in _writers.values():
        writer.stop()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    # After the library's own: before a fork it comes first, and its threads find no lock taken.
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
