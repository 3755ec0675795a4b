"""The machines of a name are stepped by whoever holds its lock, and by nobody else."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from resilience import Command, Permit, Registry
from resilience._core.circuit import Circuit
from resilience._core.slots import Slots, Waiter
from resilience._core.tally import Tally

STEPS: dict[type, tuple[str, ...]] = {
    Circuit: (
        *("ask", "admit", "give_back", "read", "record", "reset", "lay_over", "configure"),
        *("look", "spent"),
    ),
    Slots: ("take", "enqueue", "assign", "leave", "reclaim", "resize"),
    Tally: ("count", "count_successes", "count_notes", "count_shadowed", "rebound"),
}


@pytest.fixture
def stepped(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> tuple[Command, set[str]]:
    """A command, and the steps that were taken; one without its lock fails."""
    gc.collect()  # what other tests have left takes its last steps before they are watched
    command = registry.command(
        "db",
        max_concurrency=1,
        max_waiting=1,
        volume_threshold=2,
        sleep_window=1,
        fallback_max_concurrency=1,
        fallback=lambda error: "instead",
    )
    lock: Any = command._guard.entry.lock
    taken: set[str] = set()

    def watched(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def within(*args: Any, **kwargs: Any) -> Any:
            assert lock._is_owned(), f"{name} without the lock"
            taken.add(name)
            return step(*args, **kwargs)

        return within

    for machine, names in STEPS.items():
        for name in names:
            step = watched(f"{machine.__name__}.{name}", getattr(machine, name))
            monkeypatch.setattr(machine, name, step)
    return command, taken


def fail() -> None:
    """Fail."""
    raise ConnectionError


@pytest.mark.promise("I1")
def test_no_machine_is_stepped_without_the_lock_of_its_name(
    stepped: tuple[Command, set[str]], clock: Any
) -> None:
    """
    All that can be done with a command takes every step, and each of them under the lock.
    """
    command, taken = stepped
    work = command(lambda: "value")
    broken = command(fail)
    assert [work(), broken(), broken(), work()] == ["value", "instead", "instead", "instead"]
    clock.advance(1)
    trial = command.acquire()
    assert work() == "instead"
    trial.release()
    permit = command.acquire()
    permit.succeed()
    command.shadow()
    for _ in range(3):  # the third would be refused
        with pytest.raises(ConnectionError):
            broken()
    command.clear_override()
    command.reset()
    command.configure(volume_threshold=3, latency_buckets=[1.0])
    pool = command._guard.pool
    lost = [command.acquire()]
    lost.clear()
    gc.collect()
    assert work() == "value"
    token = pool.take()
    gone = Waiter()
    gone.wake = lambda: False  # its loop is closed
    assert pool.enqueue(gone)
    pool.put(token)
    pool.leave(gone)
    pool.resize(2, 1)
    pool.assign()
    assert [work(), work()] == ["value", "value"]
    assert command.snapshot().in_flight == 0
    every = {f"{machine.__name__}.{name}" for machine, names in STEPS.items() for name in names}
    assert every - taken == set()


class Watched:
    """A lock that notes what there is to claim when it is taken, and when it is let go."""

    def __init__(self, lock: Any, permit: Permit) -> None:
        self._lock, self._permit = lock, permit
        self.seen: list[bool] = []

    def __enter__(self) -> None:
        self._lock.acquire()
        self.seen.append(self._permit._token is not None)

    def __exit__(self, *_: object) -> None:
        self.seen.append(self._permit._token is not None)
        self._lock.release()


@pytest.mark.promise("A11", "C2", "I1")
def test_a_permit_is_claimed_under_the_lock(registry: Registry) -> None:
    """
    Or two threads that settle one permit could both look at it before either of them marks it.
    """
    permit = registry.command("db").acquire()
    entry = permit._guard.entry
    lock: Any = entry.lock
    entry.lock = watched = Watched(lock, permit)
    permit.succeed()
    assert watched.seen[:2] == [True, False]
