"""Names, their settings and their process: what is said of one reaches it, and nobody else."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

from resilience import (
    Bulkhead,
    CircuitBreaker,
    Command,
    ConfigurationError,
    Outcome,
    Registry,
    State,
)
from tests.support.runtime import FakeClock

BLOCKED = """
import os, signal, threading, time
from resilience import *

broken = False

def clock():
    if broken:
        raise RuntimeError("no time")
    return time.monotonic_ns()

registry = Registry(clock=clock)
guards = [registry.command(name) for name in ("a", "b", "c")]
others = [Registry().command(name) for name in ("a", "b", "c")]
broken = True
pid = os.fork()
broken = False
if not pid:
    signal.alarm(5)  # a child that hangs is killed
    used = []
    def use():
        for guard in (*guards, *others):
            guard.call(len, "")
        registry.command("d").call(len, "")
        used.append(True)
    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(4)
    os._exit(0 if used else 1)
assert os.waitpid(pid, 0)[1] == 0
print("well")
"""


# -- what is configured


@pytest.mark.parametrize("field", ["timeout", "max_concurrency"])
def test_what_is_configured_while_the_name_is_made_is_not_lost(field: str) -> None:
    """
    `configure` comes in the middle of the creation of its name: the name has what it says.
    """
    clock = FakeClock()
    told = False

    def now() -> int:
        nonlocal told
        if registry is not None and not told:
            told = True
            assert "x" not in registry
            registry.configure("x", **{field: 5})
        return clock()

    registry: Any = None
    registry = Registry(clock=now)
    guard = registry.command("x")
    assert told
    assert getattr(guard.settings, field) == 5
    if field == "max_concurrency":
        assert guard.snapshot().max_concurrency == 5


def test_a_removed_name_is_configured_alone(registry: Registry, clock: FakeClock) -> None:
    """
    A command whose name was removed changes itself, and not who has the name next.
    """
    guard = registry.command("d", max_concurrency=3)
    guard.call(len, "")
    registry.remove("d")
    guard.configure(max_concurrency=7)
    assert (guard.settings.max_concurrency, guard.snapshot().max_concurrency) == (7, 7)
    after = registry.command("d", max_concurrency=2)
    after.call(len, "")
    guard.configure(max_concurrency=8)
    assert (after.settings.max_concurrency, after.snapshot().max_concurrency) == (2, 2)
    assert guard.snapshot().max_concurrency == 8


def test_a_mapping_takes_no_fields_beside_it(registry: Registry, clock: FakeClock) -> None:
    """
    Fields beside a mapping of names belong to none of them, and are refused.
    """
    with pytest.raises(ConfigurationError, match="no further fields"):
        registry.configure({"q": {}}, timeout=0.1)  # type: ignore[call-overload]


# -- what bounds threads


@pytest.mark.promise("D2")
def test_threads_stay_bounded(registry: Registry, clock: FakeClock) -> None:
    """
    Neither `configure` nor the shared bulkhead takes off the limit that bounds a command's threads.
    """
    own = registry.command("own", isolation="thread", max_concurrency=3)
    own(lambda: 0)
    with pytest.raises(ConfigurationError, match="threads"):
        registry.configure("own", max_concurrency=None)
    with pytest.raises(ConfigurationError, match="threads"):
        own.configure(max_concurrency=None)
    assert own.snapshot().max_concurrency == 3

    for name in (None, "shared"):
        bulkhead = Bulkhead(4, name=name, registry=registry)
        registry.command(f"of {name}", isolation="thread", bulkhead=bulkhead)(lambda: 0)
        with pytest.raises(ConfigurationError, match="threads"):
            bulkhead.resize(None)
        assert bulkhead.max_concurrency == 4
        bulkhead.resize(5)
        assert bulkhead.max_concurrency == 5


@pytest.mark.parametrize("field", ["max_concurrency", "max_waiting"])
def test_a_bulkhead_that_is_given_brings_its_limits(
    registry: Registry, clock: FakeClock, field: str
) -> None:
    """
    A limit beside `bulkhead=` would not be heeded, and is refused.
    """
    with pytest.raises(ConfigurationError, match="bulkhead"):
        registry.command("x", bulkhead=Bulkhead(9), **{field: 5})
    assert "x" not in registry


@pytest.mark.promise("C1")
@pytest.mark.parametrize("answered", [False, True])
def test_a_thread_that_cannot_be_started_says_nothing_about_the_dependency(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    """
    The system gives no more threads: the call is ignored, opens nothing, and a fallback answers.
    """
    guard = registry.command(
        "db",
        isolation="thread",
        volume_threshold=1,
        max_concurrency=1,
        fallback=(lambda error, text: (str(error), text)) if answered else None,
    )
    guarded = guard(len)

    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    for count in (1, 2):
        if answered:
            assert guarded("abc") == ("can't start new thread", "abc")
        else:
            with pytest.raises(RuntimeError, match="can't start new thread"):
                guarded("abc")
        after = guard.snapshot()
        assert (after.state, after.window.calls, after.in_flight) == (State.CLOSED, 0, 0)
        assert {outcome: n for outcome, n in after.totals.items() if n} == {Outcome.IGNORED: count}
    monkeypatch.undo()
    assert guarded("abc") == 3


# -- what users hand in


@pytest.mark.promise("I5")
def test_a_clock_that_raises_in_a_forked_child_leaves_no_lock_held() -> None:
    """
    Every thread of the child can use what there is, and make anew what there is not.

    Defect 25.
    """
    played = subprocess.run(
        [sys.executable, "-c", BLOCKED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert (played.returncode, played.stdout) == (0, "well\n"), played.stderr


@pytest.mark.parametrize("drawn", [float("nan"), float("inf"), -1.0, 1.0])
def test_a_random_that_gives_no_fraction_opens_the_circuit_all_the_same(
    clock: FakeClock, drawn: float
) -> None:
    """
    The caller gets its own error, and the circuit is open for its sleep window.
    """
    registry = Registry(clock=clock, random=lambda: drawn)
    guard = registry.command("n", sleep_window=5, sleep_window_jitter=0.5, volume_threshold=1)
    with pytest.raises(ZeroDivisionError):
        guard.call(lambda: 1 // 0)
    assert guard.state is State.OPEN
    clock.advance(5)
    assert guard.call(lambda: 1) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda registry: Command("db", registry=registry),
        lambda registry: CircuitBreaker("db", registry=registry),
        lambda registry: Bulkhead(1, registry=registry),
        lambda registry: registry,
    ],
    ids=["command", "breaker", "bulkhead", "registry"],
)
def test_what_belongs_to_a_process_says_so(registry: Registry, clock: FakeClock, make: Any) -> None:
    """
    It cannot be pickled, and the error tells why.
    """
    guard = make(registry)
    with pytest.raises(TypeError, match=f"{type(guard).__name__} cannot be pickled: .*process"):
        pickle.dumps(guard)
