"""What the errors say, and what they keep."""

from __future__ import annotations

from typing import Any

import pytest

from resilience import (
    BulkheadFullError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    RejectedError,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RejectedError(), "an unnamed guard refused the call"),
        (RejectedError("db", 1.25), "'db' refused the call; try again in 1.25 s"),
        (CircuitOpenError("db", 2), "the circuit of 'db' is open; try again in 2 s"),
        (CircuitOpenError("db"), "the circuit of 'db' is forced open"),
        (
            CircuitOpenError("db", 2, "half_open"),
            "the circuit of 'db' is half-open and its trials are taken; try again in 2 s",
        ),
        (
            CircuitOpenError("db", None, "half_open"),
            "the circuit of 'db' is half-open and its trials are taken",
        ),
        (
            BulkheadFullError("db", None, 3, 1),
            "the bulkhead of 'db' is full (3 at once, 1 waiting)",
        ),
        (
            BulkheadFullError(),
            "the bulkhead of an unnamed guard is full (None at once, 0 waiting)",
        ),
        (DeadlineExceededError(), "the deadline was exceeded after 0 s"),
        (
            DeadlineExceededError("db", timeout=2, elapsed=2.5),
            "the deadline of 2 s of 'db' was exceeded after 2.5 s",
        ),
        (ConfigurationError("one fault", "another"), "one fault\nanother"),
    ],
    ids=str,
)
def test_an_error_says_what_happened(error: Exception, text: str) -> None:
    """
    In a few words: whose it is, why, and when to come again, as far as that is known.
    """
    assert str(error) == text


def test_what_an_error_was_not_given_is_unknown() -> None:
    """
    One made without its `__init__`, as a copy may be, has the defaults of what it lacks.

    So has the class. What is set stands in its place.
    """
    error: Any = CircuitOpenError.__new__(CircuitOpenError, "db")
    assert (error.name, error.retry_after, error.state) == ("db", None, "open")
    error.state = "half_open"
    assert error.args == ("db", None, "half_open")
    error.retry_after = 2.0
    assert error.args == ("db", 2.0, "half_open")
    assert (RejectedError.name, CircuitOpenError.state) == (None, "open")


def test_arguments_are_those_of_the_error_itself() -> None:
    """
    They are the same however it was made: by keyword, or as one of a kind with other arguments.
    """

    class WrongPortError(ConfigurationError):
        def __init__(self, port: int) -> None:
            super().__init__(f"no port: {port}")

    assert DeadlineExceededError(name="db").args == ("db",)
    assert WrongPortError(0).args == ("no port: 0",)
