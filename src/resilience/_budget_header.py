"""
A time budget as the value of an HTTP header: how it is written, and how it is read back.

- What is written is rounded down: nobody is ever given more time than is left. Less than one unit
  is written as 0, which says that nothing is left, and never that there is no limit.
- What is read comes from outside. Whatever is not plainly a budget (a sign, a space, a list, digits
  of another script) is none, and is told by its length and its first few characters, so that it
  costs the same however long it is. Nothing raises.
- `grpc-timeout` is at most 8 digits and a unit; any other header is a whole number of milliseconds.

Everything is nanoseconds inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from resilience._units import NANOS, YEAR

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GRPC", "MILLISECONDS", "REQUEST_TIMEOUT", "Spelling", "spelling"]

REQUEST_TIMEOUT: Final = "X-Request-Timeout"
"""The header that carries a budget unless another one is named."""

MILLI: Final = NANOS // 1_000
LONGEST: Final = YEAR * NANOS
MOST_DIGITS: Final = 15
"""Digits of a number of milliseconds: a longer one is no time that anybody measured."""

GRPC_DIGITS: Final = 8
GRPC_UNITS: Final = {
    "n": 1,
    "u": 1_000,
    "m": MILLI,
    "S": NANOS,
    "M": 60 * NANOS,
    "H": 3_600 * NANOS,
}
"""The units of `grpc-timeout`, finest first."""


class Spelling(NamedTuple):
    """One way of writing a budget, and of reading it back."""

    write: Callable[[int], str]
    """From the nanoseconds that are left; never more than those."""

    read: Callable[[bytes | str], int | None]
    """To nanoseconds, at least 0 and at most a year; `None`: this is no budget."""


def _write_milliseconds(left: int) -> str:
    return str(_within(left) // MILLI)


def _read_milliseconds(value: bytes | str) -> int | None:
    if len(value) > MOST_DIGITS or not (value.isascii() and value.isdigit()):
        return None
    return _within(int(value) * MILLI)


def _write_grpc(left: int) -> str:
    left = _within(left)
    for unit, length in GRPC_UNITS.items():
        digits = str(left // length)
        if len(digits) <= GRPC_DIGITS:
            return digits + unit
    raise AssertionError("a year is less than 8 digits of hours")


def _read_grpc(value: bytes | str) -> int | None:
    if len(value) > GRPC_DIGITS + 1 or not value.isascii():
        return None
    text = value if isinstance(value, str) else value.decode("ascii")
    digits, length = text[:-1], GRPC_UNITS.get(text[-1:])
    if length is None or not digits.isdigit():
        return None
    return _within(int(digits) * length)


def _within(length: int) -> int:
    return min(max(length, 0), LONGEST)


MILLISECONDS: Final = Spelling(_write_milliseconds, _read_milliseconds)
GRPC: Final = Spelling(_write_grpc, _read_grpc)


def spelling(header: str) -> Spelling:
    """Return how a budget is spelt in the header of this name."""
    return GRPC if header.lower() == "grpc-timeout" else MILLISECONDS
