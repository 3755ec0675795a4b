"""Exceptions that come from outside, as a signal's does, in front of any line of the library."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import RLock
from typing import Any

import pytest

import resilience
from resilience import Command, Registry, current_deadline, deadline
from resilience._core.slots import Token
from tests.support.interrupt import watched
from tests.support.runtime import FakeClock

HOME = Path(resilience.__file__).parent

Call = Callable[[], object]


class Dependency:
    """A half-open circuit with one slot, whose next call is the trial."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        registry = Registry(clock=self.clock)
        self.command = Command(
            "db",
            registry=registry,
            timeout=2.0,
            isolation="semaphore",
            max_concurrency=1,
            volume_threshold=1,
            sleep_window=1,
        )
        self.command.acquire().fail()
        self.clock.advance(1)

    def check(self) -> None:
        """Nothing is held or bound when all that is unreachable has been collected."""
        after = self.command.snapshot()
        for generation in (1, 2):  # what was left just now is mostly young
            if after.in_flight or after.trials_running:
                gc.collect(generation)
                after = self.command.snapshot()
        assert (after.in_flight, after.trials_running) == (0, 0)
        assert current_deadline() is None
        self.clock.advance(9)
        assert self.command.call(lambda: 1) == 1


def in_time(of: Dependency) -> Call:
    """A call with a timeout."""
    return of.command(lambda: 1)


def quietly(call: Call) -> None:
    """Call something that may fail."""
    with contextlib.suppress(ConnectionError):
        call()


def fails(of: Dependency) -> Call:
    """A call that fails."""

    @of.command
    def call() -> None:
        raise ConnectionError

    return functools.partial(quietly, call)


def block(of: Dependency) -> Call:
    """A call in a block with a deadline."""

    def call() -> None:
        with deadline(1, clock=of.clock):
            of.command.call(lambda: 1)

    return call


def limited(of: Dependency) -> Call:
    """A call of a function with a deadline."""
    return deadline(1, clock=of.clock)(of.command(lambda: 1))


def closed_stream(of: Dependency) -> Call:
    """A stream that is closed after an item."""

    @of.command
    def items() -> Iterator[int]:
        yield 1
        yield 2

    def call() -> None:
        stream: Any = items()
        next(stream)
        stream.close()

    return call


@pytest.mark.promise("C1", "C4", "D2", "E2", "I10")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("entry", [in_time, fails, block, limited, closed_stream])
def test_an_interrupted_call_leaves_nothing_held_and_nobody_bound(
    entry: Callable[[Dependency], Call], kind: type[BaseException]
) -> None:
    """
    Wherever an exception comes from outside, slot and trial come back, and its deadline is gone.

    The scope of a call that was interrupted on its way out stays in its context. It must neither
    keep the call alive nor bind what comes after it.
    """

    def play(line: int | None) -> int:
        of = Dependency()

        def strike(number: int) -> None:
            if number == line:
                raise kind

        call, lines = entry(of), 0
        with contextlib.suppress(Exception, KeyboardInterrupt):
            lines = watched(call, strike, HOME)
        del call
        if line is not None:
            of.check()
        return lines

    lines = contextvars.copy_context().run(play, None)
    assert lines > 50
    for line in range(1, lines + 1):
        contextvars.copy_context().run(play, line)


@pytest.mark.promise("E2")
def test_a_scope_that_was_lost_is_taken_off() -> None:
    """
    A call after an interrupted one is inside of what was current before that one.
    """
    of = Dependency()
    guard = of.command._guard
    with deadline(60, clock=of.clock) as outer:
        lost: Token | None = guard.enter(guard.plan)
        assert lost is not None
        inner = current_deadline()
        assert inner is not outer
        del lost
        gc.collect()
        assert inner is not None
        assert not inner.running
        of.command.call(lambda: 1)
        assert current_deadline() is outer


@pytest.mark.promise("C2", "C4")
def test_a_trial_that_was_half_settled_is_given_back_when_it_is_settled_again() -> None:
    """
    What an interrupt has left of a settling is ended by the next attempt, and counted once.
    """
    of = Dependency()
    guard = of.command._guard
    token = guard.let_in(guard.untimed)
    token.plan, token.started = guard.untimed, of.clock()

    def settle(line: int) -> bool:
        def strike(number: int) -> None:
            if number == line:
                raise KeyboardInterrupt

        try:
            watched(functools.partial(guard.finish, token), strike, HOME)
        except KeyboardInterrupt:
            return token.generation < 0 and token.trial is not None
        return False

    assert any(settle(line) for line in range(1, 60))
    guard.finish(token)
    after = of.command.snapshot()
    assert (after.in_flight, after.trials_running) == (0, 0)


class Struck:
    """A lock after whose taking an interrupt comes at once."""

    def __init__(self) -> None:
        self.lock: Any = RLock()

    def acquire(self, *, blocking: bool) -> bool:
        assert self.lock.acquire(blocking=blocking)
        raise KeyboardInterrupt

    def release(self) -> None:
        self.lock.release()


@pytest.mark.promise("I3", "I10")
def test_an_interrupt_while_a_long_journal_is_counted_leaves_no_lock_held() -> None:
    """
    The lock is let go although nobody knows yet that it was taken.
    """
    entry = Command("db", registry=Registry(clock=FakeClock()))._guard.entry
    entry.lock = struck = Struck()
    with pytest.raises(KeyboardInterrupt):
        entry.unload(entry.circuit.journal, 0)
    assert not struck.lock._is_owned()
