"""
One command and what becomes of its calls, written once for every colour.

A scenario is a coroutine function. asyncio and trio run it; in sync code `drive` does, and none of
its awaits ever waits: `scene.spend`, `scene.step` and the like do there what sync code would do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, NamedTuple

import trio

from resilience import (
    Command,
    Outcome,
    Permit,
    Registry,
    Snapshot,
    State,
    current_deadline,
    deadline,
)
from tests.support.runtime import Runtime

END = object()
"""What `Scene.step` gives when a stream is over."""

SLEEP_WINDOW = 5.0
THRESHOLD = 4


class Ended(NamedTuple):
    """How a call ended for its caller."""

    value: Any = None
    error: BaseException | None = None


class Answer:
    """A fallback that answers, and the errors it was asked with."""

    def __init__(self, value: Any = "instead") -> None:
        self.value = value
        self.errors: list[BaseException] = []

    def __call__(self, error: BaseException, *args: Any, **kwargs: Any) -> Any:
        self.errors.append(error)
        return self.value


class Effect(NamedTuple):
    """What a call changed."""

    outcomes: dict[str, int]
    window: tuple[int, int]
    trials: dict[str, int]
    fallbacks: dict[str, int]
    shadowed: dict[str, int]
    slow: int
    stale: int


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("sync code has nobody to wait for")


async def ended(call: Callable[[], Awaitable[Any]]) -> Ended:
    """Await a call and tell how it ended, whatever it raised."""
    try:
        return Ended(value=await call())
    except BaseException as error:
        return Ended(error=error)


def play(run: Runtime, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Play a scenario in a runtime."""
    return run.call(scenario) if run.is_async else drive(scenario())


def coloured(run: Runtime, does: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Make a coroutine function a function of the runtime's colour."""
    if run.is_async:
        return does

    def fn(*args: Any, **kwargs: Any) -> Any:
        return drive(does(*args, **kwargs))

    return fn


def coloured_stream(run: Runtime, gives: Callable[..., AsyncGenerator[Any, Any]]) -> Any:
    """Make an async generator function a generator function of the runtime's colour."""
    if run.is_async:
        return gives

    def generator(*args: Any, **kwargs: Any) -> Any:
        source = gives(*args, **kwargs)
        step, sent = source.asend, None
        while True:
            try:
                item = drive(step(sent))
            except StopAsyncIteration:
                return
            try:
                step, sent = source.asend, (yield item)
            except GeneratorExit:
                drive(source.aclose())
                raise
            except BaseException as thrown:
                step, sent = source.athrow, thrown

    return generator


async def step(run: Runtime, stream: Any, sent: Any = None) -> Any:
    """Return the next item of a stream, or `END`."""
    try:
        return await stream.asend(sent) if run.is_async else stream.send(sent)
    except (StopIteration, StopAsyncIteration):
        return END


async def throw(run: Runtime, stream: Any, error: BaseException) -> Any:
    """Throw an error into a stream."""
    return await stream.athrow(error) if run.is_async else stream.throw(error)


async def close(run: Runtime, stream: Any) -> None:
    """Close a stream, as a consumer does that has had enough."""
    if run.is_async:
        await stream.aclose()
    else:
        stream.close()


async def items_of(run: Runtime, stream: Any) -> list[Any]:
    """Read a stream to its end."""
    items = []
    while (item := await step(run, stream)) is not END:
        items.append(item)
    return items


async def spend(run: Runtime, seconds: float) -> None:
    """Take time: a task sleeps, sync code works on and asks its deadline now and then."""
    if run.is_async:
        await run.sleep(seconds)
        return
    scope = current_deadline()
    if scope is None:
        run.advance(seconds)
    else:
        run.advance(min(seconds, scope.remaining))
        scope.check()


class Scene:
    """One command in one runtime."""

    def __init__(self, run: Runtime, registry: Registry, **options: Any) -> None:
        self.run = run
        self.registry = registry
        self.runs = 0
        self.gave: Any = None
        self.thrown: BaseException | None = None
        self.calls = 0
        options = {
            "volume_threshold": THRESHOLD,
            "sleep_window": SLEEP_WINDOW,
            "timeout": None,
            "isolation": "semaphore",
        } | options
        self.command: Command = registry.command("db", **options)

    # -- what is guarded

    def guard(self, does: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[Any]]:
        """
        Guard what `does`, in the runtime's colour; returns a coroutine function that calls it.

        What it did is kept in `gave` and `thrown`.
        """

        async def recorded(*args: Any, **kwargs: Any) -> Any:
            self.runs += 1
            try:
                self.gave = await does(*args, **kwargs)
            except BaseException as error:
                self.thrown = error
                raise
            return self.gave

        guarded = self.command(coloured(self.run, recorded))

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            result = guarded(*args, **kwargs)
            return await result if self.run.is_async else result

        return call

    async def spend(self, seconds: float) -> None:
        """Take time: what can be cut off is."""
        await spend(self.run, seconds)

    def block(self, seconds: float) -> None:
        """Take time without being cut off, or asking."""
        self.run.advance(seconds)

    def within(self, seconds: float) -> deadline:
        """Return a deadline of the caller's."""
        return deadline(seconds, clock=self.run.clock)

    # -- where the circuit stands

    def trip(self) -> None:
        """Open the circuit by failures of others; they count as calls."""
        for _ in range(THRESHOLD):
            self.hold().fail()
        assert self.command.state is not State.CLOSED

    def await_trial(self) -> None:
        """Open the circuit and let its sleep window pass: the next call is a trial."""
        self.trip()
        self.run.advance(SLEEP_WINDOW)
        assert self.command.state is State.OPEN

    def succeed(self) -> None:
        """Let a call of somebody else succeed."""
        self.hold().succeed()

    def hold(self) -> Permit:
        """Be admitted as a call of somebody else, that runs until it is settled."""
        self.calls += 1
        return Context().run(self.command.acquire)

    # -- what became of it

    def play(self, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Play a scenario, and check what holds after every one."""
        result = play(self.run, scenario)
        self.check()
        return result

    def play_open(self, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Play a scenario while calls of others go on."""
        return play(self.run, scenario)

    def check(self) -> None:
        """Check what holds whenever nothing runs: one outcome for each call, no slot held."""
        now = self.snapshot
        assert sum(now.totals.values()) == self.calls
        assert now.in_flight == now.waiting == now.abandoned == 0

    @property
    def snapshot(self) -> Snapshot:
        """How it stands now."""
        return self.command.snapshot()

    def total(self, outcome: Outcome | str) -> int:
        """How many calls had this outcome."""
        return self.snapshot.totals[Outcome(outcome)]

    def since(self, before: Snapshot) -> Effect:
        """Tell what has changed since a snapshot."""
        now = self.snapshot
        return Effect(
            _more(before.totals, now.totals),
            (
                now.window.calls - before.window.calls,
                now.window.failures - before.window.failures,
            ),
            _more(before.trials, now.trials),
            _more(before.fallbacks, now.fallbacks),
            _more(before.shadowed, now.shadowed),
            now.slow - before.slow,
            now.stale - before.stale,
        )


def _more(before: Any, now: Any) -> dict[str, int]:
    return {str(key): now[key] - before[key] for key in now if now[key] != before[key]}


async def cancelled_after(
    run: Runtime, seconds: float, call: Callable[[], Awaitable[Any]]
) -> Ended:
    """Cancel the caller of a call from outside after a while, and tell how the call ended."""
    if run.name == "asyncio":
        task = asyncio.ensure_future(ended(call))
        await asyncio.sleep(seconds)
        assert task.cancel()
        return await task
    result = Ended()

    async def caller() -> None:
        nonlocal result
        result = await ended(call)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return result


NOTHING = (0, 0)
SUCCESS = (1, 0)
ERROR = (1, 1)
