"""
CircuitBreaker: the circuit alone. It never waits, so it has no colour.

Its closed path carries no token: an admission is the journal it was made by. Whatever is not an
ordinary call of a closed circuit (a trial, a refusal, a caller with a deadline, a judged duration)
goes the general way of `_calls.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, final, overload

from resilience._admission import FULL
from resilience._awaitable import PLAIN, is_awaitable
from resilience._calls import coroutine_in, function_in
from resilience._chain import current
from resilience._circuit_shell import CircuitShell
from resilience._default import declared
from resilience._guard import Guard
from resilience._plan import Plan, make_plan
from resilience._verdict import Failures, verdicts_of
from resilience._wrap import wrap
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.journal import Journal
    from resilience._registry import Registry
    from resilience._typing import Guarded, Method
    from resilience.settings import Fields, Settings

__all__ = ["CircuitBreaker"]

P = ParamSpec("P")
R = TypeVar("R")

_OTHERS = {"max_concurrency", "max_waiting", "max_wait", "fallback_max_concurrency"}


def _plans(guard: Guard) -> tuple[Plan, Plan]:
    settings = guard.entry.settings
    plan = make_plan(
        settings,
        timeout=settings.timeout,
        enforced=False,
        nested=False,
        histogram=False,
        judges_results=guard.verdicts.is_failure is not None,
    )
    return plan, plan


@final
class CircuitBreaker(CircuitShell):
    """
    A circuit breaker: refuses calls to what keeps failing, and tries it again after a while.

    Use it as a decorator, as `with breaker:` or `async with breaker:`, or by `breaker.acquire()`.
    Sync code, asyncio and trio share one object. A named one shares its circuit with everything of
    that name in its registry.

    Args:
        name: Its name; `None` makes it private.
        settings: How it behaves.
        handle: Which exceptions are failures: a class, a tuple of them, or a predicate.
        ignore: Which exceptions say nothing about the dependency; wins over `handle`.
        is_failure: A predicate that finds failures among results.
        registry: Where its name belongs; `None`: `default_registry`.
        **fields: Fields of `Settings` by keyword; they win over `settings`. A breaker enforces no
            `timeout`: it only tells how long a trial may take, and what is a fair share.

    Raises:
        ConfigurationError: A setting is wrong, or contradicts another one of that name.

    Example:
        >>> from resilience import CircuitBreaker
        >>> @CircuitBreaker(error_percent=25, sleep_window=10)
        ... def fetch(n):
        ...     return n + 1
        >>> fetch(1)
        2
    """

    __module__ = "resilience"
    __slots__ = ()

    def __init__(
        self,
        name: str | None = None,
        settings: Settings | None = None,
        *,
        handle: Failures = Exception,
        ignore: Failures = (),
        is_failure: Callable[[Any], bool] | None = None,
        registry: Registry | None = None,
        **fields: Unpack[Fields],
    ) -> None:
        faults = [f"{field} does nothing for a breaker alone" for field in _OTHERS & fields.keys()]
        if faults:
            raise ConfigurationError(*sorted(faults))
        verdicts = verdicts_of(handle, ignore, is_failure)
        entry = declared(name, settings, fields, registry)
        super().__init__(Guard(entry, verdicts, _plans, circuit=True, pool=None))

    @overload
    def __call__(self, fn: Method, /) -> Method: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Guarded[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Guard a function of any kind. Raises `TypeError` for what cannot be guarded."""
        return wrap(self, fn)

    def guard_function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a function."""
        guard = self._guard
        general = function_in(guard, fn, None)
        entry = guard.entry
        circuit, clock, deadline = entry.circuit, entry.clock, current.get

        def call(*args: Any, **kwargs: Any) -> Any:
            journal = circuit.passing
            if journal is None:
                refusal = guard.refuse()
                if refusal is not None:
                    try:
                        raise refusal
                    finally:
                        del refusal  # its traceback leads to this frame
                return general(*args, **kwargs)
            if not guard.plan.bare or deadline() is not None:
                return general(*args, **kwargs)
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                guard.fail(guard.stand_in(journal), error)
                raise
            if type(result) not in PLAIN and is_awaitable(result):
                return _await(guard, journal, result)
            now = clock()
            if now < journal.until:
                journal.append(-1)
                if circuit.passing is not journal or now >= journal.until:
                    entry.read(journal, now)
                elif len(journal) >= FULL:
                    entry.unload(journal, now)
            else:
                entry.succeed(journal, -1, now)
            return result

        return call

    def guard_coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a coroutine function."""
        guard = self._guard
        general = coroutine_in(guard, fn, None)
        entry = guard.entry
        circuit, clock, deadline = entry.circuit, entry.clock, current.get

        async def call(*args: Any, **kwargs: Any) -> Any:
            journal = circuit.passing
            if journal is None:
                refusal = guard.refuse()
                if refusal is not None:
                    try:
                        raise refusal
                    finally:
                        del refusal  # its traceback leads to this frame
                return await general(*args, **kwargs)
            if not guard.plan.bare or deadline() is not None:
                return await general(*args, **kwargs)
            try:
                result = await fn(*args, **kwargs)
            except BaseException as error:
                guard.fail(guard.stand_in(journal), error)
                raise
            now = clock()
            if now < journal.until:
                journal.append(-1)
                if circuit.passing is not journal or now >= journal.until:
                    entry.read(journal, now)
                elif len(journal) >= FULL:
                    entry.unload(journal, now)
            else:
                entry.succeed(journal, -1, now)
            return result

        return call


async def _await(guard: Guard, journal: Journal, awaitable: Any) -> Any:
    """Await what a function returned that was called on the closed path."""
    try:
        result = await awaitable
    except BaseException as error:
        guard.fail(guard.stand_in(journal), error)
        raise
    guard.finish(guard.stand_in(journal), result)
    return result
