"""Found in review: what the faster paths, and older ones beside them, got wrong."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import pickle
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from resilience import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    Deadline,
    DeadlineExceededError,
    Outcome,
    Registry,
    StateChanged,
    deadline,
    remaining,
)
from resilience._chain import current
from resilience._core.circuit import Circuit
from resilience._core.journal import Journal, taken
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime
from tests.support.threads import Caller


def fail() -> None:
    """Fail."""
    raise ConnectionError("refused")


@pytest.mark.promise("D1", "D2")
def test_an_abandoned_call_lays_its_slot_back_once() -> None:
    """
    Its thread may end before its caller has settled it: the second of them lays the slot back.
    """
    registry = Registry()
    command = Command("db", registry=registry, timeout=0.02, max_concurrency=1, volume_threshold=1)
    done, told = threading.Event(), threading.Event()

    def listener(_: object) -> None:  # runs in the caller, between the verdict and the slot
        done.set()
        told.wait(10)

    guarded = command(lambda: done.wait(10))
    registry.subscribe(listener)

    def call() -> None:
        with pytest.raises(DeadlineExceededError):
            guarded()

    caller = Caller(call)
    for _ in range(1000):
        if done.wait(0.01) and not command.snapshot().abandoned:
            break
    told.set()
    caller.outcome()
    slots = command._guard.entry.own_pool.slots
    assert (command.snapshot().in_flight, len(slots.free), slots.issued) == (0, 1, 1)


@pytest.mark.promise("A8")
def test_a_bulkhead_asks_no_circuit_of_its_name(run: Runtime, registry: Registry) -> None:
    """
    A breaker of the same name is open: the bulkhead alone lets its calls pass.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)
    assert isinstance(run.raised(breaker(run.body(raises=OSError))), OSError)
    assert run.call(Bulkhead(5, name="db", registry=registry)(run.body(returns=1))) == 1


@pytest.mark.promise("C5")
def test_what_is_written_down_is_taken_once_whatever_takes_it_as_well() -> None:
    """
    A collection at any allocation of the taking runs a finalizer that takes from the same list.

    Python 3.11 collects while it allocates: a slice was copied from freed memory.
    """
    journal, others = Journal(1), list[int]()

    class Finalized:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            others.extend(taken(journal))

    thresholds = gc.get_threshold()
    for after in range(8):
        journal.extend(range(16))
        gc.disable()
        gc.collect()
        Finalized()
        kept = [[] for _ in range(100)], [slice(1, 2) for _ in range(3)]  # no spare ones are left
        gc.set_threshold(gc.get_count()[0] + after)
        gc.enable()
        found = taken(journal)
        gc.set_threshold(*thresholds)
        del kept
        gc.collect()
        assert sorted(found + others) == list(range(16))
        others.clear()


@pytest.mark.promise("E1", "E2")
def test_a_consumer_s_deadline_binds_nothing_that_an_earlier_step_began(
    task: AsyncRuntime,
) -> None:
    """
    A background task of a stream goes by the budget of its own step, not of a later consumer's.
    """
    left: list[float | None] = []

    async def background() -> None:
        await task.sleep(5)
        left.append(remaining())

    async def body() -> None:
        async with anyio.create_task_group() as group:

            @deadline(60, clock=task.clock)
            async def produce() -> AsyncIterator[int]:
                group.start_soon(background)
                yield 1
                await task.sleep(2)
                yield 2

            stream = produce()
            await anext(stream)
            with pytest.raises(DeadlineExceededError), deadline(1, clock=task.clock):
                await anext(stream)

    task.call(body)
    assert left == [None]


@pytest.mark.promise("E1", "E2", "E5")
def test_who_carries_a_deadline_finds_the_next_one_when_each_is_left(task: AsyncRuntime) -> None:
    """
    The inner one is left in time, then the outer one: what carries both is free.
    """
    ends: list[str] = []

    async def child() -> None:
        with deadline(10, clock=task.clock):
            await task.sleep(1)
        ends.append("ok")

    async def body() -> None:
        import anyio

        async with anyio.create_task_group() as group:
            with deadline(0.6, clock=task.clock):
                with deadline(0.3, clock=task.clock):
                    group.start_soon(child)
                    await task.sleep(0.05)
                await task.sleep(0.05)

    task.call(body)
    assert ends == ["ok"]


@pytest.mark.promise("E2", "E5")
def test_a_deadline_left_while_it_is_being_carried_binds_its_carrier_no_longer(
    task: AsyncRuntime,
) -> None:
    """
    It is left between the carrier's finding it and making itself known to it.
    """
    budget = contextlib.ExitStack()

    class Leaving(FakeClock):
        def __call__(self) -> int:
            if sys._getframe(1).f_code.co_name == "_enforce":  # asked how long to set the alarm
                owner.run(budget.close)
            return int(task.clock())

    async def body() -> None:
        with deadline(10, clock=task.clock):
            await task.sleep(5)

    owner = contextvars.copy_context()
    owner.run(budget.enter_context, deadline(1, clock=Leaving()))
    owner.copy().run(task.call, body)


@pytest.mark.promise("A11", "C1", "F1")
def test_a_trial_interrupted_while_it_is_judged_is_given_back(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An interrupt between counting a trial's result and recording it holds up no later trial.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=5)
    with pytest.raises(ConnectionError):
        breaker(fail)()
    clock.advance(5)

    def interrupted(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Circuit, "record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        breaker(lambda: 1)()
    gc.collect()
    assert breaker(lambda: 1)() == 1


class Free(list[Any]):
    """Idle slots; something happens before the first of them is taken."""

    def __init__(self, slots: list[Any], happens: Callable[[], object]) -> None:
        super().__init__(slots)
        self._happens: Callable[[], object] | None = happens

    def pop(self, *place: Any) -> Any:
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return super().pop(*place)


@pytest.mark.promise("A1", "C1")
def test_a_slot_that_comes_from_opening_the_circuit_admits_nobody(
    registry: Registry,
) -> None:
    """
    Between asking the circuit and taking a slot another call fails: its slot is no way in.
    """
    command = Command("db", registry=registry, max_concurrency=2, volume_threshold=1)
    permit = command.acquire()
    command.call(lambda: 1)  # there is an idle slot now
    slots = command._guard.pool.slots
    slots.free = free = Free(slots.free, permit.fail)
    for token in (*free, permit._token):
        token.home = free
    with pytest.raises(CircuitOpenError):
        command.call(lambda: 1)
    assert command.snapshot().in_flight == 0


@pytest.mark.promise("E2", "F1")
@pytest.mark.parametrize("step", ["enter", "leave"])
def test_a_scope_interrupted_on_its_way_is_not_the_current_one(clock: FakeClock, step: str) -> None:
    """
    An interrupt in front of any line of the way in or out: leaving it once more restores what was.
    """
    code = getattr(Deadline, step).__code__
    lines = sorted({line for *_, line in code.co_lines() if line is not None})
    for at in lines:
        scope = Deadline(clock, 10, None)
        if step == "leave":
            scope.enter()

        def trace(frame: Any, event: str, _: Any, at: int = at) -> Any:
            if event == "line" and frame.f_code is code and frame.f_lineno == at:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace if frame.f_code is code else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                getattr(scope, step)()
        finally:
            sys.settrace(before)
        scope.leave()
        assert current.get() is None


@pytest.mark.promise("K4")
def test_what_a_dependency_said_stands_in_no_repr(clock: FakeClock) -> None:
    """
    `last_error` is an attribute, and part of neither `str`, `repr` nor `args`.
    """
    breaker = CircuitBreaker("db", registry=Registry(clock=clock), volume_threshold=1)
    with pytest.raises(ConnectionError):
        breaker(fail)()
    with pytest.raises(CircuitOpenError) as caught:
        breaker(fail)()
    error = caught.value
    assert error.last_error == "ConnectionError: refused"
    assert "refused" not in f"{error!r} {error.args!r} {ExceptionGroup('', [error])!r}"


class OwnError(CircuitOpenError):
    """An error of a user's, with arguments of its own."""

    def __init__(self, url: str) -> None:
        super().__init__("db", retry_after=1.0)
        self.url = url
        self.retry_after = 3.0


def test_a_refusal_may_be_subclassed() -> None:
    """
    It can be pickled and changed, whatever its `__init__` takes.
    """
    error = pickle.loads(pickle.dumps(OwnError("http://localhost")))
    assert (error.name, error.retry_after, error.url) == ("db", 3.0, "http://localhost")


def test_a_handler_finds_a_refusal_raised(run: Runtime, registry: Registry) -> None:
    """
    It may raise it again, or log it, as it may the error of a call that was made.
    """
    seen: list[Any] = []

    def handler(error: BaseException) -> None:
        seen.append(sys.exc_info()[1] is error)
        raise  # noqa: PLE0704 - it is called within one

    command = Command("db", registry=registry, volume_threshold=1, fallback=handler)
    guarded = command(run.body(raises=OSError))
    assert isinstance(run.raised(guarded), OSError)
    assert isinstance(run.raised(guarded), CircuitOpenError)
    assert seen == [True, True]


@pytest.mark.promise("B7")
def test_an_event_tells_of_every_call_before_it(registry: Registry, clock: FakeClock) -> None:
    """
    Refusals that were only written down so far are in its snapshot.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=5)
    for _ in range(6):
        with pytest.raises((ConnectionError, CircuitOpenError)):
            breaker(fail)()
    events: list[Any] = []
    registry.subscribe(events.append)
    clock.advance(5)
    breaker(lambda: None)()
    first = next(each for each in events if isinstance(each, StateChanged))
    assert first.snapshot.totals[Outcome.SHORT_CIRCUITED] == 5


def test_percents_that_are_equal_stay_as_they_are_written(registry: Registry) -> None:
    """
    50 and 50.0 are one share; each is shown as its command has it.
    """
    shown = [
        Command(f"db-{percent!r}", registry=registry, error_percent=percent)
        for percent in (50, 50.0)
    ]
    for command, text in zip(shown, ("50", "50.0"), strict=True):
        command.call(int)
        assert repr(command.snapshot().settings.error_percent) == text


@pytest.mark.parametrize("kind", [CircuitBreaker, Command])
def test_nobody_waits_to_have_a_long_journal_counted(registry: Registry, kind: Any) -> None:
    """
    Somebody holds the lock of the name, and so is about to count: successes go on meanwhile.
    """
    guard = kind("db", registry=registry)
    guarded = guard(lambda: 1)
    guarded()  # makes a slot
    with guard._guard.entry.lock:
        calls = Caller(lambda: [guarded() for _ in range(100)])
        assert calls.outcome() == [1] * 100
    assert guard.snapshot().totals[Outcome.SUCCESS] == 101
