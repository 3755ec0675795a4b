"""
Tasks: which asyncio or trio task runs here, and what else runs on behalf of it.

Neither library is imported: one that runs a task here is in `sys.modules`. It is looked for until
it is found, and its own functions are called from then on.
"""

from __future__ import annotations

import sys
from threading import get_ident, local
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["current_task", "in_event_loop", "is_cancellation", "strand", "work_for"]


def current_task() -> Any:
    """Return the asyncio or trio task that runs now, if one does."""
    loop = _running_loop()
    if loop is not None:
        task = _asyncio_task(loop)
        if task is not None:
            return task
    announced = _announced or _find_sniffio()
    if announced is not None and announced.name == "trio":
        try:
            return _trio_task()
        except RuntimeError:  # trio runs here, but no task of its
            return None
    return None


def in_event_loop() -> bool:
    """Whether this thread runs an event loop, so that blocking it would block everything on it."""
    return _running_loop() is not None or current_task() is not None


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception is how asyncio or trio cancels a task."""
    for library, name in (("asyncio", "CancelledError"), ("trio", "Cancelled")):
        kind = getattr(sys.modules.get(library), name, None)
        if kind is not None and isinstance(error, kind):
            return True
    return False


# -- what runs on behalf of others


class _Here(local):
    strand: object = None


_here = _Here()


def strand() -> object:
    """Return what runs here: a task, or the number of a thread, or what that works for."""
    return current_task() or _here.strand or get_ident()


def work_for(strand: object) -> None:
    """Let what runs in this thread be the same strand as its caller, who waits for it."""
    _here.strand = strand


# -- until they are found

_modules = sys.modules


def _find_asyncio(_: object = None) -> Any:
    if "asyncio" not in _modules:
        return None
    asyncio: Any = _modules["asyncio"]
    running = getattr(asyncio, "_get_running_loop", None)
    if running is None or getattr(asyncio, "current_task", None) is None:  # it is being imported
        return None
    globals().update(_running_loop=running, _asyncio_task=asyncio.current_task)
    return running()


def _find_sniffio() -> Any:
    """
    Find where trio writes its name while it runs in this thread.

    To ask trio itself costs ten times as much where it does not.
    """
    if "sniffio" not in _modules:
        return None
    announced = getattr(_modules["sniffio"], "thread_local", None)
    globals().update(_announced=announced)
    return announced


def _find_trio() -> Any:
    globals().update(_trio_task=sys.modules["trio"].lowlevel.current_task)
    return _trio_task()


_running_loop: Callable[[], Any] = _find_asyncio
_asyncio_task: Callable[[Any], Any] = _find_asyncio
_announced: Any = None
_trio_task: Callable[[], Any] = _find_trio
