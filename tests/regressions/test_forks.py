"""Defect 25: a process forks while its threads are busy, and the child can use everything."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from resilience import CircuitBreaker, Command, Outcome, Registry, State, _fork
from tests.support.runtime import FakeClock
from tests.support.threads import Caller

BEGIN = """
import logging, os, signal, sys, threading, traceback
from resilience import *

logging.getLogger("resilience").addHandler(logging.NullHandler())  # circuits open here

def fork(child):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.alarm(5)  # a child that hangs is killed, and that is no exit code 0
        child()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)

def ends_well(pid):
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"the child ended with {status}"

def work():
    return 0

def fail():
    raise ConnectionError

async def answer():
    return "answer"
"""

UNDER_LOAD = (
    BEGIN
    + """
import asyncio
command_ = command("db", timeout=None, max_concurrency=None, sleep_window=0.0001)
breaker = CircuitBreaker("cache", sleep_window=0.0001)
bulkhead = Bulkhead(4, name="pool", max_waiting=2, max_wait=0.001)
threaded = command("threaded", timeout=5.0, max_concurrency=20)
answering = command("answering", timeout=None, fallback=lambda error: "instead",
                    fallback_max_concurrency=1)
hosts = default_registry.keyed("host:{name}", timeout=None)
events = []
default_registry.subscribe(lambda event: events.append(1) or events.clear())
stop = threading.Event()

def use_all(n):
    for guard in (command_, breaker, bulkhead, answering, hosts(name=n % 7)):
        for fn in (work, fail):
            try:
                guard(fn)()
            except (RejectedError, ConnectionError):
                pass
        guard.snapshot()
    default_registry.snapshot()

working = threaded(work)

def load(seed):
    n = seed
    while not stop.is_set():
        n += 1
        use_all(n)
        try:
            working()
        except RejectedError:
            pass

def child():
    command_.reset()
    breaker.reset()
    use_all(1)
    with deadline(5):
        assert answering(fail)() == "instead"
    assert working() == 0
    with bulkhead:
        assert bulkhead.in_flight == 1
    with bulkhead.acquire(), bulkhead.acquire(), bulkhead.acquire(), bulkhead.acquire():
        try:
            bulkhead.acquire()
            raise AssertionError("five slots of four")
        except BulkheadFullError:
            pass
    command("db-new", timeout=None)(work)()
    configure("db", volume_threshold=7)
    command_.force_open()
    command_.clear_override()
    assert asyncio.run(threaded.acall(answer)) == "answer"

threads = [threading.Thread(target=load, args=(n,), daemon=True) for n in range(4)]
for thread in threads:
    thread.start()
sys.setswitchinterval(1e-5)
for _ in range(12):
    ends_well(fork(child))
stop.set()
for thread in threads:
    thread.join(10)
use_all(1)  # nor is the parent any worse
print("well")
"""
)

IN_THE_MIDDLE = (
    BEGIN
    + """
import resilience
HOME = os.path.dirname(resilience.__file__)
registry = Registry()
breaker = CircuitBreaker("db", registry=registry, sleep_window=0.0001)
guard = command("api", timeout=None, max_concurrency=2, max_waiting=1, registry=registry)
hosts = registry.keyed("host:{name}", timeout=None)
registry.subscribe(id)

def in_a_thread(action, nth):
    # Start it, and return when it stands before its nth line of the library, or has ended.
    lines, there, forked = 0, threading.Event(), threading.Event()

    def trace(frame, event, arg):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        if event == "line":
            lines += 1
            if lines == nth:
                there.set()
                forked.wait(0.003)  # no longer: the fork may be waiting for what is held here
        return trace

    def run():
        sys.settrace(trace)
        try:
            action()
        except RejectedError:
            pass
        finally:
            sys.settrace(None)
            there.set()

    thread = threading.Thread(target=run)
    thread.start()
    there.wait(10)

    def end():
        forked.set()
        thread.join(10)
        return lines >= nth

    return end

def use():
    for each in (breaker, guard, hosts(name="old"), hosts(name="new"), registry.command("new")):
        each.reset()
        each(work)()
        each.acquire().succeed()
        each.snapshot()
    registry.subscribe(id)()
    registry.configure("db", volume_threshold=7)
    registry.snapshot()

def call():
    try:
        guard(fail)()
    except ConnectionError:
        pass

numbers = iter(range(1_000_000))
ACTIONS = [
    (17, lambda: breaker.acquire().fail()),
    (11, breaker.snapshot),
    (3, lambda: registry.subscribe(id)()),
    (19, call),
    (3, lambda: hosts(name="old")),
    (31, lambda: hosts(name=next(numbers))),
    (31, lambda: registry.configure("api", max_concurrency=2 + next(numbers) % 3)),
]
hosts(name="old")
for step, action in ACTIONS:
    nth = 1
    while True:
        end = in_a_thread(action, nth)
        pid = fork(use)
        more = end()
        ends_well(pid)
        if not more:
            break
        nth += step
    assert nth > step
use()
print("well")
"""
)

NEWS = (
    BEGIN
    + """
begun, end = threading.Semaphore(0), threading.Event()
now = 0
registry = Registry(clock=lambda: now)
guard = command("db", timeout=None, max_concurrency=2, volume_threshold=1, sleep_window=1,
                half_open_calls=2, registry=registry)
guard.acquire().fail()
now = 1_000_000_000
permit = guard.acquire()  # a trial

@guard
def hang():
    begun.release()
    end.wait(30)

thread = threading.Thread(target=hang)
thread.start()
assert begun.acquire(timeout=5)

before = guard.snapshot()
assert (before.in_flight, before.trials_running, before.state) == (2, 2, State.HALF_OPEN)

def child():
    snapshot = guard.snapshot()
    assert (snapshot.in_flight, snapshot.waiting, snapshot.trials_running) == (0, 0, 0)
    assert sum(snapshot.totals.values()) == 0
    assert snapshot.state is State.HALF_OPEN
    permit.fail()  # from before the fork: not this process's business
    assert guard.snapshot().state is State.HALF_OPEN
    assert sum(guard.snapshot().totals.values()) == 0
    with guard.acquire(), guard.acquire():
        assert guard.snapshot().trials_running == 2
    assert guard.state is State.CLOSED

ends_well(fork(child))
end.set()
thread.join(5)
permit.succeed()
assert guard.state is State.CLOSED
assert guard.snapshot().in_flight == 0
print("well")
"""
)


IN_A_HANDLER = (
    BEGIN
    + """
begun, go_on = threading.Event(), threading.Event()
lines = []

class Slow(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
        begun.set()
        assert go_on.wait(10)

logger = logging.getLogger("resilience")
logger.setLevel(logging.INFO)
logger.addHandler(Slow())
private = CircuitBreaker(volume_threshold=1)
named = [CircuitBreaker("db", volume_threshold=1, registry=Registry())]  # which nothing else holds

for breaker in (private, *named):
    begun.clear()
    go_on.clear()
    thread = threading.Thread(target=lambda: breaker.acquire().fail())
    thread.start()
    assert begun.wait(10)

    def child():
        go_on.set()
        lines.clear()
        breaker.reset()
        assert len(lines) == 1 and lines[0].endswith("went from open to closed: reset"), lines

    ends_well(fork(child))
    go_on.set()
    thread.join(10)
print("well")
"""
)

BY_A_LISTENER = (
    BEGIN
    + """
registry, pids = Registry(), []

def forking(event):
    if not pids:
        pids.append(os.fork())

registry.subscribe(forking)
breaker = CircuitBreaker("db", volume_threshold=1, registry=registry)
code = 1
try:
    breaker.acquire().fail()
    assert breaker.state is State.OPEN
    breaker.reset()
    assert breaker.state is State.CLOSED
    code = 0
except BaseException:
    traceback.print_exc()
if not pids[0]:
    sys.stderr.flush()
    os._exit(code)
assert code == 0
ends_well(pids[0])
print("well")
"""
)


def play(script: str) -> None:
    """Run a script in a process of its own; it must say `well`, and nothing else."""
    played = subprocess.run(
        # A fork beside threads is what newer Pythons warn of, and what this is about.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=25,  # a parent that hangs is no better
        check=False,
    )
    assert played.stderr == ""
    assert (played.returncode, played.stdout) == (0, "well\n")


@pytest.mark.promise("I5")
def test_a_child_forked_under_load_can_use_every_object() -> None:
    """
    Four threads call through everything there is while the process forks, twelve times over.

    Each child uses all of it and ends in good order.

    Defect 25, seen in pybreaker, nopanic, interlock and pyresilience: children hung on a lock that
    some thread of the parent had held.
    """
    play(UNDER_LOAD)


@pytest.mark.promise("I5")
def test_a_child_can_use_what_a_thread_was_in_the_middle_of() -> None:
    """
    The fork comes when another thread stands before a line of the library, one after the other.

    Whatever lock that thread holds there: the child uses the same objects.

    Defect 25.
    """
    play(IN_THE_MIDDLE)


@pytest.mark.promise("C3", "I5")
def test_a_child_inherits_no_claims_of_its_parents_threads() -> None:
    """
    Calls and trials under way in the parent are not under way in the child.

    A permit from before the fork settles nothing there. State stays, totals begin at zero.

    Defect 25.
    """
    play(NEWS)


def ends_well(child: Callable[[], None]) -> bool:
    """Fork, and tell whether the child came to the end of what it was to do."""
    pid = os.fork()
    if not pid:
        end_as(child)
    return os.waitpid(pid, 0)[1] == 0


def end_as(child: Callable[[], None]) -> None:
    """End the process, well if it comes to the end of what it is to do."""
    code = 1
    try:
        signal.alarm(20)  # a child that hangs is killed
        child()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


in_this_process = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # idle threads


@in_this_process
@pytest.mark.promise("C3", "I5")
def test_nothing_that_ran_before_the_fork_is_counted_in_the_child(
    clock: FakeClock, registry: Registry
) -> None:
    """
    A permit, and a call whose result is only written down, are settled in the child.

    Neither counts there, nor do they hold a slot; both count in the parent.

    Defect 25.
    """
    guard = Command("db", registry=registry, timeout=None, max_concurrency=2, volume_threshold=1)
    permit = guard.acquire()
    guard(lambda: 0)()  # the next one finds an idle slot

    def child() -> None:
        permit.fail()
        snapshot = guard.snapshot()
        assert (snapshot.state, snapshot.in_flight, snapshot.stale) == (State.CLOSED, 0, 0)
        assert sum(snapshot.totals.values()) == 0

    pid = guard(os.fork)()
    if not pid:
        end_as(child)
    assert os.waitpid(pid, 0)[1] == 0
    permit.succeed()
    assert guard.snapshot().totals[Outcome.SUCCESS] == 3
    assert guard.snapshot().in_flight == 0


@in_this_process
@pytest.mark.promise("I5")
def test_a_child_has_workers_of_its_own(clock: FakeClock, registry: Registry) -> None:
    """
    The threads that are idle in the parent do not come along: the child starts others.

    Defect 25.
    """
    guard = Command("forked", registry=registry, isolation="thread")
    guarded = guard(threading.get_ident)
    guarded()

    def child() -> None:
        alive = threading.active_count()
        assert guarded() != threading.get_ident()
        assert threading.active_count() == alive + 1
        assert guard.snapshot().totals[Outcome.SUCCESS] == 1

    assert ends_well(child)
    assert guard.snapshot().totals[Outcome.SUCCESS] == 1


@in_this_process
@pytest.mark.promise("C3", "I5")
def test_a_fallback_that_runs_in_the_parent_does_not_run_in_the_child(
    clock: FakeClock, registry: Registry
) -> None:
    """
    A handler forks: the child has all places for fallbacks, and its parent one less until it ends.

    Defect 25.
    """
    depth = 0

    def handler(error: Exception) -> str:
        nonlocal depth
        depth += 1
        return "answered" if depth > 1 else f"the child did well: {ends_well(child)}"

    def child() -> None:
        assert guarded() == "answered"

    guard = Command(
        "db", registry=registry, timeout=None, fallback=handler, fallback_max_concurrency=1
    )

    @guard
    def guarded() -> str:
        raise ConnectionError

    assert guarded() == "the child did well: True"
    assert dict(guard.snapshot().fallbacks) == {"success": 1, "failure": 0, "rejected": 0}


@pytest.mark.promise("I5")
def test_a_child_logs_although_a_thread_was_in_the_middle_of_it() -> None:
    """
    The fork comes while another thread is held up by a handler of the log.

    The child writes its own lines, of what is private and of what no registry lists any more.
    """
    play(IN_A_HANDLER)


@pytest.mark.promise("I5")
def test_a_listener_may_fork() -> None:
    """
    Parent and child both go on as if nothing had happened.
    """
    play(BY_A_LISTENER)


def test_a_fork_keeps_no_lock_and_minds_nobody_who_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A guard may die while the locks are taken; in the parent all of them are free afterwards.
    """
    guard = CircuitBreaker()
    gone = weakref.ref(guard)
    monkeypatch.setattr(_fork, "_survivors", {gone, *_fork._survivors})
    del guard
    gc.collect()
    assert gone() is None
    _fork._before()
    _fork._in_parent()
    assert Caller(CircuitBreaker).outcome().state is State.CLOSED


def is_free(lock: Any) -> bool:
    """Whether a thread gets a lock at once."""
    if free := lock.acquire(blocking=False):
        lock.release()
    return bool(free)


class Survivor:
    """Something that begins anew in a child, or cannot."""

    def __init__(self, error: Exception | None = None) -> None:
        self.lock = threading.RLock()
        self.error = error
        self.begun = False

    def forked(self) -> None:
        self.begun = True
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, ValueError("a clock")])
def test_a_child_begins_anew_whatever_one_of_its_clocks_raises(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """
    What was raised leaves once all have begun anew, and no lock is held then.
    """
    survivors = [Survivor(), Survivor(error), Survivor()]
    monkeypatch.setattr(_fork, "_survivors", set(map(weakref.ref, survivors)))
    monkeypatch.setattr(_fork, "count", 0)
    _fork._before()
    if error is None:
        _fork._in_child()
    else:
        with pytest.raises(ValueError, match="a clock"):
            _fork._in_child()
    assert all(each.begun for each in survivors)
    assert _fork.count
    locks = [_fork._lock, *(each.lock for each in survivors)]
    assert all(Caller(is_free, lock).outcome() for lock in locks)
