from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience._units import is_integer, nanoseconds, number, seconds, several, show

YEAR = 31_536_000


@pytest.mark.promise("B5")
@settings(max_examples=200, deadline=None)
@given(length=st.integers(0, 10**15))
def test_nanoseconds_survive_the_way_to_seconds_and_back(length: int) -> None:
    """
    Up to eleven days no nanosecond is lost between the inside and the edge.
    """
    assert nanoseconds(seconds(length)) == length


@settings(max_examples=200, deadline=None)
@given(length=st.floats(0, YEAR))
def test_nanoseconds_are_the_nearest_ones(length: float) -> None:
    """
    A time is rounded to a whole nanosecond, as exactly as its float is.
    """
    exact = Fraction(length) * 10**9
    assert abs(nanoseconds(length) - exact) <= max(1, exact / 2**50)


@pytest.mark.promise("K1")
@pytest.mark.parametrize(
    ("length", "whole"),
    [(5e-324, 1), (1e-10, 1), (1e-9, 1), (0, 0), (0.0, 0), (1, 10**9), (-2, -2e9)],
)
def test_what_is_positive_stays_so(length: float, whole: int) -> None:
    """
    However short a time is, it does not become none.
    """
    assert nanoseconds(length) == whole
    assert type(nanoseconds(length)) is int


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (0, 0.0),
        (-7, -7.0),
        (0.1, 0.1),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (Decimal("0.1"), 0.1),
        (Decimal("-Infinity"), -math.inf),
        (Decimal("1e400"), math.inf),
        (timedelta(milliseconds=1500), 1.5),
        (timedelta.min, timedelta.min.total_seconds()),
    ],
    ids=repr,
)
def test_a_number_is_a_number_whatever_its_type(value: object, plain: float) -> None:
    """
    Integers, floats, decimals and timedeltas are numbers, infinite ones too.
    """
    assert number(value) == plain
    assert type(number(value)) is float


@pytest.mark.promise("K1")
@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, "5", b"5", 5j, [5], Fraction(1, 2)),
        *(math.nan, Decimal("NaN"), Decimal("sNaN"), 10**400, -(10**400)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_number_is_none(value: object) -> None:
    """
    A bool, a NaN, a text and an integer beyond every float are no numbers.
    """
    assert number(value) is None


@pytest.mark.parametrize(
    ("value", "yes"),
    [(0, True), (10**400, True), (True, False), (1.0, False), ("1", False), (None, False)],
    ids=lambda value: repr(value)[:20],
)
def test_a_bool_is_no_integer(value: object, yes: bool) -> None:
    """
    Integers are integers, bools are not.
    """
    assert is_integer(value) is yes


@pytest.mark.parametrize(
    ("value", "items"),
    [(1, (1,)), (None, (None,)), ([1, 2], (1, 2)), ((), ()), ("ab", ("ab",)), ({1}, ({1},))],
    ids=str,
)
def test_a_single_value_is_several_of_one(value: object, items: tuple[object, ...]) -> None:
    """
    Lists and tuples are several values, everything else is one.
    """
    assert several(value) == items


def test_a_value_is_shown_by_its_repr_and_briefly() -> None:
    """
    Sixty characters are enough to know a value by.
    """
    assert show("a\nb") == "'a\\nb'"
    assert show("x" * 58) == f"'{'x' * 58}'"
    assert show("x" * 59) == f"'{'x' * 59}..."


class Broken:
    """A value whose repr fails in its own way."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def __repr__(self) -> str:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize("result", [ValueError(), RecursionError(), 3], ids=repr)
def test_a_value_with_a_broken_repr_is_shown_by_its_type(result: object) -> None:
    """
    Describing a value in a message never raises.
    """
    assert show(Broken(result)) == "a Broken"
