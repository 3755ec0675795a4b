"""Deadlines: what a scope tells, whom it binds, and what becomes of it when it is left."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import threading
import weakref
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio

from resilience import (
    Command,
    ConfigurationError,
    DeadlineExceededError,
    Registry,
    _alarm,
    current_deadline,
    deadline,
    remaining,
)
from resilience._chain import current
from resilience._deadline import Deadline
from tests.support.runtime import NANOS, AsyncioRuntime, AsyncRuntime, FakeClock, Runtime
from tests.support.scene import play
from tests.support.threads import Caller


class Interrupt(BaseException):
    """No `Exception`."""


class InterruptingClock(FakeClock):
    """A clock that is interrupted once, at the reading it is told."""

    def __init__(self, reading: int = 0) -> None:
        super().__init__()
        self.reading = reading

    def __call__(self) -> int:
        self.reading -= 1
        if self.reading == 0:
            raise Interrupt
        return super().__call__()


class LeapingClock(FakeClock):
    """A clock on which an hour passes before the reading it is told."""

    reading = 0

    def __call__(self) -> int:
        self.reading -= 1
        if self.reading == 0:
            self.advance(3600)
        return super().__call__()


# -- how long


@pytest.mark.promise("E4", "J2")
@pytest.mark.parametrize(
    "wrong",
    [
        math.nan,
        True,
        False,
        None,
        "1",
        1j,
        Decimal("NaN"),
        Decimal("sNaN"),
        10**400,
        31_536_001,
        timedelta(days=366),
        [1],
    ],
    ids=repr,
)
def test_what_is_no_time_is_refused(wrong: Any) -> None:
    """
    A NaN, a bool, what is no number, and more than a year are refused at construction.
    """
    with pytest.raises(ConfigurationError, match="seconds must be a time"):
        deadline(wrong)


@pytest.mark.promise("E4")
@pytest.mark.parametrize("length", [2, 2.0, timedelta(seconds=2), Decimal(2)], ids=repr)
def test_a_time_is_seconds_or_a_timedelta(clock: FakeClock, length: Any) -> None:
    """
    However it is written, it is as long.
    """
    with deadline(length, clock=clock) as scope:
        assert scope.remaining == remaining() == 2
        assert scope.at == clock.now / NANOS + 2


@pytest.mark.promise("E4")
@pytest.mark.parametrize("year", [31_536_000, timedelta(days=365), Decimal(31_536_000)], ids=repr)
def test_a_year_is_not_too_long(clock: FakeClock, year: Any) -> None:
    """
    It is the longest of all.
    """
    with deadline(year, clock=clock) as scope:
        assert scope.remaining == 31_536_000


@pytest.mark.promise("E4")
@pytest.mark.parametrize("endless", [math.inf, Decimal("Infinity")], ids=repr)
def test_infinity_is_no_deadline(run: Runtime, endless: Any) -> None:
    """
    Within it nothing binds but what encloses it.
    """

    async def body() -> None:
        with deadline(endless, clock=run.clock) as scope:
            assert current_deadline() is None
            assert remaining() is None
            assert remaining(default=30.0) == 30.0
            assert (scope.remaining, scope.at, scope.expired) == (math.inf, math.inf, False)
            scope.check()
        with deadline(5, clock=run.clock) as outer, deadline(endless, clock=run.clock) as inner:
            assert current_deadline() is outer
            assert inner.remaining == outer.remaining == 5

    play(run, body)


@pytest.mark.promise("E3")
@pytest.mark.parametrize("length", [0, -1, -0.5, timedelta(), -math.inf], ids=repr)
def test_no_time_at_all_is_over_at_once(clock: FakeClock, length: Any) -> None:
    """
    0 or less has run out when it begins; what is left is 0 and never less.
    """
    with deadline(length, clock=clock) as scope:
        assert scope.expired
        assert scope.remaining == 0
        for ask in (scope.check, remaining, lambda: remaining(default=30.0)):
            with pytest.raises(DeadlineExceededError) as caught:
                ask()
            assert caught.value.deadline is scope
            assert caught.value.elapsed == 0
    assert current_deadline() is None


def test_the_last_nanosecond_is_time(clock: FakeClock) -> None:
    """
    What is left is told as long as there is any.
    """
    with deadline(2, clock=clock) as scope:
        clock.now += 2 * NANOS - 1
        scope.check()
        assert not scope.expired
        assert scope.remaining == remaining() == 1 / NANOS


# -- what it tells


@pytest.mark.promise("E6")
def test_what_is_left_only_shrinks(clock: FakeClock) -> None:
    """
    It shrinks with the clock of the scope down to 0, and there it stays.
    """
    seen = []
    with deadline(1, clock=clock) as scope:
        for _ in range(8):
            seen.append(scope.remaining)
            clock.advance(0.25)
        assert scope.expired
        assert scope.at == clock.now / NANOS - 1
    assert seen == [1, 0.75, 0.5, 0.25, 0, 0, 0, 0]


@pytest.mark.promise("E6")
def test_it_runs_out_with_its_last_nanosecond(clock: FakeClock) -> None:
    """
    One nanosecond before its end it has not expired; at its end it has.
    """
    with deadline(1, clock=clock) as scope:
        clock.advance(1 - 1e-9)
        assert not scope.expired
        scope.check()
        clock.advance(1e-9)
        assert scope.expired
        with pytest.raises(DeadlineExceededError):
            scope.check()


@pytest.mark.promise("E4")
def test_the_shortest_time_is_a_nanosecond(clock: FakeClock) -> None:
    """
    What is more than nothing is not rounded to nothing.
    """
    with deadline(1e-12, clock=clock) as scope:
        assert not scope.expired
        clock.advance(1e-9)
        assert scope.expired


@pytest.mark.promise("E9")
def test_its_error_says_what_it_was(clock: FakeClock) -> None:
    """
    `check()` raises for the scope whose time it was: its length, and how long it really ran.
    """
    with deadline(9, clock=clock), deadline(2, clock=clock) as tight, deadline(5, clock=clock) as d:
        clock.advance(1.5)
        d.check()
        clock.advance(1)
        with pytest.raises(TimeoutError) as caught:
            d.check()
    error: Any = caught.value
    assert isinstance(error, DeadlineExceededError)
    assert (error.name, error.timeout, error.elapsed) == (None, 2, 2.5)
    assert error.deadline is tight


def test_of_two_that_end_at_once_the_inner_one_counts(clock: FakeClock) -> None:
    """
    The error is that of the scope that was entered last.
    """
    with deadline(2, clock=clock), deadline(2, clock=clock) as inner:
        assert current_deadline() is inner
        clock.advance(2)
        with pytest.raises(DeadlineExceededError) as caught:
            remaining()
    assert caught.value.deadline is inner


@pytest.mark.parametrize("decorated", [False, True])
def test_an_interrupt_takes_the_alarm_along(
    task: AsyncRuntime, monkeypatch: pytest.MonkeyPatch, decorated: bool
) -> None:
    """
    A scope whose entering is interrupted when its alarm is set already never rings.
    """
    ended: list[float] = []

    def interrupts(*_: object) -> None:
        raise Interrupt

    async def block() -> None:
        with deadline(60, clock=task.clock):
            pass

    async def carries() -> None:
        with pytest.raises(Interrupt):
            await (deadline(60, clock=task.clock)(task.body())() if decorated else block())
        await task.sleep(10)
        ended.append(task.clock.time())

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with deadline(5, clock=task.clock):
                monkeypatch.setattr(Deadline, "_carry", interrupts)
                group.start_soon(carries)
                await task.sleep(1)

    task.call(main)
    assert len(ended) == 1


def test_its_repr_says_whose_it_is_and_what_is_left(clock: FakeClock, registry: Registry) -> None:
    """
    A deadline of a command has its name.
    """
    with deadline(2.5, clock=clock) as scope:
        assert repr(scope) == "<Deadline, 2.5 s left>"
    with deadline(math.inf, clock=clock) as scope:
        assert repr(scope) == "<Deadline, inf s left>"
    cmd = Command("db", registry=registry, timeout=1, isolation="semaphore")
    assert cmd.call(lambda: repr(current_deadline())) == "<Deadline of 'db', 1 s left>"


# -- one inside the other


@pytest.mark.promise("E1", "E2")
@pytest.mark.parametrize(
    "lengths", [(5, 60), (60, 5), (5, 60, 1), (1, 5, 60), (60, math.inf, 5), (math.inf, 3, 3)]
)
def test_the_earliest_of_all_scopes_binds(run: Runtime, lengths: tuple[float, ...]) -> None:
    """
    Within each scope the shortest one so far counts.

    Leaving it, by whatever way, restores the one outside exactly.
    """

    async def within(*tighter: float) -> None:
        before = current_deadline()
        left = math.inf if before is None else before.remaining
        for _ in range(2 if tighter else 0):
            with pytest.raises(OSError, match="left"), deadline(tighter[0], clock=run.clock) as d:
                assert d.remaining == remaining(default=math.inf) == min(left, tighter[0])
                await within(*tighter[1:])
                raise OSError("left")
            assert current_deadline() is before
            assert remaining(default=math.inf) == left

    play(run, lambda: within(*lengths))


@pytest.mark.promise("E8")
def test_a_detached_scope_ignores_those_around_it(run: Runtime) -> None:
    """
    Clean-up has its own budget, and an outer deadline that has run out stays so after it.
    """

    async def body() -> None:
        with deadline(0, clock=run.clock) as spent:
            with deadline(5, detached=True, clock=run.clock) as own:
                assert current_deadline() is own
                assert remaining() == 5
                with deadline(60, clock=run.clock):
                    assert remaining() == 5
            assert spent.expired
            assert current_deadline() is spent

    play(run, body)


# -- what is cut off


@pytest.mark.promise("E9")
def test_a_block_in_a_task_is_cut_off_by_the_scope_whose_time_it_was(task: AsyncRuntime) -> None:
    """
    What leaves a block belongs to the scope that ran out, be it this one or one around it.
    """

    async def body(outside: float, inside: float) -> tuple[float, str]:
        began = task.clock()
        with pytest.raises(DeadlineExceededError) as caught:
            with deadline(outside, clock=task.clock) as outer:
                with deadline(inside, clock=task.clock) as inner:
                    await task.sleep(100)
        whose = {outer: "outer", inner: "inner"}
        return round((task.clock() - began) / NANOS, 3), whose[caught.value.deadline]

    assert task.call(body, 2, 5) == (2, "outer")
    assert task.call(body, 5, 2) == (2, "inner")


@pytest.mark.promise("E9")
def test_a_timeout_inside_is_told_from_the_deadline(task: AsyncRuntime) -> None:
    """
    Timeouts of the user, of anyio and of trio leave a deadline as they are.
    """
    own = TimeoutError("mine")

    async def raising() -> None:
        raise own

    async def failing() -> None:
        with anyio.fail_after(1):
            await task.sleep(100)

    async def native() -> None:
        if task.name == "asyncio":
            async with asyncio.timeout(1):
                await task.sleep(100)
        else:
            with trio.fail_after(1):
                await task.sleep(100)

    async def within(body: Any) -> None:
        with deadline(5, clock=task.clock):
            await body()

    assert task.raised(within, raising) is own
    for body, kind in ((failing, TimeoutError), (native, TimeoutError | trio.TooSlowError)):
        error = task.raised(within, body)
        assert isinstance(error, kind)
        assert not isinstance(error, DeadlineExceededError)


@pytest.mark.promise("E7")
def test_what_is_late_without_being_cut_off_is_kept(run: Runtime) -> None:
    """
    A block that was over before anybody could cut it off ends as it would without a deadline.
    """

    async def body() -> int:
        with deadline(1, clock=run.clock) as scope:
            run.clock.advance(2)
            assert scope.expired
        return 3

    assert play(run, body) == 3


@pytest.mark.promise("E2")
def test_many_tasks_share_one_object(task: AsyncRuntime) -> None:
    """
    `with d:` of one object is a budget of its own for each task and each level.
    """
    shared = deadline(3, clock=task.clock)
    ends: list[tuple[int, float]] = []

    async def caller(number: int) -> None:
        await task.sleep(number)
        began = task.clock()
        with pytest.raises(DeadlineExceededError), shared:
            with shared:
                pass
            await task.sleep(100)
        ends.append((number, round((task.clock() - began) / NANOS, 3)))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(caller, number)

    task.call(main)
    assert ends == [(0, 3), (1, 3), (2, 3)]


# -- carried to other tasks and threads


@pytest.mark.promise("E1", "E2", "E5")
@pytest.mark.parametrize(
    ("own", "ends", "whose"), [(60, 10, "long"), (5, 5, "own"), (math.inf, 10, "long")]
)
def test_who_carries_a_deadline_goes_by_the_next_once_it_is_left_in_time(
    task: AsyncRuntime, own: float, ends: float, whose: str
) -> None:
    """
    A task carries two deadlines into a scope of its own; the earlier one is left in time.

    From then on the earliest of the others cuts the task off, at its own time.
    """
    seen: list[tuple[float, str]] = []

    async def main() -> None:
        began = task.clock()
        scopes: dict[Any, str] = {}

        async def background() -> None:
            with pytest.raises(DeadlineExceededError) as caught:
                with deadline(own, clock=task.clock) as mine:
                    scopes[mine] = "own"
                    await task.sleep(1000)
            elapsed = round((task.clock() - began) / NANOS, 3)
            seen.append((elapsed, scopes[caught.value.deadline]))

        async with anyio.create_task_group() as group:
            with pytest.raises(DeadlineExceededError), deadline(10, clock=task.clock) as long:
                scopes[long] = "long"
                with deadline(2, clock=task.clock):
                    group.start_soon(background)
                    await task.sleep(1)
                await task.sleep(1000)

    task.call(main)
    assert seen == [(ends, whose)]


@pytest.mark.promise("E2", "E5")
def test_who_carries_a_deadline_and_no_other_is_free_once_it_is_left(task: AsyncRuntime) -> None:
    """
    Where nothing else binds, nothing cuts the task off any more.
    """
    seen = []

    async def background() -> None:
        with deadline(math.inf, clock=task.clock) as mine:
            await task.sleep(1000)
            seen.append(mine.remaining)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with deadline(2, clock=task.clock):
                group.start_soon(background)
                await task.sleep(1)

    task.call(main)
    assert seen == [math.inf]


@pytest.mark.promise("E2", "E5")
def test_of_two_who_carry_a_deadline_one_ends_before_it_is_left(task: AsyncRuntime) -> None:
    """
    The other is free all the same once it is left in time, and stays so.
    """
    seen = []

    async def background(seconds: float) -> None:
        with deadline(math.inf, clock=task.clock) as mine:
            await task.sleep(seconds)
            seen.append(mine.remaining)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with deadline(2, clock=task.clock):
                group.start_soon(background, 1000)
                group.start_soon(background, 0.5)
                await task.sleep(1)

    task.call(main)
    assert seen == [pytest.approx(1.5), math.inf]


@pytest.mark.promise("E2", "E5")
def test_what_a_detached_scope_has_started_is_free_of_what_is_around_it(task: AsyncRuntime) -> None:
    """
    Once the detached scope is left in time its background task is bound by nothing.
    """
    seen: list[Any] = []

    async def background() -> None:
        await task.sleep(1)
        with deadline(math.inf, clock=task.clock):
            seen.append(remaining())
        seen.append(remaining())

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with deadline(60, clock=task.clock):
                with deadline(5, detached=True, clock=task.clock):
                    group.start_soon(background)
                    await anyio.lowlevel.checkpoint()
                await task.sleep(2)

    task.call(main)
    assert seen == [None, None]


@pytest.mark.promise("E2", "E5")
def test_a_deadline_and_a_scope_that_carries_it_are_left_at_once(task: AsyncRuntime) -> None:
    """
    A task leaves its scope in the moment in which the one it carries is left: it is undisturbed.
    """
    seen = []

    async def main() -> None:
        leaving = anyio.Event()

        async def background() -> None:
            with deadline(60, clock=task.clock):
                await leaving.wait()
            await task.sleep(1000)
            seen.append(current_deadline())

        async with anyio.create_task_group() as group:
            with deadline(2, clock=task.clock):
                group.start_soon(background)
                await task.sleep(1)
                leaving.set()

    task.call(main)
    assert seen == [None]


# -- left elsewhere


@pytest.mark.promise("E2")
@pytest.mark.parametrize("where", ["context", "copy", "thread"])
def test_a_deadline_left_elsewhere_binds_nobody_any_more(clock: FakeClock, where: str) -> None:
    """
    Entered in one context and left in another, it is over in both, and what encloses it is not.
    """
    own = contextvars.Context()
    enclosing, budget = deadline(60, clock=clock), deadline(5, clock=clock)
    outer = own.run(enclosing.__enter__)
    own.run(budget.__enter__)
    copy = own.copy()
    if where == "thread":
        Caller(budget.__exit__, None, None, None).outcome()
    else:
        {"context": contextvars.Context(), "copy": copy}[where].run(
            budget.__exit__, None, None, None
        )
    clock.advance(10)
    for context in (own, copy):
        assert context.run(current_deadline) is outer
        assert context.run(remaining) == 50


@pytest.mark.promise("E2")
def test_a_deadline_left_a_second_time_stays_left(clock: FakeClock) -> None:
    """
    Left in a copy of the context and again at its end: nothing binds, and nothing is raised.
    """
    with deadline(60, clock=clock) as outer:
        budget = deadline(5, clock=clock)
        with budget:
            contextvars.copy_context().run(budget.__exit__, None, None, None)
            assert current_deadline() is outer
        clock.advance(10)
        assert current.get() is outer
    assert current_deadline() is None


@pytest.mark.promise("E2")
@pytest.mark.parametrize("late", [False, True])
def test_a_deadline_left_out_of_turn_binds_nothing_after_those_inside(
    clock: FakeClock, late: bool
) -> None:
    """
    A generator's own deadline ends while its consumer is inside of another: neither stays.
    """
    before = deadline(60, clock=clock)
    with before as outer:
        early = deadline(5, clock=clock)
        early.__enter__()
        with deadline(30, clock=clock):
            clock.advance(10 if late else 1)
            early.__exit__(None, None, None)
        assert current.get() is outer
        assert remaining() == (50 if late else 59)
    assert current.get() is None


@pytest.mark.promise("E2")
def test_a_deadline_left_in_time_does_not_run_out_by_being_left_again(clock: FakeClock) -> None:
    """
    Left in time elsewhere, it is left too late by the context that entered it: it binds nobody.
    """
    own = contextvars.Context()
    budget = deadline(5, clock=clock)
    own.run(budget.__enter__)
    contextvars.Context().run(budget.__exit__, None, None, None)
    clock.advance(10)
    own.run(budget.__exit__, None, None, None)
    assert own.run(current_deadline) is None
    assert own.run(remaining) is None


@pytest.mark.promise("E2")
def test_a_deadline_left_elsewhere_is_one_that_is_still_open(clock: FakeClock) -> None:
    """
    Of one object's scopes those that were left, though entered later, are not left again.
    """
    budget = deadline(5, clock=clock)
    own = contextvars.Context()
    own.run(budget.__enter__)
    clock.advance(1)
    with budget:
        pass
    contextvars.Context().run(budget.__exit__, None, None, None)
    assert own.run(current_deadline) is None


def test_a_deadline_left_out_of_turn_is_that_of_its_own_context(clock: FakeClock) -> None:
    """
    Another context has entered the same object later, and goes on.
    """
    budget = deadline(5, clock=clock)
    other = contextvars.Context()
    budget.__enter__()
    with deadline(60, clock=clock) as inner:
        clock.advance(1)
        theirs = other.run(budget.__enter__)
        budget.__exit__(None, None, None)
        assert current_deadline() is inner
        assert other.run(current_deadline) is theirs
    other.run(budget.__exit__, None, None, None)


@pytest.mark.promise("E2")
def test_a_decorated_call_that_failed_in_time_was_left_in_time(run: Runtime) -> None:
    """
    What carries its budget is free, though time runs out while the call is being left.
    """
    copies: list[contextvars.Context] = []

    def fails() -> None:
        copies.append(contextvars.copy_context())
        clock.reading = 2
        raise ConnectionError

    clock = LeapingClock()
    guarded = deadline(5, clock=clock)(run.coloured(fails))
    assert isinstance(run.raised(guarded), ConnectionError)
    clock.advance(3600)
    assert copies[0].run(remaining, default=None) is None


@pytest.mark.promise("E2")
@pytest.mark.parametrize("kind", ["function", "generator"])
def test_a_decorated_call_whose_leaving_was_interrupted_binds_nobody(kind: str) -> None:
    """
    An interrupt comes while it is being left: what carries its budget is free all the same.
    """
    copies: list[contextvars.Context] = []
    clock = InterruptingClock()

    def function() -> None:
        copies.append(contextvars.copy_context())
        clock.reading = 1

    def generator() -> Iterator[None]:
        function()
        yield

    budget = deadline(5, clock=clock)
    with pytest.raises(Interrupt):
        if kind == "function":
            budget(function)()
        else:
            next(budget(generator)())
    assert copies[0].run(remaining, default=None) is None


@pytest.mark.promise("E2")
@pytest.mark.parametrize("disguised", [False, True])
def test_a_decorated_call_binds_nothing_after_it(run: Runtime, disguised: bool) -> None:
    """
    Its caller has all the time it wants once it has returned, or what it returned was awaited.
    """
    fn = run.body(returns=3)
    guarded = deadline(5, clock=run.clock)((lambda: fn()) if disguised else fn)  # noqa: PLW0108

    async def body() -> Any:
        value = await guarded() if run.is_async else guarded()
        assert current_deadline() is None
        if run.is_async:
            await run.sleep(10)
        return value

    assert play(run, body) == 3


def test_leaving_a_deadline_nobody_entered_does_nothing(clock: FakeClock) -> None:
    """
    One `__exit__` too many raises nothing and leaves other scopes alone.
    """
    deadline(5, clock=clock).__exit__(None, None, None)
    with deadline(60, clock=clock) as other:
        deadline(5, clock=clock).__exit__(None, None, None)
        assert current_deadline() is other


# -- interrupted


@pytest.mark.promise("E2", "F1")
def test_a_deadline_whose_entering_was_interrupted_binds_nobody(run: Runtime) -> None:
    """
    An interrupt at each reading of the clock on the way in: the scope outside is as it was.
    """

    async def body() -> None:
        with deadline(60, clock=run.clock) as outer:
            for reading in (1, 2) if run.is_async else (1,):
                budget = deadline(5, clock=InterruptingClock(reading))
                with pytest.raises(Interrupt):
                    budget.__enter__()
                assert current_deadline() is outer
            assert remaining() == 60
        if run.is_async:
            await run.sleep(100)

    play(run, body)


@pytest.mark.promise("E2")
def test_a_deadline_left_elsewhere_is_not_one_whose_entering_was_interrupted() -> None:
    """
    Of one object, an entering that succeeded and one that was interrupted are told apart.
    """
    clock = InterruptingClock()
    budget = deadline(5, clock=clock)
    own = contextvars.Context()

    async def body() -> None:
        own.run(budget.__enter__)
        clock.reading = 2
        with pytest.raises(Interrupt):
            contextvars.Context().run(budget.__enter__)
        contextvars.Context().run(budget.__exit__, None, None, None)
        assert own.run(current_deadline) is None

    asyncio.run(body())


# -- the timers behind it


class Node:
    """Something that dies in a collection."""


def test_a_timer_that_dies_late_leaves_its_successor_alone() -> None:
    """
    Alarms of one length share a timer of their loop.

    One that is made in the very collection that ends the last one stays shared.
    """
    made: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def make(_: Any) -> None:
            made.append(_alarm._timer_of(loop, 5))

        cycle: list[Any] = [Node(), _alarm._timer_of(loop, 5), Node()]
        watches = [weakref.ref(cycle[0], make), weakref.ref(cycle[2], make)]
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert [watch() for watch in watches] == [None, None]
        made.append(_alarm._timer_of(loop, 5))

    run = AsyncioRuntime()
    run.call(main)
    run.close()
    first, *others = made
    assert len(others) == 2
    assert all(each is first for each in others)


# -- many threads


def test_threads_that_share_an_object_leave_their_own_scopes(clock: FakeClock) -> None:
    """
    Each thread leaves the scope that it entered.
    """
    budget = deadline(5, clock=clock)
    inside = threading.Barrier(4)

    def caller() -> list[bool]:
        found = []
        for _ in range(20):
            with budget as mine:
                inside.wait(20)
                found.append(current_deadline() is mine)
            found.append(current_deadline() is None)
            inside.wait(20)
        return found

    assert all(all(each.outcome()) for each in [Caller(caller) for _ in range(4)])


# -- where there is no task


class Watch(trio.abc.Instrument):
    """Is called by trio itself, outside of every task."""

    def __init__(self) -> None:
        self.left: list[float] = []

    def before_io_wait(self, timeout: float) -> None:
        with deadline(5) as budget:
            self.left.append(budget.remaining)


def test_a_deadline_where_trio_runs_no_task_is_cooperative() -> None:
    """
    Trio is there, but nothing of its can be cut off.
    """
    watch = Watch()
    trio.run(trio.sleep, 0.01, instruments=[watch])
    assert watch.left
    assert all(0 < left <= 5 for left in watch.left)
