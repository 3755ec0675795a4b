"""
Ranges: what a setting takes, in words for people and as a function that reads it.

A reader gives the plain value, whatever was written, or raises `ValueError`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from resilience._units import YEAR, is_decimal, number, show

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "TIME",
    "UP",
    "Range",
    "a_count",
    "a_flag",
    "a_percent",
    "a_share",
    "a_time",
    "ranged",
    "some_times",
]


class Range(NamedTuple):
    """What a field takes: `read` gives the plain value or raises ValueError."""

    words: str
    read: Any

    def __call__(self, name: str, value: object) -> Any:
        try:
            return self.read(value)
        except ValueError:
            message = f"{name} must be {self.words}, not {show(value)}"
            raise ValueError(message) from None


def a_time(value: object) -> float:
    length = number(value)
    if length is None or not 0 < length <= YEAR:
        raise ValueError
    return length


def a_count(minimum: int, maximum: int = 2**31 - 1) -> Any:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError
        if not minimum <= value <= maximum:
            raise ValueError
        return int(value)

    return read


def a_percent(value: Any) -> float | Decimal:
    share = None if hasattr(value, "total_seconds") else number(value)
    if share is None or not 0 < share <= 100:  # noqa: PLR2004 - a percentage
        raise ValueError
    # As written, and of a plain type: what a subclass prints is its own affair.
    if is_decimal(value):
        exact: Decimal = sys.modules["decimal"].Decimal(value)
        return exact
    return int(value) if isinstance(value, int) else float(value)


def a_share(value: object) -> float:
    share = None if hasattr(value, "total_seconds") else number(value)
    if share is None or not 0 <= share <= 1:
        raise ValueError
    return share


def a_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def some_times(value: object) -> tuple[float, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError
    items: Iterable[object] = value
    bounds = tuple(a_time(bound) for bound in islice(items, 101))
    if not 1 <= len(bounds) <= 100 or any(a >= b for a, b in pairwise(bounds)):  # noqa: PLR2004
        raise ValueError
    return bounds


def _or_none(read: Any) -> Any:
    def read_or_none(value: object) -> Any:
        return None if value is None else read(value)

    return read_or_none


TIME: Final = f"a time in (0, {YEAR:,}] seconds"
UP: Final = f"up to {2**31 - 1:,}"


def ranged(default: object, words: str, read: Any) -> Any:
    """Make a field of `Settings` that takes what `read` reads, said in words."""
    if default is None or " or None" in words:
        read = _or_none(read)
    return attrs.field(default=default, metadata={"range": Range(words, read)})
