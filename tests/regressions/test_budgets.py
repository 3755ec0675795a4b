"""Found in review: what goes by a caller's deadline without being cut off by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resilience import Command, Outcome, Registry, deadline, remaining
from tests.support.runtime import Runtime
from tests.support.scene import coloured_stream, play, step


class ReadTimeoutError(Exception):
    """What a client raises when its own timeout is over."""


def client(run: Runtime, budget: float) -> Callable[[], Any]:
    """Make a call whose client gives up when its caller's time is over."""

    def call() -> None:
        run.advance(budget)
        raise ReadTimeoutError

    return run.coloured(call)


@pytest.mark.promise("E9")
@pytest.mark.parametrize(
    ("budget", "outcome", "errors"),
    [(0.05, Outcome.EXPIRED, 0), (5.0, Outcome.TIMEOUT, 1)],
    ids=["hurried", "fair"],
)
def test_a_client_that_gives_up_with_its_caller_is_judged_by_fair_share(
    run: Runtime, registry: Registry, budget: float, outcome: Outcome, errors: int
) -> None:
    """
    Sync code is cut off by the timeout that its client was given: what the caller had left.

    It is judged as if the deadline itself had cut it off. It was counted as a failure.
    """
    answered: list[BaseException] = []
    command = Command("db", registry=registry, timeout=8.0, fallback=answered.append)
    guarded = command(client(run, budget))

    async def body() -> None:
        with deadline(budget, clock=run.clock):
            await guarded() if run.is_async else guarded()

    with pytest.raises(ReadTimeoutError):
        play(run, body)
    after = command.snapshot()
    assert (after.totals[outcome], after.window.calls, after.window.failures) == (1, errors, errors)
    assert not answered


@pytest.mark.promise("E1", "E2")
def test_a_stream_s_budget_never_lengthens_that_of_a_later_consumer(run: Runtime) -> None:
    """
    Each step is inside of the deadlines of whoever asks for it, and ends with the stream's own.

    The first step's were kept for all others.
    """

    async def produce() -> Any:
        while True:
            yield remaining()

    async def body() -> list[float]:
        stream = deadline(50, clock=run.clock)(coloured_stream(run, produce))()
        seen = []
        for budget in (100, 2, 100):
            with deadline(budget, clock=run.clock):
                seen.append(await step(run, stream))
            run.advance(10)
        if run.is_async:
            await stream.aclose()
        else:
            stream.close()
        return seen

    assert play(run, body) == [50, 2, 30]
