"""
The decision table, row by row: calls that were made.

Each case is played under every runtime it can happen in, three times: with the circuit closed, as
the trial of a half-open circuit, and with a fallback. Calls that are never made are in
`test_refusals.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import attrs
import pytest
import trio

from resilience import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
    Registry,
    RejectedError,
    State,
    deadline,
)
from tests.support.runtime import FakeClock, Runtime
from tests.support.scene import (
    ERROR,
    NOTHING,
    SUCCESS,
    Answer,
    Ended,
    Scene,
    cancelled_after,
    ended,
)

ALL = ("sync", "asyncio", "trio")
TASKS = ("asyncio", "trio")

Call = Callable[[], Awaitable[Any]]


class Interrupt(BaseException):
    """No `Exception`: what some frameworks stop their tasks with."""


class PredicateError(Exception):
    """The user's predicate is broken."""


# -- how the caller calls


async def plainly(_: Scene, call: Call) -> Ended:
    """Call."""
    return await ended(call)


def within(seconds: float) -> Any:
    """Call under a deadline of the caller's."""

    async def call_within(scene: Scene, call: Call) -> Ended:
        async def whole() -> Any:
            with scene.within(seconds):
                return await call()

        return await ended(whole)

    return call_within


async def cancelled(scene: Scene, call: Call) -> Ended:
    """Call, and be cancelled from outside after a second."""
    return await cancelled_after(scene.run, 1, call)


async def under_a_timeout_of_its_own(_: Scene, call: Call) -> Ended:
    """The caller's own `asyncio.timeout`: for the command that is its caller cancelled."""

    async def whole() -> Any:
        async with asyncio.timeout(1):
            return await call()

    return await ended(whole)


# -- what the function does


def returns(value: Any, *, takes: float = 0, blocks: float = 0) -> Any:
    """Return a function that takes its time and returns."""

    async def does(scene: Scene) -> Any:
        if takes:
            await scene.spend(takes)
        scene.block(blocks)
        return value

    return does


def raises(error: Callable[[], BaseException], *, takes: float = 0, blocks: float = 0) -> Any:
    """Return a function that takes its time and raises."""

    async def does(scene: Scene) -> Any:
        if takes:
            await scene.spend(takes)
        scene.block(blocks)
        raise error()

    return does


async def overruns_a_deadline_of_its_own(scene: Scene) -> None:
    """Take longer than a deadline of one's own."""
    with scene.within(0.1):
        await scene.spend(1)


async def overruns_asyncio_timeout(_: Scene) -> None:
    """Take longer than asyncio allows."""
    async with asyncio.timeout(0.1):
        await asyncio.sleep(1)


async def overruns_asyncio_wait_for(_: Scene) -> None:
    """Take longer than asyncio allows."""
    await asyncio.wait_for(asyncio.sleep(1), 0.1)


async def overruns_fail_after(scene: Scene) -> None:
    """Take longer than anyio allows."""
    with anyio.fail_after(0.1):
        await scene.spend(1)


async def overruns_trio_fail_after(scene: Scene) -> None:
    """Take longer than trio allows."""
    with trio.fail_after(0.1):
        await scene.spend(1)


async def overruns_another_command(scene: Scene) -> None:
    """Take longer than the timeout of another command."""
    other = Scene(scene.run, Registry(clock=scene.run.clock), timeout=0.1)
    await other.guard(returns_after_a_second(other))()


def returns_after_a_second(scene: Scene) -> Any:
    """Return a function that takes a second."""

    async def does() -> None:
        await scene.spend(1)

    return does


async def is_refused_by_another_circuit(scene: Scene) -> None:
    """Call another command, which refuses."""
    other = Scene(scene.run, Registry(clock=scene.run.clock))
    other.command.force_open()
    await other.guard(returns_after_a_second(other))()


async def is_refused_by_another_bulkhead(scene: Scene) -> None:
    """Call another command, which refuses."""
    other = Scene(scene.run, Registry(clock=scene.run.clock), max_concurrency=0)
    await other.guard(returns_after_a_second(other))()


async def cleans_up_with_an_error(scene: Scene) -> None:
    """Take long, and fail while being cut off."""
    try:
        await scene.spend(5)
    finally:
        raise ConnectionError("while cleaning up")


async def swallows_the_cancellation(scene: Scene) -> str:
    """Take long, and return a value when cut off."""
    try:
        await scene.spend(5)
    except asyncio.CancelledError:
        return "late"
    raise AssertionError


async def fails_in_a_task_group(scene: Scene) -> None:
    """Fail in a child task."""
    async with anyio.create_task_group() as group:
        group.start_soon(scene.spend, 5)
        group.start_soon(raises_later, scene, ConnectionError)


async def raises_later(scene: Scene, kind: type[Exception]) -> None:
    """Take a moment and raise."""
    await scene.spend(0.1)
    raise kind


async def is_cut_off_in_a_task_group(scene: Scene) -> None:
    """Take long, in a child task too."""
    async with anyio.create_task_group() as group:
        group.start_soon(scene.spend, 5)
        await scene.spend(5)


def group(*errors: BaseException) -> Callable[[], BaseException]:
    """Return what makes a group of errors."""
    return lambda: BaseExceptionGroup("several", errors)


def breaks(_: object) -> bool:
    """Raise, as a predicate."""
    raise PredicateError


def interrupts(_: object) -> bool:
    """Raise no `Exception`, as a predicate."""
    raise Interrupt


def cancellation() -> BaseException:
    """Return what a child's cancellation looks like in a group."""
    return asyncio.CancelledError()


# -- the rows


@attrs.frozen
class Case:
    """One way a call may go, and the row of the table that decides."""

    name: str
    does: Callable[[Scene], Awaitable[Any]]
    outcome: str
    window: tuple[int, int]
    trial: str
    fallback: bool
    reaches: Any = "error"
    """`value`, `error`: the very object the function gave; a class: an error of the library's."""
    call: Callable[[Scene, Call], Awaitable[Ended]] = plainly
    options: dict[str, Any] = attrs.field(factory=dict)
    runtimes: tuple[str, ...] = ALL
    promises: tuple[str, ...] = ("C1",)


CANCELLED = ("cancelled", NOTHING, "released", False)
TIMEOUT_CALLER = ("timeout", ERROR, "failure", False)
TIMEOUT = ("timeout", ERROR, "failure", True)
LATE_VALUE = ("timeout", ERROR, "failure", False)
EXPIRED = ("expired", NOTHING, "released", False)
IGNORED = ("ignored", NOTHING, "released", False)
REJECTED = ("ignored", NOTHING, "released", True)
BAD_RESULT = ("failure", ERROR, "failure", False)
FAILURE = ("failure", ERROR, "failure", True)
ANSWERED = ("success", SUCCESS, "success", False)


def case(name: str, does: Any, row: tuple[str, tuple[int, int], str, bool], **more: Any) -> Case:
    """Make a case by its row."""
    return Case(name, does, *row, **more)


INTERRUPTS = [
    case(f"interrupted_by_{kind.__name__}", raises(kind), CANCELLED, promises=("C1", "F1"))
    for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, Interrupt)
] + [
    case(
        "interrupted_after_its_deadline",
        raises(KeyboardInterrupt, blocks=3),
        CANCELLED,
        options={"timeout": 2.0},
    ),
    case(
        "an_interrupt_that_handle_and_ignore_name",
        raises(Interrupt),
        CANCELLED,
        options={"handle": BaseException, "ignore": BaseException},
    ),
    case(
        "its_caller_is_cancelled",
        returns(None, takes=5),
        CANCELLED,
        call=cancelled,
        runtimes=TASKS,
        promises=("C1", "F1", "A11"),
    ),
    case(
        "its_caller_is_cancelled_before_its_deadline",
        returns(None, takes=5),
        CANCELLED,
        call=cancelled,
        options={"timeout": 2.0},
        runtimes=TASKS,
    ),
    case(
        "its_caller_has_a_timeout_of_asyncio",
        returns(None, takes=5),
        CANCELLED,
        reaches=TimeoutError,
        call=under_a_timeout_of_its_own,
        options={"timeout": 2.0},
        runtimes=("asyncio",),
    ),
]

CUT_OFF_BY_THE_CALLER = [
    case(
        f"cut_off_by_its_caller_after_{after:g}_s_{why}",
        returns(None, takes=10),
        row,
        reaches=DeadlineExceededError,
        call=within(after),
        options=options,
    )
    for after, row, why, options in (
        (2.0, TIMEOUT_CALLER, "of_a_fair_share_of_1_s", {"timeout": 4.0}),
        (1.0, TIMEOUT_CALLER, "of_a_fair_share_of_1_s", {"timeout": 4.0}),
        (0.99, EXPIRED, "of_a_fair_share_of_1_s", {"timeout": 4.0}),
        (2.0, EXPIRED, "of_a_fair_share_of_3_s", {"timeout": 4.0, "fair_share": 0.75}),
        (0.01, TIMEOUT_CALLER, "of_no_fair_share", {"timeout": 4.0, "fair_share": 0}),
        (3.99, EXPIRED, "of_a_whole_share", {"timeout": 4.0, "fair_share": 1}),
        (0.5, TIMEOUT_CALLER, "slow", {"timeout": 4.0, "slow_call_duration": 0.5}),
        (2.0, EXPIRED, "not_slow", {"timeout": 4.0, "slow_call_duration": 3.0}),
        (2.0, TIMEOUT_CALLER, "slow_without_a_timeout", {"slow_call_duration": 1.0}),
        (2.0, EXPIRED, "without_a_timeout", {}),
    )
] + [
    case(
        "cut_off_by_its_caller_in_a_task_group",
        is_cut_off_in_a_task_group,
        TIMEOUT_CALLER,
        reaches=DeadlineExceededError,
        call=within(2.0),
        options={"timeout": 4.0},
        runtimes=("asyncio",),
        promises=("F7",),
    ),
]

OWN_TIMEOUT = [
    case(
        "cut_off_by_its_timeout",
        returns(None, takes=5),
        TIMEOUT,
        reaches=DeadlineExceededError,
        options={"timeout": 2.0},
    ),
    case(
        "cut_off_by_its_timeout_before_its_caller_s_deadline",
        returns(None, takes=5),
        TIMEOUT,
        reaches=DeadlineExceededError,
        call=within(3.0),
        options={"timeout": 2.0},
    ),
    case(
        "cut_off_by_its_timeout_whatever_handle_and_ignore_say",
        returns(None, takes=5),
        TIMEOUT,
        reaches=DeadlineExceededError,
        options={"timeout": 2.0, "ignore": DeadlineExceededError, "handle": ()},
    ),
    case(
        "cut_off_by_its_timeout_in_a_task_group",
        is_cut_off_in_a_task_group,
        TIMEOUT,
        reaches=DeadlineExceededError,
        options={"timeout": 2.0},
        runtimes=TASKS,
        promises=("F7",),
    ),
    case(
        "fails_when_cut_off",
        cleans_up_with_an_error,
        TIMEOUT,
        options={"timeout": 2.0},
    ),
]

LATE = [
    case(
        "returns_late",
        returns("late", blocks=3),
        LATE_VALUE,
        reaches="value",
        options={"timeout": 2.0},
        promises=("E7",),
    ),
    case(
        "returns_at_its_deadline",
        returns("late", blocks=2),
        LATE_VALUE,
        reaches="value",
        options={"timeout": 2.0},
    ),
    case(
        "returns_just_before_its_deadline",
        returns("in time", blocks=1.999_999_999),
        ANSWERED,
        reaches="value",
        options={"timeout": 2.0},
    ),
    case(
        "returns_a_failure_late",
        returns("bad", blocks=3),
        LATE_VALUE,
        reaches="value",
        options={"timeout": 2.0, "is_failure": "bad".__eq__},
    ),
    case(
        "returns_late_and_its_predicate_would_raise",
        returns("late", blocks=3),
        LATE_VALUE,
        reaches="value",
        options={"timeout": 2.0, "is_failure": breaks},
    ),
    case(
        "returns_although_cut_off",
        swallows_the_cancellation,
        LATE_VALUE,
        reaches="value",
        options={"timeout": 2.0},
        runtimes=("asyncio",),
    ),
    case(
        "raises_late",
        raises(ConnectionError, blocks=3),
        TIMEOUT,
        options={"timeout": 2.0},
        promises=("E7",),
    ),
    case(
        "raises_late_what_is_ignored",
        raises(KeyError, blocks=3),
        TIMEOUT,
        options={"timeout": 2.0, "ignore": KeyError},
    ),
    case(
        "raises_late_what_is_no_failure",
        raises(KeyError, blocks=3),
        TIMEOUT,
        options={"timeout": 2.0, "handle": ConnectionError},
    ),
    case(
        "raises_late_and_its_predicate_would_raise",
        raises(KeyError, blocks=3),
        TIMEOUT,
        options={"timeout": 2.0, "handle": breaks},
    ),
]

PREDICATES = [
    case(
        f"its_predicate_{name}_raises",
        does,
        IGNORED,
        reaches=PredicateError,
        options={name: breaks},
        promises=("A15",),
    )
    for name, does in (
        ("is_failure", returns("value")),
        ("handle", raises(KeyError)),
        ("ignore", raises(KeyError)),
    )
] + [
    case(
        "its_predicate_is_interrupted",
        returns("value"),
        CANCELLED,
        reaches=Interrupt,
        options={"is_failure": interrupts},
        promises=("F1",),
    ),
    case(
        "its_predicate_raises_over_a_group",
        raises(group(KeyError("a"), ValueError("b"))),
        IGNORED,
        reaches=PredicateError,
        options={"handle": breaks},
    ),
]

RESULTS = [
    case("returns", returns("value"), ANSWERED, reaches="value"),
    case("returns_nothing", returns(None), ANSWERED, reaches="value"),
    case("returns_an_error", returns(ValueError("as a value")), ANSWERED, reaches="value"),
    case(
        "returns_what_is_no_failure",
        returns("good"),
        ANSWERED,
        reaches="value",
        options={"is_failure": "bad".__eq__},
    ),
    case(
        "returns_a_failure",
        returns("bad"),
        BAD_RESULT,
        reaches="value",
        options={"is_failure": "bad".__eq__},
    ),
]

ERRORS = [
    case("raises", raises(ConnectionError), FAILURE),
    case(
        "raises_a_deadline_s_error_of_its_own",
        raises(lambda: DeadlineExceededError("users", timeout=1.0, elapsed=2.0)),
        FAILURE,
    ),
    case(
        "raises_when_its_caller_s_time_is_over_and_nobody_knows_what_is_fair",
        raises(ConnectionError, blocks=3),
        FAILURE,
        call=within(2.0),
    ),
    case(
        "raises_just_before_its_caller_s_time_is_over",
        raises(ConnectionError, blocks=1.999_999_999),
        FAILURE,
        call=within(2.0),
        options={"timeout": 4.0},
    ),
    case(
        "raises_at_its_deadline",
        raises(ConnectionError, blocks=2),
        TIMEOUT,
        options={"timeout": 2.0},
    ),
    case(
        "raises_what_is_ignored_when_its_caller_s_time_is_over",
        raises(KeyError, blocks=3),
        IGNORED,
        call=within(2.0),
        options={"timeout": 4.0, "ignore": KeyError},
    ),
    case("raises_what_handle_names", raises(KeyError), FAILURE, options={"handle": KeyError}),
    case(
        "raises_what_handle_finds",
        raises(lambda: OSError(5, "I/O")),
        FAILURE,
        options={"handle": lambda error: error.errno == 5},
    ),
    case(
        "raises_what_handle_does_not_name",
        raises(KeyError),
        ANSWERED,
        options={"handle": (ConnectionError, ValueError)},
    ),
    case(
        "raises_where_nothing_is_a_failure",
        raises(ConnectionError),
        ANSWERED,
        options={"handle": ()},
    ),
    case(
        "raises_what_is_ignored",
        raises(KeyError),
        IGNORED,
        options={"ignore": (KeyError, ValueError)},
        promises=("A14",),
    ),
    case(
        "raises_what_is_ignored_and_handled",
        raises(KeyError),
        IGNORED,
        options={"ignore": LookupError, "handle": KeyError},
        promises=("A14",),
    ),
    case("memory_runs_out", raises(MemoryError), FAILURE),
    case("recurses_too_deep", raises(RecursionError), FAILURE),
]

REFUSED_INSIDE = [
    case(
        "is_refused_by_another_circuit",
        is_refused_by_another_circuit,
        REJECTED,
    ),
    case(
        "is_refused_by_another_bulkhead",
        is_refused_by_another_bulkhead,
        REJECTED,
    ),
    case(
        "is_refused_inside_although_ignored",
        raises(RejectedError),
        REJECTED,
        options={"ignore": RejectedError, "handle": ()},
    ),
    case(
        "is_refused_inside_and_its_predicates_would_raise",
        raises(CircuitOpenError),
        REJECTED,
        options={"ignore": breaks, "handle": breaks},
    ),
]

TIMEOUTS_OF_THE_USER_S = [
    case(name, does, FAILURE, options={"timeout": 2.0}, runtimes=runtimes, promises=("E9",))
    for name, does, runtimes in (
        ("raises_a_TimeoutError", raises(TimeoutError), ALL),
        ("overruns_a_deadline_of_its_own", overruns_a_deadline_of_its_own, ALL),
        ("overruns_another_command", overruns_another_command, ALL),
        ("overruns_asyncio_timeout", overruns_asyncio_timeout, ("asyncio",)),
        ("overruns_asyncio_wait_for", overruns_asyncio_wait_for, ("asyncio",)),
        ("overruns_anyio_fail_after", overruns_fail_after, TASKS),
        ("overruns_trio_fail_after", overruns_trio_fail_after, ("trio",)),
    )
] + [
    case(
        "overruns_a_deadline_of_its_own_that_is_ignored",
        overruns_a_deadline_of_its_own,
        IGNORED,
        options={"ignore": DeadlineExceededError},
        promises=("E9",),
    ),
    case(
        "overruns_a_deadline_of_its_own_that_is_no_failure",
        overruns_a_deadline_of_its_own,
        ANSWERED,
        options={"handle": ConnectionError},
        promises=("E9",),
    ),
    case(
        "overruns_a_deadline_of_its_own_under_its_caller_s",
        overruns_a_deadline_of_its_own,
        FAILURE,
        call=within(3),
        options={"timeout": 2.0},
        promises=("E9",),
    ),
    case(
        "raises_a_deadline_error_made_by_hand",
        raises(DeadlineExceededError),
        FAILURE,
        call=within(3),
        options={"timeout": 2.0},
        promises=("E9",),
    ),
]

HANDLE_CONNECTION = {"handle": ConnectionError, "ignore": KeyError}

GROUPS = [
    case(name, raises(error), row, options=HANDLE_CONNECTION, promises=("F7",))
    for name, error, row in (
        ("a_group_with_a_failure", group(ValueError(), ConnectionError()), FAILURE),
        ("a_group_with_an_ignored_failure", group(KeyError(), ConnectionError()), FAILURE),
        ("a_group_of_what_is_ignored", group(KeyError(), KeyError()), IGNORED),
        ("a_group_of_what_is_no_failure", group(ValueError(), TypeError()), ANSWERED),
        ("a_group_partly_ignored", group(ValueError(), KeyError()), ANSWERED),
        (
            "a_group_of_groups_with_a_failure",
            group(KeyError(), group(ValueError(), group(ConnectionError())())()),
            FAILURE,
        ),
        ("a_group_of_groups_that_are_ignored", group(group(KeyError())()), IGNORED),
        ("a_group_with_a_cancellation", group(ConnectionError(), cancellation()), CANCELLED),
        ("a_group_of_cancellations", group(cancellation(), cancellation()), CANCELLED),
        (
            "a_group_of_groups_with_a_cancellation",
            group(ConnectionError(), group(group(cancellation())())()),
            CANCELLED,
        ),
        ("a_group_with_an_interrupt", group(KeyboardInterrupt(), KeyError()), CANCELLED),
        (
            "a_group_with_a_failure_and_a_refusal",
            group(RejectedError(), OSError(), ConnectionError()),
            FAILURE,
        ),
        ("a_group_of_refusals", group(BulkheadFullError(), CircuitOpenError()), REJECTED),
        ("a_group_with_a_refusal_and_an_answer", group(RejectedError(), ValueError()), ANSWERED),
    )
] + [
    case(
        "a_task_group_fails",
        fails_in_a_task_group,
        FAILURE,
        options=HANDLE_CONNECTION,
        runtimes=TASKS,
        promises=("F7",),
    ),
]

CASES = [
    *INTERRUPTS,
    *CUT_OFF_BY_THE_CALLER,
    *OWN_TIMEOUT,
    *LATE,
    *PREDICATES,
    *RESULTS,
    *ERRORS,
    *REFUSED_INSIDE,
    *TIMEOUTS_OF_THE_USER_S,
    *GROUPS,
]


def in_each_runtime(cases: list[Case]) -> Any:
    """Play each case in each of its runtimes."""
    return pytest.mark.parametrize(
        ("case", "run"),
        [
            pytest.param(
                case,
                runtime,
                id=f"{case.name}-{runtime}",
                marks=pytest.mark.promise(*case.promises),
            )
            for case in cases
            for runtime in case.runtimes
        ],
        indirect=["run"],
    )


def play(scene: Scene, case: Case) -> Ended:
    """Play a case."""
    guarded = scene.guard(lambda: case.does(scene))
    return scene.play(lambda: case.call(scene, guarded))


def assert_reached(scene: Scene, case: Case, end: Ended) -> None:
    """Check what reached the caller."""
    if case.reaches == "value":
        assert end.error is None
        assert end.value is scene.gave
    elif case.reaches == "error":
        assert scene.thrown is not None
        assert end.error is scene.thrown
    else:
        assert type(end.error) is case.reaches


@in_each_runtime(CASES)
def test_a_call_counts_one_outcome_and_moves_the_window(
    run: Runtime, registry: Registry, case: Case
) -> None:
    """
    A call counts the outcome of its row, and shows in the window as its row says.

    Its caller gets what the function gave.
    """
    scene = Scene(run, registry, **case.options)
    before = scene.snapshot
    end = play(scene, case)
    effect = scene.since(before)
    assert effect.outcomes == {case.outcome: 1}
    assert effect.window == case.window
    assert scene.command.state is State.CLOSED
    assert scene.snapshot.latency.keys() == {case.outcome}
    assert sum(scene.snapshot.latency[case.outcome].counts) == 1
    assert_reached(scene, case, end)


@in_each_runtime(CASES)
def test_a_trial_ends_as_its_row_says(run: Runtime, registry: Registry, case: Case) -> None:
    """
    A trial closes the circuit, opens it again, or is given back for the next caller to try.
    """
    scene = Scene(run, registry, **case.options)
    scene.await_trial()
    before = scene.snapshot
    end = play(scene, case)
    assert scene.runs == 1
    effect = scene.since(before)
    assert effect.outcomes == {case.outcome: 1}
    assert effect.trials == {case.trial: 1}
    assert scene.snapshot.trials_running == 0
    assert_reached(scene, case, end)
    if case.trial == "success":
        assert scene.command.state is State.CLOSED
    elif case.trial == "failure":
        assert scene.command.state is State.OPEN
        assert scene.snapshot.retry_after == 5
    else:
        assert scene.command.state is State.HALF_OPEN
        assert scene.snapshot.generation == before.generation + 1
        scene.succeed()
        assert scene.command.state is State.CLOSED


@in_each_runtime(CASES)
def test_a_fallback_answers_or_not(run: Runtime, registry: Registry, case: Case) -> None:
    """
    A fallback is called once, with the call's own error, in the rows that say so and in no other.
    """
    answer = Answer()
    scene = Scene(run, registry, fallback=answer, **case.options)
    before = scene.snapshot
    end = play(scene, case)
    effect = scene.since(before)
    assert effect.outcomes == {case.outcome: 1}
    assert effect.window == case.window
    if case.fallback:
        assert end == Ended(value="instead")
        assert effect.fallbacks == {"success": 1}
        assert_reached(scene, case, Ended(error=answer.errors.pop()))
    else:
        assert effect.fallbacks == {}
        assert_reached(scene, case, end)
    assert answer.errors == []


@in_each_runtime([each for each in CASES if each.options.get("slow_call_duration") is None])
def test_a_call_is_slow_whatever_its_outcome(run: Runtime, registry: Registry, case: Case) -> None:
    """
    A call of `slow_call_duration` or more counts as slow as well, in every row.

    A trial that is slow never closes the circuit.
    """
    options = case.options | {"slow_call_duration": 100.0}
    scene = Scene(run, registry, **options)
    scene.await_trial()
    before = scene.snapshot
    guarded = scene.guard(lambda: drags_on(scene, case))
    scene.play(lambda: case.call(scene, guarded))
    effect = scene.since(before)
    assert effect.slow == 1
    assert sum(effect.outcomes.values()) == 1
    assert scene.command.state is not State.CLOSED


async def drags_on(scene: Scene, case: Case) -> Any:
    """Do what a case does, and take a hundred seconds more."""
    try:
        return await case.does(scene)
    finally:
        scene.block(100)


# -- what the errors say


def test_its_own_deadline_error_tells_what_happened(run: Runtime, registry: Registry) -> None:
    """
    The error of a call that its timeout cut off names the command, its limit and the time it took.
    """
    scene = Scene(run, registry, timeout=2.0)
    end = play(scene, case("", returns(None, takes=5), TIMEOUT))
    error = end.error
    assert isinstance(error, DeadlineExceededError)
    assert isinstance(error, TimeoutError)
    assert error.name == "db"
    assert error.timeout == 2
    assert error.elapsed == pytest.approx(2)


@pytest.mark.promise("E9")
def test_the_caller_s_deadline_error_belongs_to_the_caller(
    run: Runtime, registry: Registry
) -> None:
    """
    A call cut off by its caller's deadline raises that deadline's error, not one of its own.
    """
    scene = Scene(run, registry, timeout=4.0)
    seen = []

    async def scenario() -> None:
        try:
            with scene.within(2) as mine:
                await scene.guard(lambda: scene.spend(10))()
        except DeadlineExceededError as error:
            seen.append(error.deadline is mine)
            seen.append(error.name)

    scene.play(scenario)
    assert seen == [True, None]


@pytest.mark.parametrize("name", ["handle", "ignore"])
@pytest.mark.promise("A15")
def test_the_error_of_a_predicate_has_the_call_s_as_its_context(
    run: Runtime, registry: Registry, name: str
) -> None:
    """
    A predicate's error does not hide the one it was asked about.
    """
    scene = Scene(run, registry, **{name: breaks})
    end = play(scene, case("", raises(KeyError), IGNORED))
    assert isinstance(end.error, PredicateError)
    assert isinstance(scene.thrown, KeyError)
    assert end.error.__context__ is scene.thrown


def test_what_is_raised_keeps_its_own_traceback_and_cause(run: Runtime, registry: Registry) -> None:
    """
    The call's error leaves as it came: same cause, same context.
    """
    scene = Scene(run, registry)

    async def does() -> None:
        raise ConnectionError("refused") from OSError(111)

    end = scene.play(lambda: ended(scene.guard(does)))
    assert end.error is scene.thrown
    assert isinstance(end.error.__cause__, OSError)


def test_a_function_that_raises_stop_iteration_has_failed(
    clock: FakeClock, registry: Registry
) -> None:
    """
    `StopIteration` is an exception like any other to whoever calls a function.
    """
    command = registry.command("db", isolation="semaphore")

    @command
    def first() -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        first()
    assert command.snapshot().totals["failure"] == 1


@pytest.mark.promise("E9")
def test_a_deadline_scope_of_the_caller_that_was_left_is_foreign(
    run: Runtime, registry: Registry
) -> None:
    """
    The error of a scope that no longer encloses the call is an exception like any other.
    """
    scene = Scene(run, registry, timeout=4.0)

    async def scenario() -> Ended:
        try:
            with deadline(1, clock=run.clock) as left:
                await scene.spend(2)
        except DeadlineExceededError as error:
            old = error
        assert old.deadline is left
        return await ended(scene.guard(raises_it(old)))

    end = scene.play(scenario)
    assert end.error is scene.thrown
    assert scene.total("failure") == 1


def raises_it(error: BaseException) -> Any:
    """Return a function that raises this very error."""

    async def does() -> None:
        raise error

    return does


def test_every_result_is_judged(run: Runtime, registry: Registry) -> None:
    """
    The predicate looks at the results of all calls, in whatever slots they run.
    """
    command = registry.command("db", is_failure="bad".__eq__, volume_threshold=100)
    guarded = command(run.body(returns="bad"))
    for _ in range(3):
        assert run.call(guarded) == "bad"
    assert command.snapshot().totals["failure"] == 3
