"""Defect 18: a listener that raises changes nothing."""

from __future__ import annotations

import logging

import pytest

from resilience import CircuitBreaker, Command, Registry, State, StateChanged
from tests.support.runtime import Runtime

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


def broken(event: object) -> None:
    """Listen badly."""
    raise RuntimeError(event)


@pytest.mark.promise("H4")
@any_guard
def test_a_listener_that_raises_keeps_no_circuit_from_moving(
    run: Runtime, registry: Registry, kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The call that opens the circuit raises its own error, the one that closes it gives its result.

    Other listeners hear of both, and the log says what went wrong.

    Defect 18, seen in pybreaker and aiobreaker, where the circuit stayed closed, and in purgatory,
    where the listener's error took the place of the result.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5)
    heard: list[object] = []

    def own(event: object) -> None:  # a listener of this test's own: its log line is its first
        broken(event)

    registry.subscribe(own)
    registry.subscribe(heard.append)
    fn = run.body(returns="answer", raises=ConnectionError)
    guarded = guard(fn)
    with caplog.at_level(logging.WARNING, logger="resilience"):
        assert isinstance(run.raised(guarded), ConnectionError)
        assert guard.state is State.OPEN
        run.advance(5)
        fn.body.raises = None
        assert run.call(guarded) == "answer"
    assert guard.state is State.CLOSED
    moves = [event.new for event in heard if isinstance(event, StateChanged)]
    assert moves == [State.OPEN, State.HALF_OPEN, State.CLOSED]


@pytest.mark.promise("H4")
def test_a_listener_that_raises_replaces_no_refusal_and_no_fallback(
    run: Runtime, registry: Registry
) -> None:
    """
    Refusals, timeouts and fallbacks are told as well, and what the caller gets is as it would be.

    Defect 18.
    """
    registry.subscribe(broken)
    guard = Command("db", registry=registry, fallback=run.coloured(lambda error: "instead"))
    guard.force_open()
    assert run.call(guard(run.body())) == "instead"
    refused = Command("db", registry=registry)
    assert type(run.raised(refused(run.body()))).__name__ == "CircuitOpenError"


@pytest.mark.promise("H4")
def test_an_interrupt_in_a_listener_finds_the_circuit_moved(
    registry: Registry, clock: object
) -> None:
    """
    What is no `Exception` passes through a listener, after the state is what it should be.

    Later events are told as before.

    Defect 18.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)
    heard = []

    def interrupted(event: StateChanged) -> None:
        heard.append(event.new)
        if event.new is State.OPEN:
            raise KeyboardInterrupt

    registry.subscribe(interrupted)
    with pytest.raises(KeyboardInterrupt):
        breaker.acquire().fail()
    assert breaker.state is State.OPEN
    breaker.reset()
    assert heard == [State.OPEN, State.CLOSED]
