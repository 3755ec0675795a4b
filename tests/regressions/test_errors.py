"""Defects 19, 20, 21, 32 and 33: whose error it is, what it carries and what it must not keep."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import traceback
import tracemalloc
import weakref
from typing import Any

import anyio
import pytest
import trio

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CallTimedOut,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    Outcome,
    Registry,
    Settings,
    State,
    deadline,
)
from tests.support.runtime import AsyncRuntime, FakeClock, Runtime

any_guard = pytest.mark.parametrize("kind", [CircuitBreaker, Command])


# -- 19


@pytest.mark.promise("E9")
def test_a_timeout_error_of_the_function_is_a_failure_like_any_other(
    run: Runtime, registry: Registry
) -> None:
    """
    A socket's or a client's own `TimeoutError` leaves as the object it is.

    It counts as a failure, not as our timeout.

    Defect 19, seen in hyx, pyresilience, aioresilience and interlock.
    """
    events: list[object] = []
    registry.subscribe(events.append)
    guard = Command("db", Settings(timeout=1), registry=registry)
    own = TimeoutError("the read operation timed out")
    assert run.raised(guard(run.body(takes=0.5, raises=own))) is own
    totals = guard.snapshot().totals
    assert (totals[Outcome.FAILURE], totals[Outcome.TIMEOUT]) == (1, 0)
    assert not any(isinstance(event, CallTimedOut) for event in events)


def own_timeouts(task: AsyncRuntime) -> list[Any]:
    """What else ends a task's work by the clock: a manager, and the error that it raises."""
    if task.name == "asyncio":
        return [(asyncio.timeout, TimeoutError), (anyio.fail_after, TimeoutError)]
    return [(trio.fail_after, trio.TooSlowError), (anyio.fail_after, TimeoutError)]


@pytest.mark.promise("E9")
@pytest.mark.parametrize("which", [0, 1])
def test_a_timeout_inside_the_call_is_not_taken_for_ours(
    task: AsyncRuntime, registry: Registry, which: int
) -> None:
    """
    The function sets itself a shorter limit by other means: its error is an ordinary failure.

    Defect 19.
    """
    manager, expected = own_timeouts(task)[which]
    guard = Command("db", registry=registry, timeout=1)

    @guard
    async def limited() -> None:
        with anyio.CancelScope():
            if manager is asyncio.timeout:
                async with manager(0.5):
                    await task.sleep(60)
            else:
                with manager(0.5):
                    await task.sleep(60)

    error = task.raised(limited)
    assert type(error) is expected
    totals = guard.snapshot().totals
    assert (totals[Outcome.FAILURE], totals[Outcome.TIMEOUT]) == (1, 0)


@pytest.mark.promise("E9", "F3", "F4")
@pytest.mark.parametrize("which", [0, 1])
def test_a_timeout_around_the_call_is_not_taken_for_ours(
    task: AsyncRuntime, registry: Registry, which: int
) -> None:
    """
    The caller limits the call by other means.

    It gets the error of those, and to us the call was cancelled.

    Defect 19.
    """
    manager, expected = own_timeouts(task)[which]
    guard = Command("db", registry=registry, timeout=1)
    guarded = guard(task.body(takes=60))

    async def main() -> None:
        if manager is asyncio.timeout:
            async with manager(0.5):
                await guarded()
        else:
            with manager(0.5):
                await guarded()

    error = task.raised(main)
    assert type(error) is expected
    totals = guard.snapshot().totals
    assert (totals[Outcome.CANCELLED], totals[Outcome.TIMEOUT]) == (1, 0)


@pytest.mark.promise("E9")
def test_our_timeout_inside_a_longer_one_of_the_caller_is_ours(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    The other way round: our error knows its deadline, and the caller's limit has not fired.

    Defect 19.
    """
    guard = Command("db", registry=registry, timeout=1)
    guarded = guard(task.body(takes=60))

    async def main() -> BaseException:
        with anyio.fail_after(2):
            with pytest.raises(DeadlineExceededError) as caught:
                await guarded()
            await task.sleep(0.5)
        return caught.value

    error = task.call(main)
    assert (error.name, error.timeout, error.elapsed) == ("db", 1, pytest.approx(1))
    assert guard.snapshot().totals[Outcome.TIMEOUT] == 1


# -- 20


def frames(error: BaseException | None) -> int:
    """Count the frames of its traceback."""
    return 0 if error is None else len(list(traceback.walk_tb(error.__traceback__)))


def chain(error: BaseException | None) -> int:
    """Count the errors that lead to it."""
    count = 0
    while error is not None:
        count, error = count + 1, error.__cause__ or error.__context__
    return count


@pytest.mark.promise("A17", "A18")
@any_guard
@pytest.mark.parametrize("refusal", ["open", "half_open", "forced", "full"])
def test_each_refusal_is_an_object_of_its_own(
    run: Runtime, registry: Registry, kind: type, refusal: str
) -> None:
    """
    No two refusals are the same object.

    The last one's traceback is no longer than the first one's, nor is the chain of errors behind
    it.

    Defect 20, seen in purgatory: one object was raised again and again, and its traceback grew to
    23 MB.
    """
    guard = kind("db", registry=registry, volume_threshold=1, sleep_window=5)
    guarded = guard(run.body())
    held = []
    if refusal == "full":
        guarded = Bulkhead(0, registry=registry)(run.body())
    else:
        guard.acquire().fail(ConnectionError("refused"))
    if refusal == "half_open":
        run.advance(5)
        held.append(guard.acquire())
    if refusal == "forced":
        registry.command("db").force_open()
    errors = [run.raised(guarded) for _ in range(20)]
    assert {type(error) for error in errors} == {
        BulkheadFullError if refusal == "full" else CircuitOpenError
    }
    assert len({id(error) for error in errors}) == 20
    assert len({frames(error) for error in errors}) == 1
    assert {chain(error) for error in errors} == {1}


@pytest.mark.promise("A17", "M4")
def test_ten_thousand_refusals_leave_nothing_in_memory(
    registry: Registry, clock: FakeClock
) -> None:
    """
    After 10,000 refusals as much memory is in use as after 1,000.

    Defect 20, seen in purgatory.
    """
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)
    full = Bulkhead(0, registry=registry)
    breaker.acquire().fail()

    def refuse(count: int) -> None:
        for _ in range(count):
            for guarded in guards:
                try:
                    guarded()
                except (CircuitOpenError, BulkheadFullError):
                    continue
                raise AssertionError

    guards = [breaker(print), full(print)]
    refuse(500)
    gc.collect()
    tracemalloc.start()
    try:
        refuse(500)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        refuse(5000)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


# -- 21


class Payload:
    """An argument that one would not like to be kept."""


@pytest.mark.promise("A17", "M7")
@any_guard
def test_what_a_failed_call_was_given_is_let_go(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    The failure that opened the circuit is remembered as a text.

    Neither its frames nor the call's arguments live on, though the circuit is open and says why.

    Defect 21, seen in circuitbreaker and interlock.
    """
    guard = kind("db", registry=registry, volume_threshold=1)
    kept = []

    def failing(payload: Payload) -> None:
        local = Payload()
        kept.append(weakref.ref(local))
        raise LookupError("refused", local)

    payload = Payload()
    kept.append(weakref.ref(payload))
    guarded = guard(run.coloured(failing))
    assert isinstance(run.raised(guarded, payload), LookupError)
    error = run.raised(guarded, payload)
    assert isinstance(error, CircuitOpenError)
    assert error.last_error is not None
    assert error.last_error.startswith("LookupError: ('refused', ")
    assert error.__context__ is None
    del error, payload
    gc.collect()
    assert [ref() for ref in kept] == [None, None]
    assert guard.state is State.OPEN


@pytest.mark.promise("A17", "M7")
def test_what_a_failed_call_on_a_thread_was_given_is_let_go(
    registry: Registry, clock: FakeClock
) -> None:
    """
    The worker thread, idle now, keeps nothing of the call either.

    Defect 21.
    """
    guard = Command("db", registry=registry, isolation="thread", volume_threshold=1)
    kept = []

    @guard
    def failing(payload: Payload) -> None:
        local = Payload()
        kept.append(weakref.ref(local))
        raise LookupError("refused", local)

    payload = Payload()
    kept.append(weakref.ref(payload))
    with pytest.raises(LookupError):
        failing(payload)
    del payload
    gc.collect()
    assert [ref() for ref in kept] == [None, None]
    assert guard.state is State.OPEN


@pytest.mark.promise("A17")
def test_a_long_message_is_cut(registry: Registry, clock: FakeClock) -> None:
    """
    Of an error with a message of a megabyte 200 characters are kept.

    And of one that cannot even be shown its type.

    Defect 21.
    """

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)
    breaker.acquire().fail(ConnectionError("x" * 1_000_000))
    assert len(breaker.snapshot().last_error) == 200
    breaker.reset()
    breaker.acquire().fail(MuteError())
    assert breaker.snapshot().last_error.endswith("MuteError")


# -- 32


def raised_errors(registry: Registry, clock: FakeClock) -> list[Exception]:
    """Make one error of each kind, the way users get them."""
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1, sleep_window=5)
    breaker.acquire().fail(ConnectionError("refused"))
    calls = [breaker.acquire, Bulkhead(0, name="pool", registry=registry).acquire]
    calls.append(deadline(0, clock=clock)(breaker.acquire))
    calls.append(lambda: Settings(timeout=-1, buckets=0))
    errors = []
    for call in calls:
        try:
            call()
        except Exception as error:
            errors.append(error)
    return errors


@pytest.mark.promise("I6")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_can_be_pickled(registry: Registry, clock: FakeClock, protocol: int) -> None:
    """
    What a worker process raises arrives whole in its parent.

    Its kind, its text and its facts; though not the deadline, which belongs to a clock of the other
    process.

    Defect 32, seen in circuitbreaker: unpickling its error raised another one.
    """
    errors = raised_errors(registry, clock)
    assert [type(error) for error in errors] == [
        CircuitOpenError,
        BulkheadFullError,
        DeadlineExceededError,
        ConfigurationError,
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.args == error.args
        facts = {**vars(error)}
        if isinstance(error, DeadlineExceededError):
            assert facts["deadline"] is not None
            facts["deadline"] = None
        assert vars(again) == facts
        assert type(copy.copy(error)) is type(copy.deepcopy(again)) is type(error)
    refused = pickle.loads(pickle.dumps(errors[0], protocol))
    assert (refused.name, refused.retry_after) == ("db", 5)
    assert refused.last_error == "ConnectionError: refused"


# -- 33


@pytest.mark.promise("B7")
@any_guard
def test_the_error_percentage_is_told_from_the_first_call_on(
    run: Runtime, registry: Registry, kind: type
) -> None:
    """
    Below `volume_threshold` the circuit does not act on the percentage, which is one all the same.

    It lies between 0 and 100, and is 0 of an empty window.

    Defect 33, seen in resilience4j: it reported -1.
    """
    guard = kind("db", registry=registry, volume_threshold=100)
    fn = run.body(raises=ConnectionError)
    guarded = guard(fn)
    assert guard.snapshot().window.error_percent == 0
    run.raised(guarded)
    assert guard.snapshot().window.error_percent == 100
    fn.body.raises = None
    for percent in (50, 100 / 3, 25):
        run.call(guarded)
        assert guard.snapshot().window.error_percent == pytest.approx(percent)
    run.advance(10)
    assert guard.snapshot().window.error_percent == 0
