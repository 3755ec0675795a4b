"""
Fallbacks: what answers in the place of a call that failed.

Handlers are tried in order, each with the call's own error; the first that returns answers. They
run after the call was settled, outside every lock. When all fail, the last one's error leaves with
the call's error as its cause.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NoReturn, cast

from resilience._admission import FULL
from resilience._awaitable import PLAIN, not_awaited
from resilience._core.slots import Slots, Token
from resilience._core.tally import FALLBACKS
from resilience._units import seconds, several, show
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resilience._entry import Entry

__all__ = ["Fallbacks", "handlers_of", "is_async", "refuse_async"]


class Fallbacks:
    """The handlers of one command, and the limit they share with their name."""

    __slots__ = ("_entry", "handlers")

    def __init__(self, entry: Entry, handlers: tuple[Callable[..., Any], ...]) -> None:
        self._entry = entry
        self.handlers = handlers

    def call(self, error: BaseException, args: Iterable[Any], kwargs: dict[str, Any]) -> Any:
        """Return the first handler's answer, or raise."""
        slots = self._entry.fallback_slots
        token = None if slots is None else self._enter(slots, error)
        failed: BaseException = error
        try:
            for handler in self.handlers:
                try:
                    result = handler(error, *args, **kwargs)
                    if type(result) not in PLAIN and inspect.isawaitable(result):
                        raise not_awaited(handler, result)  # noqa: TRY301 - as if it had raised it
                except Exception as raised:  # noqa: BLE001 - the next handler is tried
                    failed = raised
                else:
                    self._count("success", error)
                    return result
            self._give_up(error, failed)
        finally:
            if slots is not None and token is not None:
                self._leave(slots, token)
            del error, failed  # their tracebacks lead to this frame

    async def acall(self, error: BaseException, args: Iterable[Any], kwargs: dict[str, Any]) -> Any:
        """Return the first handler's answer, awaited if need be, or raise."""
        slots = self._entry.fallback_slots
        token = None if slots is None else self._enter(slots, error)
        failed: BaseException = error
        try:
            for handler in self.handlers:
                try:
                    result = handler(error, *args, **kwargs)
                    if type(result) not in PLAIN and inspect.isawaitable(result):
                        result = await result
                except Exception as raised:  # noqa: BLE001 - the next handler is tried
                    failed = raised
                else:
                    self._count("success", error)
                    return result
            self._give_up(error, failed)
        finally:
            if slots is not None and token is not None:
                self._leave(slots, token)
            del error, failed  # their tracebacks lead to this frame

    def _enter(self, slots: Slots, error: BaseException) -> Token:
        token = slots.grab()
        if token is not None:
            return token
        with self._entry.lock:
            token = slots.take()
            while token is None and slots.lost:
                slots.reclaim(slots.lost.pop())
                token = slots.take()
        if token is None:
            self._count("rejected", error)
            try:
                raise error
            finally:
                del error
        return token

    def _leave(self, slots: Slots, token: Token) -> None:
        if slots.put(token):
            with self._entry.lock:
                slots.assign()

    def _give_up(self, error: BaseException, failed: BaseException) -> NoReturn:
        self._count("failure", error)
        try:
            if failed is error or failed.__cause__ is not None:
                raise failed
            raise failed from error
        finally:
            del error, failed

    def _count(self, outcome: str, error: BaseException) -> None:
        entry, listeners = self._entry, self._entry.listeners
        notes = entry.notes
        if notes and len(notes) < FULL and not listeners.all:
            notes.append(FALLBACKS[outcome])
            return
        entry.note(FALLBACKS[outcome])
        if listeners.all:
            from resilience._events import FallbackCalled  # noqa: PLC0415 - few have listeners

            called = FallbackCalled(
                name=entry.name,
                outcome=outcome,
                state=entry.circuit.state,
                reason=type(error).__name__,
                at=seconds(entry.clock()),
            )
            with entry.lock:
                listeners.put(called)
            listeners.deliver()


def handlers_of(fallback: object) -> tuple[Callable[..., Any], ...]:
    """
    Return the handlers that a `fallback` argument names.

    Raises:
        ConfigurationError: One of them cannot be called.
    """
    if fallback is None:
        return ()
    handlers = several(fallback)
    for handler in handlers:
        if not callable(handler):
            raise ConfigurationError(
                f"fallback must be a callable or a sequence of callables, not {show(handler)}"
            )
    return cast("tuple[Callable[..., Any], ...]", handlers)


def refuse_async(fn: object, handlers: Iterable[Callable[..., Any]]) -> None:
    """
    Refuse handlers that would have to be awaited by a sync function.

    Raises:
        TypeError: One of them is async.
    """
    for handler in handlers:
        if is_async(handler):
            raise TypeError(
                f"{show(fn)} is sync: it cannot have the async fallback {show(handler)}"
            )


def is_async(fn: Any) -> bool:
    """Whether calling it gives a coroutine or an async generator."""
    called = getattr(fn, "__call__", fn)  # noqa: B004 - its code
    return any(
        check(each)
        for check in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for each in (fn, called)
    )
