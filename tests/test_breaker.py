from __future__ import annotations

import tracemalloc
from contextvars import Context
from functools import partial
from typing import Any

import pytest

from resilience import (
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    Registry,
    State,
)
from tests.support.runtime import NANOS, FakeClock, Runtime
from tests.support.scene import play


@pytest.fixture
def breaker(registry: Registry) -> CircuitBreaker:
    """A breaker that opens at half of four calls."""
    return CircuitBreaker("db", registry=registry, volume_threshold=4, sleep_window=5)


def test_opens_in_the_very_call_that_reaches_the_threshold(
    run: Runtime, breaker: CircuitBreaker
) -> None:
    """
    Two failures of four calls are 50 %: the fourth call opens the circuit.
    """
    fn = run.body()
    guarded = breaker(fn)
    run.call(guarded)
    run.call(guarded)
    fn.body.raises = ConnectionError
    assert isinstance(run.raised(guarded), ConnectionError)
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().latency == {}
    assert isinstance(run.raised(guarded), ConnectionError)
    assert breaker.state is State.OPEN
    error = run.raised(guarded)
    assert isinstance(error, CircuitOpenError)
    assert error.retry_after == 5
    assert fn.body.calls == 4


def test_a_trial_closes(run: Runtime, breaker: CircuitBreaker) -> None:
    """
    After the sleep window one call is let through, and its success closes.
    """
    fn = run.body(raises=ConnectionError)
    guarded = breaker(fn)
    for _ in range(4):
        run.raised(guarded)
    run.advance(5)
    fn.body.raises = None
    assert breaker.state is State.OPEN
    run.call(guarded)
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().window.calls == 0


def test_what_does_nothing_for_a_breaker_alone_is_refused(clock: FakeClock) -> None:
    """
    It has no slots, nobody waits for it, and it answers nothing: all such faults are told at once.
    """
    fields: Any = {
        "max_concurrency": 3,
        "max_waiting": 2,
        "max_wait": 1.0,
        "fallback_max_concurrency": 1,
    }
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreaker(registry=Registry(clock=clock), **fields)
    assert [fault.split()[0] for fault in caught.value.faults] == sorted(fields)
    assert "does nothing for a breaker alone" in str(caught.value)


@pytest.mark.parametrize("kind", [CircuitBreaker, partial(Command, "db")])
def test_what_says_which_errors_count_is_checked(clock: FakeClock, kind: Any) -> None:
    """
    `handle` and `ignore` are exception classes or predicates, `is_failure` is a predicate.

    The faults of all three are told at once.
    """
    with pytest.raises(ConfigurationError) as caught:
        kind(registry=Registry(clock=clock), handle=int, ignore=(KeyError, 3), is_failure=True)
    assert caught.value.faults == (
        "handle must be an exception class, a tuple of them or a predicate, not <class 'int'>",
        f"ignore must be an exception class, a tuple of them or a predicate, not {(KeyError, 3)!r}",
        "is_failure must be a predicate or None, not True",
    )


@pytest.mark.promise("B7")
def test_successes_of_many_buckets_are_all_counted(run: Runtime, registry: Registry) -> None:
    """
    Whoever counts them: the list that is full, the first call of the next bucket, or who looks.
    """
    breaker = CircuitBreaker("db", registry=registry, rolling_window=10, buckets=10)
    guarded = breaker(run.body())
    for number in range(100):
        run.call(guarded)
        if number % 20 == 19:  # 16 at once, 4 by the first call of the next bucket
            run.advance(1)
    assert breaker.snapshot().totals["success"] == breaker.snapshot().window.calls == 100


@pytest.mark.promise("B2")
@pytest.mark.parametrize("kind", [CircuitBreaker, Command])
def test_a_success_at_the_edge_of_a_bucket_is_in_the_new_one(
    run: Runtime, registry: Registry, kind: Any
) -> None:
    """
    It is in the window for as long as one a nanosecond later, however it is written down.
    """
    guard = kind("db", registry=registry, rolling_window=3, buckets=3)
    guarded = guard(run.body())
    run.call(guarded)
    for _ in range(3):
        run.advance(1)
        run.call(guarded)
        assert run.clock() % NANOS == 0
    run.advance(2)
    assert guard.snapshot().window.calls == 1


def test_a_success_is_counted_in_the_bucket_it_ends_in(run: Runtime, registry: Registry) -> None:
    """
    The one that ends with the first bucket belongs to the second, and leaves the window with it.
    """
    breaker = CircuitBreaker("db", registry=registry, rolling_window=10, buckets=10)
    guarded = breaker(run.body(takes=0.5))
    run.call(guarded)
    run.call(guarded)
    run.advance(9)
    assert breaker.snapshot().window.calls == 1
    run.advance(1)
    assert breaker.snapshot().window.calls == 0


def test_a_success_that_began_before_the_circuit_opened_is_stale(
    run: Runtime, registry: Registry
) -> None:
    """
    It is counted at once, and says nothing of the circuit that is open by now.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)

    def outlives_the_circuit() -> None:
        Context().run(breaker.acquire).fail()
        assert breaker.state is State.OPEN

    run.call(breaker(run.coloured(outlives_the_circuit)))
    snapshot = breaker.snapshot()
    assert (snapshot.stale, snapshot.totals["success"], snapshot.window.calls) == (1, 1, 1)


def test_successes_are_not_kept_until_somebody_looks(run: Runtime, registry: Registry) -> None:
    """
    Thousands within one bucket, and no snapshot: they are counted on the way.
    """
    guarded = CircuitBreaker("db", registry=registry)(run.body())

    async def calls(count: int) -> None:
        for _ in range(count):
            result = guarded()
            if run.is_async:
                await result

    async def grown() -> int:
        await calls(100)
        before = tracemalloc.get_traced_memory()[0]
        await calls(2000)
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        assert play(run, grown) < 5_000
    finally:
        tracemalloc.stop()
