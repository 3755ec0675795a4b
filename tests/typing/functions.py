"""What decorated functions are to a type checker; read by mypy and basedpyright, never run."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, assert_type

import trio

from resilience import Bulkhead, CircuitBreaker, Command, command, deadline, fallback

T = TypeVar("T")

cmd = command("users")
breaker = CircuitBreaker("users")
bulkhead = Bulkhead(3)


@cmd
def load(user: int, *, fresh: bool = False) -> str:
    return ""


@cmd
async def aload(user: int, *, fresh: bool = False) -> str:
    return ""


@cmd
def stream(user: int) -> Generator[str, bytes, float]:
    yield ""
    return 1.0


@cmd
def items(user: int) -> Iterator[str]:
    yield ""


@cmd
async def astream(user: int) -> AsyncGenerator[str, bytes]:
    yield ""


@cmd
async def aitems(user: int) -> AsyncIterator[str]:
    yield ""


@cmd
def same(value: T) -> T:
    return value


@cmd
def later(user: int) -> Awaitable[str]:
    return aload(user)


def a_function_keeps_parameters_and_result() -> None:
    assert_type(load(1), str)
    assert_type(load(user=1, fresh=True), str)
    as_callable: Callable[[int], str] = load
    as_callable(1)
    load("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    load()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    load(1, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    load(1, stale=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    wrong: Callable[[str], str] = load  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    wrong("1")


async def a_coroutine_function_stays_one() -> None:
    assert_type(await aload(1), str)
    task = asyncio.create_task(aload(1))
    assert_type(await task, str)
    async with asyncio.TaskGroup() as group:
        other = group.create_task(aload(1, fresh=True))
        assert_type(await other, str)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aload, 1)
    await aload("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await asyncio.create_task(load(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    aload(1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def generators_keep_what_they_yield_take_and_return() -> None:
    assert_type(stream(1), Generator[str, bytes, float])
    assert_type(items(1), Iterator[str])
    assert_type(astream(1), AsyncGenerator[str, bytes])
    assert_type(aitems(1), AsyncIterator[str])
    async for item in aitems(1):
        assert_type(item, str)
    stream("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    astream("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def type_variables_stay_open() -> None:
    assert_type(same(1), int)
    assert_type(same(""), str)


async def a_function_may_return_an_awaitable() -> None:
    assert_type(await later(1), str)


def a_command_is_carried() -> None:
    assert_type(load.command, Command)
    assert_type(load.command.name, str | None)
    assert_type(load.__wrapped__(1), str)
    assert_type(load.__name__, str)
    load.__wrapped__("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    load.comand  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def the_parts_guard_as_a_command_does() -> None:
    def plain(user: int) -> str:
        return ""

    for guarded in (breaker(plain), bulkhead(plain), deadline(1)(plain), fallback(answer)(plain)):
        assert_type(guarded(1), str)
        assert_type(guarded.__wrapped__(1), str)
        guarded("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    breaker(plain).command  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def answer(error: BaseException, user: int) -> str:
    return ""


@fallback(answer)
@breaker
@bulkhead
@deadline(1)
async def stacked(user: int) -> str:
    return ""


async def decorators_stack() -> None:
    assert_type(await stacked(1), str)
    assert_type(await asyncio.create_task(stacked(1)), str)
    await stacked("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Lookup:
    def __call__(self, user: int) -> str:
        return ""


class AsyncLookup:
    async def __call__(self, user: int) -> str:
        return ""


async def partials_callable_objects_lambdas_and_builtins_are_functions() -> None:
    assert_type(cmd(functools.partial(load.__wrapped__, 1))(), str)
    assert_type(cmd(Lookup())(1), str)
    assert_type(cmd(Lookup()).command, Command)
    assert_type(await cmd(AsyncLookup())(1), str)
    assert_type(cmd(len)("abc"), int)
    assert_type(cmd(lambda: 1)(), int)
    cmd(Lookup())("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def what_is_no_function_is_refused() -> None:
    cmd(1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    breaker("load")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    cmd(property(lambda self: 1))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def call_and_acall_check_the_arguments() -> None:
    def plain(user: int, *, fresh: bool = False) -> str:
        return ""

    async def coloured(user: int) -> str:
        return ""

    assert_type(cmd.call(plain, 1, fresh=True), str)
    assert_type(await cmd.acall(coloured, 1), str)
    assert_type(await cmd.acall(later.__wrapped__, 1), str)
    cmd.call(plain, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cmd.call(plain)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await cmd.acall(coloured, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cmd.acall(plain, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@contextmanager
@cmd
def lent(user: int) -> Generator[str]:
    yield ""


@asynccontextmanager
@cmd
async def alent(user: int) -> AsyncGenerator[str]:
    yield ""


async def a_guarded_generator_makes_a_context_manager() -> None:
    with lent(1) as connection:
        assert_type(connection, str)
    async with alent(1) as other:
        assert_type(other, str)


def of_a_function_of_which_nothing_is_known(anything: Callable[..., int]) -> None:
    assert_type(cmd(anything)(1, x=2), int)


def an_untyped_function_stays_usable(anything: Any) -> None:
    assert_type(cmd(anything), Any)
