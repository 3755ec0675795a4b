from __future__ import annotations

import importlib
import itertools
import logging
import sys
import threading
from contextvars import ContextVar
from typing import Any

import anyio
import attrs
import pytest

import resilience
from resilience import (
    Bulkhead,
    BulkheadFullError,
    CallRejected,
    CallTimedOut,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    DeadlineExceededError,
    FallbackCalled,
    Outcome,
    Registry,
    State,
    StateChanged,
    _log,
    deadline,
)
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime
from tests.support.threads import PATIENCE, Caller, together


class Heard(list[Any]):
    """What a listener was told, in order."""

    def __call__(self, event: Any) -> None:
        self.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


@pytest.fixture
def heard(registry: Registry) -> Heard:
    """All that the registry tells."""
    heard = Heard()
    registry.subscribe(heard)
    return heard


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the library logs."""
    monkeypatch.setattr(_log, "_last", {})
    caplog.set_level(logging.DEBUG, logger="resilience")
    return caplog


def make(registry: Registry, **fields: Any) -> Command:
    """A command that one failure opens."""
    return Command("db", registry=registry, volume_threshold=1, sleep_window=5, **fields)


def fail(guard: Any) -> None:
    """Let a call of it fail."""
    guard.acquire().fail(OSError("no"))


# -- what is told


def test_each_change_of_state_is_told(run: Runtime, registry: Registry, heard: Heard) -> None:
    """
    Opening, trying and closing are told as they happen.

    Each with its reason, and with the state of things right after.
    """
    cmd = make(registry)
    guarded = cmd(run.body(raises=OSError("no")))
    run.raised(guarded)
    opened = run.clock()
    run.advance(5)
    guarded.__wrapped__.body.raises = None
    run.call(guarded)
    changes = heard.of(StateChanged)
    assert [(each.name, each.old, each.new) for each in changes] == [
        ("db", State.CLOSED, State.OPEN),
        ("db", State.OPEN, State.HALF_OPEN),
        ("db", State.HALF_OPEN, State.CLOSED),
    ]
    assert "1 of 1 calls failed" in changes[0].reason
    assert changes[0].at == pytest.approx(opened / 1e9)
    assert [each.snapshot.state for each in changes] == [each.new for each in changes]
    assert [each.snapshot.generation for each in changes] == [2, 3, 4]
    assert changes[0].snapshot.totals[Outcome.FAILURE] == 1
    assert changes[0].snapshot.last_error == "OSError: no"
    assert changes[0].snapshot.retry_after == 5


@pytest.mark.promise("A2")
def test_a_success_that_opens_is_told(run: Runtime, registry: Registry, heard: Heard) -> None:
    """
    Two failures come while a call runs whose success makes the window full enough: it opens.

    The change is told by that very call.
    """
    cmd = Command("db", registry=registry, volume_threshold=4, timeout=None)
    run.call(cmd(run.coloured(lambda: None)))

    def body() -> str:
        fail(cmd)
        fail(cmd)
        assert cmd.state is State.CLOSED
        return "answer"

    guarded = cmd(run.coloured(body))
    assert run.call(guarded) == "answer"
    (change,) = heard.of(StateChanged)
    assert (change.old, change.new) == (State.CLOSED, State.OPEN)
    assert change.reason.startswith("2 of 4 calls failed")
    assert change.snapshot.totals[Outcome.SUCCESS] == 2


@pytest.mark.promise("A2", "A13")
def test_a_reset_is_told_once(registry: Registry, clock: FakeClock, heard: Heard) -> None:
    """
    `reset` of an open circuit is a change of state; of a closed one, and overrides, are none.
    """
    cmd = make(registry)
    cmd.reset()
    cmd.force_open()
    cmd.clear_override()
    assert heard == []
    fail(cmd)
    cmd.reset()
    cmd.reset()
    assert [each.new for each in heard] == [State.OPEN, State.CLOSED]
    assert heard[-1].reason == "reset"


def test_each_refusal_is_told(run: Runtime, registry: Registry, heard: Heard) -> None:
    """
    A refused call is told with its outcome: short-circuited, no slot, no time.
    """
    cmd = make(registry, max_concurrency=1)
    guarded = cmd(run.body())
    with cmd.acquire():
        assert isinstance(run.raised(guarded), BulkheadFullError)
    past = deadline(0, clock=run.clock)(guarded)
    assert isinstance(run.raised(past), DeadlineExceededError)
    fail(cmd)
    assert isinstance(run.raised(guarded), CircuitOpenError)
    refused = heard.of(CallRejected)
    assert [(each.name, each.outcome) for each in refused] == [
        ("db", Outcome.BULKHEAD_FULL),
        ("db", Outcome.EXPIRED),
        ("db", Outcome.SHORT_CIRCUITED),
    ]
    assert all(each.at == run.clock() / 1e9 for each in refused)
    assert [(each.state, each.reason) for each in refused] == [
        (State.CLOSED, "none of 1 slots is free"),
        (State.CLOSED, "the caller's time is over"),
        (State.OPEN, "1 of 2 calls failed, the limit is 50 %"),
    ]


def test_a_refusal_tells_what_stood_in_its_way(
    run: Runtime, registry: Registry, heard: Heard
) -> None:
    """
    Forced open is not open, and who finds the trials taken is not refused for what opened it.
    """
    cmd = make(registry)
    guarded = cmd(run.body())
    cmd.force_open()
    run.raised(guarded)
    cmd.clear_override()
    fail(cmd)
    run.advance(5)
    with cmd.acquire():
        run.raised(guarded)
    assert [(each.state, each.reason) for each in heard.of(CallRejected)] == [
        (State.CLOSED, "forced open"),
        (State.HALF_OPEN, "the trials are taken"),
    ]


def test_each_timeout_is_told(run: Runtime, registry: Registry, heard: Heard) -> None:
    """
    A call that took too long is told with the time it took.
    """
    cmd = make(registry, timeout=1, isolation="semaphore")
    run.raised(cmd(run.body(takes=3)))
    (late,) = heard.of(CallTimedOut)
    assert late.name == "db"
    assert late.elapsed == pytest.approx(1 if run.is_async else 3, abs=0.01)
    assert (late.state, late.reason) == (State.OPEN, "the call's own timeout was over")


def test_a_timeout_tells_whose_time_was_over(
    run: Runtime, registry: Registry, heard: Heard
) -> None:
    """
    A call that its caller's deadline cuts off after a fair share is told as that.
    """
    cmd = Command("db", registry=registry, timeout=2, isolation="semaphore")
    scene = cmd(run.body(takes=1, raises=None if run.is_async else OSError("no")))
    run.raised(deadline(0.5, clock=run.clock)(scene))
    (late,) = heard.of(CallTimedOut)
    assert (late.state, late.reason) == (State.CLOSED, "the caller's deadline was over")


def test_each_fallback_is_told(run: Runtime, registry: Registry, heard: Heard) -> None:
    """
    A fallback is told with how it ended.
    """

    def answers(error: BaseException) -> int:
        return 3

    def fails(error: BaseException) -> int:
        raise ValueError("no")

    body = run.body(raises=OSError("no"))
    for name, handler in (("a", answers), ("b", fails)):
        run.raised(Command(name, registry=registry, fallback=handler)(body))
    limited = Command("c", registry=registry, fallback=answers, fallback_max_concurrency=0)
    assert isinstance(run.raised(limited(body)), OSError)
    assert [(each.name, each.outcome) for each in heard.of(FallbackCalled)] == [
        ("a", "success"),
        ("b", "failure"),
        ("c", "rejected"),
    ]
    assert {(each.state, each.reason) for each in heard.of(FallbackCalled)} == {
        (State.CLOSED, "OSError")
    }


def test_what_has_no_name_tells_nobody(registry: Registry, clock: FakeClock, heard: Heard) -> None:
    """
    A private guard belongs to no registry: its events are its own.
    """
    fail(CircuitBreaker(volume_threshold=1, registry=registry))
    assert heard == []


def test_a_removed_name_tells_on(registry: Registry, clock: FakeClock, heard: Heard) -> None:
    """
    Commands of a removed name go on, events included.
    """
    cmd = make(registry)
    registry.remove("db")
    fail(cmd)
    assert len(heard) == 1


def test_events_are_frozen_records(registry: Registry, clock: FakeClock, heard: Heard) -> None:
    """
    Nobody changes what the next listener is told.
    """
    fail(make(registry))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        heard[0].name = "other"


# -- order and locks


@pytest.mark.promise("A2", "H3")
def test_events_of_many_threads_come_in_order(registry: Registry, clock: FakeClock) -> None:
    """
    Whichever thread causes them, transitions are told one after the other.

    Each starts from the state the one before led to, and none is told twice or never.
    """
    heard = Heard()
    registry.subscribe(heard)
    cmd = make(registry, half_open_calls=100)

    def work(number: int) -> None:
        for _ in range(100):
            try:
                permit = cmd.acquire()
            except (CircuitOpenError, BulkheadFullError):
                cmd.reset()
                clock.advance(5)
            else:
                permit.fail()

    together(6, work)
    changes = heard.of(StateChanged)
    assert len(changes) > 10
    assert changes[0].old is State.CLOSED
    for before, after in itertools.pairwise(changes):
        assert after.old is before.new
        assert after.snapshot.generation == before.snapshot.generation + 1
    assert changes[-1].new is cmd.state


@pytest.mark.promise("H2", "I3")
@pytest.mark.parametrize("kind", ["state", "refusal", "timeout", "fallback", "reset"])
def test_a_listener_runs_with_no_lock_held(registry: Registry, clock: FakeClock, kind: str) -> None:
    """
    A listener that has another thread use the same command, and waits for it, does not deadlock.
    """
    cmd = make(registry, timeout=1, isolation="semaphore", fallback=lambda error: 3)
    joined: list[Any] = []

    def listener(event: Any) -> None:
        def use() -> Any:
            cmd.configure(error_percent=50)
            registry.snapshot()
            registry.command(f"another {len(joined)}")
            return cmd.state

        if len(joined) < 3:
            joined.append(Caller(use).outcome())

    registry.subscribe(listener)

    @cmd
    def body() -> None:
        if kind == "timeout":
            clock.advance(2)
        elif kind != "reset":
            raise OSError("no")

    def play() -> None:
        body()
        if kind == "refusal":
            body()
        if kind == "reset":
            fail(cmd)
            cmd.reset()

    Caller(play).outcome()
    assert joined


@pytest.mark.promise("H2", "I3")
def test_no_lock_is_held_when_a_waiter_is_refused(task: AsyncRuntime, registry: Registry) -> None:
    """
    A call that waited for a slot while its circuit opened is refused with no lock held.

    The listener that is told has another thread use the command, and waits for it.
    """
    cmd = make(registry, max_concurrency=1, max_waiting=1, max_wait=60)
    joined: list[Any] = []

    def listener(event: Any) -> None:
        if isinstance(event, CallRejected):
            joined.append(Caller(cmd.snapshot).outcome())

    registry.subscribe(listener)
    guarded = cmd(task.body())

    async def scenario() -> None:
        permit = cmd.acquire()
        async with anyio.create_task_group() as group:

            async def waiter() -> None:
                with pytest.raises(CircuitOpenError):
                    await guarded()

            group.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            permit.fail()

    task.call(scenario)
    assert len(joined) == 1
    assert cmd.snapshot().in_flight == 0


@pytest.mark.promise("H3")
def test_a_listener_may_use_what_it_listens_to(
    registry: Registry, clock: FakeClock, heard: Heard
) -> None:
    """
    A listener that resets, calls and forces the same command causes events without recursion.

    They are told after the one it was told, in order.
    """
    cmd = make(registry)
    depth = most = 0

    def listener(event: Any) -> None:
        nonlocal depth, most
        depth += 1
        most = max(most, depth)
        if isinstance(event, StateChanged) and event.new is State.OPEN and len(heard) < 2000:
            cmd.reset()
            cmd.force_closed()
            cmd.clear_override()
            fail(cmd)
        depth -= 1

    registry.subscribe(listener)
    fail(cmd)
    changes = heard.of(StateChanged)
    assert len(changes) >= 2000
    assert most == 1
    for before, after in itertools.pairwise(changes):
        assert after.old is before.new
    assert cmd.state is State.OPEN


@pytest.mark.promise("H3", "H7")
def test_listeners_come_and_go_while_an_event_is_told(registry: Registry, clock: FakeClock) -> None:
    """
    An event is told to those who listened when its turn came: who joins meanwhile hears the next.
    """
    order: list[str] = []
    leave: Any = None

    def first(event: Any) -> None:
        order.append("first")
        leave()
        registry.subscribe(lambda event: order.append("third"))

    registry.subscribe(first)
    leave = registry.subscribe(lambda event: order.append("second"))
    cmd = make(registry)
    fail(cmd)
    assert order == ["first", "second"]
    cmd.reset()
    assert order == ["first", "second", "first", "third"]


# -- subscribing


def test_all_listeners_hear_in_the_order_they_came(registry: Registry, clock: FakeClock) -> None:
    """
    Each event goes to each listener, first come first told.
    """
    order: list[int] = []
    for number in range(3):
        registry.subscribe(lambda event, number=number: order.append(number))
    cmd = make(registry)
    fail(cmd)
    cmd.reset()
    assert order == [0, 1, 2, 0, 1, 2]


def test_who_unsubscribes_hears_no_more(registry: Registry, clock: FakeClock) -> None:
    """
    What `subscribe` returned ends it, once; a second time it does nothing.
    """
    heard, stays = Heard(), Heard()
    leave = registry.subscribe(heard)
    registry.subscribe(stays)
    cmd = make(registry)
    fail(cmd)
    leave()
    leave()
    cmd.reset()
    assert (len(heard), len(stays)) == (1, 2)


def test_a_listener_subscribed_twice_hears_twice(registry: Registry, clock: FakeClock) -> None:
    """
    Each subscription is one of its own, and ends alone.
    """
    heard = Heard()
    leave = registry.subscribe(heard)
    registry.subscribe(heard)
    cmd = make(registry)
    fail(cmd)
    assert len(heard) == 2
    leave()
    leave()
    cmd.reset()
    assert len(heard) == 3


def test_listeners_that_are_equal_are_not_the_same(registry: Registry, clock: FakeClock) -> None:
    """
    Ending one subscription leaves another alone whose listener compares equal to it.
    """

    @attrs.frozen
    class Named:
        name: str = attrs.field(eq=False)
        told: list[str] = attrs.field(eq=False)

        def __call__(self, event: Any) -> None:
            self.told.append(self.name)

    told: list[str] = []
    registry.subscribe(Named("first", told))
    leave = registry.subscribe(Named("second", told))
    leave()
    fail(make(registry))
    assert told == ["first"]


def test_listening_starts_with_the_subscription(registry: Registry, clock: FakeClock) -> None:
    """
    What happened before is not told.
    """
    cmd = make(registry)
    fail(cmd)
    heard = Heard()
    registry.subscribe(heard)
    cmd.reset()
    assert [each.new for each in heard] == [State.CLOSED]


def test_subscribing_from_many_threads_loses_nobody(registry: Registry, clock: FakeClock) -> None:
    """
    Eight threads subscribe and leave: those who stay are all there.
    """
    heard = Heard()

    def work(number: int) -> None:
        for _ in range(50):
            registry.subscribe(heard)
            registry.subscribe(heard)()

    together(8, work)
    fail(make(registry))
    assert len(heard) == 400


# -- listeners that misbehave


@pytest.mark.promise("H4", "J8")
def test_a_listener_that_raises_changes_nothing(
    run: Runtime, registry: Registry, said: Any
) -> None:
    """
    Outcome, state and the other listeners are as without it.

    It is logged once in a while, with its traceback.
    """
    before, after = Heard(), Heard()
    registry.subscribe(before)

    def broken(event: Any) -> None:
        raise ValueError("broken listener")

    registry.subscribe(broken)
    registry.subscribe(after)
    cmd = make(registry)
    guarded = cmd(run.body(raises=OSError("no")))
    assert isinstance(run.raised(guarded), OSError)
    assert isinstance(run.raised(guarded), CircuitOpenError)
    run.advance(5)
    guarded.__wrapped__.body.raises = None
    run.call(guarded)
    assert cmd.state is State.CLOSED
    assert before == after
    assert len(before) == 4
    (record,) = [record for record in said.records if record.exc_info]
    assert (record.levelname, record.name) == ("WARNING", "resilience")
    assert "broken listener" in said.text


@pytest.mark.promise("H4")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_in_a_listener_leaves_everything_in_order(
    registry: Registry, clock: FakeClock, kind: type[BaseException]
) -> None:
    """
    What is no `Exception` propagates; the state has changed by then.

    Later events are told, to that listener too.
    """
    heard = Heard()
    interrupts = [kind()]

    def listener(event: Any) -> None:
        heard(event)
        if interrupts:
            raise interrupts.pop()

    registry.subscribe(listener)
    cmd = make(registry)
    permit = cmd.acquire()
    with pytest.raises(kind):
        permit.fail()
    assert permit.settled
    assert cmd.state is State.OPEN
    assert cmd.snapshot().in_flight == 0
    assert cmd.snapshot().totals[Outcome.FAILURE] == 1
    cmd.reset()
    assert [each.new for each in heard] == [State.OPEN, State.CLOSED]


@pytest.mark.promise("H4", "C1")
@pytest.mark.parametrize("place", ["refusal", "trial", "timeout"])
def test_an_interrupt_in_a_listener_costs_no_slot(
    registry: Registry, clock: FakeClock, place: str
) -> None:
    """
    Wherever in a call a listener interrupts it, slot and trial are back afterwards.
    """
    cmd = make(registry, timeout=1, isolation="semaphore", max_concurrency=1)

    @cmd
    def body() -> None:
        if place == "timeout":
            clock.advance(2)

    if place != "timeout":
        fail(cmd)
    if place == "trial":
        clock.advance(5)
    interrupts = [KeyboardInterrupt()]

    def listener(event: Any) -> None:
        if interrupts:
            raise interrupts.pop()

    registry.subscribe(listener)
    with pytest.raises(KeyboardInterrupt):
        body()
    snapshot = cmd.snapshot()
    assert snapshot.in_flight == 0
    clock.advance(5)
    place = ""
    body()
    assert cmd.state is State.CLOSED
    assert cmd.snapshot().in_flight == 0


@pytest.mark.promise("H5")
def test_a_slow_listener_delays_only_its_caller(registry: Registry, clock: FakeClock) -> None:
    """
    While a listener takes its time other threads call, are refused and change states at once.

    What they cause is told afterwards, in order.
    """
    begun, go_on = threading.Event(), threading.Event()
    heard = Heard()

    def slow(event: Any) -> None:
        heard(event)
        begun.set()
        assert go_on.wait(PATIENCE)

    cmd = make(registry)
    other = Command("other", registry=registry)
    registry.subscribe(slow)
    first = Caller(lambda: fail(cmd))
    assert begun.wait(PATIENCE)
    with pytest.raises(CircuitOpenError):
        cmd.acquire()
    other.acquire().succeed()
    cmd.reset()
    assert cmd.state is State.CLOSED
    assert first.is_alive()
    assert len(heard) == 1
    go_on.set()
    first.outcome()
    assert [type(each) for each in heard] == [StateChanged, CallRejected, StateChanged]


# -- whose context


REQUEST: ContextVar[str] = ContextVar("request", default="nobody's")


def test_an_event_is_told_in_the_context_of_who_caused_it(
    registry: Registry, clock: FakeClock
) -> None:
    """
    Whichever thread tells it: what a listener reads of the context is the caller's own.

    What it sets there is gone when it returns.
    """
    begun, go_on = threading.Event(), threading.Event()
    read: list[tuple[str, str]] = []

    def slow(event: Any) -> None:
        read.append((event.name, REQUEST.get()))
        REQUEST.set("the listener's")
        begun.set()
        assert go_on.wait(PATIENCE)

    registry.subscribe(slow)

    def caller(name: str) -> None:
        REQUEST.set(name)
        fail(Command(name, registry=registry, volume_threshold=1))
        assert REQUEST.get() == name

    first = Caller(caller, "first")
    assert begun.wait(PATIENCE)
    Caller(caller, "second").outcome()
    assert read == [("first", "first")]
    go_on.set()
    first.outcome()
    assert read == [("first", "first"), ("second", "second")]


def test_who_listens_at_once_is_told_by_the_thread_that_caused_it(
    registry: Registry, clock: FakeClock
) -> None:
    """
    While another thread is held up in a listener, what this one causes is told before it goes on.

    Who listens in order hears of it later.
    """
    begun, go_on = threading.Event(), threading.Event()
    in_order: list[str] = []
    told: list[tuple[str, int]] = []
    registry.listeners.subscribe(
        lambda event: told.append((event.name, threading.get_ident())), at_once=True
    )

    def slow(event: Any) -> None:
        in_order.append(event.name)
        begun.set()
        assert go_on.wait(PATIENCE)

    leave = registry.subscribe(slow)
    first = Caller(lambda: fail(Command("first", registry=registry, volume_threshold=1)))
    assert begun.wait(PATIENCE)
    fail(make(registry))
    assert told == [("first", first.ident), ("db", threading.get_ident())]
    assert in_order == ["first"]
    go_on.set()
    first.outcome()
    assert in_order == ["first", "db"]
    leave()
    leave()
    assert len(registry.listeners.all) == 1


def test_who_listens_at_once_may_use_what_it_listens_to(
    registry: Registry, clock: FakeClock
) -> None:
    """
    It causes events and brings others without recursion, and ends as any other subscription does.
    """
    cmd = make(registry)
    told: list[Any] = []
    other: list[Any] = []
    depth = most = 0

    def listener(event: Any) -> None:
        nonlocal depth, most
        depth += 1
        most = max(most, depth)
        told.append(event.new)
        if len(told) == 1:
            bring()
        if len(told) < 1000:
            cmd.reset()
            fail(cmd)
        depth -= 1
        raise OSError("and raises")

    def bring() -> None:
        leaves.append(registry.listeners.subscribe(other.append, at_once=True))

    leaves = [registry.listeners.subscribe(listener, at_once=True)]
    fail(cmd)
    assert most == 1
    assert told[:3] == [State.OPEN, State.CLOSED, State.OPEN]
    assert [event.new for event in other[:2]] == [State.CLOSED, State.OPEN]
    for leave in leaves:
        leave()
    told.clear()
    cmd.reset()
    assert told == []
    assert registry.listeners.all == ()


def test_subscribing_imports_what_telling_needs(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nothing is left to be imported in a step, under a lock: there it would wait for another one.
    """
    modules = {"resilience._events", "resilience._snapshot"}
    for name in modules:
        module = importlib.import_module(name)
        monkeypatch.setattr(resilience, name.rpartition(".")[2], module)  # to be laid back
        monkeypatch.delitem(sys.modules, name)
    registry.subscribe(print)
    assert modules <= sys.modules.keys()


@pytest.mark.promise("H6")
def test_an_async_listener_is_refused_or_heard(registry: Registry, clock: FakeClock) -> None:
    """
    A coroutine function as listener does not end in a coroutine that was never awaited.
    """

    async def listener(event: Any) -> None:
        pass

    try:
        registry.subscribe(listener)
    except (TypeError, ValueError):
        return
    fail(make(registry))


@pytest.mark.parametrize("wrong", [None, 3, "listener"], ids=repr)
def test_a_listener_is_a_callable(registry: Registry, clock: FakeClock, wrong: Any) -> None:
    """
    What cannot be called is refused when it is subscribed, not told of a call later.
    """
    with pytest.raises((TypeError, ValueError)):
        registry.subscribe(wrong)


def test_a_bulkhead_alone_is_heard(registry: Registry, clock: FakeClock, heard: Heard) -> None:
    """
    The parts tell of what they do, as a command does.
    """
    with pytest.raises(BulkheadFullError):
        Bulkhead(0, name="pool", registry=registry).acquire()
    assert [(each.name, each.outcome) for each in heard] == [("pool", Outcome.BULKHEAD_FULL)]
