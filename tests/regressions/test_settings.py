"""Defect 31: what is no number is no setting."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest

from resilience import (
    Bulkhead,
    CircuitBreaker,
    Command,
    ConfigurationError,
    Registry,
    Settings,
    State,
    deadline,
)
from tests.support.runtime import FakeClock

NUMBERS = [
    field.name
    for field in attrs.fields(Settings)
    if field.name not in {"count_rejections", "latency_buckets", "given"}
]
ONLY_OF_COMMANDS = {"max_concurrency", "max_waiting", "max_wait", "fallback_max_concurrency"}

NOT_NUMBERS = {
    "NaN": math.nan,
    "a decimal NaN": Decimal("nan"),
    "a signalling NaN": Decimal("snan"),
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "-1": -1,
    "True": True,
    "False": False,
    "'5'": "5",
    "b'5'": b"5",
    "complex": 5j,
    "a list": [5],
    "a huge integer": 10**400,
    "a negative time": timedelta(seconds=-1),
}

# What a deadline takes: the end of all time, or one that is over.
DEADLINES = {"infinity", "minus infinity", "-1", "a negative time"}

any_bad_value = pytest.mark.parametrize("bad", list(NOT_NUMBERS))


@pytest.mark.promise("K1")
@any_bad_value
@pytest.mark.parametrize("field", NUMBERS)
def test_a_setting_that_is_no_number_in_range_is_refused(
    registry: Registry, clock: FakeClock, field: str, bad: str
) -> None:
    """
    NaN, infinity, -1, a bool and a text are refused, for every setting and wherever it is given.

    The error names the setting, and comes before anything has changed.

    Defect 31, seen in seven libraries.
    """
    value = NOT_NUMBERS[bad]
    ways: list[Callable[[], object]] = [
        lambda: Settings(**{field: value}),
        lambda: Settings().replace(**{field: value}),
        lambda: Command("db", registry=registry, **{field: value}),
        lambda: registry.configure("db", **{field: value}),
        lambda: registry.configure({"db": {field: value}}),
    ]
    if field not in ONLY_OF_COMMANDS:
        ways.append(lambda: CircuitBreaker("db", registry=registry, **{field: value}))
    for way in ways:
        with pytest.raises(ConfigurationError, match=rf"{field} must be "):
            way()
    assert Command("db", registry=registry).settings == Settings()


@pytest.mark.promise("K1")
@any_bad_value
def test_a_bulkhead_that_is_given_no_number_is_refused(
    registry: Registry, clock: FakeClock, bad: str
) -> None:
    """
    A limit is a count, when it is set and when it is changed.

    Defect 31.
    """
    value: Any = NOT_NUMBERS[bad]
    with pytest.raises(ConfigurationError, match="max_concurrency must be "):
        Bulkhead(value, registry=registry)
    with pytest.raises(ConfigurationError, match="max_waiting must be "):
        Bulkhead(1, max_waiting=value, registry=registry)
    bulkhead = Bulkhead(1, registry=registry)
    with pytest.raises(ConfigurationError, match="max_concurrency must be "):
        bulkhead.resize(value)
    assert bulkhead.max_concurrency == 1


@pytest.mark.promise("E4")
@pytest.mark.parametrize("bad", [bad for bad in NOT_NUMBERS if bad not in DEADLINES])
def test_a_deadline_that_is_given_no_number_is_refused(bad: str) -> None:
    """
    A deadline takes infinity, which is none, and what is over already.

    It takes nothing else that is no time.

    Defect 31.
    """
    value: Any = NOT_NUMBERS[bad]
    with pytest.raises(ConfigurationError, match="seconds must be "):
        deadline(value)


@pytest.mark.promise("K1")
@pytest.mark.parametrize("value", [1, 0, "yes", None, math.nan])
def test_a_flag_is_true_or_false(value: Any) -> None:
    """
    And the other way round: a number is no bool.

    Defect 31.
    """
    with pytest.raises(ConfigurationError, match="count_rejections must be True or False"):
        Settings(count_rejections=value)


@pytest.mark.promise("K1")
@pytest.mark.parametrize(
    "bounds",
    [(math.nan,), (1, math.nan), (True,), ("5",), "5", (-1, 1), (1, 1), (2, 1), (), 5],
    ids=repr,
)
def test_the_bounds_of_a_histogram_are_increasing_times(bounds: Any) -> None:
    """
    Each bound is checked like a setting of its own.

    Defect 31.
    """
    with pytest.raises(ConfigurationError, match="latency_buckets must be "):
        Settings(latency_buckets=bounds)


@pytest.mark.promise("K1")
@pytest.mark.parametrize("bad", ["NaN", "'5'", "True", "-1"])
def test_a_retry_after_that_is_no_time_is_refused(
    registry: Registry, clock: FakeClock, bad: str
) -> None:
    """
    What a dependency asked for comes from outside.

    It is checked, and the permit stays to be settled.

    Defect 31.
    """
    value: Any = NOT_NUMBERS[bad]
    breaker = CircuitBreaker("db", registry=registry, volume_threshold=1)
    permit = breaker.acquire()
    with pytest.raises(ConfigurationError, match="retry_after must be "):
        permit.fail(retry_after=value)
    assert not permit.settled
    permit.fail(retry_after=7)
    assert breaker.state is State.OPEN
    assert breaker.snapshot().retry_after == 7
