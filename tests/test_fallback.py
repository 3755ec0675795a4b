"""Fallbacks: of a command, and `fallback(…)` alone."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import traceback
from typing import Any

import pytest
import trio

from resilience import (
    BulkheadFullError,
    CircuitBreaker,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    FallbackCalled,
    Registry,
    current_deadline,
    deadline,
    fallback,
)
from tests.support.runtime import AsyncioRuntime, AsyncRuntime, FakeClock, Runtime
from tests.support.scene import (
    Answer,
    Ended,
    Scene,
    cancelled_after,
    close,
    coloured,
    coloured_stream,
    ended,
    items_of,
    play,
    step,
)


class CallError(Exception):
    """The call's own error."""


class HandlerError(Exception):
    """A handler's error."""


class Broken(Answer):
    """A handler that raises."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__()
        self.raised = raised

    def __call__(self, error: BaseException, *args: Any, **kwargs: Any) -> Any:
        super().__call__(error)
        raise self.raised


async def fails(*args: object, **kwargs: object) -> None:
    """Fail."""
    raise CallError


KINDS = ["command", "fallback"]


@pytest.fixture(params=KINDS)
def answered(request: pytest.FixtureRequest, run: Runtime, registry: Registry) -> Any:
    """What gives a function fallbacks: `answered(*handlers)(fn)`, as a command and alone."""
    if request.param == "fallback":
        return fallback

    def with_command(*handlers: Any) -> Command:
        return registry.command("db", fallback=handlers, timeout=None, isolation="semaphore")

    return with_command


def play_call(run: Runtime, fn: Any, *args: Any, **kwargs: Any) -> Ended:
    """Call something of the runtime's colour and tell how it ended."""

    async def call() -> Any:
        result = fn(*args, **kwargs)
        return await result if run.is_async else result

    end: Ended = play(run, lambda: ended(call))
    return end


# -- who answers


@pytest.mark.promise("G1")
def test_a_success_is_never_answered(run: Runtime, answered: Any) -> None:
    """
    Where the call succeeded no handler is called.
    """
    answer = Answer()

    async def succeeds() -> str:
        return "value"

    assert play_call(run, answered(answer)(coloured(run, succeeds))) == Ended("value")
    assert answer.errors == []


@pytest.mark.parametrize("value", [3, Answer()], ids=["plain", "object"])
def test_a_value_of_any_type_is_given_as_it_is(run: Runtime, answered: Any, value: Any) -> None:
    """
    What a function returns reaches its caller, whatever it is.
    """
    assert run.call(answered(Answer())(run.body(returns=value))) is value


@pytest.mark.promise("G1")
def test_the_first_handler_that_returns_answers(run: Runtime, answered: Any) -> None:
    """
    Handlers are tried in order, each once and with the call's own error, until one returns.
    """
    first, second = Broken(HandlerError()), Broken(KeyError())
    third, fourth = Answer("third"), Answer("fourth")
    error = CallError("the call's own")

    async def does() -> None:
        raise error

    guarded = answered(first, second, third, fourth)(coloured(run, does))
    assert play_call(run, guarded) == Ended("third")
    assert first.errors == second.errors == third.errors == [error]
    assert fourth.errors == []
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.promise("G1")
def test_each_failed_call_is_answered_once(run: Runtime, answered: Any) -> None:
    """
    Three failed calls call the handler three times.
    """
    answer = Answer()
    guarded = answered(answer)(coloured(run, fails))
    for _ in range(3):
        play_call(run, guarded)
    assert len(answer.errors) == 3


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 0.0, ValueError("as a value")])
@pytest.mark.promise("G2")
def test_an_answer_is_returned_as_it_is(run: Runtime, answered: Any, value: Any) -> None:
    """
    Nothing, falsy values, and errors as values are answers like any other.
    """
    end = play_call(run, answered(Answer(value))(coloured(run, fails)))
    assert end.error is None
    assert end.value is value


def test_a_handler_is_given_the_arguments_of_the_call(run: Runtime, answered: Any) -> None:
    """
    `handler(error, *args, **kwargs)`.
    """
    seen = []

    def handler(error: Exception, *args: object, **kwargs: object) -> str:
        seen.append((type(error), args, kwargs))
        return "instead"

    guarded = answered(handler)(coloured(run, fails))
    assert play_call(run, guarded, 1, "two", three=3) == Ended("instead")
    assert seen == [(CallError, (1, "two"), {"three": 3})]


def test_a_method_s_handler_is_given_its_self(run: Runtime, answered: Any) -> None:
    """
    A method's handler is given the object it was called on, whichever kind of method it is.
    """

    class Users:
        name = "users"

        @answered(lambda error, self, key: (self.name, key))
        def get(self, key: int) -> None:
            raise CallError

        @classmethod
        @answered(lambda error, cls, key: (cls, key))
        def of_class(cls, key: int) -> None:
            raise CallError

        @answered(lambda error, key: key)
        @staticmethod
        def of_nobody(key: int) -> None:
            raise CallError

    assert Users().get(1) == ("users", 1)
    assert Users.of_class(2) == (Users, 2)
    assert Users().of_nobody(key=3) == 3


@pytest.mark.promise("G2")
def test_an_async_function_has_handlers_of_both_colours(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    Sync and async handlers may be mixed; what returns an awaitable is awaited.
    """

    async def broken(error: Exception) -> None:
        await task.sleep(1)
        raise HandlerError

    async def answer(error: Exception) -> str:
        await task.sleep(1)
        return type(error).__name__

    for guard in (
        registry.command("db", fallback=[Broken(HandlerError()), broken, answer]),
        fallback(Broken(HandlerError()), broken, answer),
    ):
        assert task.call(guard(fails)) == "CallError"


def test_a_function_that_returns_an_awaitable_is_answered(
    task: AsyncRuntime, answered_by_either: Any
) -> None:
    """
    A lambda around a coroutine function fails when it is awaited, and is answered then.
    """
    guarded = answered_by_either(Answer())(lambda: fails())  # noqa: PLW0108 - no coroutine function
    assert task.call(guarded) == "instead"


def test_a_function_that_returns_an_awaitable_is_answered_for_what_is_handled(
    task: AsyncRuntime,
) -> None:
    """
    What its awaitable raises besides leaves as it is.
    """
    answer = Answer()
    guarded = fallback(answer, handle=KeyError)(lambda: fails())  # noqa: PLW0108 - as above
    assert isinstance(task.raised(guarded), CallError)
    assert answer.errors == []


@pytest.fixture(params=KINDS)
def answered_by_either(request: pytest.FixtureRequest) -> Any:
    """What gives a function fallbacks, whatever the runtime: as a command and alone."""
    registry = Registry()
    if request.param == "fallback":
        return fallback
    return lambda *handlers: registry.command(
        "db", fallback=handlers, timeout=None, isolation="semaphore"
    )


# -- handlers of the wrong kind


async def async_handler(error: Exception) -> str:
    """Answer."""
    return "instead"


async def async_stream_handler(error: Exception) -> Any:
    """Answer."""
    yield "instead"


class AsyncHandler:
    async def __call__(self, error: Exception) -> str:
        return "instead"


def sync_function() -> None:
    """Fail."""
    raise CallError


def sync_generator() -> Any:
    """Fail."""
    raise CallError
    yield


@pytest.mark.parametrize("function", [sync_function, sync_generator])
@pytest.mark.parametrize(
    "handler",
    [
        async_handler,
        async_stream_handler,
        AsyncHandler(),
        functools.partial(async_handler),
    ],
    ids=["coroutine function", "async generator", "callable object", "partial"],
)
@pytest.mark.promise("F8", "H6")
def test_an_async_handler_of_a_sync_function_is_refused_at_decoration(
    answered_by_either: Any, function: Any, handler: Any
) -> None:
    """
    Nobody could await it: decorating says so, and names both.
    """
    with pytest.raises(TypeError, match=r"sync_.* is sync.* async fallback"):
        answered_by_either(Answer(), handler)(function)


@pytest.mark.promise("F8", "H6")
def test_a_handler_that_turns_out_to_return_an_awaitable_is_an_error(
    answered_by_either: Any,
) -> None:
    """
    A lambda around a coroutine function, as handler of a sync function, is a `TypeError`.

    It names `async def` and has the call's error as its cause; no coroutine was never awaited.
    """
    guarded = answered_by_either(lambda error: async_handler(error))(sync_function)  # noqa: PLW0108
    with pytest.raises(TypeError, match="async def") as caught:
        guarded()
    assert isinstance(caught.value.__cause__, CallError)


def test_after_a_handler_that_returns_an_awaitable_the_next_is_tried(
    answered_by_either: Any,
) -> None:
    """
    Such a handler has failed, as if it had raised.
    """
    guarded = answered_by_either(
        lambda error: async_handler(error),  # noqa: PLW0108
        Answer("next"),
    )(sync_function)
    assert guarded() == "next"


@pytest.mark.parametrize("wrong", [1, "handler", [Answer(), None], {1: 2}])
@pytest.mark.promise("K1")
def test_what_cannot_be_called_is_no_handler(wrong: Any) -> None:
    """
    Handlers are checked where they are given.
    """
    with pytest.raises(ConfigurationError, match="fallback must be a callable"):
        Registry().command("db", fallback=wrong)
    with pytest.raises(ConfigurationError, match="fallback must be a callable"):
        fallback(wrong)


def test_a_fallback_alone_needs_a_handler() -> None:
    """
    `fallback()` would answer nothing.
    """
    with pytest.raises(ConfigurationError, match="at least one handler"):
        fallback()


# -- handlers that fail


@pytest.mark.promise("G3")
def test_when_all_fail_the_last_one_s_error_leaves(run: Runtime, answered: Any) -> None:
    """
    It has the call's error as its cause.
    """
    raised = HandlerError()
    error = CallError()

    async def does() -> None:
        raise error

    guarded = answered(Broken(KeyError()), Broken(raised))(coloured(run, does))
    end = play_call(run, guarded)
    assert end.error is raised
    assert raised.__cause__ is error


@pytest.mark.promise("G3")
def test_a_handler_that_raises_the_call_s_error_changes_nothing(
    run: Runtime, answered: Any
) -> None:
    """
    `raise error` in a handler gives the caller that very error, which is not its own cause.
    """

    def handler(error: Exception) -> None:
        raise error

    end = play_call(run, answered(handler)(coloured(run, fails)))
    assert isinstance(end.error, CallError)
    assert end.error.__cause__ is None


@pytest.mark.promise("G3")
def test_a_handler_s_error_keeps_the_cause_it_has(run: Runtime, answered: Any) -> None:
    """
    `raise … from …` in a handler is respected.
    """
    cause = KeyError("no cached user")

    def handler(error: Exception) -> None:
        raise HandlerError from cause

    end = play_call(run, answered(handler)(coloured(run, fails)))
    assert isinstance(end.error, HandlerError)
    assert end.error.__cause__ is cause


@pytest.mark.promise("G3")
def test_the_call_s_traceback_stays_whole(run: Runtime, answered: Any) -> None:
    """
    The cause shows where the call failed, the error where the handler did.
    """

    def handler(error: Exception) -> None:
        raise HandlerError

    end = play_call(run, answered(handler)(coloured(run, fails)))
    assert end.error is not None
    assert end.error.__cause__ is not None
    where = [frame.name for frame in traceback.extract_tb(end.error.__traceback__)]
    cause = [frame.name for frame in traceback.extract_tb(end.error.__cause__.__traceback__)]
    assert where[-1] == "handler"
    assert cause[-1] == "fails"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.promise("F1", "G1")
def test_an_interrupted_handler_is_not_followed_by_the_next(
    run: Runtime, answered: Any, kind: type[BaseException]
) -> None:
    """
    An interrupt leaves from a handler as it is.
    """
    raised, answer = kind(), Answer()
    end = play_call(run, answered(Broken(raised), answer)(coloured(run, fails)))
    assert end.error is raised
    assert answer.errors == []


# -- what is not answered


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.promise("F1", "G1")
def test_an_interrupt_is_not_answered(
    run: Runtime, answered: Any, kind: type[BaseException]
) -> None:
    """
    What is no `Exception` leaves as the same object.
    """
    raised, answer = kind(), Answer()

    async def does() -> None:
        raise raised

    end = play_call(run, answered(answer)(coloured(run, does)))
    assert end.error is raised
    assert answer.errors == []


@pytest.mark.promise("F1", "F7", "G1")
def test_a_group_that_holds_a_cancellation_is_not_answered(run: Runtime, answered: Any) -> None:
    """
    Neither is a group with an interrupt or a cancellation among its leaves.
    """
    raised = BaseExceptionGroup("", [CallError(), ExceptionGroup("", [KeyError()]), SystemExit()])
    answer = Answer()

    async def does() -> None:
        raise raised

    end = play_call(run, answered(answer)(coloured(run, does)))
    assert end.error is raised
    assert answer.errors == []


@pytest.mark.promise("F1", "G1")
def test_a_cancellation_is_not_answered(task: AsyncRuntime, answered_by_either: Any) -> None:
    """
    The caller's cancellation leaves as it came.
    """
    answer = Answer()

    async def sleeps() -> None:
        await task.sleep(10)

    guarded = answered_by_either(answer)(sleeps)
    end = task.call(lambda: cancelled_after(task, 1, guarded))
    assert isinstance(end.error, asyncio.CancelledError | trio.Cancelled)
    assert answer.errors == []


@pytest.mark.promise("G1", "E9")
def test_the_end_of_the_caller_s_deadline_is_not_answered(run: Runtime, answered: Any) -> None:
    """
    Where the caller's time is over nobody waits for an answer.
    """
    answer = Answer()
    scene = Scene(run, Registry(clock=run.clock))

    async def takes_its_time() -> None:
        await scene.spend(10)

    guarded = answered(answer)(coloured(run, takes_its_time))

    async def whole() -> Any:
        with deadline(2, clock=run.clock):
            result = guarded()
            return await result if run.is_async else result

    end = play(run, lambda: ended(whole))
    assert isinstance(end.error, DeadlineExceededError)
    assert answer.errors == []


@pytest.mark.promise("G1", "E9")
def test_a_deadline_inside_is_answered(run: Runtime, answered: Any) -> None:
    """
    A deadline of the function's own that runs out is an error like any other.
    """
    answer = Answer()
    scene = Scene(run, Registry(clock=run.clock))

    async def takes_its_time() -> None:
        with deadline(2, clock=run.clock):
            await scene.spend(10)

    guarded = answered(answer)(coloured(run, takes_its_time))

    async def whole() -> Any:
        with deadline(5, clock=run.clock):
            result = guarded()
            return await result if run.is_async else result

    assert play(run, lambda: ended(whole)) == Ended("instead")
    assert [type(error) for error in answer.errors] == [DeadlineExceededError]


@pytest.mark.parametrize(
    ("handle", "answers"),
    [
        (CallError, True),
        ((KeyError, CallError), True),
        (lambda error: isinstance(error, CallError), True),
        (KeyError, False),
        ((), False),
        (lambda error: False, False),
    ],
)
def test_a_fallback_alone_answers_what_it_handles(run: Runtime, handle: Any, answers: bool) -> None:
    """
    `handle=` says which errors are answered; the others leave as they are.
    """
    guarded = fallback(Answer(), handle=handle)(coloured(run, fails))
    end = play_call(run, guarded)
    assert (end == Ended("instead")) is answers
    assert answers or isinstance(end.error, CallError)


def test_a_fallback_alone_looks_at_the_leaves_of_a_group(run: Runtime) -> None:
    """
    A group is answered if one of its leaves is handled.
    """
    group = ExceptionGroup("", [KeyError(), ExceptionGroup("", [CallError()])])

    async def does() -> None:
        raise group

    guarded = fallback(Answer(), handle=CallError)(coloured(run, does))
    assert play_call(run, guarded) == Ended("instead")
    guarded = fallback(Answer(), handle=ValueError)(coloured(run, does))
    assert play_call(run, guarded).error is group


def test_a_predicate_of_a_fallback_that_raises_is_told(run: Runtime) -> None:
    """
    Its error leaves, with the call's as its context.
    """

    def breaks(error: Exception) -> bool:
        raise HandlerError

    end = play_call(run, fallback(Answer(), handle=breaks)(coloured(run, fails)))
    assert isinstance(end.error, HandlerError)
    assert isinstance(end.error.__context__, CallError)


# -- where it runs


@pytest.mark.promise("G4")
def test_a_handler_runs_when_the_call_is_settled(run: Runtime, registry: Registry) -> None:
    """
    The slot is back and the outcome counted before the handler runs; it is in no deadline of ours.
    """
    seen: list[Any] = []

    def handler(error: Exception) -> None:
        now = scene.snapshot
        seen.append((now.in_flight, now.totals["failure"], current_deadline()))

    scene = Scene(run, registry, fallback=handler, timeout=2.0)
    scene.play(scene.guard(fails))
    assert seen == [(0, 1, None)]


@pytest.mark.promise("G4", "H2")
def test_a_handler_runs_outside_every_lock(run: Runtime, registry: Registry) -> None:
    """
    Another thread may use the command while the handler waits for it.
    """
    seen = []

    def handler(error: Exception) -> None:
        other = threading.Thread(target=lambda: seen.append(scene.snapshot.in_flight))
        other.start()
        other.join(10)

    scene = Scene(run, registry, fallback=handler, fallback_max_concurrency=1)
    scene.play(scene.guard(fails))
    assert seen == [0]


def test_a_handler_has_more_time_than_the_call(task: AsyncRuntime, registry: Registry) -> None:
    """
    The command's timeout was the call's: its handler is not cut off by it.
    """

    async def handler(error: Exception) -> str:
        await task.sleep(60)
        return "instead"

    scene = Scene(task, registry, fallback=handler, timeout=2.0)
    assert scene.play(scene.guard(lambda: task.sleep(5))) == "instead"


def test_a_handler_has_no_more_time_than_the_caller(task: AsyncRuntime, registry: Registry) -> None:
    """
    The caller's deadline cuts a handler off.
    """

    async def handler(error: Exception) -> None:
        await task.sleep(60)

    scene = Scene(task, registry, fallback=handler)
    guarded = scene.guard(fails)

    async def whole() -> None:
        with scene.within(2) as mine:
            try:
                await guarded()
            finally:
                assert mine.expired

    end = scene.play(lambda: ended(whole))
    assert isinstance(end.error, DeadlineExceededError)
    assert scene.total("failure") == 1


def test_a_handler_may_call_another_command(run: Runtime, registry: Registry) -> None:
    """
    A handler that is itself guarded falls back in its turn.
    """
    last = Answer("last")
    second = registry.command("second", fallback=last, isolation="semaphore")

    @second
    def cached(error: Exception) -> None:
        raise HandlerError

    scene = Scene(run, registry, fallback=cached)
    assert scene.play(scene.guard(fails)) == "last"
    assert [type(error) for error in last.errors] == [HandlerError]
    assert second.snapshot().totals["failure"] == 1


def test_a_fallback_stands_around_the_parts(run: Runtime, registry: Registry) -> None:
    """
    `@fallback(…) @breaker` answers for the breaker's refusals, too.
    """
    answer = Answer()
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)
    guarded = fallback(answer)(breaker(coloured(run, fails)))
    play_call(run, guarded)
    assert play_call(run, guarded) == Ended("instead")
    assert [type(error).__name__ for error in answer.errors] == ["CallError", "CircuitOpenError"]


# -- how many run at once


def test_where_too_many_fallbacks_run_the_call_s_error_leaves(
    task: AsyncRuntime, registry: Registry
) -> None:
    """
    With `fallback_max_concurrency=1` the second of two is refused.

    It counts as rejected, and its caller gets the call's own error.
    """

    async def handler(error: Exception) -> str:
        second = await ended(guarded)
        assert second.error is scene.thrown
        assert isinstance(second.error, CallError)
        return "first"

    scene = Scene(task, registry, fallback=handler, fallback_max_concurrency=1)
    guarded = scene.guard(fails)
    assert scene.play(guarded) == "first"
    assert dict(scene.snapshot.fallbacks) == {"success": 1, "failure": 0, "rejected": 1}
    assert scene.play(guarded) == "first"


def test_without_a_handler_no_fallback_is_counted(run: Runtime, registry: Registry) -> None:
    """
    The call's own error leaves, and nothing was asked.
    """
    scene = Scene(run, registry)
    end = scene.play(lambda: ended(scene.guard(fails)))
    assert end.error is scene.thrown
    assert set(scene.snapshot.fallbacks.values()) == {0}


def test_no_fallbacks_at_all(run: Runtime, registry: Registry) -> None:
    """
    `fallback_max_concurrency=0` turns them off.
    """
    answer = Answer()
    scene = Scene(run, registry, fallback=answer, fallback_max_concurrency=0)
    end = scene.play(lambda: ended(scene.guard(fails)))
    assert end.error is scene.thrown
    assert end.error.__cause__ is None
    assert answer.errors == []
    assert dict(scene.snapshot.fallbacks) == {"success": 0, "failure": 0, "rejected": 1}


@pytest.mark.parametrize("raised", [HandlerError(), KeyboardInterrupt()])
@pytest.mark.promise("C1")
def test_a_failed_fallback_gives_its_slot_back(
    run: Runtime, registry: Registry, raised: BaseException
) -> None:
    """
    However a handler ends, the next one may run.
    """
    handler = Broken(raised)
    scene = Scene(run, registry, fallback=handler, fallback_max_concurrency=1)
    guarded = scene.guard(fails)
    for _ in range(3):
        assert scene.play(lambda: ended(guarded)).error is raised
    assert len(handler.errors) == 3
    assert scene.snapshot.fallbacks["rejected"] == 0


@pytest.mark.promise("C1", "F1")
def test_a_cancelled_fallback_gives_its_slot_back(task: AsyncRuntime, registry: Registry) -> None:
    """
    A caller cancelled in its fallback leaves room for the next.
    """

    async def handler(error: Exception) -> str:
        await task.sleep(2)
        return "instead"

    scene = Scene(task, registry, fallback=handler, fallback_max_concurrency=1)
    guarded = scene.guard(fails)
    scene.play(lambda: cancelled_after(task, 1, guarded))
    assert scene.play(guarded) == "instead"


def test_commands_of_one_name_share_the_limit(clock: FakeClock, registry: Registry) -> None:
    """
    The limit belongs to the name, the handlers to the one command.
    """
    other = registry.command("db", fallback=Answer("other"), isolation="semaphore")
    guarded = other(sync_function)
    seen = []

    def handler(error: Exception) -> str:
        with pytest.raises(CallError):
            guarded()
        seen.append(other.snapshot().fallbacks["rejected"])
        return "mine"

    mine = registry.command(
        "db", fallback=handler, fallback_max_concurrency=1, isolation="semaphore"
    )
    assert mine(sync_function)() == "mine"
    assert seen == [1]
    assert guarded() == "other"


# -- what is counted and told


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [(Answer(), "success"), (Broken(HandlerError()), "failure")],
    ids=["success", "failure"],
)
def test_a_fallback_counts_and_tells_how_it_ended(
    run: Runtime, registry: Registry, handler: Any, outcome: str
) -> None:
    """
    One fallback, one count and one event, however many handlers it took.
    """
    events: list[Any] = []
    registry.subscribe(events.append)
    scene = Scene(run, registry, fallback=[Broken(KeyError()), handler])
    scene.play(lambda: ended(scene.guard(fails)))
    fallbacks = scene.snapshot.fallbacks
    assert {end: count for end, count in fallbacks.items() if count} == {outcome: 1}
    assert [type(event) for event in events] == [FallbackCalled]
    assert (events[0].name, events[0].outcome) == ("db", outcome)


def test_a_refused_call_s_fallback_is_given_the_refusal(run: Runtime, registry: Registry) -> None:
    """
    The handler sees what the caller would have.
    """
    answer = Answer()
    scene = Scene(run, registry, fallback=answer, max_concurrency=0)
    scene.play(scene.guard(fails))
    assert [type(error) for error in answer.errors] == [BulkheadFullError]
    assert scene.runs == 0


# -- streams


async def fails_at_once(*args: object) -> Any:
    """Fail before the first item."""
    raise CallError
    yield


async def fails_after_an_item(*args: object) -> Any:
    """Fail after an item."""
    yield 1
    raise CallError


@pytest.mark.promise("G8", "G2")
def test_a_fallback_replaces_a_stream_that_gave_nothing(run: Runtime, answered: Any) -> None:
    """
    Before the first item the handler's items take the place of the whole stream.
    """
    answer = Answer([7, 8])
    guarded = answered(answer)(coloured_stream(run, fails_at_once))
    assert play(run, lambda: items_of(run, guarded("argument"))) == [7, 8]
    assert [type(error) for error in answer.errors] == [CallError]


@pytest.mark.promise("G8")
def test_a_stream_that_gave_an_item_is_not_replaced(run: Runtime, answered: Any) -> None:
    """
    Once somebody has seen an item, the error leaves: no stream is half of one and half of another.
    """
    answer = Answer([7, 8])
    guarded = answered(answer)(coloured_stream(run, fails_after_an_item))

    async def scenario() -> Ended:
        stream = guarded()
        assert await step(run, stream) == 1
        return await ended(lambda: step(run, stream))

    end = play(run, scenario)
    assert isinstance(end.error, CallError)
    assert answer.errors == []


def test_an_empty_replacement_is_an_empty_stream(run: Runtime, answered: Any) -> None:
    """
    A handler may answer with nothing.
    """
    guarded = answered(Answer([]))(coloured_stream(run, fails_at_once))
    assert play(run, lambda: items_of(run, guarded())) == []


@pytest.mark.promise("G3")
def test_a_stream_s_handler_may_fail(run: Runtime, answered: Any) -> None:
    """
    Its error leaves with the call's as its cause, as a function's does.
    """
    raised = HandlerError()
    guarded = answered(Broken(raised))(coloured_stream(run, fails_at_once))
    end = play(run, lambda: ended(lambda: items_of(run, guarded())))
    assert end.error is raised
    assert isinstance(raised.__cause__, CallError)


def test_a_replacement_may_be_a_generator(run: Runtime, answered: Any) -> None:
    """
    A handler that is itself a generator function is read as the stream it gives.
    """

    def handler(error: Exception, start: int) -> Any:
        yield start
        yield start + 1

    guarded = answered(handler)(coloured_stream(run, fails_at_once))
    assert play(run, lambda: items_of(run, guarded(5))) == [5, 6]


def test_a_replacement_may_be_an_async_generator(
    task: AsyncRuntime, answered_by_either: Any
) -> None:
    """
    Of an async stream the handler may be an async generator function, or return one when awaited.
    """

    async def items(error: Exception) -> Any:
        await task.sleep(1)
        yield "a"
        yield "b"

    async def returns_items(error: Exception) -> Any:
        await task.sleep(1)
        return items(error)

    for handler in (items, returns_items):
        guarded = answered_by_either(handler)(fails_at_once)
        assert task.call(lambda guarded=guarded: items_of(task, guarded())) == ["a", "b"]


def test_a_replaced_generator_passes_on_sent_values(answered_by_either: Any) -> None:
    """
    The replacement has the consumer to itself: sent values, and its return value, are its own.
    """

    def echo(error: Exception) -> Any:
        got = yield "first"
        return got

    guarded = answered_by_either(echo)(sync_generator)
    stream = guarded()
    assert next(stream) == "first"
    with pytest.raises(StopIteration) as stop:
        stream.send("sent")
    assert stop.value.value == "sent"


@pytest.mark.promise("F1", "G1")
def test_an_interrupted_stream_is_not_replaced(run: Runtime, answered: Any) -> None:
    """
    A stream interrupted before its first item is not replaced.
    """
    raised, answer = KeyboardInterrupt(), Answer([7])

    async def interrupted() -> Any:
        raise raised
        yield

    guarded = answered(answer)(coloured_stream(run, interrupted))
    end = play(run, lambda: ended(lambda: items_of(run, guarded())))
    assert end.error is raised
    assert answer.errors == []


def test_a_stream_that_ends_without_an_item_is_not_replaced(run: Runtime, answered: Any) -> None:
    """
    An empty stream has succeeded.
    """
    answer = Answer([7])

    async def empty() -> Any:
        return
        yield

    guarded = answered(answer)(coloured_stream(run, empty))
    assert play(run, lambda: items_of(run, guarded())) == []
    assert answer.errors == []


def test_a_replacement_is_closed_with_its_stream(run: Runtime, answered: Any) -> None:
    """
    A consumer that has had enough closes the replacement at once.
    """
    closed = []

    async def items(error: Exception) -> Any:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    guarded = answered(coloured_stream(run, items))(coloured_stream(run, fails_at_once))

    async def scenario() -> None:
        stream = guarded()
        assert await step(run, stream) == 1
        await close(run, stream)
        assert closed == [True]

    play(run, scenario)


def test_the_limit_changes_while_fallbacks_run(run: Runtime, registry: Registry) -> None:
    """
    A live change lets the handlers that run go on, and counts for the next one.
    """
    limits = iter([1, 3, 3])
    depth = 0

    async def handler(error: BaseException) -> str:
        nonlocal depth
        registry.configure("db", fallback_max_concurrency=next(limits))
        depth += 1
        inner = await ended(guarded)
        return f"{type(inner.error).__name__} in {inner.value}"

    scene = Scene(
        run,
        registry,
        fallback=coloured(run, handler),
        fallback_max_concurrency=2,
        volume_threshold=100,
    )
    guarded = scene.guard(fails)
    # One runs and there may be one: the second is rejected. Then there may be three.
    assert scene.play(guarded) == "CallError in None"
    assert depth == 1
    limits = iter([3, 3, 3])
    assert scene.play(guarded) == "NoneType in NoneType in CallError in None"
    assert dict(scene.snapshot.fallbacks) == {"success": 4, "failure": 0, "rejected": 2}


@pytest.mark.promise("C1", "C4")
def test_a_fallback_dropped_in_a_cycle_gives_its_slot_back() -> None:
    """
    A handler that only a collection can find leaves room for the next, every time.
    """
    loop = AsyncioRuntime()
    forever = False

    async def handler(error: Exception, cycle: list[Any]) -> str:
        if forever:
            await asyncio.Event().wait()
        return "instead"

    registry = Registry(clock=loop.clock)
    cmd = registry.command("db", fallback=handler, fallback_max_concurrency=1, timeout=None)
    guarded = cmd(fails)

    async def scenario() -> None:
        nonlocal forever
        for _ in range(3):
            forever = False
            assert await guarded([]) == "instead"
            forever = True
            cycle: list[Any] = []
            cycle.append(guarded(cycle))
            cycle[0].send(None)
            del cycle
            gc.collect()

    loop.call(scenario)
    loop.close()
    assert dict(cmd.snapshot().fallbacks) == {"success": 3, "failure": 0, "rejected": 0}


class Items:
    """An async iterator that is no generator: it has nothing to close."""

    def __init__(self, *items: Any) -> None:
        self._items = iter(items)

    def __aiter__(self) -> Items:
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            return item
        raise StopAsyncIteration


def test_a_stream_is_replaced_by_any_async_iterator(
    task: AsyncRuntime, answered_by_either: Any
) -> None:
    """
    One without `aclose` is read to its end, or left in the middle, all the same.
    """

    async def failing() -> Any:
        raise CallError
        yield

    guarded = answered_by_either(lambda error: Items(1, 2, 3))(failing)

    async def scenario() -> list[Any]:
        left = guarded()
        first = await step(task, left)
        await close(task, left)
        return [first, await items_of(task, guarded())]

    assert task.call(scenario) == [1, [1, 2, 3]]
