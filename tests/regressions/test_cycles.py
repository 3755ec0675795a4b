"""Found in review: calls leave no reference cycles, and contexts no chains of scopes."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from resilience import CircuitBreaker, CircuitOpenError, Command, Outcome, Registry, fallback
from resilience._chain import current
from tests.support.runtime import AsyncRuntime, Runtime
from tests.support.scene import play
from tests.support.threads import PATIENCE

GENERATIONS = 200
KINDS = {
    "breaker": lambda registry: CircuitBreaker("db", registry=registry),
    "command": lambda registry: Command("db", registry=registry),
    "timeout": lambda registry: Command(
        "db", registry=registry, timeout=5.0, isolation="semaphore"
    ),
}


class Argument:
    """Something large."""


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Nothing is freed but what nobody refers to."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def freed(run: Runtime, guarded: Callable[..., Any], *kinds: type[Exception]) -> list[bool]:
    """Call with an argument, three times; say whether each was freed as its call ended."""

    async def scenario() -> list[bool]:
        gone = []
        for _ in range(3):
            argument = Argument()
            ref = weakref.ref(argument)
            try:
                result = guarded(argument)
                if inspect.isawaitable(result):
                    await result
            except kinds:
                failed = True
            else:
                failed = False
            assert failed == bool(kinds)
            result = argument = None
            gone.append(ref() is None)
        return gone

    return play(run, scenario)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_failing_call_frees_its_arguments(run: Runtime, registry: Registry, kind: str) -> None:
    """
    With the exception of a failing call goes all that it held, without the collector.
    """
    guarded = KINDS[kind](registry)(run.body(raises=ConnectionError))
    assert all(freed(run, guarded, ConnectionError))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_refused_call_frees_its_arguments(run: Runtime, registry: Registry, kind: str) -> None:
    """
    With the refusal of an open circuit goes all that it held, without the collector.
    """
    guard = KINDS[kind](registry)
    guard.force_open()
    assert all(freed(run, guard(run.body()), CircuitOpenError))


@pytest.mark.parametrize("refused", [False, True])
def test_a_call_that_a_fallback_answers_frees_its_arguments(
    run: Runtime, registry: Registry, refused: bool
) -> None:
    """
    The failure or refusal that a command's fallback answers goes when the call has its answer.
    """
    answer = run.coloured(lambda error, argument: 1)
    command = Command("db", registry=registry, fallback=answer)
    if refused:
        command.force_open()
    assert all(freed(run, command(run.body(raises=ConnectionError))))


def test_a_fallback_that_fails_in_turn_frees_the_arguments(run: Runtime) -> None:
    """
    What the first handler raised goes when the second has answered.
    """

    def first(error: Exception, argument: Argument) -> None:
        raise KeyError

    second = run.coloured(lambda error, argument: 1)
    guarded = fallback(run.coloured(first), second)(run.body(raises=ConnectionError))
    assert all(freed(run, guarded))


@pytest.mark.parametrize("color", ["call", "acall"])
def test_a_call_on_a_worker_thread_frees_its_arguments(color: str) -> None:
    """
    The worker lets go of the failing call it made as well, though perhaps a moment later.
    """
    command = Command("db", registry=Registry(), timeout=PATIENCE, isolation="thread")
    freed = [threading.Event() for _ in range(3)]

    def fail(argument: Argument) -> None:
        raise ConnectionError

    async def scenario() -> None:
        for event in freed:
            argument = Argument()
            weakref.finalize(argument, event.set)
            try:
                result = getattr(command, color)(fail, argument)
                if color == "acall":
                    await result
            except ConnectionError:
                pass
            result = argument = None

    anyio.run(scenario)
    assert all(event.wait(PATIENCE) for event in freed)
    assert command.snapshot().totals[Outcome.FAILURE] == 3


# -- chains


def test_tasks_that_start_one_another_chain_no_scopes(task: AsyncRuntime) -> None:
    """
    A task begins in its starter's context; the scopes that ended since do not pile up behind it.
    """
    command = Command("poll", registry=Registry(clock=task.clock), timeout=5.0)
    lengths = []

    async def scenario() -> None:
        async with anyio.create_task_group() as group:

            @command
            async def step(left: int) -> None:
                length, scope = 0, current.get()
                while scope is not None:
                    length, scope = length + 1, scope.outer
                lengths.append(length)
                if left:
                    group.start_soon(step, left - 1)

            await step(GENERATIONS - 1)

    task.call(scenario)
    assert len(lengths) == GENERATIONS
    assert 1 <= max(lengths) <= 3
