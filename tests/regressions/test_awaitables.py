"""Defects 24 and 26: what is to be awaited is awaited, and looks it."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from resilience import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    DeadlineExceededError,
    Outcome,
    Registry,
    State,
    deadline,
    fallback,
)
from tests.support.runtime import AsyncRuntime, FakeClock

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


# -- 24


@pytest.mark.promise("F8", "G1", "G2")
@pytest.mark.parametrize("shell", ["command", "fallback"])
def test_an_async_fallback_is_awaited(task: AsyncRuntime, registry: Registry, shell: str) -> None:
    """
    The caller gets what the fallback returns, in its own time, not a coroutine that nobody awaits.

    Defect 24, seen in interlock.
    """
    asked = []

    async def cached(error: Exception, key: int) -> str:
        asked.append((type(error), key))
        await task.sleep(1)
        return "cached"

    guard = (
        Command("db", registry=registry, fallback=cached)
        if shell == "command"
        else fallback(cached)
    )
    guarded = guard(task.body(raises=ConnectionError))
    assert task.call(guarded, 7) == "cached"
    assert asked == [(ConnectionError, 7)]


@pytest.mark.promise("G1")
@pytest.mark.parametrize("make", [lambda fn: fn, functools.partial], ids=["plain", "partial"])
def test_a_sync_function_is_given_no_async_fallback(
    registry: Registry, clock: FakeClock, make: Callable[[Any], Any]
) -> None:
    """
    Nobody could await it: that is an error at decoration, not at the first failure.

    Defect 24, seen in interlock.
    """

    async def cached(error: Exception) -> str:
        return "cached"

    for guard in (
        Command("db", registry=registry, fallback=make(cached)),
        Command("db", registry=registry, fallback=make(cached), isolation="thread"),
        fallback(make(cached)),
    ):
        with pytest.raises(TypeError, match=r"sync.*async fallback"):
            guard(lambda: None)


def test_a_sync_fallback_that_gives_an_awaitable_to_sync_code_is_an_error(
    registry: Registry, clock: FakeClock
) -> None:
    """
    Where it shows only in the end that a fallback had to be awaited, it is an error that says so.

    Defect 24.
    """

    async def cached() -> str:
        return "cached"

    @Command("db", registry=registry, fallback=lambda error: cached())
    def work() -> None:
        raise ConnectionError

    with pytest.raises(TypeError, match="async def") as caught:
        work()
    assert isinstance(caught.value.__cause__, ConnectionError)


class Caller:
    """A callable object with an async `__call__`."""

    def __init__(self, fn: Callable[..., Awaitable[Any]]) -> None:
        self.fn = fn

    async def __call__(self) -> Any:
        return await self.fn()


class Giver:
    """A callable object that gives a future-like object to be awaited."""

    def __init__(self, fn: Callable[..., Awaitable[Any]]) -> None:
        self.fn = fn

    def __call__(self) -> Promise:
        return Promise(self.fn)


class Promise:
    """What can be awaited and is no coroutine."""

    def __init__(self, fn: Callable[..., Awaitable[Any]]) -> None:
        self.fn = fn

    def __await__(self) -> Any:
        return self.fn().__await__()


DISGUISES: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda fn: lambda key=None: fn(),
    "partial": functools.partial,
    "partial of a lambda": lambda fn: functools.partial(lambda each: each(), fn),
    "callable object": Caller,
    "bound method": lambda fn: Caller(fn).__call__,
    "object with an awaitable": Giver,
}

any_disguise = pytest.mark.parametrize("disguise", list(DISGUISES))


@pytest.mark.promise("F8")
@any_guard
@any_disguise
def test_what_returns_an_awaitable_is_counted_by_what_comes_of_it(
    task: AsyncRuntime, registry: Registry, kind: type, disguise: str
) -> None:
    """
    What returns an awaitable counts when it was awaited, as what comes of it.

    So does a lambda around a coroutine function, and every other thing that is async without
    looking it; and its failures open the circuit.

    Defect 24, seen in five libraries: the call was over, and well, when the coroutine was made.
    """
    guard = kind("db", registry=registry, volume_threshold=3)
    fn = task.body(takes=0.1, returns="answer")
    guarded = guard(DISGUISES[disguise](fn))

    async def main() -> Any:
        before = guard.snapshot().totals
        pending = guarded()
        assert guard.snapshot().totals == before
        return await pending

    assert task.call(main) == "answer"
    assert guard.snapshot().totals[Outcome.SUCCESS] == 1
    fn.body.raises = ConnectionError
    for _ in range(2):
        error = task.raised(main)
        assert isinstance(error, ConnectionError)
        assert error.__cause__ is None
    snapshot = guard.snapshot()
    assert snapshot.totals[Outcome.FAILURE] == 2
    assert (snapshot.state, snapshot.in_flight) == (State.OPEN, 0)
    assert isinstance(task.raised(guarded), CircuitOpenError)


@pytest.mark.promise("E9", "G1")
@any_disguise
def test_what_returns_an_awaitable_has_deadline_and_fallback(
    task: AsyncRuntime, registry: Registry, disguise: str
) -> None:
    """
    It is cut off, and answered for, like any coroutine function.

    Defect 24.
    """
    fn = task.body(takes=60)
    guard = Command("db", registry=registry, max_concurrency=1)
    error = task.raised(guard(DISGUISES[disguise](fn)))
    assert isinstance(error, DeadlineExceededError)
    assert guard.snapshot().totals[Outcome.TIMEOUT] == 1
    answering = Command("db", registry=registry, fallback=lambda error: type(error).__name__)
    assert task.call(answering(DISGUISES[disguise](fn))) == "DeadlineExceededError"
    assert guard.snapshot().in_flight == 0


@any_disguise
def test_what_returned_an_awaitable_is_answered_for_by_one(
    task: AsyncRuntime, registry: Registry, disguise: str
) -> None:
    """
    Once it is known what it gives, its caller can await the answer to a refusal as well.

    Defect 24.
    """
    guard = Command("db", registry=registry, volume_threshold=1, fallback=lambda error: "instead")
    guarded = guard(DISGUISES[disguise](task.body(raises=ConnectionError)))

    async def main() -> Any:
        return await guarded()

    assert task.call(main) == "instead"
    assert guard.state is State.OPEN
    assert task.call(main) == "instead"
    guard.force_open()
    assert task.call(main) == "instead"
    assert guard.snapshot().totals[Outcome.SHORT_CIRCUITED] == 2


@pytest.mark.promise("D1", "D2")
@any_disguise
def test_what_returns_an_awaitable_holds_its_slot_until_it_was_awaited(
    task: AsyncRuntime, registry: Registry, disguise: str
) -> None:
    """
    A bulkhead counts it as running while it runs.

    Defect 24.
    """
    bulkhead = Bulkhead(2, registry=registry)
    seen = []

    async def look() -> None:
        seen.append(bulkhead.in_flight)

    task.call(bulkhead(DISGUISES[disguise](look)))
    assert seen == [1]
    assert bulkhead.in_flight == 0


@pytest.mark.promise("C1", "C4", "D2")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("options", [{"timeout": None}, {"timeout": 1.0}], ids=str)
def test_what_was_never_awaited_gives_its_slot_back(
    clock: FakeClock, registry: Registry, options: dict[str, Any], shared: bool
) -> None:
    """
    A call whose awaitable nobody awaits counts as cancelled once it is dropped.

    It does so for its own name, even if the slot is that of a bulkhead of several names.

    Defect 24: a call that was counted as over when the coroutine was made could not tell.
    """

    async def fn() -> None:
        raise AssertionError

    bulkhead = Bulkhead(10, registry=registry) if shared else None
    options = {**options, "isolation": "semaphore", "bulkhead": bulkhead}
    guard = Command("db", registry=registry, **options)
    for number in range(1, 4):
        assert guard(lambda: 0)() == 0  # the next one finds an idle slot
        pending: Any = guard(Giver(fn))()
        assert guard.snapshot().in_flight == 1
        pending.close()
        del pending
        gc.collect()
        assert guard.snapshot().in_flight == 0
        assert guard.snapshot().totals[Outcome.CANCELLED] == number
    assert sum(guard.snapshot().totals.values()) == 6


# -- 26


def shells(registry: Registry, clock: FakeClock) -> dict[str, Any]:
    """Return one of each thing that decorates."""
    return {
        "breaker": CircuitBreaker("db", registry=registry),
        "bulkhead": Bulkhead(5, registry=registry),
        "command": Command("db", registry=registry),
        "deadline": deadline(5, clock=clock),
        "fallback": fallback(lambda error: None),
    }


class Service:
    async def method(self) -> str:
        return "answer"

    @classmethod
    async def of_class(cls) -> str:
        return "answer"

    @staticmethod
    async def static() -> str:
        return "answer"


FUNCTIONS: dict[str, Callable[[], Any]] = {
    "function": lambda: Service.static,
    "bound method": lambda: Service().method,
    "class method": lambda: Service.of_class,
    "partial": lambda: functools.partial(Service.static),
    "callable object": lambda: Caller(Service.static),
}


@pytest.mark.parametrize("function", list(FUNCTIONS))
@pytest.mark.parametrize("shell", ["breaker", "bulkhead", "command", "deadline", "fallback"])
def test_a_guarded_coroutine_function_is_a_coroutine_function(
    clock: FakeClock, registry: Registry, shell: str, function: str
) -> None:
    """
    It gives a coroutine, which `create_task` takes.

    And frameworks that look see a coroutine function.

    Defect 26, seen in interlock and fluxgate: what came back was merely awaitable.
    """
    guarded = shells(registry, clock)[shell](FUNCTIONS[function]())
    assert inspect.iscoroutinefunction(guarded)
    coroutine = guarded()
    assert inspect.iscoroutine(coroutine)

    async def main() -> Any:
        return await asyncio.create_task(coroutine)

    assert asyncio.run(main()) == "answer"


def test_stacked_guards_stay_a_coroutine_function(clock: FakeClock, registry: Registry) -> None:
    """
    However many decorators there are, and on a method as well.

    Defect 26.
    """
    fn: Any = Service.method
    for shell in shells(registry, clock).values():
        fn = shell(fn)
        assert inspect.iscoroutinefunction(fn)
    assert asyncio.run(fn(Service())) == "answer"
