from __future__ import annotations

import functools
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from resilience import (
    Bulkhead,
    CircuitBreaker,
    Command,
    Outcome,
    Registry,
    command,
    deadline,
    fallback,
)
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime

SHELLS = ["command", "breaker", "bulkhead", "deadline", "fallback"]


def answer(error: BaseException, *args: Any, **kwargs: Any) -> Any:
    """Answer in the place of a call."""
    return "instead"


def streams(error: BaseException, *args: Any, **kwargs: Any) -> Any:
    """Answer in the place of a stream."""
    return ["instead"]


def make(shell: str, registry: Registry, handler: Callable[..., Any] = answer) -> Any:
    """One guard of each kind, named after the test's dependency where it can have a name."""
    return {
        "command": lambda: Command("db", registry=registry),
        "breaker": lambda: CircuitBreaker("db", registry=registry),
        "bulkhead": lambda: Bulkhead(3, name="db", registry=registry),
        "deadline": lambda: deadline(1, clock=registry._clock),
        "fallback": lambda: fallback(handler),
    }[shell]()


# -- the kinds: each gives the sum of 1 and its `b`


def plain(a: int, /, b: int = 2, *rest: int, c: int = 0, **more: int) -> int:
    """Add two numbers."""
    return a + b


def items(a: int, b: int = 2) -> Iterator[int]:
    """Yield the numbers up to a sum."""
    yield from range(a + b)
    yield a + b


async def coroutine(a: int, b: int = 2) -> int:
    """Add two numbers, in time."""
    return a + b


async def async_items(a: int, b: int = 2) -> AsyncIterator[int]:
    """Yield the numbers up to a sum, in time."""
    for each in range(a + b):
        yield each
    yield a + b


class Adder:
    """Adds, by whatever colour is asked for."""

    def __call__(self, a: int, b: int = 2) -> int:
        return a + b

    def add(self, a: int, b: int = 2) -> int:
        """Add as a method."""
        return a + b

    async def aadd(self, a: int, b: int = 2) -> int:
        """Add as an async method."""
        return a + b


class AsyncAdder:
    async def __call__(self, a: int, b: int = 2) -> int:
        return a + b


class Counter:
    def __call__(self, a: int, b: int = 2) -> Iterator[int]:
        return (yield from items(a, b))


class AsyncCounter:
    async def __call__(self, a: int, b: int = 2) -> AsyncIterator[int]:
        async for each in async_items(a, b):
            yield each


SYNC = {
    "def": plain,
    "lambda": lambda a, b=2: a + b,
    "generator": items,
    "partial": functools.partial(plain, b=2),
    "partial of partial": functools.partial(functools.partial(plain, 1)),
    "partial of generator": functools.partial(items, b=2),
    "callable object": Adder(),
    "object that generates": Counter(),
    "partial of object": functools.partial(Adder(), b=2),
    "bound method": Adder().add,
    "builtin": max,
    "method of a builtin": [1, 2].index,
}
ASYNC = {
    "async def": coroutine,
    "async generator": async_items,
    "partial of async def": functools.partial(coroutine, b=2),
    "partial of async generator": functools.partial(async_items, b=2),
    "object with async call": AsyncAdder(),
    "object that generates in time": AsyncCounter(),
    "partial of async object": functools.partial(AsyncAdder(), b=2),
    "bound async method": Adder().aadd,
    "lambda": lambda a, b=2: coroutine(a, b),
    "partial of lambda": functools.partial(lambda a, b=2: coroutine(a, b)),
}
PREDICATES = (
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
)
ARGUMENTS = {"builtin": (1, 3), "method of a builtin": (2,), "partial of partial": ()}
RESULTS = {"method of a builtin": 1}


def last(result: Any) -> Any:
    """What a function returned, or the last item of what it made."""
    return list(result)[-1] if inspect.isgenerator(result) else result


async def alast(result: Any) -> Any:
    """What an async function returned, or the last item of what it made."""
    if inspect.isasyncgen(result):
        return [each async for each in result][-1]
    return await result


def counted(registry: Registry) -> int:
    """How many calls the guard has counted as a success."""
    snapshot = registry.get("db")
    assert snapshot is not None
    assert snapshot.in_flight == 0
    return snapshot.totals[Outcome.SUCCESS]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", SYNC)
def test_every_kind_of_sync_function_is_guarded(
    clock: FakeClock, registry: Registry, shell: str, kind: str
) -> None:
    """
    Whatever can be called is guarded: it gives what it gave, and the call is counted once.
    """
    guarded = make(shell, registry)(SYNC[kind])
    assert last(guarded(*ARGUMENTS.get(kind, (1,)))) == RESULTS.get(kind, 3)
    if shell in ("command", "breaker", "bulkhead"):
        assert counted(registry) == 1


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", ASYNC)
def test_every_kind_of_async_function_is_guarded(
    task: AsyncRuntime, registry: Registry, shell: str, kind: str
) -> None:
    """
    Whatever can be awaited or iterated in a task is guarded, and the call is counted once.
    """
    guarded = make(shell, registry)(ASYNC[kind])
    assert task.call(lambda: alast(guarded(1))) == 3
    if shell in ("command", "breaker", "bulkhead"):
        assert counted(registry) == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_function_returns_is_handed_on_as_it_is(
    run: Runtime, registry: Registry, shell: str
) -> None:
    """
    An object of the program's own is that very object, whatever colour the function has.
    """
    own = Adder()
    assert run.call(make(shell, registry)(run.body(returns=own))) is own


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", [*SYNC, *(kind for kind in ASYNC if kind != "lambda")])
def test_a_guarded_function_looks_like_the_one_it_stands_for(
    clock: FakeClock, registry: Registry, shell: str, kind: str
) -> None:
    """
    Name, docstring, module, signature and colour are kept, and `__wrapped__` is the function.
    """
    fn: Any = {**ASYNC, **SYNC}[kind]
    guarded = make(shell, registry)(fn)
    assert guarded.__wrapped__ is fn
    assert guarded.__doc__ == fn.__doc__
    for attribute in ("__name__", "__qualname__", "__module__"):
        if hasattr(fn, attribute):
            assert getattr(guarded, attribute) == getattr(fn, attribute)
    if kind != "builtin":  # it has none
        assert inspect.signature(guarded) == inspect.signature(fn)
    code = fn
    while isinstance(code, functools.partial):
        code = code.func
    if not inspect.isroutine(code):
        code = type(code).__call__
    for predicate in PREDICATES:
        assert predicate(guarded) == predicate(code)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_an_object_knows_stays_its_own(
    clock: FakeClock, registry: Registry, shell: str
) -> None:
    """
    A function's attributes are the guarded one's as well; an object's are not.
    """
    adder = Adder()
    vars(adder)["__name__"] = "three"
    vars(adder)["step"] = 3
    guarded = make(shell, registry)(adder)
    assert guarded.__name__ == "three"
    assert not hasattr(guarded, "step")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("fn", [functools.partial(plain, 1), Adder()], ids=["partial", "object"])
def test_what_has_no_name_is_not_given_one_of_ours(
    clock: FakeClock, registry: Registry, shell: str, fn: Any
) -> None:
    """
    A guarded partial or callable object shows the name of what it calls.

    It is not that of the library's own wrapper.
    """
    guarded = make(shell, registry)(fn)
    assert guarded.__qualname__ in ("plain", "Adder")
    assert "resilience" not in guarded.__module__


@pytest.mark.parametrize("kind", ["def", "generator", "partial", "callable object", "async def"])
def test_a_command_is_carried_by_what_it_guards(
    clock: FakeClock, registry: Registry, kind: str
) -> None:
    """
    `.command` of a guarded function is the command; of several, the outermost.
    """
    fn: Any = {**ASYNC, **SYNC}[kind]
    inner, outer = Command("inner", registry=registry), Command("outer", registry=registry)
    guarded = inner(fn)
    assert guarded.command is inner
    assert outer(guarded).command is outer
    assert outer(guarded).__wrapped__.command is inner
    assert fn is not guarded
    assert not hasattr(fn, "command")


# -- methods


def methods_of(guard: Any) -> type:
    """A class whose methods are guarded, the class and static ones in either order."""

    class Users:
        factor = 1

        @guard
        def method(self, a: int) -> Any:
            """A method."""
            return self.factor, a

        @guard
        async def amethod(self, a: int) -> Any:
            return self.factor, a

        @guard
        def stream(self, a: int) -> Iterator[Any]:
            yield self.factor, a

        @guard
        async def astream(self, a: int) -> AsyncIterator[Any]:
            yield self.factor, a

        @guard
        @classmethod
        def outside_class(cls, a: int) -> Any:
            """A class method."""
            return cls.factor, a

        @classmethod
        @guard
        def inside_class(cls, a: int) -> Any:
            """A class method."""
            return cls.factor, a

        @guard
        @staticmethod
        def outside_static(a: int) -> Any:
            """A static method."""
            return 2, a

        @staticmethod
        @guard
        def inside_static(a: int) -> Any:
            """A static method."""
            return 2, a

        @guard
        @classmethod
        async def outside_aclass(cls, a: int) -> Any:
            return cls.factor, a

        @staticmethod
        @guard
        async def inside_astatic(a: int) -> Any:
            return 2, a

        @property
        @guard
        def read(self) -> int:
            return self.factor

    class Admins(Users):
        factor = 2

    return Admins


@pytest.mark.parametrize("shell", SHELLS)
def test_methods_are_bound_as_ever(clock: FakeClock, registry: Registry, shell: str) -> None:
    """
    Guarded methods, class methods and static methods, in either order, are bound as they were.

    They get the object, the class they were called on, or nothing, from the class and from an
    object.
    """
    admins = methods_of(make(shell, registry))
    one = admins()
    assert one.method(3) == admins.method(one, 3) == (2, 3)
    assert next(one.stream(3)) == (2, 3)
    for name in ("outside_class", "inside_class", "outside_static", "inside_static"):
        assert getattr(admins, name)(3) == getattr(one, name)(a=3) == (2, 3)
        assert getattr(admins, name).__doc__.startswith("A ")
        assert str(inspect.signature(getattr(admins, name))) == "(a: 'int') -> 'Any'"
    assert str(inspect.signature(one.method)) == "(a: 'int') -> 'Any'"
    assert one.read == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_async_methods_are_bound_as_ever(
    task: AsyncRuntime, registry: Registry, shell: str
) -> None:
    """
    So are those of the other colour, and they stay coroutine functions.
    """
    admins = methods_of(make(shell, registry))
    one = admins()
    for fn in (one.amethod, admins.outside_aclass, one.inside_astatic):
        assert inspect.iscoroutinefunction(fn)
        assert task.call(fn, 3) == (2, 3)
    assert task.call(lambda: alast(one.astream(3))) == (2, 3)


def test_a_command_is_carried_by_methods(clock: FakeClock, registry: Registry) -> None:
    """
    `.command` is there on bound and unbound methods of every kind.
    """
    cmd = Command("db", registry=registry)
    admins = methods_of(cmd)
    for name in ("method", "outside_class", "inside_class", "outside_static", "inside_static"):
        assert getattr(admins, name).command is cmd
        assert getattr(admins(), name).command is cmd


@pytest.mark.parametrize("shell", SHELLS)
def test_an_abstract_method_stays_abstract(
    clock: FakeClock, registry: Registry, shell: str
) -> None:
    """
    What a function carries in its `__dict__` is kept: a guarded abstract method is one.
    """
    guard = make(shell, registry)

    class Base(ABC):
        @guard
        @abstractmethod
        def load(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Base()


# -- what cannot be guarded


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "thing",
    [
        Adder,
        type("Meta", (type,), {}),
        property(lambda self: 1),
        functools.cached_property(lambda self: 1),
        functools.partialmethod(plain),
        None,
        3,
        "load",
        object(),
        coroutine.__code__,
        classmethod(property(lambda self: 1)),
        staticmethod(3),
    ],
    ids=repr,
)
def test_what_cannot_be_guarded_is_refused_at_decoration(
    clock: FakeClock, registry: Registry, shell: str, thing: Any
) -> None:
    """
    A class, a property or something that cannot be called is a `TypeError` at once.

    It leaves nothing behind.
    """
    guard = make(shell, registry)
    with pytest.raises(TypeError, match="cannot guard"):
        guard(thing)


def test_a_value_with_a_broken_repr_is_refused_in_words(
    clock: FakeClock, registry: Registry
) -> None:
    """
    The error is the library's, whatever the `repr` of the thing does.
    """

    class Broken:
        def __repr__(self) -> str:
            raise ValueError("no repr")

    with pytest.raises(TypeError, match="a Broken"):
        command("db", registry=registry)(Broken())


# -- failures, fallbacks and deadlines of each kind


def failing(error: type[Exception]) -> dict[str, Any]:
    """Sync functions of each kind that raise."""

    def fails(a: int) -> Any:
        raise error(a)

    def fails_in_time(a: int) -> Iterator[Any]:
        raise error(a)
        yield

    class Failing:
        def __call__(self, a: int) -> Any:
            raise error(a)

        def method(self, a: int) -> Any:
            raise error(a)

    return {
        "def": fails,
        "generator": fails_in_time,
        "partial": functools.partial(fails),
        "callable object": Failing(),
        "bound method": Failing().method,
        "lambda": lambda a: fails(a),  # noqa: PLW0108 - what a lambda returns is the subject
    }


def afailing(error: type[Exception]) -> dict[str, Any]:
    """Async functions of each kind that raise."""

    async def fails(a: int) -> Any:
        raise error(a)

    async def stream(a: int) -> AsyncIterator[Any]:
        raise error(a)
        yield

    class Failing:
        async def __call__(self, a: int) -> Any:
            raise error(a)

    return {
        "async def": fails,
        "async generator": stream,
        "partial": functools.partial(fails),
        "callable object": Failing(),
        "lambda": lambda a: fails(a),  # noqa: PLW0108 - what a lambda returns is the subject
        "partial of lambda": functools.partial(lambda a: fails(a)),  # noqa: PLW0108 - as above
    }


@pytest.mark.parametrize("shell", ["command", "fallback"])
@pytest.mark.parametrize("kind", failing(OSError))
def test_a_fallback_answers_for_every_kind(
    clock: FakeClock, registry: Registry, shell: str, kind: str
) -> None:
    """
    Each kind of sync function that fails is answered for; a generator by another stream.
    """
    handler = streams if kind == "generator" else answer
    guard = (
        command("db", fallback=handler, registry=registry)
        if shell == "command"
        else fallback(handler)
    )
    assert last(guard(failing(OSError)[kind])(1)) == "instead"


@pytest.mark.parametrize("shell", ["command", "fallback"])
@pytest.mark.parametrize("kind", afailing(OSError))
def test_a_fallback_answers_for_every_async_kind(
    task: AsyncRuntime, registry: Registry, shell: str, kind: str
) -> None:
    """
    Each kind of async function that fails is answered for.

    Those too that nobody can tell are async before they were called.
    """
    handler = streams if kind == "async generator" else answer
    guard = (
        command("db", fallback=handler, registry=registry)
        if shell == "command"
        else fallback(handler)
    )
    guarded = guard(afailing(OSError)[kind])
    assert task.call(lambda: alast(guarded(1))) == "instead"


@pytest.mark.parametrize("shell", ["command", "deadline"])
@pytest.mark.parametrize("kind", ["async def", "async generator", "callable object", "lambda"])
def test_a_deadline_cuts_off_every_async_kind(
    task: AsyncRuntime, registry: Registry, shell: str, kind: str
) -> None:
    """
    Each kind of async function that takes too long is cut off in time.

    Those too that nobody can tell are async before they were called.
    """

    async def slow(a: int) -> None:
        await task.sleep(100)

    async def slow_items(a: int) -> AsyncIterator[None]:
        await task.sleep(100)
        yield

    class Slow:
        async def __call__(self, a: int) -> None:
            await task.sleep(100)

    fn: Any = {
        "async def": slow,
        "async generator": slow_items,
        "callable object": Slow(),
        "lambda": lambda a: slow(a),  # noqa: PLW0108 - as above
    }[kind]
    guard: Any = (
        command("db", timeout=1, isolation="semaphore", registry=registry)
        if shell == "command"
        else deadline(1, clock=task.clock)
    )
    before = task.clock()
    guarded = guard(fn)
    assert isinstance(task.raised(lambda: alast(guarded(1))), TimeoutError)
    assert 1 <= (task.clock() - before) / 1e9 < 1.1


# -- called by a command


@pytest.mark.parametrize(
    "fn", [coroutine, async_items, AsyncAdder()], ids=["coroutine", "generator", "object"]
)
def test_what_is_async_is_not_called_by_the_sync_form(
    clock: FakeClock, registry: Registry, fn: Any
) -> None:
    """
    `call` refuses it, in words that name the other form, and no call is counted.
    """
    cmd = Command("db", registry=registry)
    with pytest.raises(TypeError, match=r"await acall\(…\) instead of call"):
        cmd.call(fn, 1)
    assert sum(cmd.snapshot().totals.values()) == 0


@pytest.mark.parametrize(
    "fn",
    [coroutine, functools.partial(coroutine), AsyncAdder(), lambda a, b=2: coroutine(a, b)],
    ids=["coroutine", "partial", "object", "lambda"],
)
def test_what_can_be_awaited_is_called_by_the_async_form(
    task: AsyncRuntime, registry: Registry, fn: Any
) -> None:
    """
    `acall` awaits a coroutine function, and whatever else returns an awaitable, as this command.
    """
    cmd = Command("db", registry=registry, volume_threshold=3)
    assert task.call(cmd.acall, fn, 1, b=4) == 5
    assert isinstance(task.raised(cmd.acall, fn, "one"), TypeError)
    totals = cmd.snapshot().totals
    assert (totals[Outcome.SUCCESS], totals[Outcome.FAILURE]) == (1, 1)


# -- stacks

ORDERS = list(itertools.permutations(["breaker", "bulkhead", "deadline", "fallback"]))


def stacked(order: tuple[str, ...], registry: Registry, kind: str, fn: Any) -> Any:
    """Put the guards around a function, outermost first."""
    handler = streams if "generator" in kind else answer
    for shell in reversed(order):
        fn = make(shell, registry, handler)(fn)
    return fn


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("kind", ["def", "generator", "callable object"])
def test_sync_guards_stack_in_any_order(
    clock: FakeClock, registry: Registry, order: tuple[str, ...], kind: str
) -> None:
    """
    In whichever order they stand, the call is made once, and its error is answered for.
    """
    fn: Any = SYNC[kind]
    guarded = stacked(order, registry, kind, fn)
    assert last(guarded(1)) == 3
    assert counted(registry) == 2  # the breaker and the bulkhead share the name
    assert inspect.unwrap(guarded) is fn
    assert inspect.signature(guarded) == inspect.signature(fn)
    failed = stacked(order, registry, kind, failing(OSError)[kind])
    assert last(failed(1)) == "instead"


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("kind", ["async def", "async generator", "lambda"])
def test_async_guards_stack_in_any_order(
    task: AsyncRuntime, registry: Registry, order: tuple[str, ...], kind: str
) -> None:
    """
    So do those of coroutine functions, async generators, and what returns an awaitable.
    """
    fn: Any = ASYNC[kind]
    guarded = stacked(order, registry, kind, fn)
    assert task.call(lambda: alast(guarded(1))) == 3
    assert counted(registry) == 2
    assert inspect.unwrap(guarded) is fn
    for predicate in PREDICATES:
        assert predicate(guarded) == predicate(fn)
    failed = stacked(order, registry, kind, afailing(OSError)[kind])
    assert task.call(lambda: alast(failed(1))) == "instead"
