from __future__ import annotations

from typing import Any

import pytest

from resilience import CircuitBreaker, CircuitOpenError, Command, ConfigurationError, Registry
from resilience.testing import FakeClock, assert_closes, assert_opens, force


@pytest.fixture
def users(registry: Registry) -> Command:
    """A command that opens at two failures."""
    return registry.command("users", volume_threshold=2, sleep_window=5)


def trip(guard: Any) -> None:
    """Fail twice."""
    guard.acquire().fail()
    guard.acquire().fail()


def test_opening_is_asserted(users: Command) -> None:
    """
    It passes for a circuit that opened in the block, whether or not it is open at its end.
    """
    with assert_opens(users):
        trip(users)
        users.reset()


def test_a_circuit_that_stays_closed_is_told(users: Command) -> None:
    """
    What was open before does not count; the message says what the circuit has to say.
    """
    trip(users)
    users.reset()
    with pytest.raises(AssertionError, match="the circuit did not open: 'users' admits calls"):
        with assert_opens(users):
            users.acquire().fail()


def test_closing_is_asserted(users: Command, clock: FakeClock) -> None:
    """
    It passes for a circuit that closed in the block and is closed at its end.
    """
    trip(users)
    with assert_closes(users):
        clock.advance(5)
        users.acquire().succeed()
    with pytest.raises(AssertionError, match="the circuit did not close: 'users' admits calls"):
        with assert_closes(users):
            users.acquire().succeed()
    users.reset()
    trip(users)
    with pytest.raises(AssertionError, match="the circuit did not close: 'users' refuses calls"):
        with assert_closes(users):
            clock.advance(5)
            users.acquire().succeed()
            trip(users)


@pytest.mark.parametrize("assertion", [assert_opens, assert_closes])
def test_an_error_in_the_block_comes_out_of_it(users: Command, assertion: Any) -> None:
    """
    Whatever the circuit did, the error is what is seen.
    """
    with pytest.raises(LookupError), assertion(users):
        raise LookupError


def test_a_decorated_function_and_a_breaker_have_a_circuit(users: Command) -> None:
    """
    What is under test is named as the test has it.
    """
    guarded = users(lambda: None)
    with assert_opens(guarded):
        trip(users)
    breaker = CircuitBreaker(volume_threshold=2)
    with assert_opens(breaker):
        trip(breaker)


def test_forcing_lasts_for_a_block(users: Command) -> None:
    """
    The override before it is back afterwards, however the block ends.
    """
    guarded = users(lambda: "answer")
    with force(guarded, "open"), pytest.raises(CircuitOpenError):
        guarded()
    assert guarded() == "answer"
    users.reset()
    trip(users)
    with force(guarded, "closed"):
        assert guarded() == "answer"
        with pytest.raises(LookupError), force(users, "shadow"):
            assert users.override == "shadow"
            raise LookupError
        assert users.override == "closed"
    with pytest.raises(CircuitOpenError):
        guarded()


def test_what_has_no_circuit_is_refused(users: Command) -> None:
    """
    The message says what would do.
    """
    with pytest.raises(ConfigurationError, match=r"guard must be a Command, .*, not <built-in"):
        assert_opens(len).__enter__()
    with pytest.raises(
        ConfigurationError, match="override must be 'open', 'closed' or 'shadow', not 'ajar'"
    ):
        force(users, "ajar").__enter__()
