"""Bulkhead: the slots alone. One limit for threads, asyncio and trio at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final, overload

from resilience._calls import coroutine_in, function_in
from resilience._default import declared
from resilience._guard import Guard
from resilience._plan import Plan, make_plan
from resilience._shell import Shell
from resilience._verdict import verdicts_of
from resilience._wrap import wrap
from resilience.settings import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._entry import Entry
    from resilience._registry import Registry
    from resilience._snapshot import Snapshot
    from resilience._typing import Guarded, Method
    from resilience._units import Duration

__all__ = ["Bulkhead"]

P = ParamSpec("P")
R = TypeVar("R")


def _plans(guard: Guard) -> tuple[Plan, Plan]:
    entry = guard.entry
    plan = make_plan(
        entry.settings,
        timeout=None,
        enforced=False,
        nested=entry.own_pool.slots.max_waiting > 0,
        waits=False,
        histogram=False,
    )
    return plan, plan


@final
class Bulkhead(Shell):
    """
    A bulkhead: so many calls at once, a few more that wait, and the rest refused.

    Use it as a decorator, as `with bulkhead:` or `async with bulkhead:`, or by
    `bulkhead.acquire()`. Waiters are served in the order they came. On a thread that runs an event
    loop the sync forms never wait.

    Args:
        max_concurrency: Calls running at once; 0 refuses all, `None` counts without a limit.
        name: Its name; `None` makes it private.
        max_waiting: Callers that may wait for a slot.
        max_wait: The longest wait, in seconds; `None`: until the caller's deadline.
        registry: Where its name belongs; `None`: `default_registry`.

    Raises:
        ConfigurationError: A setting is wrong, or contradicts another one of that name.

    Example:
        >>> from resilience import Bulkhead
        >>> bulkhead = Bulkhead(2)
        >>> with bulkhead:
        ...     bulkhead.in_flight
        1
    """

    __module__ = "resilience"
    __slots__ = ()

    def __init__(
        self,
        max_concurrency: int | None,
        *,
        name: str | None = None,
        max_waiting: int = 0,
        max_wait: Duration | None = None,
        registry: Registry | None = None,
    ) -> None:
        fields = {
            "max_concurrency": max_concurrency,
            "max_waiting": max_waiting,
            "max_wait": max_wait,
        }
        entry = declared(name, None, fields, registry)
        super().__init__(
            Guard(
                entry,
                verdicts_of(Exception, (), None),
                _plans,
                circuit=False,
                pool=entry.own_pool,
            )
        )

    @overload
    def __call__(self, fn: Method, /) -> Method: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Guarded[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Guard a function of any kind. Raises `TypeError` for what cannot be guarded."""
        return wrap(self, fn)

    @property
    def entry(self) -> Entry:
        """Its entry, for commands that share it."""
        return self._guard.entry

    @property
    def in_flight(self) -> int:
        """How many slots are held, by abandoned threads too."""
        self._guard.entry.reclaim()
        return self._guard.entry.own_pool.slots.in_flight

    @property
    def waiting(self) -> int:
        """
        How many callers wait for a slot.

        Example:
            >>> from resilience import Bulkhead
            >>> Bulkhead(2, max_waiting=10).waiting
            0
        """
        return len(self._guard.entry.own_pool.slots.waiters)

    @property
    def max_concurrency(self) -> int | None:
        """
        How many calls may run at once; `None`: any number.

        Example:
            >>> from resilience import Bulkhead
            >>> Bulkhead(2).max_concurrency
            2
        """
        return self._guard.entry.own_pool.slots.capacity

    def resize(self, max_concurrency: int | None) -> None:
        """
        Change the limit: growth wakes waiters, a smaller one lets what runs go on.

        Args:
            max_concurrency: Calls running at once, from 0 on; `None`: any number.

        Raises:
            ConfigurationError: It is no such number; nothing was changed.

        Example:
            >>> from resilience import Bulkhead
            >>> bulkhead = Bulkhead(2)
            >>> bulkhead.resize(5)
            >>> bulkhead.max_concurrency
            5
        """
        self._guard.entry.configure(read({"max_concurrency": max_concurrency}))

    def snapshot(self) -> Snapshot:
        """
        Return everything about it at this instant.

        Example:
            >>> from resilience import Bulkhead
            >>> bulkhead = Bulkhead(2)
            >>> with bulkhead:
            ...     bulkhead.snapshot().in_flight
            1
        """
        return self._guard.entry.snapshot()

    def guard_function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a function."""
        return function_in(self._guard, fn, None)

    def guard_coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a coroutine function."""
        return coroutine_in(self._guard, fn, None)
