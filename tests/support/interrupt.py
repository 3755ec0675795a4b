"""
Interrupts: what a signal or a kill can do to a step of a machine, tried at every statement of it.

An interrupt that Python delivers falls between two statements, or inside one before it has stored
anything. So raising in front of each statement in turn tries every place there is.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from resilience import _core

CORE = Path(_core.__file__).parent


class Interrupt(BaseException):
    """Raised in the middle of a step."""


@functools.cache
def statements(path: str) -> frozenset[int]:
    """The lines of a file that a statement begins on."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return frozenset(node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt))


def at_each_statement(step: Callable[[], object], before: Callable[[int], None]) -> int:
    """Run a step, calling `before(n)` in front of its nth statement in `_core`; returns how many."""
    count = 0

    def enter(frame: FrameType, _event: str, _arg: Any) -> Any:
        return within if Path(frame.f_code.co_filename).parent == CORE else None

    def within(frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        if event == "line" and frame.f_lineno in statements(frame.f_code.co_filename):
            count += 1
            before(count)
        return within

    outside = sys.gettrace()
    sys.settrace(enter)
    try:
        step()
    finally:
        sys.settrace(outside)
    return count


def interrupted[T](build: Callable[[], T], step: Callable[[T], object]) -> Iterator[T]:
    """Yield what becomes of a fresh machine when a step on it is interrupted, for every place."""
