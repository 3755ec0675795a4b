from __future__ import annotations

import contextlib
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from resilience import ConfigurationError, command
from resilience.testing import History, cancel, fail, recover, slow
from resilience.testing.machine import CommandMachine
from resilience.testing.strategies import histories

QUICK = settings(
    stateful_step_count=12,
    database=None,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
)

Kind = type[CommandMachine]

in_every_colour = pytest.mark.parametrize(
    "colour",
    [{"sync": True}, {"backend": "asyncio"}, {"backend": "trio"}],
    ids=["sync", "asyncio", "trio"],
)


def play(kind: Kind, *, examples: int = 20, **attributes: Any) -> None:
    """Play a machine with some attributes changed."""
    run_state_machine_as_test(
        type(kind.__name__, (kind,), attributes), settings=settings(QUICK, max_examples=examples)
    )


def search(kind: Kind, **attributes: Any) -> None:
    """Play a machine until something is found."""
    play(kind, examples=1000, **attributes)


class Greetings(CommandMachine):
    """A function with a fallback."""

    sync = False
    volume_threshold = 5

    at_most = 10
    recovers_within = 10
    fallback: Any = staticmethod(lambda error: "?")

    def build(self) -> Any:
        greetings = self.dependency("greetings", lambda: "hello")
        guard = command(
            "greetings",
            volume_threshold=self.volume_threshold,
            isolation="semaphore",
            fallback=self.fallback,
        )
        return guard(greetings if self.sync else greetings.acall)

    def answered(self, value: Any) -> None:
        assert value in ("hello", "?")


@in_every_colour
def test_what_is_right_passes(colour: Any) -> None:
    """
    A command with a fallback keeps every promise, in every colour.
    """
    play(Greetings, **colour, raised=lambda self, error: pytest.fail(repr(error)))


@in_every_colour
def test_errors_of_the_library_and_of_dependencies_are_expected(colour: Any) -> None:
    """
    Without a fallback these are what a caller has to live with.
    """
    play(Greetings, **colour, fallback=None)


def test_any_other_error_is_not_expected() -> None:
    """
    What nobody planned comes out as it is.
    """

    def broken(error: Exception) -> None:
        raise LookupError("no template")

    with pytest.raises(LookupError, match="no template"):
        search(Greetings, fallback=staticmethod(broken))


def test_a_wrong_answer_is_found() -> None:
    """
    `answered` has the say on what may be returned.
    """
    with pytest.raises(AssertionError):
        search(Greetings, fallback=staticmethod(lambda error: None))


class Hoarder(CommandMachine):
    """Keeps its permits when a call fails."""

    def build(self) -> Any:
        greetings = self.dependency("greetings")
        guard, kept = command("greetings"), []

        async def call() -> None:
            kept.append(await guard.aacquire())
            await greetings.acall()
            kept.pop().succeed()

        return call


def test_a_leak_is_found() -> None:
    """
    What is held while nothing runs is told by name.
    """
    with pytest.raises(AssertionError, match=r"still held: .* of 'greetings'"):
        search(Hoarder)


class Swallower(CommandMachine):
    """Answers although its caller has left."""

    sync = False
    histories = histories(["cancel"])

    def build(self) -> Any:
        greetings = self.dependency("greetings")
        guard = command("greetings")
        if self.sync:

            @guard
            def call() -> str:
                with contextlib.suppress(BaseException):
                    greetings()
                return "anything"

        else:

            @guard
            async def call() -> str:
                with contextlib.suppress(BaseException):
                    await greetings.acall()
                return "anything"

        return call


@in_every_colour
def test_a_swallowed_cancellation_is_found(colour: Any) -> None:
    """
    A caller that left has no answer.
    """
    with pytest.raises(
        AssertionError,
        match="a cancellation was swallowed: the caller left, and was given 'anything' for "
        "no arguments",
    ):
        search(Swallower, **colour)


def test_too_many_calls_at_once_are_found() -> None:
    """
    The dependency itself counts them.
    """
    with pytest.raises(
        AssertionError, match=r"the greetings had \d+ calls at once, and may have 3"
    ):
        search(Greetings, at_most=3)


def test_a_recovery_that_takes_too_long_is_found() -> None:
    """
    The message says how the circuit stands that is not closed.
    """
    with pytest.raises(
        AssertionError, match=r"0\.5 s after the dependencies recovered: 'greetings' "
    ):
        search(
            Greetings,
            volume_threshold=1,
            recovers_within=0.5,
            histories=histories(["fail", "refuse"], min_steps=1),
        )


class Fixed(CommandMachine):
    """Has a history of its own, arguments, and an error that it makes."""

    arguments = st.tuples(st.sampled_from(("pen", "ink")))
    seen: set[str]
    begun_again: bool = False

    def build(self) -> Any:
        self.seen = set()
        story = History(slow(1, takes=0.1), fail(1), cancel(1), recover())
        told = self.dependency("told", self.seen.add, history=story, error=KeyError)
        assert told.history is story
        with pytest.raises(ConfigurationError, match="name must be another for each dependency"):
            self.dependency("told")
        return told.acall

    def raised(self, error: Exception) -> None:
        assert isinstance(error, KeyError)

    def teardown(self) -> None:
        super().teardown()
        assert self.seen <= {"pen", "ink"}
        told = self.dependencies["told"]
        assert told.history.recovers_at == 3
        Fixed.begun_again |= round(self.clock.time() - told.age) > 1000


def test_a_history_may_be_given() -> None:
    """
    Then none is drawn, and it begins again after a while.
    """
    Fixed.begun_again = False
    play(Fixed)
    assert Fixed.begun_again


def test_a_subclass_has_to_say_what_is_tested() -> None:
    """
    The machine alone tests nothing.
    """
    with pytest.raises(NotImplementedError, match="Nothing must say how its function is built"):
        search(type("Nothing", (CommandMachine,), {}))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_exit_from_a_call_ends_the_test(backend: Any) -> None:
    """
    What is no error and no cancellation is nobody's to judge.
    """

    class Quit(BaseException):
        pass

    class Quitter(CommandMachine):
        def build(self) -> Any:
            async def call() -> None:
                await anyio.lowlevel.checkpoint()
                raise Quit

            return call

    with pytest.raises((Quit, BaseExceptionGroup)):
        search(Quitter, backend=backend)


def test_promises_out_of_their_range_are_refused() -> None:
    """
    Each fault names its field, its range and the value, all together.
    """
    with pytest.raises(ConfigurationError) as caught:
        search(Greetings, at_most=-1, recovers_within=0, backend="curio")
    assert caught.value.faults == (
        "at_most must be an integer from 0 on or None, not -1",
        "recovers_within must be a time in (0, 31,536,000] seconds, not 0",
        "backend must be 'asyncio' or 'trio', not 'curio'",
    )
