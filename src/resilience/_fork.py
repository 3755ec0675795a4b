"""
Forks: a child process gets locks nobody holds and claims nobody has.

Fast closures hold on to the lock of their entry, so the child cannot be given another one: all
locks are taken before the fork, in one order, and released on both sides.
"""

from __future__ import annotations

import os
import weakref
from threading import RLock
from typing import Protocol

__all__ = ["count", "remember"]

count: int = 0
"""How many forks lie between the first process and this one."""


class Survivor(Protocol):
    """What has a lock to be taken over a fork and begins anew in the child."""

    @property
    def lock(self) -> RLock: ...

    def forked(self) -> None: ...


_survivors: set[weakref.ref[Survivor]] = set()
_forget = _survivors.discard
_lock = RLock()  # a signal handler may make a guard while one is being made
_held: list[Survivor] = []


def remember(survivor: Survivor) -> None:
    """Look after an object in every fork to come, as long as it lives."""
    with _lock:
        _survivors.add(weakref.ref(survivor, _forget))


def _before() -> None:
    _lock.acquire()
    # Everyone else holds at most one of these at a time, so any order will do.
    for ref in _survivors.copy():
        survivor = ref()
        if survivor is not None:
            survivor.lock.acquire()
            _held.append(survivor)


def _in_parent() -> None:
    while _held:
        _held.pop().lock.release()
    _lock.release()


def _in_child() -> None:
    global count  # noqa: PLW0603 - a fact about the process
    count += 1
    raised = None
    for survivor in _held:
        try:
            survivor.forked()
        except Exception as error:  # noqa: BLE001 - a user's clock; the others begin anew
            raised = error
    _in_parent()
    if raised is not None:
        raise raised


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
