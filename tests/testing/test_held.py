from __future__ import annotations

import itertools
import threading

import pytest

import resilience
from resilience import (
    Bulkhead,
    CircuitBreaker,
    ConfigurationError,
    DeadlineExceededError,
    Registry,
    command,
    configure,
)
from resilience.testing import FakeClock, assert_nothing_held, isolated_registry
from tests.support.threads import PATIENCE, Caller, WatchingClock


def test_what_is_made_in_the_block_belongs_to_the_isolated_registry() -> None:
    """
    Commands, parts and `configure` without a registry go there, and nothing of it stays.
    """
    before = resilience.default_registry
    with isolated_registry(FakeClock()) as registry:
        assert resilience.default_registry is registry
        made = command("isolated one")
        CircuitBreaker("isolated two")
        Bulkhead(3, name="isolated three")
        configure("isolated one", timeout=0.25)
        assert sorted(registry) == ["isolated one", "isolated three", "isolated two"]
        assert made.settings.timeout == 0.25
    assert resilience.default_registry is before
    assert "isolated one" not in before


def test_an_error_puts_the_default_registry_back() -> None:
    """
    However the block ends, all is as before; blocks nest.
    """
    before = resilience.default_registry
    with pytest.raises(LookupError), isolated_registry(FakeClock()) as outer:
        with isolated_registry(FakeClock()):
            assert resilience.default_registry is not outer
        assert resilience.default_registry is outer
        raise LookupError
    assert resilience.default_registry is before


def test_jitter_is_nothing_in_an_isolated_registry() -> None:
    """
    A sleep window is as long as it says, so a test can wait for it.
    """
    with isolated_registry(FakeClock()) as registry:
        users = registry.command("users", volume_threshold=1, sleep_window=5, sleep_window_jitter=1)
        users.acquire().fail()
        assert users.snapshot().retry_after == 5.0


def test_a_wrong_clock_is_refused() -> None:
    """
    As by any registry.
    """
    with pytest.raises(ConfigurationError, match="clock must give integer nanoseconds"):
        isolated_registry(lambda: 1.5).__enter__()


def test_slots_and_trials_are_told_by_name() -> None:
    """
    A permit that is kept holds its slot, and in a half-open circuit its trial.
    """
    clock = FakeClock()
    registry = Registry(clock=clock)
    users = registry.command("users", volume_threshold=1)
    users.acquire().fail()
    clock.advance(5)
    orders = registry.command("orders")
    kept = [users.acquire(), orders.acquire(), orders.acquire()]
    with pytest.raises(AssertionError) as caught:
        assert_nothing_held(registry)
    assert str(caught.value) == (
        "still held: 1 slot of 'users', 1 trial of 'users', 2 slots of 'orders'"
    )
    for permit in kept:
        permit.release()
    assert_nothing_held(registry)


def test_a_slot_that_is_held_is_told_at_once() -> None:
    """
    Only threads are given time to end: whoever keeps a permit will not give it back meanwhile.
    """
    looks = itertools.count()
    registry = Registry(clock=lambda: next(looks))
    kept = registry.command("orders").acquire()
    with pytest.raises(AssertionError):
        assert_nothing_held(registry)
    assert next(looks) < 20
    kept.release()


def test_a_dropped_permit_is_no_leak() -> None:
    """
    What nobody has any more is given back, though it lies in a cycle.
    """
    registry = Registry(clock=FakeClock())
    cycle: list[object] = [registry.command("users").acquire()]
    cycle.append(cycle)
    del cycle
    assert_nothing_held(registry)


def test_waiters_are_told_by_name() -> None:
    """
    Somebody who waits for a slot is left behind as well.
    """
    clock = WatchingClock()
    registry = Registry(clock=clock)
    bulkhead = Bulkhead(1, name="users", max_waiting=1, max_wait=60, registry=registry)
    begun = clock.when(lambda: bulkhead.waiting == 1)
    with bulkhead.acquire():
        caller = Caller(bulkhead.acquire)
        assert begun.wait(PATIENCE)
        with pytest.raises(AssertionError, match="1 slot of 'users', 1 waiter of 'users'"):
            assert_nothing_held(registry)
    caller.outcome().release()


def test_worker_threads_are_told_by_name_or_given_time_to_end() -> None:
    """
    A thread that nobody waits for and that hangs is a leak; one that ends within a second is none.
    """
    registry = Registry(clock=FakeClock())
    go_on = threading.Event()
    guarded = registry.command("users", timeout=0.01)(lambda: go_on.wait(PATIENCE))
    with pytest.raises(DeadlineExceededError):
        guarded()
    with pytest.raises(AssertionError, match="1 slot of 'users', 1 worker thread of 'users'"):
        assert_nothing_held(registry)
    ending = threading.Timer(0.05, go_on.set)
    ending.start()
    assert_nothing_held(registry)
    ending.join()


def test_the_default_registry_is_looked_at_unless_another_one_is_named() -> None:
    """
    `assert_nothing_held()` speaks of what has no registry of its own.
    """
    with isolated_registry(FakeClock()):
        permit = command("users").acquire()
        with pytest.raises(AssertionError, match="1 slot of 'users'"):
            assert_nothing_held()
        permit.release()
        assert_nothing_held()
    with pytest.raises(ConfigurationError, match="registry must be a Registry or None, not 5"):
        assert_nothing_held(5)
