"""Functions that are not the kind they look like, and those that `call` and `acall` do not take."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from resilience import Command, Outcome, Registry
from tests.support.runtime import AsyncRuntime, FakeClock


async def coroutine() -> int:
    """Return one, once awaited."""
    return 1


def generator() -> Iterator[int]:
    """Give one item."""
    yield 1


async def async_generator() -> AsyncIterator[int]:
    """Give one item, asynchronously."""
    yield 1


def partly(fn: Any) -> Any:
    """Hide a function in a partial."""
    return functools.partial(fn)


any_shape = pytest.mark.parametrize("shape", [lambda fn: fn, partly], ids=["plain", "partial"])


def counted(guard: Command) -> dict[Outcome, int]:
    """Return what was counted, of any outcome."""
    return {outcome: count for outcome, count in guard.snapshot().totals.items() if count}


@pytest.mark.promise("G1")
@pytest.mark.parametrize("handler", ["sync", "async"])
def test_the_fallback_of_what_returns_awaitables_can_be_awaited(
    task: AsyncRuntime, registry: Registry, handler: str
) -> None:
    """
    A lambda that has returned a coroutine once is awaited, also when its call is refused.
    """

    async def get(key: int) -> str:
        return f"got {key}"

    async def cached(key: int) -> str:
        await task.sleep(1)
        return f"cached {key}"

    def answer(error: Exception, key: int) -> Any:
        return cached(key) if handler == "async" else f"cached {key}"

    guard = registry.command("lam", fallback=answer)
    guarded = guard(lambda key: get(key + 0))

    async def ask(key: int) -> str:
        answer: str = await guarded(key)
        return answer

    assert task.call(ask, 1) == "got 1"
    guard.force_open()
    assert task.call(ask, 2) == "cached 2"
    guard.clear_override()
    assert task.call(ask, 3) == "got 3"
    assert counted(guard) == {Outcome.SUCCESS: 2, Outcome.SHORT_CIRCUITED: 1}


@any_shape
@pytest.mark.parametrize("fn", [coroutine, generator, async_generator])
def test_call_takes_plain_functions_only(
    registry: Registry, clock: FakeClock, fn: Any, shape: Any
) -> None:
    """
    What would run after the call has ended is refused, and nothing is counted.
    """
    guard = registry.command("col", fallback=lambda error: "instead")
    with pytest.raises(TypeError, match="acall"):
        guard.call(shape(fn))
    assert counted(guard) == {}


@any_shape
@pytest.mark.parametrize("fn", [generator, async_generator])
def test_acall_takes_no_generators(
    task: AsyncRuntime, registry: Registry, fn: Any, shape: Any
) -> None:
    """
    There is nothing to be awaited in them: they are refused, and nothing is counted.
    """
    guard = registry.command("col", fallback=lambda error: "instead")
    error = task.raised(guard.acall, shape(fn))
    assert isinstance(error, TypeError)
    assert "generator" in str(error)
    assert counted(guard) == {}


def test_acall_of_a_plain_function_returns_its_value(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    There is nothing to await, and that is no failure.
    """
    guard = registry.command("col", volume_threshold=1)
    assert task.call(guard.acall, len, "abc") == 3
    assert counted(guard) == {Outcome.SUCCESS: 1}


def test_the_handlers_of_acall_get_the_arguments(task: AsyncRuntime, registry: Registry) -> None:
    """
    A fallback is called with the error and what the function was called with.
    """

    def fail(*args: int, **kwargs: int) -> int:
        raise ConnectionError

    def answer(error: Exception, *args: int, **kwargs: int) -> Any:
        return type(error), args, kwargs

    guard = registry.command("col", fallback=answer)

    async def ask() -> Any:
        return await guard.acall(fail, 7, key=8)  # type: ignore[arg-type]

    assert task.call(ask) == (ConnectionError, (7,), {"key": 8})
    assert counted(guard) == {Outcome.FAILURE: 1}


def test_a_callable_that_generates_is_refused_like_a_generator(registry: Registry) -> None:
    """
    What an object does when it is called decides, not that it is an object.
    """

    class Items:
        def __call__(self) -> Iterator[int]:
            yield 1

    class AsyncItems:
        async def __call__(self) -> AsyncIterator[int]:
            yield 1

    guard = registry.command("db")
    for items in (Items(), AsyncItems(), partly(Items())):
        with pytest.raises(TypeError):
            guard.call(items)
        with pytest.raises(TypeError):
            asyncio.run(guard.acall(items))
    assert sum(guard.snapshot().totals.values()) == 0
