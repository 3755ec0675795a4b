"""Retry-After: how long a server asks to be left alone. It comes from outside: nothing raises."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from resilience._units import YEAR

__all__ = ["retry_after"]

MOST_DIGITS: Final = 9
LONGEST_DATE: Final = 40
"""Characters of an HTTP-date, in the longest of its three forms and a few more."""


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """
    Return the seconds that a `Retry-After` asks for; `None`: nothing that makes sense.

    Args:
        value: Of the header: a number of seconds, or a date.
        date: Of the `Date` header: the server's own idea of now, which its dates go by.
    """
    if not value or not value.isascii():
        return None
    if value.isdigit():
        return float(min(int(value), YEAR)) if len(value) <= MOST_DIGITS else None
    until = _moment(value)
    if until is None:
        return None
    wait = (until - (_moment(date) or datetime.now(UTC))).total_seconds()
    return min(wait, float(YEAR)) if wait > 0 else None


def _moment(text: str | None) -> datetime | None:
    if not text or len(text) > LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(text)
        # The oldest form names no zone: all of HTTP's dates are in UTC.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
