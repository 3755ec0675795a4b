"""isolated_registry: a registry of the test's own, in the place of the default one."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import resilience
from resilience import _default
from resilience._registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["isolated_registry"]


@contextmanager
def isolated_registry(
    clock: Callable[[], int] = time.monotonic_ns, *, max_size: int | None = None
) -> Generator[Registry]:
    """
    Give a new registry, in the place of `default_registry` as long as the block lasts.

    Commands, breakers and bulkheads that are made in the block without naming a registry belong to
    it, and `configure` speaks to it. What was made before stays where it was: make what you test in
    the block, by a function that a test can call. Jitter is 0 in it. Threads share the place, so
    run such tests one at a time in a process.

    Args:
        clock: Gives integer nanoseconds; a `FakeClock` in most tests.
        max_size: How many names are kept; `None`: all.

    Raises:
        ConfigurationError: The clock gives something else, or `max_size` is no integer from 1 on.

    Example:
        >>> from resilience import command
        >>> from resilience.testing import FakeClock, isolated_registry
        >>> with isolated_registry(FakeClock()) as registry:
        ...     get_user = command("accounts of a test")(lambda user_id: user_id)
        ...     "accounts of a test" in registry
        True
    """
    registry = Registry(clock=clock, random=lambda: 0.0, max_size=max_size)
    before = _default.default_registry
    _default.default_registry = resilience.default_registry = registry
    try:
        yield registry
    finally:
        _default.default_registry = resilience.default_registry = before


isolated_registry.__module__ = "resilience.testing"
