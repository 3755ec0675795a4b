"""
Interrupts: what a signal can do to a step of a machine, tried in front of every statement of it.

Python handles a signal between two statements, or inside one before that has stored anything. So
raising in front of each statement in turn tries every place there is.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from resilience import _core

CORE = Path(_core.__file__).parent

M = TypeVar("M")


class Interrupt(BaseException):
    """Raised in the middle of a step."""


@functools.cache
def _statements(path: str, home: Path) -> frozenset[int]:
    """Return the lines of a file that a statement begins on; `{}` for what is not at home."""
    if not Path(path).is_relative_to(home):
        return frozenset()
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    # The line of a `with` is passed once more on the way out, where no signal is handled.
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not isinstance(node, ast.With | ast.AsyncWith)
    ]
    # A tracer that raises where an except clause is left makes Python forget that it was entered.
    clauses = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    handlers = {id(each) for clause in clauses for each in ast.walk(clause)}
    return frozenset(node.lineno for node in nodes if id(node) not in handlers)


def watched(step: Callable[[], object], before: Callable[[int], None], home: Path = CORE) -> int:
    """Run a step, calling `before(n)` in front of its nth statement at home; return how many."""
    count = 0

    def enter(frame: FrameType, _event: str, _arg: object) -> Any:
        # What is raised in a finalizer goes nowhere: it is not the step's.
        code = frame.f_code
        return within if code.co_name != "__del__" and _statements(code.co_filename, home) else None

    def within(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        if event == "line" and frame.f_lineno in _statements(frame.f_code.co_filename, home):
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


def interrupted(build: Callable[[], M], step: Callable[[M], object]) -> Iterator[M]:
    """Yield what a step leaves of a fresh machine, interrupted at each statement in turn."""
    machine = build()
    for last in range(1, watched(functools.partial(step, machine), _nothing) + 1):
        machine = build()
        with contextlib.suppress(Interrupt):
            watched(functools.partial(step, machine), functools.partial(_raise_at, last))
            raise AssertionError(f"the step ended before its statement {last}")
        yield machine


def _nothing(_: int) -> None:
    """Let the step go on."""


def _raise_at(last: int, number: int) -> None:
    if number == last:
        raise Interrupt
