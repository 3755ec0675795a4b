"""Shell: what every guard object offers, whatever it guards with: decorator, blocks, permits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self

from resilience._blocks import aenter_block, enter_block, leave_block

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from resilience._fallback import Fallbacks
    from resilience._guard import Guard
    from resilience._permit import Permit

__all__ = ["Shell"]


class Shell:
    """A guard as users hold it: `@shell`, `with shell:`, `shell.acquire()`."""

    __slots__ = ("__weakref__", "_guard")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    @property
    def name(self) -> str | None:
        """
        The name it shares; `None` if it is private.

        Example:
            >>> from resilience import Bulkhead
            >>> Bulkhead(5, name="reports").name
            'reports'
        """
        return self._guard.entry.name

    def __reduce__(self) -> NoReturn:
        kind = type(self).__name__
        raise TypeError(f"a {kind} cannot be pickled: it belongs to this process; make it anew")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'(private)' if self.name is None else repr(self.name)}>"

    # -- blocks

    def __enter__(self) -> Self:
        enter_block(self._guard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave_block(self._guard, error)

    async def __aenter__(self) -> Self:
        await aenter_block(self._guard)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave_block(self._guard, error)

    # -- permits

    def acquire(self) -> Permit:
        """
        Be admitted, and settle yourself: for calls that end somewhere else than they begin.

        Raises:
            RejectedError: The call is refused.
            DeadlineExceededError: The caller's time has run out.

        Example:
            >>> from resilience import Bulkhead
            >>> bulkhead = Bulkhead(2)
            >>> permit = bulkhead.acquire()
            >>> bulkhead.in_flight
            1
            >>> permit.release()
        """
        return self._guard.acquire()

    async def aacquire(self) -> Permit:
        """
        Be admitted, waiting for a slot in a task if need be.

        Raises:
            RejectedError: The call is refused.
            DeadlineExceededError: The caller's time has run out.

        Example:
            >>> import asyncio
            >>> from resilience import Bulkhead
            >>> bulkhead = Bulkhead(2)
            >>> async def main():
            ...     with await bulkhead.aacquire():
            ...         return bulkhead.in_flight
            >>> asyncio.run(main())
            1
        """
        return await self._guard.aacquire()

    # -- how each kind of function is guarded

    def guard_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard a generator function."""
        from resilience._guarded_streams import generator_in  # noqa: PLC0415 - import quickly

        return generator_in(self._guard, fn, self._fallbacks)

    def guard_async_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Guard an async generator function."""
        from resilience._guarded_streams import async_generator_in  # noqa: PLC0415

        return async_generator_in(self._guard, fn, self._fallbacks)

    @property
    def _fallbacks(self) -> Fallbacks | None:
        return None
