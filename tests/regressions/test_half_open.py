"""Defects 12, 13, 15, 16, 35, 36 and 37: what wedges, floods or fools a half-open circuit."""

from __future__ import annotations

import threading

import anyio
import pytest

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    Outcome,
    Permit,
    Registry,
    State,
)
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


# -- 12


@pytest.mark.promise("A10", "C8")
@any_guard
@pytest.mark.parametrize("end", [Permit.succeed, Permit.fail, Permit.release])
def test_a_hung_trial_blocks_the_next_one_no_longer_than_its_lease(
    run: Runtime, registry: Registry, kind: type, end: object
) -> None:
    """
    A trial that never returns holds the half-open circuit for one lease.

    Then another trial is admitted and closes it, and whatever the hung one does in the end moves
    nothing.

    Defect 12, seen in resilience4j, failsafe-go, gobreaker, opossum, interlock, nopanic and, by
    reading, Polly: a hung trial was the last call ever.
    """
    guard = kind("db", registry=registry, timeout=None, volume_threshold=1, sleep_window=5)
    fn = run.body()
    guarded = guard(fn)
    guard.acquire().fail()
    run.advance(5)
    hung = guard.acquire()
    run.advance(4)
    error = run.raised(guarded)
    assert isinstance(error, CircuitOpenError)
    assert (error.state, error.retry_after) == ("half_open", 1)
    run.advance(1)
    run.call(guarded)
    assert fn.body.calls == 1
    assert guard.state is State.CLOSED
    end(hung)
    assert guard.state is State.CLOSED
    assert guard.snapshot().trials_running == 0
    assert guard.snapshot().trials["expired"] == 1


@pytest.mark.promise("A10")
def test_a_hung_task_on_trial_does_not_wedge_half_open(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    The trial is a task that waits for ever: after the lease another task's call closes.

    Defect 12.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=5)
    breaker.acquire().fail()
    task.advance(5)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(breaker(task.body(takes=86400)))
            await task.sleep(1)
            assert breaker.snapshot().trials_running == 1
            for _ in range(2):
                with pytest.raises(CircuitOpenError):
                    await breaker(task.body())()
                await task.sleep(2)
            await breaker(task.body())()
            assert breaker.state is State.CLOSED
            group.cancel_scope.cancel()

    task.call(main)
    assert breaker.snapshot().generation == 4


@pytest.mark.promise("A10")
def test_a_trial_that_hung_on_a_thread_does_not_wedge_half_open(
    clock: FakeClock, registry: Registry
) -> None:
    """
    The trial hangs in a thread that nothing can stop: the circuit goes on without it.

    Defect 12.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=5)
    breaker.acquire().fail()
    clock.advance(5)
    begun, end = threading.Event(), threading.Event()

    @breaker
    def hang() -> None:
        begun.set()
        end.wait(30)

    thread = threading.Thread(target=hang)
    thread.start()
    assert begun.wait(5)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    clock.advance(5)
    breaker.acquire().succeed()
    end.set()
    thread.join(5)
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().stale == 1


# -- 13


class PredicateError(Exception):
    pass


def raising(subject: object) -> bool:
    """Judge nothing."""
    raise PredicateError


@pytest.mark.promise("A15", "C1")
@any_guard
@pytest.mark.parametrize(
    ("predicate", "raises"),
    [
        ({"is_failure": raising}, None),
        ({"handle": raising}, ConnectionError),
        ({"ignore": raising}, ConnectionError),
    ],
)
def test_a_predicate_that_raises_gives_its_trial_back(
    run: Runtime,
    registry: Registry,
    kind: type,
    predicate: dict[str, object],
    raises: type[Exception] | None,
) -> None:
    """
    The predicate's error is the caller's, with the call's own behind it.

    The call is ignored, the trial is free, and the next one closes.

    Defect 13, seen in nopanic, interlock and, by reading, Polly: the trial was never given back.
    """
    fields = {"volume_threshold": 1, "sleep_window": 5}
    guard = kind("db", registry=registry, **fields, **predicate)
    healthy = kind("db", registry=registry, **fields)
    healthy.acquire().fail()
    run.advance(5)
    error = run.raised(guard(run.body(raises=raises)))
    assert isinstance(error, PredicateError)
    assert raises is None or isinstance(error.__context__, raises)
    after = guard.snapshot()
    assert after.state is State.HALF_OPEN
    assert after.trials_running == 0
    assert after.totals[Outcome.IGNORED] == 1
    run.call(healthy(run.body()))
    assert guard.state is State.CLOSED


# -- 15


@pytest.mark.promise("A9")
@any_guard
@pytest.mark.parametrize("trials", [1, 3])
def test_of_a_hundred_tasks_as_many_pass_as_there_are_trials(
    task: AsyncRuntime, registry: Registry, kind: type, trials: int
) -> None:
    """
    A hundred tasks find a circuit half-open.

    `half_open_calls` of them get through, the others are told when to come again.

    Defect 15, seen in circuitbreaker, aiobreaker, purgatory, hyx and pyresilience: all passed.
    """
    fields = {"volume_threshold": 1, "sleep_window": 5, "half_open_calls": trials}
    guard = kind("db", registry=registry, timeout=None, **fields)
    fn = task.body(takes=1)
    guarded = guard(fn)
    refused = []

    async def caller() -> None:
        try:
            await guarded()
        except CircuitOpenError as error:
            refused.append(error.retry_after)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(caller)

    guard.acquire().fail()
    task.advance(5)
    task.call(main)
    assert fn.body.calls == trials
    assert len(refused) == 100 - trials
    assert all(0 < after <= 5 for after in refused)
    assert guard.state is State.CLOSED


@pytest.mark.promise("A9", "C2")
@any_guard
def test_of_many_threads_as_many_pass_as_there_are_trials(
    clock: FakeClock, registry: Registry, kind: type
) -> None:
    """
    Twenty threads rush a circuit whose sleep window is over: one passes.

    Defect 15.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5)
    start, over = threading.Barrier(20), threading.Barrier(20)
    made, refused = [], []

    @guard
    def probe() -> None:
        made.append(1)
        over.wait(10)

    def caller() -> None:
        start.wait(10)
        try:
            probe()
        except CircuitOpenError:
            refused.append(1)
            over.wait(10)

    guard.acquire().fail()
    clock.advance(5)
    threads = [threading.Thread(target=caller) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(made), len(refused)) == (1, 19)


# -- 16


@pytest.mark.promise("C2", "C3")
@any_guard
def test_a_stale_release_makes_no_room_for_another_trial(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    Permits of an earlier half-open time, and permits settled before, free nothing now.

    With two trials under way everyone else is refused.

    Defect 16, seen in resilience4j: seven trials ran instead of two.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5, half_open_calls=2)
    guarded = guard(run.body())
    closed = [guard.acquire() for _ in range(3)]
    guard.acquire().fail()
    run.advance(5)
    failing, earlier = guard.acquire(), guard.acquire()
    failing.fail()
    run.advance(5)
    trials = [guard.acquire(), guard.acquire()]
    for permit in (*closed, failing, earlier, failing, earlier):
        permit.release()
        assert isinstance(run.raised(guarded), CircuitOpenError)
        assert guard.snapshot().trials_running == 2
    trials[0].release()
    again = guard.acquire()
    trials[0].release()
    assert isinstance(run.raised(guarded), CircuitOpenError)
    again.succeed()
    trials[1].succeed()
    assert guard.state is State.CLOSED


# -- 35


@pytest.mark.promise("A16")
@any_guard
@pytest.mark.parametrize(
    ("takes", "state"), [(2, State.OPEN), (1, State.OPEN), (0.9, State.CLOSED)]
)
def test_a_slow_success_does_not_close_a_circuit_that_opened_for_slowness(
    run: Runtime, registry: Registry, kind: type, takes: float, state: State
) -> None:
    """
    The dependency answers, as slowly as before: the trial has failed. Only a quick one closes.

    Defect 35: any answer closed it, a few more slow ones opened it, and so on.
    """
    guard = kind(
        "db",
        registry=registry,
        timeout=None,
        volume_threshold=3,
        sleep_window=5,
        slow_call_duration=1,
        slow_call_percent=50,
    )
    fn = run.body(takes=2)
    guarded = guard(fn)
    for _ in range(3):
        run.call(guarded)
    assert guard.state is State.OPEN
    for _ in range(3):
        run.advance(5)
        fn.body.takes = takes
        run.call(guarded)
        assert guard.state is state


# -- 36


@pytest.mark.promise("A10", "C8")
@pytest.mark.parametrize(("raises", "state"), [(None, State.CLOSED), (ConnectionError, State.OPEN)])
def test_a_trial_slower_than_its_lease_still_decides(
    run: Runtime, registry: Registry, raises: type[Exception] | None, state: State
) -> None:
    """
    A trial returns long after its lease has ended, while the circuit is half-open yet.

    Its result counts, so a dependency that always takes that long gets out of half-open.

    Defect 36: the result was dropped, and so was that of each trial after it.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=5)
    breaker.acquire().fail()
    run.advance(5)
    run.raised(breaker(run.body(takes=60, raises=raises)))
    assert breaker.state is state
    assert breaker.snapshot().stale == 0


@pytest.mark.promise("A10")
def test_slow_trials_that_overlap_close_together(run: Runtime, registry: Registry) -> None:
    """
    Each trial outlasts its lease and the next one starts beside it.

    As many successes as are asked for close, in whatever order they come.

    Defect 36.
    """
    breaker = CircuitBreaker(
        "db", registry=registry, volume_threshold=1, sleep_window=5, half_open_successes=3
    )
    breaker.acquire().fail()
    trials = []
    for _ in range(3):
        run.advance(5)
        trials.append(breaker.acquire())
    for permit in reversed(trials):
        assert breaker.state is State.HALF_OPEN
        permit.succeed()
    assert breaker.state is State.CLOSED


# -- 37


@pytest.mark.promise("A14", "C1")
@any_guard
@pytest.mark.parametrize("inner", ["circuit", "bulkhead"])
def test_a_refusal_by_an_inner_guard_does_not_fail_the_outer_trial(
    run: Runtime, registry: Registry, kind: type, inner: str
) -> None:
    """
    The outer trial finds an inner circuit open, or an inner bulkhead full.

    Its dependency was not asked, so nothing is known of it, and the next caller may try.

    Defect 37: the refusal counted as the dependency's failure and opened the outer circuit again.
    """
    guard = kind("api", registry=registry, volume_threshold=1, sleep_window=5)
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=60)
    bulkhead = Bulkhead(1, registry=registry)
    layer = breaker if inner == "circuit" else bulkhead
    fn = run.body()
    guarded = guard(layer(fn))
    guard.acquire().fail()
    run.advance(5)
    if inner == "circuit":
        breaker.acquire().fail()
    else:
        held = bulkhead.acquire()
    error = run.raised(guarded)
    assert isinstance(error, (CircuitOpenError, BulkheadFullError))
    after = guard.snapshot()
    assert (after.state, after.trials_running) == (State.HALF_OPEN, 0)
    assert after.totals[Outcome.IGNORED] == 1
    if inner == "circuit":
        breaker.reset()
    else:
        held.release()
    run.call(guarded)
    assert guard.state is State.CLOSED


@pytest.mark.promise("A14")
def test_refusals_by_an_inner_guard_do_not_open_the_outer_circuit(
    run: Runtime, registry: Registry
) -> None:
    """
    However often the inner circuit refuses, the outer one stays closed, and its fallback answers.

    Defect 37.
    """
    outer = Command(
        "api",
        registry=registry,
        volume_threshold=2,
        fallback=run.coloured(lambda error: type(error).__name__),
    )
    inner = Command("db", registry=registry, volume_threshold=1)
    inner.force_open()
    guarded = outer(inner(run.body()))
    assert {run.call(guarded) for _ in range(10)} == {"CircuitOpenError"}
    assert outer.state is State.CLOSED
    assert outer.snapshot().window.calls == 0
    assert outer.snapshot().totals[Outcome.IGNORED] == 10
