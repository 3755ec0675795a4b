"""Defect 30: what a call costs does not depend on the size of the window, nor on what is in it."""

from __future__ import annotations

import contextlib
import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from resilience import CircuitBreaker, CircuitOpenError, Command, Registry
from tests.support.runtime import FakeClock

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


class Steps:
    """Counts what the interpreter does: its own instructions, and calls into C."""

    def __init__(self) -> None:
        self.count = 0

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self.count += event == "opcode"
        return self.trace

    def of(self, fn: Callable[[], object]) -> int:
        self.count = 0
        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # CPython 3.12 looks once, when tracing begins
        sys.settrace(self.trace)
        try:
            fn()
        finally:
            sys.settrace(before)
        return self.count


def same(few: int, many: int) -> bool:
    """Whether two counts are the same, but for instructions that the interpreter merges or not."""
    return many < 1.25 * few and few < 1.25 * many


def work() -> None:
    """Do nothing."""


def fail() -> None:
    """Fail."""
    raise ConnectionError


def attempt(guarded: Callable[[], object]) -> None:
    """Call, whatever comes of it."""
    with contextlib.suppress(ConnectionError, CircuitOpenError):
        guarded()


def guarded_by(kind: type, clock: FakeClock, **fields: int) -> Callable[[Any], Any]:
    """Make a guard that never opens."""
    return kind(
        "db",
        registry=Registry(clock=clock),
        timeout=None,
        volume_threshold=2**31 - 1,
        rolling_window=10,
        **fields,
    )


def many(guarded: Callable[[], object]) -> None:
    """Call as often as evens out what is done once every few calls."""
    for _ in range(160):
        attempt(guarded)


any_history = pytest.mark.parametrize(
    ("before", "fn"),
    [(work, work), (fail, work), (fail, fail)],
    ids=["successes", "a success after failures", "failures"],
)


@any_guard
@any_history
def test_a_call_costs_the_same_with_ten_buckets_and_ten_thousand(
    clock: FakeClock, kind: type, before: Callable[[], object], fn: Callable[[], object]
) -> None:
    """
    A call is recorded in as many steps by a window of 10 buckets as by one of 10,000.

    Instructions are counted, with something in the window.

    Defect 30, seen in pyresilience and interlock: the window was gone through at each call.
    """
    costs = []
    for buckets in (10, 10_000):
        guard = guarded_by(kind, clock, buckets=buckets)
        guarded = guard(fn)
        many(guard(before))
        costs.append(Steps().of(lambda guarded=guarded: many(guarded)))
    assert same(*costs)
    assert min(costs) > 160 * 20  # something was counted


@any_guard
@any_history
def test_a_call_costs_the_same_after_few_calls_and_after_many(
    clock: FakeClock, kind: type, before: Callable[[], object], fn: Callable[[], object]
) -> None:
    """
    However many calls the window holds, the next one is recorded in as many steps.

    Defect 30.
    """
    guard = guarded_by(kind, clock)
    guarded = guard(fn)
    attempt(guard(before))
    many(guarded)
    few = Steps().of(lambda: many(guarded))
    for _ in range(30):
        many(guarded)
    assert same(few, Steps().of(lambda: many(guarded)))


def test_a_refusal_costs_the_same_however_large_the_window(clock: FakeClock) -> None:
    """
    An open circuit refuses in as many steps whatever stands behind it.

    Defect 30.
    """
    costs = []
    for buckets in (10, 10_000):
        breaker = CircuitBreaker(
            registry=Registry(clock=clock), buckets=buckets, volume_threshold=1
        )
        guarded = breaker(work)
        breaker.acquire().fail()
        attempt(guarded)
        costs.append(Steps().of(lambda guarded=guarded: many(guarded)))
    assert same(*costs)


@pytest.mark.promise("B4")
@any_guard
@pytest.mark.parametrize("buckets", [10, 1000])
def test_a_call_after_a_long_idle_costs_no_more_than_the_ring_is_long(
    clock: FakeClock, kind: type, buckets: int
) -> None:
    """
    However long nothing happened, the window moves on in at most one pass.

    And to the next bucket in the same few steps, whatever its size.

    Defect 30.
    """
    guard = guarded_by(kind, clock, buckets=buckets)
    guarded = guard(work)
    attempt(guarded)
    Steps().of(guarded)  # some versions trace instructions only from the second time on
    plain = Steps().of(guarded)
    clock.advance(10 / buckets)
    assert Steps().of(guarded) - plain < 800
    clock.advance(5)
    part = Steps().of(guarded)
    assert part - plain < 800 + 40 * buckets
    for idle in (10, 1000, 30_000_000):
        clock.advance(idle)
        assert Steps().of(guarded) - plain < 800 + 40 * buckets


@pytest.mark.promise("M8")
@any_guard
def test_a_window_takes_no_memory_for_the_calls_in_it(clock: FakeClock, kind: type) -> None:
    """
    Ten thousand calls in the window take the room of a hundred: they are counted, not kept.

    Defect 30, seen in pyresilience.
    """
    guard = guarded_by(kind, clock)
    for fn in (work, fail):
        guarded = guard(fn)
        for _ in range(100):
            attempt(guarded)
        gc.collect()
        tracemalloc.start()
        try:
            attempt(guarded)
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(5000):
                attempt(guarded)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 5_000
        finally:
            tracemalloc.stop()
