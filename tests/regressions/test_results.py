"""Found in review: `is_failure` judges results, and blocks and streams have none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from resilience import CircuitBreaker, Command, Outcome, Registry, State
from tests.support.runtime import Runtime
from tests.support.scene import coloured_stream, items_of, play


@pytest.fixture(params=[CircuitBreaker, Command])
def guard(request: pytest.FixtureRequest, registry: Registry) -> Any:
    """A circuit that one failure opens, and that must not ask its `is_failure`."""
    asked = []

    def is_failure(result: Any) -> bool:
        asked.append(result)
        return True

    guard = request.param("db", registry=registry, volume_threshold=1, is_failure=is_failure)
    yield guard
    assert asked == []
    assert guard.state is State.CLOSED


def test_a_block_has_no_result_to_judge(run: Runtime, guard: Any) -> None:
    """
    A block that ends is a success; `is_failure` is not asked about a `None` that nobody returned.
    """

    async def scenario() -> None:
        for _ in range(3):
            with guard:
                pass
            if run.is_async:
                async with guard:
                    pass

    play(run, scenario)
    assert guard.snapshot().totals[Outcome.SUCCESS] == (6 if run.is_async else 3)


def test_a_stream_has_no_result_to_judge(run: Runtime, guard: Any) -> None:
    """
    A stream that ends is a success; `is_failure` is asked neither about it nor about its items.
    """

    async def gives() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def scenario() -> None:
        for _ in range(3):
            assert await items_of(run, guarded()) == [1, 2]

    guarded = guard(coloured_stream(run, gives))
    play(run, scenario)
    assert guard.snapshot().totals[Outcome.SUCCESS] == 3
