"""What is held: slots, trials, waiters and worker threads that a test has left behind."""

from __future__ import annotations

import gc
import time
from threading import Event
from typing import TYPE_CHECKING, Final

from resilience._default import registry_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilience._registry import Registry
    from resilience._snapshot import Snapshot

__all__ = ["Held", "assert_nothing_held", "held", "look", "told"]

PATIENCE: Final = 1.0
"""Seconds, real ones, that a worker thread is given to end."""

Held = dict[tuple[str, str], int]
"""How many are held, by name and kind."""

KINDS: Final = ("slot", "trial", "waiter", "worker thread")


def assert_nothing_held(registry: Registry | None = None) -> None:
    """
    Assert that nothing of a registry is held: no slot, no trial, no waiter, no worker thread.

    A permit that was dropped unsettled is given back by itself, and is no leak. A worker thread
    that nobody waits for any more is given a second to end.

    Args:
        registry: Whose names are looked at; `None`: `default_registry`. Guards without a name
            belong to none.

    Raises:
        AssertionError: Something is held; names each.
        ConfigurationError: `registry` is no `Registry`.

    Example:
        >>> from resilience import Registry
        >>> from resilience.testing import assert_nothing_held
        >>> registry = Registry()
        >>> permit = registry.command("orders").acquire()
        >>> assert_nothing_held(registry)
        Traceback (most recent call last):
            ...
        AssertionError: still held: 1 slot of 'orders'
        >>> permit.succeed()
        >>> assert_nothing_held(registry)
    """
    found = held(registry_of(registry))
    if found:
        raise AssertionError(told(found))


assert_nothing_held.__module__ = "resilience.testing"


def held(registry: Registry, known: Held | None = None) -> Held:
    """Return what is held beyond what is known, once what was merely dropped is given back."""
    found = look(registry, known)
    if found:
        gc.collect()
        found = look(registry, known)
    latest = time.monotonic() + PATIENCE
    while any(kind == "worker thread" for _, kind in found) and time.monotonic() < latest:
        Event().wait(0.01)
        found = look(registry, known)
    return found


def look(registry: Registry, known: Held | None = None) -> Held:
    """Return what is held now, beyond what is known."""
    known = known or {}
    return {
        (name, kind): count - known.get((name, kind), 0)
        for name, snapshot in registry.snapshot().items()
        for kind, count in zip(KINDS, _counts(snapshot), strict=True)
        if count > known.get((name, kind), 0)
    }


def told(found: Held) -> str:
    """Say what is held."""
    parts = [
        f"{count} {kind}{'s' if count > 1 else ''} of {name!r}"
        for (name, kind), count in found.items()
    ]
    return f"still held: {', '.join(parts)}"


def _counts(snapshot: Snapshot) -> Iterable[int]:
    return snapshot.in_flight, snapshot.trials_running, snapshot.waiting, snapshot.abandoned
