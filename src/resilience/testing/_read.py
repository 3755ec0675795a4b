"""Arguments: what a length of time or a share may be, said the same way everywhere."""

from __future__ import annotations

import math

from resilience._units import YEAR, number, show
from resilience.errors import ConfigurationError

__all__ = ["read_share", "read_time"]


def read_time(name: str, value: object, *, zero: bool = True) -> float:
    """
    Return a length of time in seconds.

    Raises:
        ConfigurationError: It is no time from 0 on, or above 0 where `zero` is false.
    """
    length = number(value)
    if length is None or length < 0 or (length == 0 and not zero) or length > YEAR:
        first = "[0" if zero else "(0"
        raise ConfigurationError(
            f"{name} must be a time in {first}, {YEAR:,}] seconds, not {show(value)}"
        )
    return length


def read_share(name: str, value: object) -> float:
    """
    Return a share of calls.

    Raises:
        ConfigurationError: It is no number in [0, 1].
    """
    share = None if hasattr(value, "total_seconds") else number(value)
    if share is None or not 0 <= share <= 1:
        raise ConfigurationError(f"{name} must be a number in [0, 1], not {show(value)}")
    return share


def plain(length: float) -> str:
    """Return a number as one writes it: 3, not 3.0."""
    return str(int(length)) if math.isfinite(length) and length == int(length) else repr(length)
