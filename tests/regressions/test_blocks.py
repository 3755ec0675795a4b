"""Defect 23: `with breaker:` may be left elsewhere than it was entered."""

from __future__ import annotations

import logging
import threading
from contextvars import Context, copy_context
from typing import Any

import anyio
import pytest

from resilience import Bulkhead, CircuitBreaker, Command, Outcome, Registry, State
from tests.support.runtime import AsyncRuntime, FakeClock

FIELDS = {"volume_threshold": 4, "error_percent": 25}
KINDS = {
    "breaker": lambda registry: CircuitBreaker("db", registry=registry, **FIELDS),
    "bulkhead": lambda registry: Bulkhead(5, name="db", registry=registry),
    "command": lambda registry: Command("db", registry=registry, **FIELDS),
}

any_kind = pytest.mark.parametrize("kind", list(KINDS))


@any_kind
def test_a_block_is_left_in_another_context_than_it_was_entered_in(
    registry: Registry, clock: FakeClock, kind: str
) -> None:
    """
    Frameworks run set-up and tear-down of a request-scoped dependency in contexts of their own.

    The block is found again, and judged.

    Defect 23, seen in interlock: it raised IndexError.
    """
    guard = KINDS[kind](registry)
    for n in (1, 2, 3):
        Context().run(guard.__enter__)
        Context().run(guard.__exit__, None, None, None)
        assert guard.snapshot().totals[Outcome.SUCCESS] == n
        assert guard.snapshot().in_flight == 0
    error = ConnectionError("refused")
    Context().run(guard.__enter__)
    Context().run(guard.__exit__, type(error), error, None)
    assert guard.snapshot().totals[Outcome.FAILURE] == 1
    assert guard.snapshot().state is (State.CLOSED if kind == "bulkhead" else State.OPEN)


@any_kind
def test_a_block_is_left_on_another_thread_than_it_was_entered_on(
    registry: Registry, clock: FakeClock, kind: str
) -> None:
    """
    Set-up on one pool thread, tear-down on another.

    Defect 23.
    """
    guard = KINDS[kind](registry)
    for step in (guard.__enter__, lambda: guard.__exit__(None, None, None)):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join(5)
    assert guard.snapshot().totals[Outcome.SUCCESS] == 1
    assert guard.snapshot().in_flight == 0


@pytest.mark.promise("C1", "D2")
@any_kind
def test_blocks_that_cannot_be_told_apart_are_given_back(
    registry: Registry, clock: FakeClock, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Of three blocks open at once, each left where it was not entered, nobody can say which is which.

    None raises, none is judged wrongly, and nothing stays taken.

    Defect 23.
    """
    guard = KINDS[kind](registry)
    error = ConnectionError("refused")
    with caplog.at_level(logging.ERROR, logger="resilience"):
        for _ in range(3):
            Context().run(guard.__enter__)
        for _ in range(3):
            Context().run(guard.__exit__, type(error), error, None)
    totals = guard.snapshot().totals
    assert sum(totals.values()) == 3
    assert totals[Outcome.CANCELLED] >= 2
    assert totals[Outcome.SUCCESS] == 0
    assert guard.snapshot().in_flight == 0


@any_kind
def test_nested_blocks_of_one_object_are_left_in_order(
    registry: Registry, clock: FakeClock, kind: str
) -> None:
    """
    Blocks of one object within one another each end as themselves.

    Even in contexts that were copied from one another.

    Defect 23.
    """
    guard = KINDS[kind](registry)

    def inner() -> None:
        with pytest.raises(BaseException, match="stop"), guard:
            raise KeyboardInterrupt("stop")

    with guard:
        copy_context().run(inner)
        with guard:
            assert guard.snapshot().totals[Outcome.CANCELLED] == 1
    assert guard.snapshot().totals[Outcome.SUCCESS] == 2
    assert guard.snapshot().in_flight == 0


@pytest.mark.promise("C1")
@any_kind
def test_a_permit_is_left_anywhere(task: AsyncRuntime, registry: Registry, kind: str) -> None:
    """
    `with guard.acquire():` keeps its admission in the permit.

    Entered in one task and left in another, many at once, each is judged by its own end.

    Defect 23.
    """
    guard = KINDS[kind](registry)
    permits: list[Any] = []

    async def enter() -> None:
        permits.append((await guard.aacquire()).__enter__())

    async def leave(error: BaseException | None) -> None:
        permits.pop(0).__exit__(type(error), error, None)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(enter)
        async with anyio.create_task_group() as group:
            group.start_soon(leave, None)
            group.start_soon(leave, KeyboardInterrupt())
            group.start_soon(leave, None)

    task.call(main)
    totals = guard.snapshot().totals
    assert (totals[Outcome.SUCCESS], totals[Outcome.CANCELLED]) == (2, 1)
    assert guard.snapshot().in_flight == 0
