"""Streams: generators and async generators in a guard, one call from first to last item."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import Any

import anyio
import pytest
import trio

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    DeadlineExceededError,
    Registry,
    State,
    current_deadline,
    deadline,
)
from tests.support.runtime import AsyncioRuntime, AsyncRuntime, FakeClock, Runtime
from tests.support.scene import (
    END,
    ERROR,
    NOTHING,
    SUCCESS,
    Answer,
    Ended,
    Scene,
    close,
    coloured_stream,
    ended,
    items_of,
    play,
    step,
    throw,
)


class StreamScene(Scene):
    """A command around a stream; its steps are `step`, `throw`, `close` of the runtime's colour."""

    def guard_stream(self, gives: Any) -> Any:
        """Guard what `gives` items, in the runtime's colour; opening it counts no call yet."""
        return self.command(coloured_stream(self.run, gives))

    async def step(self, stream: Any, sent: Any = None) -> Any:
        return await step(self.run, stream, sent)

    async def items(self, stream: Any) -> list[Any]:
        return await items_of(self.run, stream)


@pytest.fixture
def scene(run: Runtime, registry: Registry) -> StreamScene:
    """A command without a timeout."""
    return StreamScene(run, registry)


async def three() -> Any:
    """Give three items."""
    yield 1
    yield 2
    yield 3


async def fails_at_once() -> Any:
    """Fail before the first item."""
    raise ConnectionError
    yield


async def fails_after_an_item() -> Any:
    """Fail after an item."""
    yield 1
    raise ConnectionError


# -- one call


def test_a_stream_is_one_call(scene: StreamScene) -> None:
    """
    However many items it gives, a stream that comes to its end is one success.
    """
    guarded = scene.guard_stream(three)
    before = scene.snapshot
    scene.calls = 1
    assert scene.play(lambda: scene.items(guarded())) == [1, 2, 3]
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.window == SUCCESS


def test_a_stream_without_items_is_one_call(scene: StreamScene) -> None:
    """
    An empty stream that comes to its end is one success.
    """

    async def empty() -> Any:
        return
        yield

    guarded = scene.guard_stream(empty)
    scene.calls = 1
    assert scene.play(lambda: scene.items(guarded())) == []
    assert scene.total("success") == 1


def test_a_slot_is_held_while_the_stream_is_open(scene: StreamScene) -> None:
    """
    From the first step to the last, also while its consumer is busy; not before, not after.
    """
    guarded = scene.guard_stream(three)

    async def scenario() -> None:
        stream = guarded()
        assert scene.snapshot.in_flight == 0
        for _ in range(3):
            await scene.step(stream)
            assert scene.snapshot.in_flight == 1
        assert await scene.step(stream) is END
        assert scene.snapshot.in_flight == 0

    scene.calls = 1
    scene.play(scenario)


@pytest.mark.promise("C1")
def test_a_stream_that_was_never_started_is_no_call(scene: StreamScene) -> None:
    """
    Opened and closed, or opened and dropped, without a step: nothing was asked of anybody.
    """
    guarded = scene.guard_stream(three)

    async def scenario() -> None:
        await close(scene.run, guarded())
        guarded()
        gc.collect()

    before = scene.snapshot
    scene.play(scenario)
    assert scene.since(before).outcomes == {}


def test_the_arguments_reach_the_producer(scene: StreamScene) -> None:
    """
    A guarded stream is called as it was before.
    """

    async def up_to(start: int, *, end: int) -> Any:
        for number in range(start, end):
            yield number

    scene.calls = 1
    assert scene.play(lambda: scene.items(scene.guard_stream(up_to)(2, end=5))) == [2, 3, 4]


def test_streams_are_independent(scene: StreamScene) -> None:
    """
    Two open streams of one function are two calls with a slot each.
    """
    guarded = scene.guard_stream(three)

    async def scenario() -> None:
        first, second = guarded(), guarded()
        assert await scene.step(first) == 1
        assert await scene.step(second) == 1
        assert scene.snapshot.in_flight == 2
        assert await scene.items(first) == [2, 3]
        assert scene.snapshot.in_flight == 1
        assert await scene.items(second) == [2, 3]

    scene.calls = 2
    scene.play(scenario)
    assert scene.total("success") == 2


# -- what passes between producer and consumer


def test_sent_values_reach_the_producer(scene: StreamScene) -> None:
    """
    What is sent in is what `yield` returns.
    """

    async def echo() -> Any:
        got = None
        while got != "stop":
            got = yield ("got", got)

    async def scenario() -> None:
        stream = scene.guard_stream(echo)()
        assert await scene.step(stream) == ("got", None)
        assert await scene.step(stream, "a") == ("got", "a")
        assert await scene.step(stream, None) == ("got", None)
        assert await scene.step(stream, "stop") is END

    scene.calls = 1
    scene.play(scenario)


def test_a_thrown_error_reaches_the_producer(scene: StreamScene) -> None:
    """
    A producer may catch what is thrown into it and go on: the stream is a success.
    """

    async def survives() -> Any:
        try:
            yield 1
        except KeyError as error:
            yield error
        yield 3

    thrown = KeyError("thrown")

    async def scenario() -> None:
        stream = scene.guard_stream(survives)()
        await scene.step(stream)
        assert await throw(scene.run, stream, thrown) is thrown
        assert await scene.items(stream) == [3]

    scene.calls = 1
    scene.play(scenario)
    assert scene.total("success") == 1


def test_a_thrown_error_that_comes_back_is_judged(scene: StreamScene) -> None:
    """
    An error thrown in that the producer lets through is the stream's: the same object, a failure.
    """
    thrown = ConnectionError("thrown")

    async def scenario() -> Ended:
        stream = scene.guard_stream(three)()
        await scene.step(stream)
        return await ended(lambda: throw(scene.run, stream, thrown))

    scene.calls = 1
    assert scene.play(scenario).error is thrown
    assert scene.total("failure") == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.promise("F1", "C1")
def test_a_thrown_interrupt_is_no_failure(scene: StreamScene, kind: type[BaseException]) -> None:
    """
    An interrupt thrown into the producer leaves as the same object: cancelled.
    """
    thrown = kind()

    async def scenario() -> Ended:
        stream = scene.guard_stream(three)()
        await scene.step(stream)
        return await ended(lambda: throw(scene.run, stream, thrown))

    scene.calls = 1
    assert scene.play(scenario).error is thrown
    assert scene.total("cancelled") == 1


def test_the_return_value_of_a_generator_is_kept(clock: FakeClock, registry: Registry) -> None:
    """
    `yield from` a guarded generator gives what the producer returned.
    """
    command = registry.command("db", isolation="semaphore")

    @command
    def producer() -> Any:
        yield 1
        return "the end"

    def consumer() -> Any:
        return (yield from producer())

    stream = consumer()
    assert next(stream) == 1
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == "the end"
    assert command.snapshot().totals["success"] == 1


def test_closing_reaches_the_producer(scene: StreamScene) -> None:
    """
    The producer cleans up before `close` returns.
    """
    cleaned = []

    async def producer() -> Any:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(scene.snapshot.in_flight)

    async def scenario() -> None:
        stream = scene.guard_stream(producer)()
        await scene.step(stream)
        await close(scene.run, stream)
        assert cleaned == [1]

    scene.calls = 1
    scene.play(scenario)


def test_a_closed_stream_is_over(scene: StreamScene) -> None:
    """
    After `close` there are no items, and closing again changes nothing.
    """

    async def scenario() -> None:
        stream = scene.guard_stream(three)()
        await scene.step(stream)
        await close(scene.run, stream)
        assert await scene.step(stream) is END
        await close(scene.run, stream)

    scene.calls = 1
    scene.play(scenario)
    assert scene.total("success") == 1


# -- how it ends


def test_closed_after_an_item_it_is_a_success(scene: StreamScene) -> None:
    """
    A consumer that has had enough says nothing against the producer.
    """
    before = scene.snapshot

    async def scenario() -> None:
        stream = scene.guard_stream(three)()
        await scene.step(stream)
        await close(scene.run, stream)

    scene.calls = 1
    scene.play(scenario)
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.window == SUCCESS


def test_a_stream_that_fails_at_once_is_a_failure(scene: StreamScene) -> None:
    """
    Its error reaches the consumer at the first step.
    """
    before = scene.snapshot
    scene.calls = 1
    end = scene.play(lambda: ended(lambda: scene.items(scene.guard_stream(fails_at_once)())))
    assert isinstance(end.error, ConnectionError)
    assert end.error.__cause__ is None
    effect = scene.since(before)
    assert effect.outcomes == {"failure": 1}
    assert effect.window == ERROR


@pytest.mark.promise("G8")
def test_a_stream_that_fails_later_is_a_failure(run: Runtime, registry: Registry) -> None:
    """
    Items and all: it is one failure, and no fallback takes its place.
    """
    answer = Answer([7])
    scene = StreamScene(run, registry, fallback=answer)
    before = scene.snapshot

    async def scenario() -> Ended:
        stream = scene.guard_stream(fails_after_an_item)()
        assert await scene.step(stream) == 1
        return await ended(lambda: scene.step(stream))

    scene.calls = 1
    assert isinstance(scene.play(scenario).error, ConnectionError)
    assert scene.since(before).outcomes == {"failure": 1}
    assert answer.errors == []


@pytest.mark.promise("G8")
def test_a_fallback_replaces_a_stream_before_its_first_item(
    run: Runtime, registry: Registry
) -> None:
    """
    The stream counts as a failure; its slot is back before the replacement begins.
    """
    scene = StreamScene(run, registry, fallback=lambda error: [scene.snapshot.in_flight])
    scene.calls = 1
    assert scene.play(lambda: scene.items(scene.guard_stream(fails_at_once)())) == [0]
    assert scene.total("failure") == 1


@pytest.mark.parametrize(
    ("options", "error", "outcome", "window"),
    [
        ({"ignore": KeyError}, KeyError, "ignored", NOTHING),
        ({"handle": ConnectionError}, KeyError, "success", SUCCESS),
        ({}, KeyError, "failure", ERROR),
        ({}, KeyboardInterrupt, "cancelled", NOTHING),
        ({}, GeneratorExit, "cancelled", NOTHING),
    ],
)
def test_a_stream_s_error_is_judged_as_a_call_s(
    run: Runtime,
    registry: Registry,
    options: dict[str, Any],
    error: type[BaseException],
    outcome: str,
    window: tuple[int, int],
) -> None:
    """
    The decision table holds for streams.
    """
    raised = error()
    scene = StreamScene(run, registry, **options)

    async def producer() -> Any:
        yield 1
        raise raised

    before = scene.snapshot
    scene.calls = 1
    end = scene.play(lambda: ended(lambda: scene.items(scene.guard_stream(producer)())))
    assert end.error is raised
    effect = scene.since(before)
    assert effect.outcomes == {outcome: 1}
    assert effect.window == window


def test_a_producer_that_fails_when_closed_has_failed(scene: StreamScene) -> None:
    """
    An error from its clean-up reaches who closed it, and is judged.
    """
    raised = ConnectionError("while cleaning up")

    async def producer() -> Any:
        try:
            yield 1
        finally:
            raise raised

    async def scenario() -> Ended:
        stream = scene.guard_stream(producer)()
        await scene.step(stream)
        return await ended(lambda: close(scene.run, stream))

    scene.calls = 1
    assert scene.play(scenario).error is raised
    assert scene.total("failure") == 1


@pytest.mark.parametrize("refused_by", ["circuit", "bulkhead", "deadline"])
def test_a_refused_stream_is_refused_at_its_first_step(
    run: Runtime, registry: Registry, refused_by: str
) -> None:
    """
    A stream is not made where its call would not be.
    """
    made = []

    async def producer() -> Any:
        made.append(True)
        yield 1

    scene = StreamScene(run, registry, max_concurrency=0 if refused_by == "bulkhead" else 1)
    if refused_by == "circuit":
        scene.trip()
    stream = scene.guard_stream(producer)()

    async def scenario() -> Ended:
        if refused_by != "deadline":
            return await ended(lambda: scene.step(stream))
        with scene.within(1):
            scene.block(2)
            return await ended(lambda: scene.step(stream))

    before = scene.snapshot
    scene.calls += 1
    end = scene.play(scenario)
    expected = {
        "circuit": (CircuitOpenError, "short_circuited"),
        "bulkhead": (BulkheadFullError, "bulkhead_full"),
        "deadline": (DeadlineExceededError, "expired"),
    }[refused_by]
    assert type(end.error) is expected[0]
    assert scene.since(before).outcomes == {expected[1]: 1}
    assert made == []


def test_a_fallback_replaces_a_refused_stream(run: Runtime, registry: Registry) -> None:
    """
    A refusal is answered like a failure before the first item.
    """
    scene = StreamScene(run, registry, fallback=Answer([7]), max_concurrency=0)
    scene.calls = 1
    assert scene.play(lambda: scene.items(scene.guard_stream(three)())) == [7]


# -- time


def test_a_timeout_bounds_the_wait_for_each_item(run: Runtime, registry: Registry) -> None:
    """
    Items of 1.5 s each are in time for a timeout of 2 s, however many there are.
    """
    scene = StreamScene(run, registry, timeout=2.0)

    async def producer() -> Any:
        for number in range(4):
            await scene.spend(1.5)
            yield number

    scene.calls = 1
    assert scene.play(lambda: scene.items(scene.guard_stream(producer)())) == [0, 1, 2, 3]
    assert scene.total("success") == 1
    assert scene.snapshot.latency["success"].sum == pytest.approx(6)


@pytest.mark.parametrize("late", [0, 2])
def test_an_item_that_takes_too_long_is_cut_off(
    run: Runtime, registry: Registry, late: int
) -> None:
    """
    The step that exceeds the timeout raises `DeadlineExceededError`; the stream is a timeout.
    """
    scene = StreamScene(run, registry, timeout=2.0)

    async def producer() -> Any:
        for number in range(4):
            await scene.spend(3 if number == late else 1)
            yield number

    async def scenario() -> Ended:
        stream = scene.guard_stream(producer)()
        for number in range(late):
            assert await scene.step(stream) == number
        return await ended(lambda: scene.step(stream))

    before = scene.snapshot
    scene.calls = 1
    error = scene.play(scenario).error
    assert isinstance(error, DeadlineExceededError)
    assert (error.name, error.timeout) == ("db", 2)
    assert (type(error.__cause__).__name__ in ("CancelledError", "Cancelled")) is run.is_async
    effect = scene.since(before)
    assert effect.outcomes == {"timeout": 1}
    assert effect.window == ERROR


@pytest.mark.parametrize(("late", "answered"), [(0, True), (1, False)])
@pytest.mark.promise("G8")
def test_a_fallback_answers_for_a_first_item_that_takes_too_long(
    run: Runtime, registry: Registry, late: int, answered: bool
) -> None:
    """
    A timeout before the first item is answered; one after it is not.
    """
    scene = StreamScene(run, registry, timeout=2.0, fallback=Answer([7]))

    async def producer() -> Any:
        for number in range(2):
            await scene.spend(3 if number == late else 1)
            yield number

    scene.calls = 1
    end = scene.play(lambda: ended(lambda: scene.items(scene.guard_stream(producer)())))
    assert (end.value == [7]) is answered
    assert isinstance(end.error, DeadlineExceededError) is not answered


@pytest.mark.parametrize("takes", [2, 3])
def test_a_late_item_that_was_not_cut_off_is_kept(
    run: Runtime, registry: Registry, takes: int
) -> None:
    """
    The items go on; the stream is a timeout when it ends, or is closed.
    """
    scene = StreamScene(run, registry, timeout=2.0)

    async def producer() -> Any:
        scene.block(takes)
        yield 1
        yield 2

    guarded = scene.guard_stream(producer)

    async def closes() -> None:
        stream = guarded()
        await scene.step(stream)
        await close(scene.run, stream)

    before = scene.snapshot
    scene.calls = 1
    assert scene.play(lambda: scene.items(guarded())) == [1, 2]
    scene.calls = 2
    scene.play(closes)
    effect = scene.since(before)
    assert effect.outcomes == {"timeout": 2}
    assert effect.window == (2, 2)


def test_a_stream_that_is_late_with_its_end_is_late(run: Runtime, registry: Registry) -> None:
    """
    The wait for the end is bounded like that for an item.
    """
    scene = StreamScene(run, registry, timeout=2.0)

    async def producer() -> Any:
        yield 1
        scene.block(3)

    scene.calls = 1
    assert scene.play(lambda: scene.items(scene.guard_stream(producer)())) == [1]
    assert scene.total("timeout") == 1


def test_what_a_producer_takes_to_be_closed_is_its_time(run: Runtime, registry: Registry) -> None:
    """
    It is counted once, and what its consumer took before is not.
    """
    scene = StreamScene(run, registry)

    async def producer() -> Any:
        try:
            scene.block(1)
            yield 1
            yield 2
        finally:
            scene.block(2)

    async def closes() -> None:
        stream = scene.guard_stream(producer)()
        await scene.step(stream)
        await scene.step(stream)
        scene.block(10)
        await close(scene.run, stream)

    scene.calls = 1
    scene.play(closes)
    assert scene.snapshot.latency["success"].sum == 3


def test_a_consumer_may_take_its_time(run: Runtime, registry: Registry) -> None:
    """
    The time between items is the consumer's: it makes no stream late, slow or long.
    """
    scene = StreamScene(run, registry, timeout=2.0, slow_call_duration=4.0)

    async def producer() -> Any:
        for number in range(3):
            await scene.spend(1)
            yield number

    async def scenario() -> None:
        stream = scene.guard_stream(producer)()
        while await scene.step(stream) is not END:
            await scene.spend(100)

    before = scene.snapshot
    scene.calls = 1
    scene.play(scenario)
    effect = scene.since(before)
    assert effect.outcomes == {"success": 1}
    assert effect.slow == 0
    assert scene.snapshot.latency["success"].sum == pytest.approx(3)


@pytest.mark.parametrize("ends", ["exhausted", "closed", "failed"])
@pytest.mark.promise("A16")
def test_a_stream_is_slow_by_its_producer_s_time(
    run: Runtime, registry: Registry, ends: str
) -> None:
    """
    Three steps of 1 s make a stream of 3 s, however it ends.
    """
    scene = StreamScene(run, registry, slow_call_duration=2.999)

    async def producer() -> Any:
        for number in range(3):
            await scene.spend(1)
            yield number
        if ends == "failed":
            raise ConnectionError

    async def scenario() -> None:
        stream = scene.guard_stream(producer)()
        for _ in range(3):
            await scene.step(stream)
            await scene.spend(10)
        if ends == "closed":
            await close(scene.run, stream)
        else:
            await ended(lambda: scene.step(stream))

    before = scene.snapshot
    scene.calls = 1
    scene.play(scenario)
    effect = scene.since(before)
    assert effect.slow == 1
    (latency,) = scene.snapshot.latency.values()
    assert latency.sum == pytest.approx(3)


def test_a_timeout_binds_the_producer_and_never_the_consumer(
    run: Runtime, registry: Registry
) -> None:
    """
    Inside the producer the command's deadline is the current one; between items there is none.
    """
    scene = StreamScene(run, registry, timeout=2.0)
    inside = []

    async def producer() -> Any:
        for number in range(2):
            scope = current_deadline()
            assert scope is not None
            inside.append(scope.remaining)
            yield number

    async def scenario() -> None:
        stream = scene.guard_stream(producer)()
        while await scene.step(stream) is not END:
            assert current_deadline() is None
            await scene.spend(1)

    scene.calls = 1
    scene.play(scenario)
    assert inside == [2, 2]


@pytest.mark.parametrize(
    ("timeout", "outcome"), [(4.0, "timeout"), (100.0, "expired"), (None, "expired")]
)
def test_a_caller_s_deadline_cuts_a_stream_off(
    run: Runtime, registry: Registry, timeout: float | None, outcome: str
) -> None:
    """
    Cut off by the consumer's deadline a stream is judged as a call is: by its fair share.
    """
    scene = StreamScene(run, registry, timeout=timeout)

    async def producer() -> Any:
        yield 1
        await scene.spend(50)
        yield 2

    async def whole() -> None:
        with scene.within(2):
            await scene.items(scene.guard_stream(producer)())

    before = scene.snapshot
    scene.calls = 1
    end = scene.play(lambda: ended(whole))
    assert isinstance(end.error, DeadlineExceededError)
    assert end.error.name is None
    assert scene.since(before).outcomes == {outcome: 1}


# -- trials


def test_an_inherited_deadline_cuts_off_a_later_item(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    In a child task the command enforces it at each step, the first and every other.
    """
    scene = StreamScene(task, registry)
    items: list[int] = []

    async def producer() -> Any:
        for number in range(9):
            await scene.spend(0.4)
            items.append(number)
            yield number

    async def consumer() -> None:
        with pytest.raises(DeadlineExceededError):
            async with aclosing(scene.guard_stream(producer)()) as stream:
                async for _ in stream:
                    pass

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with pytest.raises(DeadlineExceededError), scene.within(1):
                group.start_soon(consumer)
                await task.sleep(60)

    task.call(main)
    assert items == [0, 1]


@pytest.mark.parametrize(
    ("producer", "state", "trial"),
    [
        (three, State.CLOSED, "success"),
        (fails_at_once, State.OPEN, "failure"),
        (fails_after_an_item, State.OPEN, "failure"),
    ],
)
@pytest.mark.promise("C1")
def test_a_stream_may_be_a_trial(
    scene: StreamScene, producer: Any, state: State, trial: str
) -> None:
    """
    It judges when it ends.
    """
    scene.await_trial()
    before = scene.snapshot
    scene.calls += 1
    scene.play(lambda: ended(lambda: scene.items(scene.guard_stream(producer)())))
    assert scene.command.state is state
    assert scene.since(before).trials == {trial: 1}


@pytest.mark.promise("C1", "C7")
def test_a_consumer_does_not_ride_on_a_stream_s_trial(scene: StreamScene) -> None:
    """
    Between items the consumer is outside: its call is refused, while the producer's rides.
    """
    inner = scene.guard(nothing)

    async def producer() -> Any:
        await inner()
        yield 1
        await inner()
        yield 2

    async def scenario() -> None:
        stream = scene.guard_stream(producer)()
        assert await scene.step(stream) == 1
        end = await ended(inner)
        assert isinstance(end.error, CircuitOpenError)
        assert await scene.items(stream) == [2]

    scene.await_trial()
    scene.calls += 1
    scene.play(scenario)
    assert scene.command.state is State.CLOSED
    assert scene.total("success") == 3


async def nothing() -> None:
    """Do nothing."""


@pytest.mark.promise("C1", "A3")
def test_a_stream_may_outlive_its_generation(scene: StreamScene) -> None:
    """
    A stream that ends after the circuit opened counts its outcome and as stale.
    """

    async def producer() -> Any:
        yield 1
        scene.trip()
        yield 2

    scene.calls = 1
    scene.play(lambda: scene.items(scene.guard_stream(producer)()))
    assert scene.snapshot.stale == 1
    assert scene.total("success") == 1
    assert scene.command.state is State.OPEN


# -- streams that are left behind


@pytest.mark.promise("C1")
def test_an_abandoned_generator_gives_its_slot_back(clock: FakeClock, registry: Registry) -> None:
    """
    A generator that is dropped after an item is closed by the interpreter: a success.
    """
    command = registry.command("db", isolation="semaphore")

    @command
    def producer() -> Any:
        yield 1
        yield 2

    for item in producer():
        assert item == 1
        assert command.snapshot().in_flight == 1
        break
    gc.collect()
    assert command.snapshot().in_flight == 0
    assert command.snapshot().totals["success"] == 1


@pytest.mark.promise("C1", "C4", "C5")
def test_an_abandoned_generator_in_a_cycle_gives_its_trial_back(
    clock: FakeClock, registry: Registry
) -> None:
    """
    A generator that only a collection can find ends its trial then.
    """
    command = registry.command("db", isolation="semaphore", volume_threshold=1, sleep_window=5)

    @command
    def producer(cycle: list[Any]) -> Any:
        yield 1
        yield cycle

    command.acquire().fail()
    clock.advance(5)
    cycle: list[Any] = []
    cycle.append(producer(cycle))
    assert next(cycle[0]) == 1
    del cycle
    gc.collect()
    assert command.state is State.CLOSED
    assert command.snapshot().in_flight == 0


@pytest.mark.promise("C1", "F8")
def test_an_async_generator_that_was_left_is_closed_by_its_loop() -> None:
    """
    An async generator left by `break` is closed by asyncio, in another task: a success.
    """
    loop = AsyncioRuntime()
    scene = StreamScene(loop, Registry(clock=loop.clock), timeout=2.0)
    cleaned = []

    async def producer() -> Any:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(True)

    guarded = scene.guard_stream(producer)

    async def scenario() -> None:
        async for item in guarded():
            assert item == 1
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert cleaned == [True]

    scene.calls = 1
    scene.play(scenario)
    assert scene.total("success") == 1
    loop.close()


@pytest.mark.promise("C1", "F8", "I4")
def test_an_async_generator_may_outlive_its_run(task: AsyncRuntime, registry: Registry) -> None:
    """
    A stream that is still open when the event loop ends is closed by that end.
    """
    scene = StreamScene(task, registry, timeout=2.0)
    kept = []

    async def scenario() -> None:
        stream = scene.guard_stream(three)()
        kept.append(stream)
        await scene.step(stream)

    play(task, scenario)
    task.close()
    scene.calls = 1
    scene.check()
    assert scene.total("success") == 1


@pytest.mark.promise("C1", "E2")
def test_an_async_generator_may_be_closed_by_another_task(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Stepped in one task and closed in another it is one success, and neither task keeps its scope.
    """
    scene = StreamScene(task, registry, timeout=2.0)

    async def producer() -> Any:
        yield 1
        yield 2

    stream = scene.guard_stream(producer)()

    async def first() -> None:
        assert await scene.step(stream) == 1
        assert current_deadline() is None

    async def second() -> None:
        await stream.aclose()
        assert current_deadline() is None

    async def scenario() -> None:
        for work in (first, second):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)

    scene.calls = 1
    scene.play(scenario)
    assert scene.total("success") == 1


@pytest.mark.promise("E2")
def test_each_step_may_be_in_another_task(task: AsyncRuntime, registry: Registry) -> None:
    """
    A stream is not bound to the task that began it: the next step is cut off in its own.
    """
    scene = StreamScene(task, registry, timeout=2.0)

    async def producer() -> Any:
        yield 1
        await task.sleep(1)
        yield 2
        await task.sleep(3)

    stream = scene.guard_stream(producer)()
    ends: list[Ended] = []

    async def one_step() -> None:
        ends.append(await ended(lambda: scene.step(stream)))

    async def scenario() -> None:
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one_step)

    scene.calls = 1
    scene.play(scenario)
    assert [end.value for end in ends[:2]] == [1, 2]
    assert isinstance(ends[2].error, DeadlineExceededError)
    assert scene.total("timeout") == 1


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.promise("F1", "C1")
def test_a_consumer_cancelled_while_it_waits_has_cancelled_the_stream(
    task: AsyncRuntime, registry: Registry, after: int
) -> None:
    """
    Cancelled in a step of the producer, the stream is cancelled, and the same object leaves.
    """
    answer = Answer([7])
    scene = StreamScene(task, registry, timeout=20.0, fallback=answer)
    thrown: list[BaseException] = []
    ends: list[Ended] = []

    async def producer() -> Any:
        for number in range(after):
            yield number
        try:
            await task.sleep(10)
        except BaseException as error:
            thrown.append(error)
            raise
        yield None

    async def consumer() -> None:
        async with aclosing(scene.guard_stream(producer)()) as stream:
            ends.append(await ended(lambda: scene.items(stream)))

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumer)
            await task.sleep(1)
            tasks.cancel_scope.cancel()

    scene.calls = 1
    scene.play(scenario)
    assert isinstance(ends[0].error, asyncio.CancelledError | trio.Cancelled)
    assert ends[0].error is thrown[0]
    assert scene.total("cancelled") == 1
    assert answer.errors == []


@pytest.mark.promise("F1")
def test_a_consumer_cancelled_between_items_has_closed_the_stream(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Cancelled while it is busy with an item, it closes the stream: a success of the producer.
    """
    scene = StreamScene(task, registry, timeout=2.0)

    async def consumer() -> None:
        async with aclosing(scene.guard_stream(three)()) as stream:
            async for _ in stream:
                await task.sleep(10)

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumer)
            await task.sleep(1)
            tasks.cancel_scope.cancel()

    scene.calls = 1
    scene.play(scenario)
    assert scene.total("success") == 1


# -- the parts


@pytest.mark.parametrize("ends", ["exhausted", "closed"])
def test_a_breaker_alone_judges_a_stream(run: Runtime, registry: Registry, ends: str) -> None:
    """
    Under `CircuitBreaker` a stream is one call as well.
    """
    breaker = CircuitBreaker("db", registry=registry)
    guarded = breaker(coloured_stream(run, three))

    async def scenario() -> None:
        stream = guarded()
        assert await step(run, stream) == 1
        if ends == "closed":
            await close(run, stream)
        else:
            await items_of(run, stream)

    play(run, scenario)
    now = breaker.snapshot()
    assert (now.window.calls, now.totals["success"]) == (1, 1)


def test_a_bulkhead_alone_holds_a_slot_for_a_stream(run: Runtime, registry: Registry) -> None:
    """
    Under `Bulkhead` an open stream holds one slot.
    """
    bulkhead = Bulkhead(1, name="db", registry=registry)
    guarded = bulkhead(coloured_stream(run, three))

    async def scenario() -> None:
        stream = guarded()
        await step(run, stream)
        assert bulkhead.in_flight == 1
        end = await ended(lambda: step(run, guarded()))
        assert isinstance(end.error, BulkheadFullError)
        await close(run, stream)
        assert bulkhead.in_flight == 0
        assert await items_of(run, guarded()) == [1, 2, 3]

    play(run, scenario)


def test_a_generator_stays_in_its_consumer_s_thread(clock: FakeClock, registry: Registry) -> None:
    """
    Thread isolation cannot be had for a generator: asking for it is a `TypeError`.
    """
    command = registry.command("db", isolation="thread")

    def producer() -> Any:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        command(producer)


# -- deadlines of their own


@pytest.mark.promise("E2")
def test_a_decorated_stream_enters_its_deadline_at_each_step(
    run: Runtime, registry: Registry
) -> None:
    """
    `@deadline` on a stream binds the producer's steps, and never what its consumer does.
    """
    inside = []

    async def producer() -> Any:
        for number in range(3):
            inside.append(current_deadline() is not None)
            yield number

    guarded = deadline(2, clock=run.clock)(coloured_stream(run, producer))
    scene = StreamScene(run, registry)

    async def scenario() -> None:
        stream = guarded()
        while await step(run, stream) is not END:
            assert current_deadline() is None
            await scene.spend(0.1)
        assert current_deadline() is None

    play(run, scenario)
    assert inside == [True, True, True]


@pytest.mark.promise("E2")
def test_a_decorated_stream_never_cuts_off_its_consumer(run: Runtime, registry: Registry) -> None:
    """
    A consumer that is busy past the end of the stream's budget goes on undisturbed.
    """
    guarded = deadline(2, clock=run.clock)(coloured_stream(run, three))
    scene = StreamScene(run, registry)

    async def scenario() -> str:
        stream = guarded()
        assert await step(run, stream) == 1
        await scene.spend(10)
        await close(run, stream)
        return "undisturbed"

    assert play(run, scenario) == "undisturbed"


@pytest.mark.promise("E2")
def test_a_decorated_stream_is_cut_off_in_its_own_step(run: Runtime, registry: Registry) -> None:
    """
    The step that runs when the budget ends is cut off: the budget is for the whole stream.
    """
    scene = StreamScene(run, registry)

    async def producer() -> Any:
        for number in range(3):
            await scene.spend(1.5)
            yield number

    guarded = deadline(2, clock=run.clock)(coloured_stream(run, producer))

    async def scenario() -> Ended:
        stream = guarded()
        assert await step(run, stream) == 0
        end = await ended(lambda: step(run, stream))
        assert current_deadline() is None
        return end

    end = play(run, scenario)
    assert isinstance(end.error, DeadlineExceededError)
    assert end.error.timeout == 2


@pytest.mark.promise("E1", "E2")
def test_a_decorated_stream_is_bound_by_its_consumer_s_deadline(
    run: Runtime, registry: Registry
) -> None:
    """
    A shorter deadline around a step binds the producer in it; a longer one does not lengthen.
    """
    left = []

    async def producer() -> Any:
        while True:
            scope = current_deadline()
            assert scope is not None
            left.append(scope.remaining)
            yield None

    guarded = deadline(60, clock=run.clock)(coloured_stream(run, producer))

    async def scenario() -> None:
        with deadline(2, clock=run.clock):
            stream = guarded()
            await step(run, stream)
        await close(run, stream)

    play(run, scenario)
    assert left == [2]


@pytest.mark.promise("E2")
def test_a_decorated_stream_keeps_sent_values_and_errors(run: Runtime) -> None:
    """
    `send`, `throw` and the end pass through a decorated stream.
    """

    async def producer() -> Any:
        got = yield "first"
        try:
            yield got
        except KeyError as error:
            yield error

    guarded = deadline(2, clock=run.clock)(coloured_stream(run, producer))
    thrown = KeyError()

    async def scenario() -> None:
        stream = guarded()
        assert await step(run, stream) == "first"
        assert await step(run, stream, "sent") == "sent"
        assert await throw(run, stream, thrown) is thrown
        assert await step(run, stream) is END

    play(run, scenario)


@pytest.mark.promise("E2")
def test_each_decorated_stream_has_a_budget_of_its_own(run: Runtime, registry: Registry) -> None:
    """
    Two streams of one function do not share their time.
    """
    scene = StreamScene(run, registry)

    async def producer() -> Any:
        for number in range(3):
            await scene.spend(0.5)
            yield number

    guarded = deadline(2, clock=run.clock)(coloured_stream(run, producer))

    async def scenario() -> None:
        for _ in range(3):
            assert await items_of(run, guarded()) == [0, 1, 2]

    play(run, scenario)
