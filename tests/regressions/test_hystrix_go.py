"""Defects 1 to 11: those of hystrix-go, whose settings and words this library speaks."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections import Counter
from itertools import pairwise

import anyio
import pytest

from resilience import (
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    Outcome,
    Registry,
    Settings,
    State,
    StateChanged,
    deadline,
)
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])

# -- 1


@pytest.mark.promise("A3", "A4")
@any_guard
def test_a_late_success_leaves_an_open_circuit_as_it_is(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    A call from before the outage returns during the sleep window.

    Its caller gets the value, and the circuit stays open for exactly as long as before.

    Defect 1, seen in hystrix-go: that success closed the circuit.
    """
    guard = kind("db", registry=registry, timeout=None, volume_threshold=4, sleep_window=5)

    def slow() -> str:
        for _ in range(4):
            guard.acquire().fail()
        assert guard.state is State.OPEN
        run.advance(2)
        return "late"

    assert run.call(guard(run.coloured(slow))) == "late"
    after = guard.snapshot()
    assert after.state is State.OPEN
    assert after.retry_after == 3
    assert after.generation == 2
    assert after.stale == 1
    assert after.totals[Outcome.SUCCESS] == 1


@pytest.mark.promise("A3")
@any_guard
@pytest.mark.parametrize("raises", [None, ConnectionError])
def test_a_late_result_decides_nothing_in_half_open(
    run: Runtime, registry: Registry, kind: type, raises: type[Exception] | None
) -> None:
    """
    A result from before the outage comes while a trial is under way.

    Neither does its success close the circuit nor does its failure open it again.

    Defect 1, seen in hystrix-go.
    """
    guard = kind("db", registry=registry, timeout=None, volume_threshold=1, sleep_window=5)
    trials = []

    def slow() -> None:
        guard.acquire().fail()
        run.advance(5)
        trials.append(guard.acquire())
        if raises is not None:
            raise raises

    run.raised(guard(run.coloured(slow)))
    assert guard.state is State.HALF_OPEN
    assert guard.snapshot().trials_running == 1
    trials[0].succeed()
    assert guard.state is State.CLOSED


# -- 2


@pytest.mark.promise("D1")
def test_calls_that_time_out_are_cancelled_and_never_more_than_the_limit_run(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Of 20 calls at once against a limit of 2, two run and are cut off by the timeout.

    Wave after wave, nothing runs on behind the bulkhead's back.

    Defect 2, seen in hystrix-go: timed out calls gave their slot back and ran on, 20 at a time.
    """
    guard = Command("db", registry=registry, timeout=1, max_concurrency=2, volume_threshold=1000)
    running, most, cut, refused = 0, 0, 0, 0

    @guard
    async def hang() -> None:
        nonlocal running, most, cut
        running += 1
        most = max(most, running)
        try:
            await task.sleep(3600)
        except BaseException:
            cut += 1
            raise
        finally:
            running -= 1

    async def caller() -> None:
        nonlocal refused
        try:
            await hang()
        except BulkheadFullError:
            refused += 1
        except DeadlineExceededError:
            pass

    async def waves() -> None:
        for _ in range(3):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(caller)
            assert running == 0

    task.call(waves)
    assert (most, cut, refused) == (2, 6, 54)
    assert guard.snapshot().in_flight == 0
    assert guard.snapshot().totals[Outcome.TIMEOUT] == 6


@pytest.mark.promise("D1")
def test_a_thread_that_outlives_its_timeout_keeps_its_slot() -> None:
    """
    A thread cannot be cut off.

    What it does after the timeout still counts against the limit, so two of 20 calls are made and
    the rest are refused until a thread really ends.

    Defect 2, seen in hystrix-go: 20 ran at once.
    """
    guard = Command("db", registry=Registry(), timeout=0.01, max_concurrency=2)
    begun, end = threading.Semaphore(0), threading.Event()
    begins = []

    @guard
    def hang() -> None:
        begins.append(threading.get_ident())
        begun.release()
        end.wait(30)

    errors = []
    for _ in range(20):
        with pytest.raises((DeadlineExceededError, BulkheadFullError)) as caught:
            hang()
        errors.append(caught.type)
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)
    assert Counter(errors) == {DeadlineExceededError: 2, BulkheadFullError: 18}
    assert len(begins) == 2
    assert guard.snapshot().in_flight == guard.snapshot().abandoned == 2
    # Whoever waits gets the slot when, and only when, its thread has ended.
    guard.configure(max_waiting=1, max_wait=20)
    end.set()
    with guard.acquire(), guard.acquire():
        assert guard.snapshot().in_flight == 2
    assert guard.snapshot().in_flight == 0


# -- 3


@pytest.mark.promise("E7", "G1")
def test_a_result_that_comes_after_the_deadline_needs_no_fallback(
    run: Runtime, registry: Registry
) -> None:
    """
    A call that nobody cut off returns after its deadline.

    The value is the answer, the call is recorded as a timeout, and the fallback stays out of it.

    Defect 3, seen in hystrix-go: the timeout called the fallback although the call had succeeded.
    """
    answered = []
    guard = Command(
        "db", Settings(timeout=1), registry=registry, fallback=lambda *_: answered.append(1)
    )

    def late() -> str:
        run.advance(2)
        return "answer"

    assert run.call(guard(run.coloured(late))) == "answer"
    assert answered == []
    assert guard.snapshot().totals[Outcome.TIMEOUT] == 1
    assert set(guard.snapshot().fallbacks.values()) == {0}


@pytest.mark.promise("E7", "G1")
def test_a_result_wins_over_the_timeout_that_fires_meanwhile(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    The timeout fires while the call is on its way out with a value.

    The value is the answer and the only one.

    Defect 3, seen in hystrix-go.
    """
    answered = []
    guard = Command("db", registry=registry, timeout=1, fallback=lambda *_: answered.append(1))

    @guard
    async def rescued() -> str:
        try:
            await task.sleep(3600)
        except BaseException:  # finishes in spite of it
            return "answer"
        return "never"

    async def main() -> str:
        answer = await rescued()
        await task.sleep(0)  # the cancellation does not catch up with its caller
        return answer

    assert task.call(main) == "answer"
    assert answered == []
    assert guard.snapshot().totals[Outcome.TIMEOUT] == 1


@pytest.mark.promise("G1")
def test_a_call_has_one_answer_when_result_and_timeout_race_on_a_thread() -> None:
    """
    Whichever of worker and timeout comes first decides alone.

    The fallback ran exactly for the calls that it answered, and these are the ones recorded as
    timeouts.

    Defect 3, seen in hystrix-go.
    """
    answered = []
    guard = Command(
        "db",
        registry=Registry(),
        timeout=0.001,
        max_concurrency=300,
        volume_threshold=1000,
        fallback=lambda *_: answered.append(1) or "fallback",
    )
    never = threading.Event()

    @guard
    def racing(seconds: float) -> str:
        never.wait(seconds)
        return "answer"

    answers = Counter(racing(0.0007 + 0.00001 * (n % 50)) for n in range(150))
    snapshot = guard.snapshot()
    assert answers["answer"] + answers["fallback"] == 150
    assert len(answered) == answers["fallback"] == snapshot.fallbacks["success"]
    # A value that came late but in time for its caller is a timeout without a fallback.
    assert snapshot.totals[Outcome.SUCCESS] <= answers["answer"]
    assert snapshot.totals[Outcome.SUCCESS] + snapshot.totals[Outcome.TIMEOUT] == 150


# -- 4


@pytest.mark.promise("I2", "J2")
def test_no_result_is_lost_under_load() -> None:
    """
    Eight threads call, fail and are refused while the circuit opens and closes.

    The totals are exactly what the callers saw.

    Defect 4, seen in hystrix-go: metrics went through a queue, and were dropped when it was full.
    """
    guard = Command(
        "db",
        registry=Registry(),
        timeout=None,
        max_concurrency=4,
        volume_threshold=5,
        sleep_window=0.0001,
    )

    @guard
    def work(n: int) -> None:
        if n % 3 == 0:
            raise ConnectionError

    def caller(seen: Counter[Outcome], start: threading.Barrier) -> None:
        start.wait(10)
        for n in range(400):
            try:
                work(n)
            except ConnectionError:
                seen[Outcome.FAILURE] += 1
            except CircuitOpenError:
                seen[Outcome.SHORT_CIRCUITED] += 1
            except BulkheadFullError:
                seen[Outcome.BULKHEAD_FULL] += 1
            else:
                seen[Outcome.SUCCESS] += 1

    counters: list[Counter[Outcome]] = [Counter() for _ in range(8)]
    start = threading.Barrier(8)
    threads = [threading.Thread(target=caller, args=(seen, start)) for seen in counters]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    totals = guard.snapshot().totals
    assert sum(totals.values()) == 8 * 400
    assert {outcome: count for outcome, count in totals.items() if count} == dict(
        sum(counters, Counter())
    )


@pytest.mark.promise("A3")
@any_guard
def test_results_from_before_do_not_reopen_a_circuit_just_closed(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    Calls that began before the outage fail after the trial has closed the circuit.

    It stays closed, with an empty window.

    Defect 4, seen in hystrix-go: results still in the queue opened it again.
    """
    guard = kind("db", registry=registry, timeout=None, volume_threshold=1, sleep_window=5)
    others = [guard.acquire() for _ in range(5)]

    def slow() -> None:
        guard.acquire().fail()
        run.advance(5)
        guard.acquire().succeed()
        assert guard.state is State.CLOSED
        raise ConnectionError

    assert isinstance(run.raised(guard(run.coloured(slow))), ConnectionError)
    for other in others:
        other.fail()
    after = guard.snapshot()
    assert after.state is State.CLOSED
    assert after.window.calls == 0
    assert after.stale == 6


def test_a_result_is_in_the_books_when_the_call_returns(run: Runtime, registry: Registry) -> None:
    """
    No queue stands between a call and its statistics: the caller's next line sees them.

    Defect 4, seen in hystrix-go.
    """
    guard = Command("db", registry=registry, volume_threshold=3)
    failing = guard(run.body(raises=ConnectionError))
    for n in (1, 2, 3):
        run.raised(failing)
        assert guard.snapshot().window.failures == n
        assert guard.snapshot().totals[Outcome.FAILURE] == n
    assert guard.state is State.OPEN


@pytest.mark.promise("A2")
def test_transitions_are_told_in_order_under_load() -> None:
    """
    Whatever threads do at once, the transitions told form one chain without gaps.

    Defect 4, seen in hystrix-go.
    """
    registry = Registry()
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=2, sleep_window=1e-6)
    events: list[StateChanged] = []
    registry.subscribe(lambda event: isinstance(event, StateChanged) and events.append(event))

    def caller(start: threading.Barrier) -> None:
        start.wait(10)
        for n in range(200):
            try:
                permit = breaker.acquire()
            except CircuitOpenError:
                continue
            permit.fail() if n % 2 else permit.succeed()

    start = threading.Barrier(4)
    threads = [threading.Thread(target=caller, args=(start,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(events) > 2
    assert all(before.new is after.old for before, after in pairwise(events))
    generations = [event.snapshot.generation for event in events]
    assert generations == list(range(2, len(events) + 2))


# -- 5


@pytest.mark.promise("I8")
def test_names_start_no_threads_or_tasks_and_are_let_go(run: Runtime, registry: Registry) -> None:
    """
    Two hundred names that were used once run nothing in the background.

    And they leave the memory when they are removed.

    Defect 5, seen in hystrix-go: each name kept goroutines for ever.
    """
    before = set(threading.enumerate())
    kept = []

    def tasks() -> int:
        return len(asyncio.all_tasks()) if run.name == "asyncio" else 1

    body = run.body()
    for n in range(200):
        guard = Command(f"host-{n}", registry=registry, max_waiting=3)
        run.call(guard(body))
        kept.append(weakref.ref(guard))
        kept.append(weakref.ref(CircuitBreaker(f"host-{n}", registry=registry)))
    assert len(registry) == 200
    assert set(threading.enumerate()) <= before
    assert run.call(run.coloured(tasks)) == 1
    for name in registry:
        registry.remove(name)
    del guard
    gc.collect()
    assert [ref() for ref in kept if ref() is not None] == []


# -- 6


@pytest.mark.promise("A5", "A8")
@any_guard
def test_no_reading_opens_a_circuit(clock: FakeClock, registry: Registry, kind: type) -> None:
    """
    The successes leave the window, and what is left of it is all errors.

    No read makes anything of that, only the recording of a call could.

    Defect 6, seen in hystrix-go: asking whether the circuit was open opened it.
    """
    guard = kind("db", registry=registry, volume_threshold=4, error_percent=60)
    for _ in range(4):
        guard.acquire().succeed()
    clock.advance(5)
    for _ in range(5):
        guard.acquire().fail()
    assert guard.state is State.CLOSED
    clock.advance(6)
    events: list[object] = []
    registry.subscribe(events.append)
    for _ in range(3):
        snapshot = guard.snapshot()
        assert (snapshot.window.failures, snapshot.window.error_percent) == (5, 100)
        assert guard.state is snapshot.state is State.CLOSED
        repr(guard)
        registry.snapshot()
        registry.get("db")
        if isinstance(guard, Command):
            guard.explain()
    assert events == []
    assert dict(guard.snapshot().transitions) == {}


@pytest.mark.promise("A8")
@any_guard
def test_no_reading_starts_a_trial(clock: FakeClock, registry: Registry, kind: type) -> None:
    """
    Once the sleep window is over the circuit is still open, however often one looks.

    The next attempt moves it.

    Defect 6, seen in hystrix-go: reading used the single trial up.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5)
    guard.acquire().fail()
    clock.advance(60)
    for _ in range(3):
        assert guard.state is guard.snapshot().state is State.OPEN
        repr(guard)
        registry.snapshot()
    guard.acquire().release()
    assert guard.state is State.HALF_OPEN


# -- 7


@pytest.mark.promise("A5", "A6")
@pytest.mark.parametrize(("failures", "state"), [(99, State.CLOSED), (100, State.OPEN)])
def test_a_share_below_the_threshold_is_not_rounded_up_to_it(
    registry: Registry, clock: FakeClock, failures: int, state: State
) -> None:
    """
    99 of 200 are 49.5 %, which is less than 50 %; 100 of 200 are enough.

    Defect 7, seen in hystrix-go: it rounded.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=200, error_percent=50)
    for _ in range(200 - failures):
        breaker.acquire().succeed()
    for _ in range(failures):
        breaker.acquire().fail()
    assert breaker.snapshot().window.error_percent == failures / 2
    assert breaker.state is state


@pytest.mark.promise("B1", "B4")
@pytest.mark.parametrize("phase", [0, 0.3, 0.5, 0.999999999])
def test_a_window_of_ten_seconds_never_counts_what_is_older(
    registry: Registry, clock: FakeClock, phase: float
) -> None:
    """
    Wherever in its bucket a call fell, it counts for nine seconds and no longer than ten.

    Defect 7, seen in hystrix-go: the window held eleven buckets of a second.
    """
    breaker = CircuitBreaker("db", registry=registry, rolling_window=10, buckets=10)
    clock.advance(phase)
    breaker.acquire().fail()
    clock.advance(9)
    assert breaker.snapshot().window.calls == 1
    clock.advance(1)
    assert breaker.snapshot().window.calls == 0


@pytest.mark.promise("E6")
def test_the_default_clock_never_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a clock of one's own it is the monotonic one, and nobody asks for the time of day.

    Defect 7, seen in hystrix-go: a step of the wall clock emptied windows and stretched sleeps.
    """

    def wall_clock() -> float:
        raise AssertionError

    for name in ("time", "time_ns", "localtime", "gmtime"):
        monkeypatch.setattr(f"time.{name}", wall_clock)
    registry = Registry()
    events: list[StateChanged] = []
    registry.subscribe(events.append)
    guard = Command("db", registry=registry, timeout=None, volume_threshold=1, sleep_window=1e-9)

    @guard
    def ask(*, up: bool) -> None:
        if not up:
            raise ConnectionError

    before = time.monotonic()
    with pytest.raises(ConnectionError):
        ask(up=False)
    ask(up=True)
    with deadline(5) as budget:
        at = budget.at
    private = CircuitBreaker().snapshot().at
    after = time.monotonic()
    assert [event.new for event in events] == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    times = [*(event.at for event in events), guard.snapshot().at, at - 5, private]
    assert all(before - 1e-6 <= each <= after + 1 for each in times)


# -- 8


@pytest.mark.promise("C1")
def test_a_full_bulkhead_does_not_use_the_trial_up(run: Runtime, registry: Registry) -> None:
    """
    After the sleep window an attempt finds no slot.

    The circuit stays open with its trial to give, and the next attempt that gets a slot is the
    trial.

    Defect 8, seen in hystrix-go: the trial was taken first and the slot refused after it.
    """
    guard = Command("db", registry=registry, max_concurrency=2, volume_threshold=1, sleep_window=5)
    fn = run.body()
    guarded = guard(fn)
    busy = guard.acquire()
    guard.acquire().fail()
    guard.configure(max_concurrency=1)
    run.advance(5)
    for _ in range(3):
        assert isinstance(run.raised(guarded), BulkheadFullError)
    assert guard.state is State.OPEN
    assert guard.snapshot().trials_running == 0
    busy.release()
    run.call(guarded)
    assert fn.body.calls == 1
    assert guard.state is State.CLOSED


@pytest.mark.promise("C1", "C2")
def test_a_full_bulkhead_takes_no_trial_of_a_half_open_circuit(
    run: Runtime, registry: Registry
) -> None:
    """
    One of two trials holds the only slot.

    Whoever is refused one leaves the other trial where it was.

    Defect 8, seen in hystrix-go.
    """
    guard = Command(
        "db",
        registry=registry,
        max_concurrency=1,
        volume_threshold=1,
        sleep_window=5,
        half_open_calls=2,
    )
    guarded = guard(run.body())
    guard.acquire().fail()
    run.advance(5)
    first = guard.acquire()
    for _ in range(3):
        assert isinstance(run.raised(guarded), BulkheadFullError)
        assert guard.snapshot().trials_running == 1
    first.succeed()
    run.call(guarded)
    assert guard.state is State.CLOSED


# -- 9


@pytest.mark.promise("A14", "F1")
@any_guard
def test_cancelled_calls_do_not_dilute_the_percentage(
    task: AsyncRuntime, registry: Registry, kind: type
) -> None:
    """
    Ten calls cancelled by their callers are in no window: two failures of four calls still open.

    Defect 9, seen in hystrix-go: they counted as calls that went well.
    """
    guard = kind("db", registry=registry, timeout=None, volume_threshold=4, error_percent=50)
    fn = task.body(takes=3600)
    guarded = guard(fn)

    async def impatient() -> None:
        for _ in range(10):
            with anyio.move_on_after(0.1) as scope:
                await guarded()
            assert scope.cancelled_caught

    task.call(impatient)
    assert guard.snapshot().window.calls == 0
    assert guard.snapshot().totals[Outcome.CANCELLED] == 10
    fn.body.takes = 0
    task.call(guarded)
    task.call(guarded)
    fn.body.raises = ConnectionError
    task.raised(guarded)
    task.raised(guarded)
    assert guard.state is State.OPEN


@pytest.mark.promise("F1", "F7")
@any_guard
def test_a_cancellation_wrapped_in_a_group_is_no_failure(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    A group with a cancellation somewhere in it is a cancellation, whatever else it holds.

    It leaves as the object it was.

    Defect 9, seen in hystrix-go: a cancellation that was wrapped counted as a failure.
    """
    guard = kind("db", registry=registry, volume_threshold=1)
    inner = BaseExceptionGroup("inner", [asyncio.CancelledError(), ValueError()])
    group = BaseExceptionGroup("outer", [ConnectionError(), inner])
    assert run.raised(guard(run.body(raises=group))) is group
    assert guard.state is State.CLOSED
    assert guard.snapshot().window.calls == 0
    assert guard.snapshot().totals[Outcome.CANCELLED] == 1


# -- 10


@pytest.mark.promise("A13", "D9")
def test_a_bulkhead_is_resized_while_it_is_in_use(registry: Registry, clock: FakeClock) -> None:
    """
    A changed limit applies at once, to a command that has been called already: up and down.

    Defect 10, seen in hystrix-go: the limit of the first call was the limit for ever.
    """
    guard = Command("db", registry=registry, max_concurrency=1)
    held = [guard.acquire()]
    for limit in (3, 5, 2):
        registry.configure("db", max_concurrency=limit)
        while len(held) < limit:
            held.append(guard.acquire())
        with pytest.raises(BulkheadFullError) as caught:
            guard.acquire()
        assert caught.value.max_concurrency == limit
    for permit in held[:4]:  # five run where two may: no room until the fourth has ended
        with pytest.raises(BulkheadFullError):
            guard.acquire()
        permit.release()
    with guard.acquire():
        assert guard.snapshot().in_flight == 2


@pytest.mark.promise("K1", "K2")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", -0.005),
        ("timeout", 0),
        ("sleep_window", -0.005),
        ("sleep_window", 0),
        ("error_percent", 400),
        ("error_percent", 0),
        ("max_concurrency", -1),
        ("volume_threshold", -1),
        ("volume_threshold", 0),
    ],
)
def test_settings_out_of_range_are_refused(registry: Registry, field: str, value: float) -> None:
    """
    A negative time, 400 % or -1 is an error that names field and value, wherever it is given.

    And so is 0 where it makes no sense, instead of meaning the default.

    Defect 10, seen in hystrix-go: all of them were taken.
    """
    for give in (
        lambda: Settings(**{field: value}),
        lambda: Command("db", registry=registry, **{field: value}),
        lambda: registry.configure("db", **{field: value}),
        lambda: registry.configure({"db": {field: value}}),
    ):
        with pytest.raises(ConfigurationError, match=rf"{field} must be .*, not {value}"):
            give()


@pytest.mark.promise("K1")
@pytest.mark.parametrize(
    ("key", "value"),
    [("timeout", -5), ("error_percent_threshold", 400), ("max_concurrent_requests", -1)],
)
def test_hystrix_settings_out_of_range_are_refused(key: str, value: int) -> None:
    """
    What is read from a hystrix-go file is checked as well.

    Defect 10, seen in hystrix-go.
    """
    with pytest.raises(ConfigurationError):
        Settings.from_hystrix({key: value})


@pytest.mark.promise("D10")
def test_a_limit_of_zero_is_zero(run: Runtime, registry: Registry) -> None:
    """
    With a limit of 0 nothing runs.

    Defect 10, seen in hystrix-go: 0 meant its default of 10.
    """
    fn = run.body()
    guard = Command("db", registry=registry, max_concurrency=0)
    assert guard.settings.max_concurrency == 0
    error = run.raised(guard(fn))
    assert isinstance(error, BulkheadFullError)
    assert error.max_concurrency == 0
    assert fn.body.calls == 0


# -- 11


@pytest.mark.promise("G3")
def test_the_error_of_a_fallback_leads_back_to_the_calls_error(
    run: Runtime, registry: Registry
) -> None:
    """
    When fallbacks fail too, the last one's error leaves with the call's own as its cause.

    Both have their tracebacks.

    Defect 11, seen in hystrix-go: both were put into one text, and neither could be got out again.
    """

    def first(error: BaseException) -> None:
        raise KeyError(1)

    def second(error: BaseException) -> None:
        raise LookupError("no copy either")

    handlers = [run.coloured(first), run.coloured(second)]
    guard = Command("db", registry=registry, fallback=handlers, volume_threshold=1)
    refused = ConnectionError("refused")
    guarded = guard(run.body(raises=refused))
    error = run.raised(guarded)
    assert type(error) is LookupError
    assert error.__cause__ is refused
    assert refused.__traceback__ is not None
    # And when the circuit refuses, that is the cause.
    error = run.raised(guarded)
    assert type(error) is LookupError
    assert isinstance(error.__cause__, CircuitOpenError)
