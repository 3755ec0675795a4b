from __future__ import annotations

import pytest

from resilience import CircuitBreaker, CircuitOpenError, Registry, State
from tests.support.runtime import Runtime


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
