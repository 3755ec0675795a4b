from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any

import pytest

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    Outcome,
    Registry,
    State,
    _worker,
    command,
    current_deadline,
    deadline,
    fallback,
    remaining,
)
from resilience._worker import Job
from tests.support.runtime import FakeClock
from tests.support.threads import PATIENCE, Caller, Gate, WatchingClock, together


class LeapingClock(FakeClock):
    """A clock on which an hour passes before one of its readings."""

    def __init__(self, reading: int) -> None:
        super().__init__()
        self.reading = reading

    def __call__(self) -> int:
        self.reading -= 1
        if self.reading == 0:
            self.advance(3600)
        return super().__call__()


@pytest.fixture
def real() -> Registry:
    """A registry on the real clock: what hangs on a thread is left in real time."""
    return Registry()


def workers(name: str) -> list[threading.Thread]:
    """The living worker threads of a command."""
    return [each for each in threading.enumerate() if each.name.startswith(f"resilience-{name}")]


def here() -> threading.Thread:
    """Where it is called."""
    return threading.current_thread()


@pytest.fixture(autouse=True)
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle workers of these tests do not stay for the next one."""
    monkeypatch.setattr(_worker, "IDLE", 1.0)


# -- where a function runs


@pytest.mark.parametrize(
    ("fields", "leaves"),
    [
        ({}, False),
        ({"timeout": 1}, True),
        ({"timeout": None}, False),
        ({"isolation": "thread"}, True),
        ({"isolation": "thread", "timeout": 1}, True),
        ({"isolation": "semaphore"}, False),
        ({"isolation": "semaphore", "timeout": 1}, False),
    ],
    ids=str,
)
def test_a_function_leaves_its_thread_only_when_asked(
    registry: Registry, clock: FakeClock, fields: dict[str, Any], *, leaves: bool
) -> None:
    """
    It leaves by a `timeout=` in its own decorator or by `isolation="thread"`.

    Otherwise it stays where its caller is.
    """
    cmd = command("db", registry=registry, **fields)
    assert (cmd(here)() is not here()) == leaves
    assert (cmd.call(here) is not here()) == leaves


def test_configuration_moves_nobody(registry: Registry, clock: FakeClock) -> None:
    """
    A timeout that is configured, or shared by name, is judged in the caller's thread.

    Thread-locals and sessions stay what they are.
    """
    registry.configure("db", timeout=1)
    cmd = command("db", registry=registry)
    command("db", registry=registry, timeout=2)(here)
    assert cmd(here)() is here()


def test_a_coroutine_function_never_runs_on_a_worker(registry: Registry, clock: FakeClock) -> None:
    """
    Async code stays in its task; isolation speaks of sync functions.
    """

    async def where() -> threading.Thread:
        return here()

    cmd = command("db", registry=registry, isolation="thread")
    assert asyncio.run(cmd(where)()) is here()


@pytest.mark.parametrize("isolation", ["thread", "semaphore"])
def test_arguments_results_and_errors_cross_over(
    registry: Registry, clock: FakeClock, isolation: Any
) -> None:
    """
    What goes in and comes out is the same on a worker, the very error object too.
    """
    cmd = command("db", registry=registry, isolation=isolation)
    error = KeyError("no")

    @cmd
    def body(*args: int, **kwargs: int) -> Any:
        if kwargs.pop("fails", 0):
            raise error
        return args, kwargs

    assert body(1, 2, x=3) == ((1, 2), {"x": 3})
    with pytest.raises(KeyError) as caught:
        body(fails=1)
    assert caught.value is error
    assert cmd.snapshot().totals[Outcome.FAILURE] == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
def test_an_interrupt_on_a_worker_reaches_the_caller(
    registry: Registry, clock: FakeClock, kind: type[BaseException]
) -> None:
    """
    Whatever a function raises leaves in the caller's thread, and the worker lives on.
    """
    cmd = command("db", registry=registry, isolation="thread")

    @cmd
    def body(*, fails: bool) -> threading.Thread:
        if fails:
            raise kind
        return here()

    worker = body(fails=False)
    with pytest.raises(kind):
        body(fails=True)
    assert body(fails=False) is worker
    assert cmd.snapshot().in_flight == 0


def test_the_callers_context_reaches_the_worker(registry: Registry, clock: FakeClock) -> None:
    """
    Context variables and deadlines are those of the caller; what the function sets stays its own.
    """
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    cmd = command("db", registry=registry, timeout=1)

    @cmd
    def body() -> Any:
        seen = variable.get()
        variable.set("changed")
        assert current_deadline() is not None
        return seen, remaining()

    for value in ("one", "two"):
        variable.set(value)
        assert body() == (value, 1)
        assert variable.get() == value
    with deadline(0.25, clock=clock):
        assert body() == ("two", 0.25)


# -- the threads


def test_a_worker_is_a_daemon_named_after_its_command(registry: Registry, clock: FakeClock) -> None:
    """
    A thread dump tells whose thread it is.
    """
    cmd = command("user_service", registry=registry, isolation="thread")
    worker = cmd(here)()
    assert worker.name == "resilience-user_service-1"
    assert worker.daemon


def test_an_idle_worker_is_used_again(registry: Registry, clock: FakeClock) -> None:
    """
    Call after call is made by one thread: the one that was idle last.
    """
    cmd = command("again", registry=registry, isolation="thread")
    functions = cmd(here), cmd(here)
    assert len({functions[number % 2]() for number in range(50)}) == 1
    assert len(workers("again")) == 1


def test_there_are_no_more_workers_than_calls(registry: Registry, clock: FakeClock) -> None:
    """
    Many callers at once start as many threads as slots at most, and share them.
    """
    cmd = command("many", registry=registry, isolation="thread", max_concurrency=3)
    used: set[threading.Thread] = set()
    guarded = cmd(lambda: used.add(here()))

    def call(number: int) -> None:
        for _ in range(50):
            with contextlib.suppress(BulkheadFullError):
                guarded()

    together(8, call)
    assert 1 <= len(used) <= 3
    assert cmd.snapshot().in_flight == 0


def test_an_idle_worker_ends(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After IDLE seconds without a call a worker is gone, and the next call has a new one.
    """
    monkeypatch.setattr(_worker, "IDLE", 0.01)
    cmd = command("idle", registry=registry, isolation="thread")
    guarded = cmd(here)
    worker = guarded()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    again = guarded()
    assert again is not worker
    again.join(PATIENCE)
    assert workers("idle") == []


@pytest.mark.promise("D2")
def test_no_call_is_lost_when_a_worker_ends(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A worker that is about to end is taken by a call or ends, never both: every call is made.
    """
    monkeypatch.setattr(_worker, "IDLE", 0.0)
    cmd = command("brief", registry=registry, isolation="thread", max_concurrency=None)
    with pytest.raises(ConfigurationError):
        cmd(here)
    cmd = command("brief 2", registry=registry, isolation="thread", max_concurrency=100)
    done: list[int] = []
    guarded = cmd(lambda: done.append(1))

    def call(number: int) -> None:
        for _ in range(100):
            guarded()

    together(4, call)
    assert len(done) == 400
    assert cmd.snapshot().in_flight == 0


class Taken(list[Any]):
    """Idle workers, of which one is taken in the very moment in which it takes itself off."""

    def __init__(self, take: Any) -> None:
        super().__init__()
        self.take = take

    def remove(self, worker: Any) -> None:
        take, self.take = self.take, lambda: None
        take()
        super().remove(worker)


@pytest.mark.promise("D2")
def test_a_worker_taken_as_it_ends_makes_that_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its time as an idle one is over when a call takes it: it makes the call, and ends after it.
    """
    monkeypatch.setattr(_worker, "IDLE", 0.0)
    pool = _worker.Workers("taken")
    jobs = [_worker.Job(here, (), {}, None) for _ in range(2)]
    pool._idle = Taken(lambda: pool.start(jobs[1]))
    pool.start(jobs[0])
    assert all(job.wait(PATIENCE) for job in jobs)
    first, second = (job.result() for job in jobs)
    assert first is second
    first.join(PATIENCE)
    assert workers("taken") == []
    assert pool._idle == []


def test_a_command_nobody_holds_leaves_no_thread_for_ever(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Its idle workers end by themselves, and keep neither the command nor arguments alive.
    """

    class Argument:
        pass

    cmd: Any = command("dropped", registry=registry, isolation="thread")
    argument = Argument()
    guarded = cmd(lambda thing: here())
    worker = guarded(argument)
    gone = weakref.ref(argument)
    del argument
    gc.collect()
    assert gone() is None
    command_gone = weakref.ref(cmd)
    registry.remove("dropped")
    del cmd, guarded
    gc.collect()
    assert command_gone() is None
    worker.join(PATIENCE)
    assert not worker.is_alive()


@pytest.mark.promise("I8")
def test_nothing_is_started_before_a_call(registry: Registry, clock: FakeClock) -> None:
    """
    Construction, decoration, blocks and permits start no thread.
    """
    before = threading.enumerate()
    cmd = command("lazy", registry=registry, timeout=1, isolation="thread")
    cmd(here)
    with cmd, cmd.acquire():
        pass
    CircuitBreaker("lazy", registry=registry)
    Bulkhead(3)
    assert threading.enumerate() == before


@pytest.mark.promise("C1", "D2")
def test_a_thread_that_cannot_be_started_costs_no_slot(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where the system gives no more threads the call fails with its error.

    Nothing counts as running or abandoned afterwards, even if the error is kept with its frames.
    """
    cmd = command("poor", registry=registry, isolation="thread", max_concurrency=1)
    guarded = cmd(here)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as poor:
        poor.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="start new thread") as kept:
            guarded()
    snapshot = cmd.snapshot()
    assert kept.value.__traceback__ is not None
    assert (snapshot.in_flight, snapshot.abandoned) == (0, 0)
    assert (snapshot.window.calls, snapshot.totals[Outcome.IGNORED]) == (0, 1)
    assert guarded() is not here()
    assert sum(cmd.snapshot().totals.values()) == 2


# -- time


@pytest.mark.promise("E7")
def test_the_caller_gets_away_in_time(real: Registry) -> None:
    """
    A call that hangs is left after `timeout`: the error names the command and its time.

    The thread is counted as abandoned, with its slot held, until it really ends.
    """
    cmd = command("hangs", registry=real, timeout=0.05, max_concurrency=1)
    gate = Gate()
    guarded = cmd(gate)
    with pytest.raises(DeadlineExceededError) as caught:
        guarded()
    assert (caught.value.name, caught.value.timeout) == ("hangs", 0.05)
    assert 0.05 <= caught.value.elapsed < 5
    snapshot = cmd.snapshot()
    assert (snapshot.in_flight, snapshot.abandoned) == (1, 1)
    assert command("other", registry=real).snapshot().abandoned == 0
    assert snapshot.totals[Outcome.TIMEOUT] == 1
    with pytest.raises(BulkheadFullError):
        guarded()
    (worker,) = workers("hangs")
    gate.open.set()
    worker.join(PATIENCE)
    snapshot = cmd.snapshot()
    assert (snapshot.in_flight, snapshot.abandoned) == (0, 0)
    assert snapshot.totals[Outcome.SUCCESS] == 0
    assert sum(snapshot.totals.values()) == 2


def test_the_callers_deadline_ends_it_too(real: Registry) -> None:
    """
    A caller with less time than the command has is let go when its own is over.
    """
    cmd = command("hurried", registry=real, timeout=20, max_concurrency=1)
    gate = Gate()
    with pytest.raises(DeadlineExceededError) as caught, deadline(0.05) as budget:
        cmd(gate)()
    assert caught.value.deadline is budget
    assert caught.value.name is None
    assert cmd.snapshot().abandoned == 1
    gate.open.set()
    for worker in workers("hurried"):
        worker.join(PATIENCE)
    assert cmd.snapshot().in_flight == 0


@pytest.mark.promise("D1", "D2")
def test_never_more_threads_run_than_there_are_slots(real: Registry) -> None:
    """
    However many callers give up, no more calls really run than `max_concurrency`.
    """
    cmd = command("bounded", registry=real, timeout=0.02, max_concurrency=2)
    gate = Gate()
    guarded = cmd(gate)
    errors = []
    for _ in range(10):
        with pytest.raises((DeadlineExceededError, BulkheadFullError)) as caught:
            guarded()
        errors.append(caught.type)
    assert errors.count(DeadlineExceededError) == gate.calls == 2
    assert len(workers("bounded")) == cmd.snapshot().abandoned == 2
    gate.open.set()
    for worker in workers("bounded"):
        worker.join(PATIENCE)
    snapshot = cmd.snapshot()
    assert (snapshot.in_flight, snapshot.abandoned) == (0, 0)


def test_the_end_of_an_abandoned_call_serves_who_waits(real: Registry) -> None:
    """
    The slot of an abandoned thread goes to a waiter when that thread ends.
    """
    cmd = command(
        "served", registry=real, timeout=0.05, max_concurrency=1, max_waiting=1, max_wait=20
    )
    gate = Gate()
    guarded = cmd(gate)
    with pytest.raises(DeadlineExceededError):
        guarded()
    caller = Caller(cmd.call, here)
    gate.open.set()
    assert caller.outcome() is not here()
    assert cmd.snapshot().in_flight == 0


def test_what_an_abandoned_call_raises_is_nobodys(
    real: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Its late error ends in silence: no traceback of a thread, no second outcome.
    """
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    cmd = command("late", registry=real, timeout=0.05)
    gate = Gate()

    def body() -> None:
        gate()
        raise SystemExit(3)

    with pytest.raises(DeadlineExceededError):
        cmd(body)()
    gate.open.set()
    for worker in workers("late"):
        worker.join(PATIENCE)
    assert said == []
    assert sum(cmd.snapshot().totals.values()) == 1


def test_a_timeout_on_a_worker_opens_and_is_answered(real: Registry) -> None:
    """
    It is a failure like any other for the circuit, and for the fallback.

    That one runs in the caller's thread.
    """
    cmd = command(
        "answered", registry=real, timeout=0.02, volume_threshold=1, fallback=lambda error: here()
    )
    gate = Gate()
    assert cmd(gate)() is here()
    assert cmd.state is State.OPEN
    gate.open.set()


def test_without_a_timeout_a_worker_is_waited_for(registry: Registry, clock: FakeClock) -> None:
    """
    `isolation="thread"` with `timeout=None` waits as long as it takes.
    """
    cmd = command("patient", registry=registry, timeout=None, isolation="thread")
    gate = Gate()
    caller = Caller(cmd(gate))
    assert gate.begun.wait(PATIENCE)
    assert caller.is_alive()
    gate.open.set()
    assert caller.outcome() == 1


# -- what is refused


@pytest.mark.promise("A7")
@pytest.mark.parametrize("answer", [None, lambda error: f"instead of {type(error).__name__}"])
def test_an_open_circuit_asks_no_worker(registry: Registry, clock: FakeClock, answer: Any) -> None:
    """
    The call is refused, or answered by its fallback, as it is without threads.
    """
    cmd = registry.command("db", timeout=1, volume_threshold=1, fallback=answer)
    cmd.acquire().fail()
    ran: list[int] = []
    guarded = cmd(lambda: ran.append(1))
    if answer is None:
        with pytest.raises(CircuitOpenError):
            guarded()
    else:
        assert guarded() == "instead of CircuitOpenError"
    assert (ran, cmd.snapshot().totals[Outcome.SHORT_CIRCUITED]) == ([], 1)


def test_in_shadow_mode_nobody_is_left_behind(real: Registry) -> None:
    """
    Its caller waits for the worker for as long as it takes, whatever deadline is over.
    """
    cmd = real.command("db", timeout=0.01)
    cmd.shadow()
    with deadline(0.01):
        assert cmd(lambda: threading.Event().wait(0.05) or "late")() == "late"
    assert cmd.snapshot().abandoned == 0


@pytest.mark.promise("D2")
def test_an_interrupted_caller_leaves_its_worker_behind(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The thread runs on: its slot stays held and is counted as abandoned.
    """
    gate = Gate()

    def interrupted(_job: Job, _seconds: float) -> bool:
        assert gate.begun.wait(PATIENCE)
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "wait", interrupted)
    cmd = registry.command("db", timeout=1)
    with pytest.raises(KeyboardInterrupt):
        cmd(gate)()
    snapshot = cmd.snapshot()
    assert (snapshot.in_flight, snapshot.abandoned) == (1, 1)
    assert snapshot.totals[Outcome.CANCELLED] == 1
    gate.open.set()


@pytest.mark.promise("D2")
def test_a_result_that_comes_at_the_last_moment_is_its_caller_s(
    real: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The worker ends between the end of the wait and the caller's leaving: nothing is left behind.
    """
    waited: list[Job] = []
    wait = Job.wait

    def just_too_late(job: Job, _: float) -> bool:
        waited.append(job)
        assert wait(job, PATIENCE)
        return False

    monkeypatch.setattr(Job, "wait", just_too_late)
    cmd = real.command("db", timeout=PATIENCE)
    assert cmd(lambda: 1)() == 1
    snapshot = cmd.snapshot()
    assert (snapshot.abandoned, snapshot.in_flight, len(waited)) == (0, 0, 1)


@pytest.mark.parametrize("fields", [{"timeout": 1}, {"isolation": "thread"}], ids=str)
def test_threads_without_a_bound_are_refused(
    registry: Registry, clock: FakeClock, fields: dict[str, Any]
) -> None:
    """
    `max_concurrency=None` with thread isolation is a `ConfigurationError` that says why.
    """
    cmd = command("db", registry=registry, max_concurrency=None, **fields)
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        cmd(here)
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        cmd.call(here)


@pytest.mark.parametrize("when", ["before", "after"])
def test_configuration_cannot_take_the_bound_away(
    registry: Registry, clock: FakeClock, when: str
) -> None:
    """
    Nor can `configure` make threads unbounded, before or after the command exists.
    """
    cmd = command("db", registry=registry, isolation="thread")
    if when == "after":
        cmd(here)
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        registry.configure("db", max_concurrency=None)
        cmd(here)


def test_a_shared_bulkhead_bounds_the_threads(registry: Registry, clock: FakeClock) -> None:
    """
    With `bulkhead=` it is that one's limit that counts.
    """
    cmd = command("a", registry=registry, isolation="thread", bulkhead=Bulkhead(2))
    assert cmd(here)() is not here()
    unbounded = command("b", registry=registry, isolation="thread", bulkhead=Bulkhead(None))
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        unbounded(here)


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_a_stream_stays_with_its_consumer(registry: Registry, clock: FakeClock, kind: str) -> None:
    """
    A generator cannot be asked onto a thread; a timeout alone does not move it.
    """

    def items() -> Any:
        yield here()

    async def aitems() -> Any:
        yield here()

    cmd = command("db", registry=registry, isolation="thread")
    if kind == "generator":
        with pytest.raises(TypeError, match="generator"):
            cmd(items)
        assert next(command("db", registry=registry, timeout=1)(items)()) is here()
    else:
        assert asyncio.run(anext(cmd(aitems)())) is here()


class Promise:
    """What can be awaited and is no coroutine."""

    def __init__(self, coroutine: Any) -> None:
        coroutine.close()

    def __await__(self) -> Any:
        raise AssertionError


@pytest.mark.parametrize("reading", range(1, 12))
def test_time_that_runs_out_on_the_way_to_the_worker(reading: int) -> None:
    """
    At whichever reading of the clock an hour has passed: the value is there, or it is too late.
    """
    clock = LeapingClock(reading)
    command = Registry(clock=clock).command("db", timeout=1.0, isolation="thread")
    with contextlib.suppress(DeadlineExceededError):
        assert command.call(lambda: 3) == 3
    assert sum(command.snapshot().totals.values()) == 1


@pytest.mark.promise("F8")
@pytest.mark.parametrize("disguise", [lambda coroutine: coroutine, Promise], ids=["no", "promise"])
def test_a_function_that_returns_an_awaitable_is_an_error(
    registry: Registry, clock: FakeClock, disguise: Any
) -> None:
    """
    On a worker nobody can await it: a `TypeError` that names it, and `async def`.

    No coroutine is left that was never awaited.
    """

    async def coroutine() -> int:
        return 1

    cmd = command("db", registry=registry, isolation="thread")

    @cmd
    def body() -> Any:
        return disguise(coroutine())

    with pytest.raises(TypeError, match=r"body returned an awaitable .*async def"):
        body()
    gc.collect()
    assert cmd.snapshot().in_flight == 0
    assert sum(cmd.snapshot().totals.values()) == 1


@pytest.mark.parametrize("isolation", ["fork", "", True, 1])
def test_isolation_is_one_of_two(registry: Registry, clock: FakeClock, isolation: Any) -> None:
    """
    Anything else is refused at construction.
    """
    with pytest.raises(ConfigurationError, match="isolation"):
        command("db", registry=registry, isolation=isolation)


# -- calls within calls


@pytest.mark.promise("H1", "C7")
def test_nested_commands_do_not_starve(registry: Registry, clock: FakeClock) -> None:
    """
    A command called on another's worker has a worker of its own.

    So it is to any depth, and from many threads at once.
    """
    commands = [
        command(f"level {level}", registry=registry, timeout=60, max_concurrency=8)
        for level in range(5)
    ]

    def down(level: int) -> int:
        return level if level == 5 else commands[level].call(down, level + 1)

    assert together(8, lambda number: down(0)) == [5] * 8
    assert all(cmd.snapshot().in_flight == 0 for cmd in commands)


@pytest.mark.promise("H1", "C7", "D10")
def test_a_command_that_calls_itself_is_refused_before_it_starves(
    registry: Registry, clock: FakeClock
) -> None:
    """
    Recursion takes a slot and a worker for each level; the one that finds none is refused.

    It would be allowed to wait, but only for itself.
    """
    cmd = command("self", registry=registry, timeout=60, max_concurrency=3, max_waiting=5)
    depths: list[int] = []

    @cmd
    def down(depth: int) -> None:
        depths.append(depth)
        down(depth + 1)

    with pytest.raises(BulkheadFullError):
        Caller(down, 1).outcome()
    assert depths == [1, 2, 3]
    assert cmd.snapshot().in_flight == 0


@pytest.mark.promise("H1", "D10")
@pytest.mark.parametrize("between", [0, 1, 2])
def test_a_worker_does_not_wait_for_its_caller_s_slot(
    registry: Registry, clock: FakeClock, between: int
) -> None:
    """
    However many calls of others, and deadlines, lie between: nobody else could make room.
    """
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)
    inner: Any = bulkhead(here)
    for number in range(between):
        inner = command(f"own {number}", registry=registry)(deadline(60)(inner))
    inner = command("worker", registry=registry, isolation="thread", timeout=60)(inner)
    with pytest.raises(BulkheadFullError):
        Caller(bulkhead(deadline(60)(inner))).outcome()
    assert bulkhead.snapshot().in_flight == 0


def test_a_worker_of_another_thread_waits_for_its_caller_s_slot() -> None:
    """
    A thread that was given the context of a call holds none of its slots: they become free.
    """
    watching = WatchingClock()
    registry = Registry(clock=watching)
    bulkhead = Bulkhead(1, max_waiting=1, registry=registry)
    inner = command("worker", registry=registry, isolation="thread", timeout=60)(bulkhead(here))
    with bulkhead:
        waits = watching.when(lambda: bulkhead.waiting == 1)
        caller = Caller(contextvars.copy_context().run, inner)
        assert waits.wait(PATIENCE)
    assert caller.outcome() is not here()


def test_a_call_on_a_worker_of_its_caller_ends_with_it(real: Registry) -> None:
    """
    The time of an outer command binds the inner one on its own worker.

    Both threads are left in time.
    """
    outer = command("outer", registry=real, timeout=0.05)
    inner = command("inner", registry=real, timeout=20)
    gate = Gate()
    guarded = outer(lambda: inner.call(gate))
    with pytest.raises(DeadlineExceededError) as caught:
        guarded()
    assert caught.value.name == "outer"
    gate.open.set()
    for worker in workers("outer") + workers("inner"):
        worker.join(PATIENCE)
    assert outer.snapshot().in_flight == inner.snapshot().in_flight == 0


def test_a_fallback_stack_on_a_worker(registry: Registry, clock: FakeClock) -> None:
    """
    Other decorators around a command on a thread see its errors as if it had stayed.
    """
    cmd = command("db", registry=registry, isolation="thread")

    @fallback(lambda error: "instead", handle=OSError)
    @cmd
    def body() -> str:
        raise OSError("no")

    assert body() == "instead"


# -- the end of the program


def played(code: str) -> tuple[int, str, str, float]:
    """Run a program; its exit status, output, errors, and how long its exit took."""
    program = "import time\n" + textwrap.dedent(code) + "\nprint(time.monotonic(), flush=True)\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    ended = time.monotonic()
    *lines, last = done.stdout.splitlines() or ["0"]
    return done.returncode, "\n".join(lines), done.stderr, ended - float(last)


HANGING = """
    import threading
    from resilience import DeadlineExceededError, command
    begun = threading.Event()

    @command("hangs", timeout=0.01, isolation="thread")
    def hang():
        begun.set()
        threading.Event().wait()

    try:
        hang()
    except DeadlineExceededError as error:
        print(error.name)
    assert begun.wait(20)
"""


@pytest.mark.promise("I7")
@pytest.mark.parametrize("idle", ["", "\ncommand('idle', isolation='thread')(len)('')"])
def test_a_hung_worker_does_not_hold_the_program_up(idle: str) -> None:
    """
    With a call that hangs on a worker the interpreter exits at once, silently, with status 0.
    """
    status, output, errors, took = played(textwrap.dedent(HANGING) + idle)
    assert (status, output, errors) == (0, "hangs", "")
    assert took < 1


@pytest.mark.promise("I7")
def test_a_call_at_exit_is_made_or_refused_in_words() -> None:
    """
    A guarded function called by an `atexit` handler does not hang the exit.
    """
    status, _, errors, took = played(
        """
        import atexit
        from resilience import command

        @command("db", isolation="thread")
        def body():
            return 1

        body()
        atexit.register(body)
        """
    )
    assert status == 0
    assert took < 1
    assert "Traceback" not in errors or "RuntimeError" in errors


@pytest.mark.promise("I8")
def test_importing_and_constructing_starts_no_thread() -> None:
    """
    In a fresh interpreter there is one thread after import, construction and decoration.

    No event loop was imported.
    """
    status, output, errors, _ = played(
        """
        import sys, threading, _thread
        import resilience
        from resilience import Bulkhead, CircuitBreaker, command, deadline, fallback

        @fallback(print)
        @CircuitBreaker("a")
        @Bulkhead(3)
        @deadline(1)
        @command("b", timeout=1)
        def body():
            pass

        print(threading.active_count(), _thread._count(), "asyncio" in sys.modules)
        """
    )
    assert (status, output, errors) == (0, "1 0 False", "")
