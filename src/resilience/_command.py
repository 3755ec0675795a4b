"""Command: circuit, bulkhead, deadline and fallback of one name, fused into one call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, final, overload

from resilience._blocks import aenter_block, enter_block
from resilience._calls import coroutine_in, function_in
from resilience._circuit_shell import CircuitShell
from resilience._entry import Entry
from resilience._fallback import Fallbacks, handlers_of, is_async, refuse_async
from resilience._names import check_name
from resilience._plan import Plan, make_plan
from resilience._quick import QuickGuard
from resilience._units import show
from resilience._verdict import Failures, verdicts_of
from resilience._wrap import code_of, source_of, wrap
from resilience.errors import ConfigurationError
from resilience.settings import Settings, fields_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from resilience._bulkhead import Bulkhead
    from resilience._guard import Guard
    from resilience._permit import Permit
    from resilience._registry import Registry
    from resilience._typing import GuardedByCommand, Method
    from resilience._worker import Workers
    from resilience.settings import Fields

__all__ = ["Command", "Isolation"]

P = ParamSpec("P")
R = TypeVar("R")

Isolation = Literal["thread", "semaphore"]


@final
class Command(CircuitShell):
    """
    What `command(…)` makes: a Hystrix-style command around calls to one dependency.

    Commands of one name in one registry share circuit, bulkhead, metrics and settings; `timeout`,
    fallback, classification and isolation are this one's own.

    Example:
        >>> from resilience import command
        >>> quotes = command("quotes", max_concurrency=5)
        >>> with quotes:
        ...     quotes.snapshot().in_flight
        1
    """

    __module__ = "resilience"
    __slots__ = (
        "_bounds",
        "_fallbacks_given",
        "_isolation",
        "_on_thread",
        "_registry",
        "_source",
        "_workers",
    )

    def __init__(
        self,
        name: str,
        settings: Settings | None = None,
        /,
        *,
        fallback: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
        handle: Failures = Exception,
        ignore: Failures = (),
        is_failure: Callable[[Any], bool] | None = None,
        isolation: Isolation | None = None,
        bulkhead: Bulkhead | None = None,
        registry: Registry,
        **fields: Unpack[Fields],
    ) -> None:
        check_name(name)
        given = fields_of(settings, fields)
        Settings(**given)  # the checks across fields
        if bulkhead is not None and fields.keys() & {"max_concurrency", "max_waiting"}:
            raise ConfigurationError(
                "max_concurrency and max_waiting are those of the bulkhead that was given"
            )
        verdicts = verdicts_of(handle, ignore, is_failure)
        handlers = handlers_of(fallback)
        _check(isolation, bulkhead)
        self._registry = registry
        entry = registry.entry(name)
        self._isolation = isolation
        # Hystrix's default where it was asked for: a timeout in the decorator itself is enforced.
        self._on_thread = isolation == "thread" or (
            isolation is None and fields.get("timeout") is not None
        )
        self._fallbacks_given = Fallbacks(entry, handlers) if handlers else None
        self._workers: Workers | None = None
        self._bounds = entry if bulkhead is None else bulkhead.entry
        self._source: str | None = None
        if bulkhead is not None:
            entry.pool = bulkhead.entry.own_pool
        pool = entry.pool
        guard = QuickGuard(entry, verdicts, _plans, circuit=True, pool=pool, given=given)
        super().__init__(guard)
        if bulkhead is not None:
            bulkhead.entry.follow(guard)

    # -- guarding

    @overload
    def __call__(self, fn: Method, /) -> Method: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> GuardedByCommand[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """
        Guard a function of any kind; it keeps its name, signature and colour.

        Raises:
            TypeError: It cannot be guarded, or a sync function has an async fallback.
            ConfigurationError: Its settings contradict another command of that name.
        """
        guarded = wrap(self, fn, command=self)
        self._source = source_of(fn)
        self._guard.entry.declare(self._guard.given, self._source)
        return guarded

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """
        Call a sync function as this command.

        Args:
            fn: What is called.
            *args: Its arguments.
            **kwargs: Its arguments by keyword.

        Raises:
            TypeError: It is a coroutine function: use `acall`.
            RejectedError: The call is refused, and there is no fallback.
            DeadlineExceededError: Time ran out, and there is no fallback.

        Example:
            >>> from resilience import command
            >>> command("lengths").call(len, "abc")
            3
        """
        if is_async(fn) or inspect.isgeneratorfunction(code_of(fn)):
            raise TypeError(
                f"{show(fn)} is no plain function: await acall(…) instead of call(…), "
                f"or decorate it if it is a generator"
            )
        self._declare()
        result: R = self.guard_function(fn)(*args, **kwargs)
        return result

    async def acall(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """
        Call and await a coroutine function, or what returns an awaitable, as this command.

        Args:
            fn: What is called.
            *args: Its arguments.
            **kwargs: Its arguments by keyword.

        Raises:
            TypeError: It is a generator function: decorate it instead.
            RejectedError: The call is refused, and there is no fallback.
            DeadlineExceededError: Time ran out, and there is no fallback.

        Example:
            >>> import asyncio
            >>> from resilience import command
            >>> async def double(number):
            ...     return 2 * number
            >>> asyncio.run(command("doubles").acall(double, 21))
            42
        """
        code = code_of(fn)
        if inspect.isasyncgenfunction(code) or inspect.isgeneratorfunction(code):
            raise TypeError(f"{show(fn)} is a generator: decorate it instead of calling it")
        self._declare()

        async def called(*args: P.args, **kwargs: P.kwargs) -> R:
            result: Any = fn(*args, **kwargs)
            answer: R = await result if inspect.isawaitable(result) else result
            return answer

        result: R = await self.guard_coroutine(called)(*args, **kwargs)
        return result

    def _declare(self) -> None:
        """Say at the first use what decoration would have said."""
        if self._source is None:
            self._guard.entry.declare(self._guard.given, "")
            self._source = ""

    def guard_function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a function, in its caller's thread or on one of its own."""
        fallbacks = self._fallbacks
        refuse_async(fn, () if fallbacks is None else fallbacks.handlers)
        if not self._on_thread:
            return function_in(self._guard, fn, fallbacks)
        limit = self._limit()
        if limit is None:
            raise ConfigurationError(
                "max_concurrency must be an integer with thread isolation, not None: "
                "nothing else bounds the threads"
            )
        self._bounds.bound_threads()
        from resilience._thread_calls import function_on_thread  # noqa: PLC0415 - import quickly
        from resilience._worker import Workers as Made  # noqa: PLC0415

        if self._workers is None:
            self._workers = Made(self.name)
        return function_on_thread(self._guard, fn, fallbacks, self._workers)

    def _limit(self) -> int | None:
        """Return how many threads there may be at most, once what was given here is declared."""
        entry = self._guard.entry
        if entry.pool is not entry.own_pool:
            return entry.pool.slots.capacity
        for source in (entry.configured, self._guard.given):
            if "max_concurrency" in source:
                limit: int | None = source["max_concurrency"]
                return limit
        return entry.settings.max_concurrency

    def guard_coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a coroutine function."""
        return coroutine_in(self._guard, fn, self._fallbacks)

    def guard_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a generator function, in its consumer's thread."""
        if self._isolation == "thread":
            raise TypeError(
                f"{show(fn)} is a generator function: it stays in its consumer's thread"
            )
        fallbacks = self._fallbacks
        refuse_async(fn, () if fallbacks is None else fallbacks.handlers)
        return super().guard_generator(fn)

    @property
    def _fallbacks(self) -> Fallbacks | None:
        return self._fallbacks_given

    # -- blocks and permits

    def __enter__(self) -> Command:
        self._declare()
        enter_block(self._guard)
        return self

    async def __aenter__(self) -> Command:
        self._declare()
        await aenter_block(self._guard)
        return self

    def acquire(self) -> Permit:
        """
        Be admitted, and settle yourself: for calls that end somewhere else than they begin.

        The permit holds a slot until it is settled, and has no deadline.

        Raises:
            RejectedError: The call is refused.
            DeadlineExceededError: The caller's time has run out.

        Example:
            >>> from resilience import command
            >>> downloads = command("downloads")
            >>> with downloads.acquire():
            ...     downloads.snapshot().in_flight
            1
        """
        self._declare()
        return super().acquire()

    async def aacquire(self) -> Permit:
        """
        Be admitted, waiting for a slot in a task if need be.

        Raises:
            RejectedError: The call is refused.
            DeadlineExceededError: The caller's time has run out.

        Example:
            >>> import asyncio
            >>> from resilience import command
            >>> uploads = command("uploads", max_waiting=10)
            >>> async def main():
            ...     with await uploads.aacquire():
            ...         return uploads.snapshot().in_flight
            >>> asyncio.run(main())
            1
        """
        self._declare()
        return await super().aacquire()

    @property
    def steps(self) -> Guard:
        """The steps of a call through it, for integrations that take them one by one."""
        if self._source is None:
            self._declare()
        return self._guard

    # -- what it is and does

    @property
    def settings(self) -> Settings:
        """
        The settings in force, with this command's own timeout.

        Example:
            >>> from resilience import command
            >>> command("searches", timeout=0.3).settings.timeout
            0.3
        """
        settings = self._guard.entry.settings
        timeout = _own_timeout(self._guard.entry, self._guard.given)
        mine: dict[str, Any] = {**self._guard.given, **settings.chosen(), "timeout": timeout}
        return settings.replace(**mine)

    @property
    def idle(self) -> bool:
        """Whether its circuit is closed, not overridden, and nothing runs or waits."""
        return self._guard.entry.idle

    def __repr__(self) -> str:
        return f"<Command {self.name!r}, {self.state.value}>"

    def configure(self, **changes: Unpack[Fields]) -> None:
        """
        Change settings of its name, over whatever the code says: see `resilience.configure`.

        Args:
            **changes: Fields of `Settings`.

        Raises:
            ConfigurationError: A field is wrong; nothing was changed.

        Example:
            >>> from resilience import command
            >>> payments = command("payments", timeout=1.0)
            >>> payments.configure(timeout=0.5)
            >>> payments.settings.timeout
            0.5
        """
        entry = self._guard.entry
        if self._registry.holds(entry) and entry.name is not None:
            self._registry.configure(entry.name, **changes)
        else:  # the name was removed, and may be somebody else's by now
            entry.configure(fields_of(None, changes))


def _plans(guard: Guard) -> tuple[Plan, Plan]:
    """Return the plan of what can be cut off, and that of what stays in its caller's thread."""
    entry, given, pool = guard.entry, guard.given, guard.pool
    parts: dict[str, Any] = {
        "timeout": _own_timeout(entry, given),
        "nested": pool is not None and pool.slots.max_waiting > 0,
        "judges_results": guard.verdicts.is_failure is not None,
    }
    # The latter has a deadline only where somebody gave one.
    enforced = "timeout" in given or "timeout" in entry.configured
    return (
        make_plan(entry.settings, enforced=True, **parts),
        make_plan(entry.settings, enforced=enforced, **parts),
    )


def _own_timeout(entry: Entry, given: Mapping[str, Any]) -> float | None:
    """Return a command's timeout: what was configured, else what it was given, or the default."""
    for source in (entry.configured, given):
        if "timeout" in source:
            timeout: float | None = source["timeout"]
            return timeout
    return Settings().timeout


def _check(isolation: object, bulkhead: object) -> None:
    faults: list[str] = []
    if isolation not in (None, "thread", "semaphore"):
        faults.append(f"isolation must be 'thread', 'semaphore' or None, not {show(isolation)}")
    if bulkhead is not None and not isinstance(getattr(bulkhead, "entry", None), Entry):
        faults.append(f"bulkhead must be a Bulkhead or None, not {show(bulkhead)}")
    if faults:
        raise ConfigurationError(*faults)
