"""Calls: functions and coroutine functions in a guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from resilience._awaitable import PLAIN, is_awaitable
from resilience.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.slots import Token
    from resilience._fallback import Fallbacks
    from resilience._guard import Guard

    Fn = Callable[..., Any]

__all__ = ["coroutine_in", "function_in", "refuse"]


def function_in(guard: Guard, fn: Fn, fallbacks: Fallbacks | None) -> Fn:
    """Guard a function in its caller's thread."""
    awaitable = False  # known once it has returned one: then a fallback is awaited as well

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal awaitable
        plan = guard.loose
        token = guard.quick_enter(plan)
        if token is None and (refusal := guard.refuse()) is not None:
            try:
                if fallbacks is None:
                    raise refusal
                return refuse(refusal, fallbacks, args, kwargs, awaitable=awaitable)
            finally:
                del refusal  # its traceback leads to this frame
        try:
            if token is None:
                token = guard.enter(plan)
            result = fn(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - judged, and raised again or answered
            failure = guard.fail(token, error)
            try:
                if failure.fallback and fallbacks is not None:
                    answer = fallbacks.acall if awaitable else fallbacks.call
                    return answer(failure.error, args, kwargs)
                if failure.error is error:
                    raise
                raise failure.error from error
            finally:
                del failure
        if type(result) not in PLAIN and is_awaitable(result):
            awaitable = True
            return _awaited(guard, token, _Rest(result, fallbacks, args, kwargs))
        if not guard.quick_leave(token):
            guard.finish(token, result)
        return result

    return call


def refuse(
    refusal: RejectedError,
    fallbacks: Fallbacks,
    args: Any,
    kwargs: Any,
    *,
    awaitable: bool = False,
) -> Any:
    """Return what a fallback answers for a refusal. It may raise it again or log it, so: raised."""
    try:
        raise refusal
    except RejectedError as error:
        if awaitable:
            return _arefuse(error, fallbacks, args, kwargs)
        return fallbacks.call(error, args, kwargs)
    finally:
        del refusal  # its traceback leads to this frame


async def _arefuse(refusal: RejectedError, fallbacks: Fallbacks, args: Any, kwargs: Any) -> Any:
    """Do the same, in a task."""
    try:
        raise refusal
    except RejectedError as error:
        return await fallbacks.acall(error, args, kwargs)
    finally:
        del refusal  # its traceback leads to this frame


def coroutine_in(guard: Guard, fn: Fn, fallbacks: Fallbacks | None) -> Fn:
    """Guard a coroutine function, under asyncio or trio."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        plan = guard.plan
        token = guard.quick_enter(plan)
        if token is None and (refusal := guard.refuse()) is not None:
            try:
                if fallbacks is None:
                    raise refusal
                return await _arefuse(refusal, fallbacks, args, kwargs)
            finally:
                del refusal  # its traceback leads to this frame
        try:
            if token is None:
                token = await guard.aenter(plan)
            if token.scope is not None:
                guard.enforce(token)
            result = await fn(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - judged, and raised again or answered
            failure = guard.fail(token, error)
            try:
                if failure.fallback and fallbacks is not None:
                    return await fallbacks.acall(failure.error, args, kwargs)
                if failure.error is error:
                    raise
                raise failure.error from error
            finally:
                del failure
        if not guard.quick_leave(token):
            guard.finish(token, result)
        return result

    return call


class _Rest(NamedTuple):
    """What is left of a call whose function returned an awaitable."""

    awaitable: Any
    fallbacks: Fallbacks | None
    args: Any
    kwargs: Any


def _awaited(guard: Guard, token: Token, rest: _Rest) -> Any:
    """Return what awaits the rest of a call, out of the scope it began in."""
    if token.scope is not None:
        token.scope.leave()
    token.plan = guard.plan
    return _await(guard, token, rest)


async def _await(guard: Guard, token: Token, rest: _Rest) -> Any:
    try:
        guard.open_scope(token)
        guard.enforce(token)
        result = await rest.awaitable
    except BaseException as error:  # noqa: BLE001 - judged, and raised again or answered
        failure = guard.fail(token, error)
        try:
            if failure.fallback and rest.fallbacks is not None:
                return await rest.fallbacks.acall(failure.error, rest.args, rest.kwargs)
            if failure.error is error:
                raise
            raise failure.error from error
        finally:
            del failure  # its traceback leads to this frame
    guard.finish(token, result)
    return result
