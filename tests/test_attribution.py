"""Whose timeout it was: told by the scope that ran out, never by the class of an exception."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import anyio
import pytest
import trio

from resilience import (
    Command,
    DeadlineExceededError,
    Outcome,
    Registry,
    current_deadline,
    deadline,
)
from tests.support.race import HAIR, LENGTH, TICK
from tests.support.runtime import AsyncRuntime, FakeClock, TrioRuntime
from tests.support.track import runtimes

Body = Callable[[], Awaitable[Any]]

CLASSES = {
    "TimeoutError": TimeoutError,
    "asyncio.TimeoutError": asyncio.TimeoutError,
    "socket.timeout": socket.timeout,
    "concurrent.futures.TimeoutError": concurrent.futures.TimeoutError,
    "trio.TooSlowError": trio.TooSlowError,
}


class Within:
    """A context manager, to be entered by `async with`."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager

    async def __aenter__(self) -> Any:
        return self.manager.__enter__()

    async def __aexit__(self, *error: object) -> Any:
        return self.manager.__exit__(*error)


class Limit(NamedTuple):
    """How else a user limits time, and what leaves it then."""

    name: str
    of: Callable[[float], AbstractAsyncContextManager[Any]]
    raises: type[Exception]


ANYIO = Limit("anyio.fail_after", lambda seconds: Within(anyio.fail_after(seconds)), TimeoutError)
ASYNCIO = Limit("asyncio.timeout", asyncio.timeout, TimeoutError)
TRIO = Limit("trio.fail_after", lambda seconds: Within(trio.fail_after(seconds)), trio.TooSlowError)


@pytest.fixture(params=runtimes())
def task(request: pytest.FixtureRequest) -> Iterator[AsyncRuntime]:
    """Every runtime that has tasks, uvloop and eager tasks as well."""
    runtime = runtimes()[request.param]()
    yield runtime
    runtime.close()


@pytest.fixture(params=["the runtime's", "anyio's"])
def limit(request: pytest.FixtureRequest, task: AsyncRuntime) -> Limit:
    """A limit of the runtime's own, or of anyio's."""
    if request.param == "anyio's":
        return ANYIO
    return TRIO if isinstance(task, TrioRuntime) else ASYNCIO


class Raised:
    """Runs a body, and keeps what it raised."""

    error: BaseException | None = None

    async def by(self, body: Body) -> Any:
        try:
            return await body()
        except BaseException as error:
            self.error = error
            raise


def balance(task: AsyncRuntime) -> int:
    """How many cancellations the running task is still asked for."""
    current = None if isinstance(task, TrioRuntime) else asyncio.current_task()
    return 0 if current is None else current.cancelling()


async def left_by(task: AsyncRuntime, call: Body) -> BaseException | None:
    """Return what leaves a call in a task of its own; nothing is left of its cancellation."""
    ends: list[BaseException | None] = []

    async def caller() -> None:
        try:
            await call()
        except Exception as error:
            ends.append(error)
        else:
            ends.append(None)
        assert balance(task) == 0

    async with anyio.create_task_group() as group:
        group.start_soon(caller)
    return ends[0]


async def leaves_untouched(task: AsyncRuntime, registry: Registry, body: Body) -> BaseException:
    """Check that what a body raises leaves a deadline and a command, as a failure of its own."""
    within, guarded = Raised(), Raised()
    command = registry.command("db", timeout=LENGTH * TICK)

    async def block() -> None:
        with deadline(LENGTH * TICK, clock=task.clock):
            await within.by(body)

    assert await left_by(task, block) is within.error is not None
    assert await left_by(task, lambda: command.acall(guarded.by, body)) is guarded.error
    totals = command.snapshot().totals
    assert (totals["failure"], sum(totals.values())) == (1, 1)
    assert guarded.error is not None
    return guarded.error


@pytest.mark.promise("E9")
@pytest.mark.parametrize("kind", CLASSES)
def test_a_timeout_of_any_class_is_the_user_s_own(
    task: AsyncRuntime, registry: Registry, kind: str
) -> None:
    """
    Raised inside, it leaves a deadline and a command as the object it is, and is a failure.
    """

    async def body() -> None:
        await anyio.sleep(TICK)
        raise CLASSES[kind]("mine")

    error = task.call(leaves_untouched, task, registry, body)
    assert type(error) is CLASSES[kind]
    assert not isinstance(error, DeadlineExceededError)


@pytest.mark.promise("E9", "F4")
def test_a_limit_that_ran_out_inside_is_the_user_s_own(
    task: AsyncRuntime, registry: Registry, limit: Limit
) -> None:
    """
    One tick before the deadline, a limit of another library is over: its error is a failure.
    """

    async def body() -> None:
        async with limit.of((LENGTH - 1) * TICK):
            await anyio.sleep_forever()

    error = task.call(leaves_untouched, task, registry, body)
    assert type(error) is limit.raises


@pytest.mark.promise("E9", "F4")
@pytest.mark.parametrize("kind", CLASSES)
def test_a_timeout_that_is_raised_while_being_cut_off_is_the_user_s_own(
    task: AsyncRuntime, kind: str
) -> None:
    """
    A block that answers its cancellation with an error of its own is left by this error.
    """
    own = CLASSES[kind]("mine")

    async def block() -> None:
        with deadline(LENGTH * TICK, clock=task.clock):
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                raise own from None

    assert task.call(left_by, task, block) is own


# -- two limits in one tick


async def jump(task: AsyncRuntime) -> None:
    """Let both limits be due before the runtime looks again."""
    await anyio.sleep((LENGTH - 2 * HAIR) * TICK)
    task.advance(4 * HAIR * TICK)


def both(task: AsyncRuntime, block: Body) -> BaseException | None:
    """Play a block whose two limits end in one tick, and return what leaves it."""

    async def main() -> BaseException | None:
        async with anyio.create_task_group() as group:
            group.start_soon(jump, task)
            return await left_by(task, block)

    error: BaseException | None = task.call(main)
    return error


first = pytest.mark.parametrize("order", [-HAIR, HAIR], ids=["theirs first", "ours first"])


@pytest.mark.promise("E9", "F4")
@first
@pytest.mark.parametrize("commanded", [False, True], ids=["deadline", "command"])
def test_a_limit_inside_that_ends_in_the_tick_of_ours_leaves_it_to_ours(
    task: AsyncRuntime, registry: Registry, limit: Limit, order: float, commanded: bool
) -> None:
    """
    Of two scopes that end in one tick the outer one counts, here the deadline.
    """
    command = Command("db", registry=registry, timeout=LENGTH * TICK)

    async def body() -> None:
        async with limit.of((LENGTH + order) * TICK):
            await anyio.sleep_forever()

    async def block() -> None:
        if commanded:
            await command.acall(body)
        else:
            with deadline(LENGTH * TICK, clock=task.clock):
                await body()

    error = both(task, block)
    assert isinstance(error, DeadlineExceededError)
    assert command.snapshot().totals["timeout"] == int(commanded)


@pytest.mark.promise("E9", "F3", "F4")
@first
@pytest.mark.parametrize("commanded", [False, True], ids=["deadline", "command"])
def test_a_limit_outside_that_ends_in_the_tick_of_ours_counts(
    task: AsyncRuntime, registry: Registry, limit: Limit, order: float, commanded: bool
) -> None:
    """
    Of two scopes that end in one tick the outer one counts, here the one that is not ours.

    A scope of anyio's in asyncio has to be first: it leaves alone a task that is being woken, so
    the error of the deadline has left by the time it cancels.
    """
    too_late = limit is ANYIO and order > 0 and not isinstance(task, TrioRuntime)
    command = Command("db", registry=registry, timeout=LENGTH * TICK)

    async def block() -> None:
        async with limit.of((LENGTH + order) * TICK):
            if commanded:
                await command.acall(anyio.sleep_forever)
            else:
                with deadline(LENGTH * TICK, clock=task.clock):
                    await anyio.sleep_forever()

    error = both(task, block)
    assert type(error) is (DeadlineExceededError if too_late else limit.raises)
    if commanded:
        assert command.snapshot().totals["timeout" if too_late else "cancelled"] == 1


async def in_group(task: AsyncRuntime, body: Callable[[Any], Awaitable[None]]) -> None:
    """Run a body that is given what starts children, in a group of the runtime's own."""
    if isinstance(task, TrioRuntime):
        async with trio.open_nursery() as nursery:
            await body(nursery.start_soon)
    else:
        async with asyncio.TaskGroup() as group:
            await body(lambda child: group.create_task(child()))


@pytest.mark.promise("E9", "F4")
@pytest.mark.parametrize(
    ("hangs", "outcome"), [(True, "expired"), (False, "cancelled")], ids=["cut off", "late"]
)
def test_a_child_that_goes_with_its_group_goes_by_what_ended_the_group(
    task: AsyncRuntime, registry: Registry, hangs: bool, outcome: str
) -> None:
    """
    A group cancels its child in the very tick in which the deadline of both ends.

    It was the deadline where that has cut the body off; not where the body ended by itself.
    """
    command = Command("db", registry=registry, timeout=None)

    async def block(start: Callable[[Body], Any]) -> None:
        begun = anyio.Event()

        async def calls() -> None:
            begun.set()
            await anyio.sleep_forever()

        with deadline(LENGTH * TICK, clock=task.clock):
            start(lambda: command.acall(calls))
            await begun.wait()
            if hangs:
                await anyio.sleep_forever()
            task.clock.advance(2 * LENGTH * TICK)
        raise ConnectionError

    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            await in_group(task, block)

    task.call(main)
    totals = command.snapshot().totals
    assert (totals[outcome], sum(totals.values())) == (1, 1)


# -- clocks


def test_a_clock_that_is_set_back_makes_a_timeout_no_failure(
    registry: Registry, clock: FakeClock
) -> None:
    """
    The error of the call's own scope says whose time was over, whatever the clock says by then.
    """
    cmd = Command("db", registry=registry, timeout=2)

    @cmd
    def late() -> None:
        scope = current_deadline()
        assert scope is not None
        clock.advance(2)
        try:
            scope.check()
        finally:
            clock.set_back(2)

    with pytest.raises(DeadlineExceededError):
        late()
    assert cmd.snapshot().totals[Outcome.TIMEOUT] == 1
