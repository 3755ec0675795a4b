"""Seconds at the edge, integer nanoseconds inside."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final, SupportsFloat, TypeGuard, cast

__all__ = [
    "FOR_EVER",
    "NANOS",
    "YEAR",
    "Duration",
    "is_decimal",
    "is_integer",
    "nanoseconds",
    "number",
    "seconds",
    "several",
    "show",
]

if TYPE_CHECKING:
    from datetime import timedelta

    Duration = float | timedelta
    """A length of time as users give it: seconds, or a timedelta."""

NANOS: Final = 1_000_000_000
FOR_EVER: Final = -1.0
"""As a timeout of a lock: none."""

LONGEST: Final = 60
"""Characters of a value that an error message shows."""

YEAR: Final = 31_536_000
"""The longest time a setting takes, in seconds: nothing below overflows a lock or a selector."""


def nanoseconds(length: float) -> int:
    """Seconds as whole nanoseconds; what is positive stays so."""
    return max(round(length * NANOS), 1) if length > 0 else round(length * NANOS)


def seconds(length: int) -> float:
    """Nanoseconds as seconds."""
    return length / NANOS


def number(value: object) -> float | None:
    """The finite or infinite number that a value is, or `None`: a bool, a NaN or a text is none."""
    if _is("datetime", "timedelta", value):
        length: timedelta = cast("Any", value)
        return length.total_seconds()
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or is_decimal(value)):
        return None
    try:
        plain = float(value)
    except (OverflowError, ValueError):  # a huge integer, a signalling NaN
        return None
    return None if math.isnan(plain) else plain


def is_decimal(value: object) -> TypeGuard[SupportsFloat]:
    """Whether a value is a `Decimal`."""
    return _is("decimal", "Decimal", value)


def _is(module: str, kind: str, value: object) -> bool:
    # If it is one, its module was imported by somebody.
    found = sys.modules.get(module)
    return found is not None and isinstance(value, getattr(found, kind))


def is_integer(value: object) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def several(value: object) -> tuple[object, ...]:
    """Return the items of a list or tuple, or a single value as the only one."""
    return tuple(cast("tuple[object]", value)) if isinstance(value, (list, tuple)) else (value,)


def show(value: Any) -> str:
    """Describe any value in a message, whatever its `repr` does."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - anything may raise in a repr, and this is for an error text
        return f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
