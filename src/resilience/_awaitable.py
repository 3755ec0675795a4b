"""What functions return: whether it is to be awaited, and what is said of it if nobody can."""

from __future__ import annotations

import inspect
from typing import Any, Final

__all__ = ["PLAIN", "is_awaitable", "not_awaited"]

PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, list, dict, tuple, set})
"""The types of what most functions return: only others are looked at for being awaitable."""


def is_awaitable(result: object) -> bool:
    """Whether a result is to be awaited; what can be entered as well is left to its user."""
    return inspect.isawaitable(result) and not hasattr(result, "__aenter__")


def not_awaited(fn: Any, result: Any) -> TypeError:
    """Return the error for a sync function that gave an awaitable, which is closed if it can be."""
    if inspect.iscoroutine(result):
        result.close()
    name = getattr(fn, "__qualname__", None) or repr(fn)
    return TypeError(
        f"{name} returned an awaitable to a caller that cannot await it: "
        f"make it an `async def`, or guard it as one"
    )
