from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

import resilience
from resilience import ConfigurationError, Settings, command
from resilience.testing import (
    FakeClock,
    FaultyDependency,
    History,
    Step,
    cancel,
    fail,
    hang,
    ok,
    recover,
    refuse,
    slow,
)
from resilience.testing.machine import CommandMachine

in_every_colour = pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])


class Watched(CommandMachine):
    """Notes when each call begins, and what becomes of it."""

    story = History(ok())
    sync = False
    settings = Settings()

    def build(self) -> Any:
        self.begun: list[float] = []
        self.answers: list[Any] = []
        self.errors: list[str] = []
        shop = self.dependency("shop", lambda *args: args, history=self.story)
        guard = command("shop", self.settings, timeout=None, isolation="semaphore")
        guarded = guard(shop if self.sync else shop.acall)

        def call(*args: Any) -> Any:
            self.begun.append(self.now)
            return guarded(*args)

        async def acall(*args: Any) -> Any:
            self.begun.append(self.now)
            return await guarded(*args)

        return call if self.sync else acall

    def answered(self, value: Any) -> None:
        self.answers.append(value)

    def raised(self, error: Exception) -> None:
        self.errors.append(type(error).__name__)

    @property
    def now(self) -> float:
        return round(self.clock.time() - 1000, 3)

    @property
    def shop(self) -> FaultyDependency:
        return self.dependencies["shop"]


@contextmanager
def playing(kind: type[Any] = Watched, colour: str = "asyncio", **attributes: Any) -> Iterator[Any]:
    """A machine whose function has been built: its rules are played by hand."""
    colours = {"sync": True} if colour == "sync" else {"backend": colour}
    machine = type(kind.__name__, (kind,), colours | attributes)()
    try:
        machine.begin(None)
        yield machine
    finally:
        machine.teardown()


@in_every_colour
def test_one_call_is_answered(colour: str) -> None:
    """
    With the arguments that were drawn for it.
    """
    with playing(colour=colour) as machine:
        machine.call(("pen",))
        assert (machine.answers, machine.errors, machine.shop.calls) == ([("pen",)], [], 1)


@in_every_colour
def test_a_call_that_fails_has_an_error_and_no_answer(colour: str) -> None:
    """
    A call has one end.
    """
    with playing(colour=colour, story=History(fail())) as machine:
        machine.call_at_once((), 2)
        assert (machine.answers, machine.errors) == ([], ["DependencyError"] * 2)


@pytest.mark.parametrize("step", [fail(), refuse(), hang()])
def test_errors_of_the_library_and_of_dependencies_are_expected(step: Step) -> None:
    """
    Unless a subclass says otherwise; any other one comes out of the call.
    """
    with playing(
        story=History(step), settings=Settings(volume_threshold=1), raised=CommandMachine.raised
    ) as machine:
        machine.keep_calling((), 2, 1)
        assert (len(machine.begun), machine.answers) == (2, [])
        with pytest.raises(LookupError):
            machine.raised(LookupError())


@in_every_colour
def test_calls_at_once_begin_at_once(colour: str) -> None:
    """
    Those of a sync function one after the other; and as many as there may be are none too many.
    """
    with playing(colour=colour, story=History(slow(9, takes=2)), at_most=3) as found:
        found.call_at_once((), 3)
        one_by_one = colour == "sync"
        assert found.begun == ([0, 2, 4] if one_by_one else [0, 0, 0])
        assert found.shop.peak == (1 if one_by_one else 3)
        assert found.answers == [()] * 3


@in_every_colour
def test_calls_begin_every_so_many_seconds(colour: str) -> None:
    """
    Whether or not those before have ended, unless they are sync.
    """
    with playing(colour=colour, story=History(ok(1), slow(1, takes=0.7), recover())) as machine:
        machine.wait(0.5)
        machine.keep_calling((), 4, 0.5)
        assert machine.begun == [0.5, 1, *((1.7, 2.4) if colour == "sync" else (1.5, 2))]


@in_every_colour
def test_a_caller_that_leaves_goes_at_once(colour: str) -> None:
    """
    It has neither an answer nor an error, and those beside it stay.
    """
    with playing(colour=colour, story=History(cancel(1), ok())) as machine:
        machine.keep_calling(("pen",), 3, 0.5)
        assert (machine.answers, machine.errors, machine.now) == ([("pen",)], [], 1)
        assert machine.shop.calls == 3


@pytest.mark.parametrize(("backend", "tidied"), [("asyncio", [1]), ("trio", [])])
def test_a_caller_leaves_in_the_way_of_its_event_loop(backend: str, tidied: list[float]) -> None:
    """
    A task of asyncio is cancelled once, and may wait while it tidies up; one of trio may not.
    """
    found: list[float] = []

    class Tidy(Watched):
        def build(self) -> Any:
            shop = self.dependency("shop", history=History(cancel()))

            async def call() -> None:
                try:
                    await shop.acall()
                finally:
                    await anyio.sleep(1)
                    found.append(self.now)

            return call

    with playing(Tidy, backend) as machine:
        machine.call(())
    assert found == tidied


@in_every_colour
def test_an_error_after_the_caller_has_left_is_nobodys(colour: str) -> None:
    """
    It is not judged: there is no one who could see it.
    """

    class Clumsy(Watched):
        def build(self) -> Any:
            build = super().build()

            def call() -> None:
                try:
                    build()
                finally:
                    raise LookupError

            async def acall() -> None:
                try:
                    await build()
                finally:
                    raise LookupError

            return call if self.sync else acall

    with playing(Clumsy, colour, story=History(cancel(1), ok())) as machine:
        machine.call(())
        assert (machine.answers, machine.errors) == ([], [])
        machine.wait(1)
        machine.call(())
        assert (machine.answers, machine.errors) == ([], ["LookupError"])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_exit_comes_out_of_a_call(backend: str) -> None:
    """
    What is no error and no cancellation is nobody's to judge.
    """

    class Quit(BaseException):
        pass

    class Quitter(Watched):
        def build(self) -> Any:
            async def call() -> None:
                raise Quit

            return call

    with playing(Quitter, backend) as machine, pytest.raises((Quit, BaseExceptionGroup)):
        machine.call(())


def test_what_was_played_leaves_nothing_behind() -> None:
    """
    The default registry is back, and whoever leaves a dependency afterwards leaves for itself.
    """
    before = resilience.default_registry
    with playing(colour="sync", story=History(cancel())) as machine:
        assert resilience.default_registry is machine.registry
        machine.call(())
    assert resilience.default_registry is before
    clock = FakeClock(0)
    with pytest.raises(asyncio.CancelledError):
        clock.run(FaultyDependency(History(cancel()), clock).acall)
    assert clock.time() == 0


@in_every_colour
def test_calls_go_on_until_the_circuits_close(colour: str) -> None:
    """
    Ten times in the time there is, from the moment the dependencies recover; then they fall ill.
    """
    settings = Settings(volume_threshold=1, sleep_window=7.5)
    story = History(fail(5), recover())
    with playing(colour=colour, story=story, settings=settings, recovers_within=10) as machine:
        machine.wait(2)
        machine.call(())
        machine.see_it_recover(())
        assert machine.begun == [2, 5, 6, 7, 8, 9, 10]
        assert (machine.answers, round(machine.shop.age)) == ([()], 0)
        assert machine.shop.step == fail(5)


def test_a_circuit_that_does_not_close_in_time_is_told() -> None:
    """
    There is no call after the time is over.
    """
    settings = Settings(volume_threshold=1, sleep_window=60)
    story = History(fail(5), recover())
    with playing(story=story, settings=settings, recovers_within=10) as machine:
        machine.call(())
        with pytest.raises(AssertionError, match=r"^10 s after the dependencies recovered: 'shop'"):
            machine.see_it_recover(())
        assert machine.begun == [0, *range(5, 16)]


def test_without_a_limit_there_may_be_any_number_of_calls() -> None:
    """
    With one there may not, not even one too many; none at all is a limit, too.
    """
    with playing(at_most=None) as machine:
        machine.call_at_once((), 9)
    for at_most, calls in ((0, 1), (3, 4)):
        with playing(story=History(slow()), at_most=at_most) as machine:
            with pytest.raises(AssertionError, match=f"{calls} calls at once, and may have"):
                machine.call_at_once((), calls)


def test_a_permit_that_is_kept_is_told_after_the_call() -> None:
    """
    Nothing is held while nothing runs.
    """

    class Hoarder(CommandMachine):
        def build(self) -> Any:
            guard, kept = command("shop"), []
            return lambda: kept.append(guard.acquire())

    with playing(Hoarder) as machine, pytest.raises(AssertionError, match="1 slot of 'shop'"):
        machine.call(())


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"at_most": 1.5}, "at_most must be an integer from 0 on or None, not 1.5"),
        ({"recovers_within": 0}, "recovers_within must be a time in .*, not 0"),
        ({"backend": "curio"}, "backend must be 'asyncio' or 'trio', not 'curio'"),
    ],
)
def test_a_promise_out_of_its_range_is_refused(wrong: Any, fault: str) -> None:
    """
    Before anything is built.
    """
    with pytest.raises(ConfigurationError, match=fault):
        type("Wrong", (Watched,), wrong)()
