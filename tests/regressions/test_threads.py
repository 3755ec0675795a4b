"""Defects 17 and 28: what threads do to one another."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from resilience import (
    Bulkhead,
    CallRejected,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    DeadlineExceededError,
    Registry,
    State,
    StateChanged,
    current_deadline,
    deadline,
    fallback,
)
from tests.support.runtime import FakeClock

TOGETHER = 8


def together(fn: Callable[[], object]) -> list[BaseException]:
    """Call `fn` in eight threads at once; what they raised."""
    errors = []

    def caller() -> None:
        try:
            fn()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=caller) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return errors


class Meeting:
    """A place that nobody leaves before all are there, so they must be able to be there at once."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(TOGETHER)
        self.met = 0

    def __call__(self, *args: object, **kwargs: object) -> bool:
        self.barrier.wait(5)
        self.met += 1
        return True


# -- 17


@pytest.mark.promise("I3")
@pytest.mark.parametrize("state", [State.CLOSED, State.HALF_OPEN])
@pytest.mark.parametrize(
    "make",
    [
        lambda registry, **fields: CircuitBreaker("db", registry=registry, **fields),
        lambda registry, **fields: Command("db", registry=registry, **fields),
        lambda registry, **fields: Command("db", registry=registry, isolation="thread", **fields),
    ],
    ids=["breaker", "command", "thread"],
)
def test_calls_run_at_the_same_time(
    registry: Registry, clock: FakeClock, make: Any, state: State
) -> None:
    """
    Eight calls through one object are under way at once, as trials too: no lock is held meanwhile.

    Defect 17, seen in pybreaker: they ran one after the other.
    """
    guard = make(registry, volume_threshold=1, sleep_window=5, half_open_calls=TOGETHER)
    meeting = Meeting()
    if state is State.HALF_OPEN:
        guard.acquire().fail()
        clock.advance(5)
    assert together(guard(meeting)) == []
    assert meeting.met == TOGETHER
    assert guard.state is State.CLOSED


@pytest.mark.promise("I3")
def test_calls_share_a_bulkhead_at_the_same_time(registry: Registry, clock: FakeClock) -> None:
    """
    As many calls as there are slots are under way at once.

    Defect 17, seen in pybreaker.
    """
    meeting = Meeting()
    assert together(Bulkhead(TOGETHER, registry=registry)(meeting)) == []
    assert meeting.met == TOGETHER


@pytest.mark.promise("H2")
@pytest.mark.parametrize("argument", ["is_failure", "handle", "ignore", "fallback"])
def test_predicates_and_fallbacks_run_at_the_same_time(
    registry: Registry, clock: FakeClock, argument: str
) -> None:
    """
    The user's other code runs without a lock as well.

    Defect 17, seen in pybreaker.
    """
    meeting = Meeting()
    guard = Command("db", registry=registry, **{argument: meeting})

    @guard
    def work() -> None:
        if argument != "is_failure":
            raise ConnectionError

    together(work)
    assert meeting.met == TOGETHER


@pytest.mark.promise("G4")
def test_fallbacks_alone_run_at_the_same_time() -> None:
    """
    A fallback without a command answers eight threads at once.

    Defect 17, seen in pybreaker.
    """
    meeting = Meeting()

    @fallback(meeting)
    def work() -> None:
        raise ConnectionError

    assert together(work) == []
    assert meeting.met == TOGETHER


@pytest.mark.promise("H2")
def test_listeners_run_without_a_lock(registry: Registry, clock: FakeClock) -> None:
    """
    While a listener takes its time over an event, another thread uses the same object.

    It reads, and calls, and is refused.

    Defect 17, seen in pybreaker.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)
    seen: list[object] = []

    def reader() -> None:
        with pytest.raises(CircuitOpenError):
            breaker.acquire()
        seen.append(breaker.snapshot().state)

    def listener(event: object) -> None:
        if isinstance(event, StateChanged):
            thread = threading.Thread(target=reader, daemon=True)
            thread.start()
            thread.join(5)
        seen.append(type(event))

    registry.subscribe(listener)
    breaker.acquire().fail()
    assert seen == [State.OPEN, StateChanged, CallRejected]


# -- 28

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


@pytest.mark.promise("E5")
@pytest.mark.parametrize("fields", [{"timeout": 5}, {"isolation": "thread"}])
def test_a_call_on_a_worker_thread_sees_its_callers_context(
    registry: Registry, clock: FakeClock, fields: dict[str, Any]
) -> None:
    """
    Context variables and the caller's deadline come along to the worker.

    And what a call sets there stays there.

    Defect 28, seen in every library with sync timeouts but nopanic: they were lost.
    """
    guard = Command("db", registry=registry, **fields)

    @guard
    def work() -> tuple[str, float, int]:
        found = request.get()
        request.set("of the worker")
        return found, current_deadline().remaining, threading.get_ident()

    before = request.set("of the caller")
    try:
        for _ in range(2):  # the same worker, the second time
            with deadline(0.5, clock=clock):
                found, left, ident = work()
            assert (found, left) == ("of the caller", 0.5)
            assert ident != threading.get_ident()
        assert request.get() == "of the caller"
    finally:
        request.reset(before)
    with deadline(0.25, clock=clock):
        assert work()[:2] == ("none", 0.25)


@pytest.mark.promise("D2")
def test_a_thread_that_timed_out_ends_in_peace() -> None:
    """
    Nothing is thrown into a worker whose caller has left.

    It comes to its own end, and its command has all its workers again.

    Defect 28, seen in pyresilience: an exception injected into the thread killed the worker, and
    the pool starved.
    """
    guard = Command("db", registry=Registry(), timeout=0.01, max_concurrency=4)
    ends, end = threading.Semaphore(0), threading.Event()
    results: list[object] = []

    @guard
    def slow() -> None:
        try:
            end.wait(30)
            results.append("ended")
        except BaseException as error:  # what it must not see
            results.append(error)
        finally:
            ends.release()

    for _ in range(4):
        with pytest.raises(DeadlineExceededError):
            slow()
    assert guard.snapshot().in_flight == 4
    end.set()
    for _ in range(4):
        assert ends.acquire(timeout=5)
    assert results == ["ended"] * 4

    # The waiting room is left when a slot is free, which is when a thread has really ended.
    guard.configure(max_waiting=4, max_wait=20, timeout=30)
    meeting = threading.Barrier(4)

    @guard
    def quick() -> int:
        meeting.wait(10)
        return threading.get_ident()

    idents: list[int] = []
    threads = [threading.Thread(target=lambda: idents.append(quick())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(idents)) == 4
