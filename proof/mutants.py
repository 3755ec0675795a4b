"""
Concurrency mistakes, planted one by one: each has to be found.

    python -m proof mutants
    python -m proof mutants --first 3      some of them

Mistakes are made wherever one of their kind can be, in the modules where threads and tasks meet: a
lock that is not taken, a `finally` that an exception skips, an `except BaseException` that lets
cancellations by, a generation that nobody looks at, a token that is laid back twice or never,
waiters that nobody wakes, lost tokens that nobody takes back. They are looked for by the tests of
what is shared and by the schedules of two and three threads, each in a process of its own; one that
nobody finds is listed. `HARMLESS` says which are none, and why.
"""

from __future__ import annotations

import ast
import copy
import importlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from proof.mistakes import SOURCE
from proof.planted import Planted, alone

PATIENCE = 300
"""Seconds after which a mistake counts as found: something hangs."""
# What is imported already cannot be rewritten.
OPTIONS = (
    *("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:randomly"),
    "--timeout=30",
)
MODULES = (
    "_pool.py",
    "_quick.py",
    "_waiting.py",
    "_core/circuit.py",
    "_core/slots.py",
    "_guard.py",
    "_permit.py",
    "_admission.py",
)
CORE = ("tests/core", "--ignore=tests/core/test_circuit_model.py")
TESTS = (
    ("tests/test_locks.py", "tests/test_waiting.py"),
    ("tests/test_bulkhead.py", "tests/test_permit.py", "tests/regressions/test_half_open.py"),
    ("tests/test_suspensions.py", "tests/regressions/test_cancellation.py"),
    ("tests/regressions/test_interrupts.py", "tests/regressions/test_rework.py"),
    ("tests/test_breaker.py", "tests/test_overrides.py", "tests/test_deadline.py"),
    ("tests/test_races.py", "tests/test_events.py", "tests/test_fallback.py", "tests/decisions"),
    ("tests/regressions", "--ignore=tests/regressions/test_forks.py"),
)
"""Run one group after the other, until one fails."""
HARMLESS: dict[str, str] = {}


class Mutant(NamedTuple):
    """One mistake: the tree of a module with it."""

    path: Path
    line: int
    what: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.path.relative_to(SOURCE)}:{self.line} {self.what}"

    @property
    def name(self) -> str:
        """What it is called in a list: the number of its line would change."""
        return f"{self.path.relative_to(SOURCE)} {self.what}"


def mutants() -> list[Mutant]:
    """Return every mistake that can be planted."""
    return [
        mutant
        for path in (SOURCE / name for name in MODULES)
        for mutant in mistakes(path, path.read_text(encoding="utf-8"))
    ]


def mistakes(path: Path, text: str) -> Iterator[Mutant]:
    """Return every mistake that can be planted in one file."""
    for number, original in enumerate(ast.walk(ast.parse(text))):
        if not planted(copy.deepcopy(original)):
            continue
        tree = ast.parse(text)
        node = next(itertools.islice(ast.walk(tree), number, None))
        what = planted(node)
        yield Mutant(path, getattr(node, "lineno", 0), what, ast.fix_missing_locations(tree))


def planted(node: ast.AST) -> str:
    """Plant a mistake in a node of a tree; return which, or nothing if there is none to make."""
    if isinstance(node, ast.With) and "lock" in ast.unparse(node.items[0].context_expr):
        node.items[0] = ast.withitem(ast.parse("memoryview(b'')", mode="eval").body)
        return "lock not taken"
    if isinstance(node, ast.Try) and node.finalbody:
        if node.handlers:
            return ""
        node.handlers = [ast.parse("try: 0\nexcept ZeroDivisionError: raise").body[0].handlers[0]]  # type: ignore[attr-defined]
        node.orelse, node.finalbody = node.orelse + node.finalbody, []
        return "finally skipped by exceptions"
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        if ast.unparse(node.type) == "BaseException":
            node.type = ast.Name("Exception")
            return "cancellations not caught"
        return ""
    if isinstance(node, ast.Compare) and "generation" in ast.unparse(node):
        if isinstance(node.ops[0], ast.NotEq | ast.Lt | ast.GtE | ast.Eq):
            always = isinstance(node.ops[0], ast.GtE | ast.Eq)
            node.left, node.ops, node.comparators = ast.Constant(0), [ast.Eq()], []
            node.comparators = [ast.Constant(0 if always else 1)]
            return "generation not looked at"
        return ""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return misplaced(node, node.value)
    return ""


def misplaced(node: ast.Expr, call: ast.Call) -> str:
    """Plant a mistake in a statement that is a call."""
    name = ast.unparse(call.func).rpartition(".")[2]
    if name in {"assign", "deliver", "give_back", "reclaim"}:
        node.value = ast.Constant(None)
        return f"{name}() left out"
    if name == "put" and "listeners" not in ast.unparse(call.func):
        node.value = ast.Tuple([call, call], ast.Load())
        return "laid back twice"
    if name in {"leave", "drop", "release"}:
        node.value = ast.Constant(None)
        return f"{name}() left out"
    return ""


def run(first: int = 10_000, share: int = 40, seconds: float = 3000.0) -> dict[str, Any]:
    """
    Plant each mistake, or the first few; look for it.

    Args:
        first: How many of them.
        share: One of so many lines is stopped before in the schedules.
        seconds: After so long no more are planted.
    """
    return alone("mutants", first=first, share=share, seconds=seconds)


def here(first: int, share: int, seconds: float) -> dict[str, Any]:
    """Plant mistakes, out of this process."""
    import_what_is_needed()
    chosen = [each for each in mutants() if each.name not in HARMLESS][:first]
    over = time.monotonic() + seconds
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tried = [
            (mutant, by)
            for mutant, by in zip(
                chosen, pool.map(lambda mutant: found(mutant, share, over), chosen), strict=True
            )
            if by is not None
        ]
    possible, chosen = len(chosen), [mutant for mutant, _ in tried]
    verdicts = [by for _, by in tried]
    survivors = [str(mutant) for mutant, by in zip(chosen, verdicts, strict=True) if not by]
    for survivor in survivors:
        print("not found:", survivor)
    kinds = sorted({mutant.what for mutant in chosen})
    counts = {f"found by {by}": verdicts.count(by) for by in ("tests", "schedules")}
    return {
        "possible": possible,
        "planted": len(chosen),
        "kinds": len(kinds),
        **counts,
        "not found": len(survivors),
        "which": survivors,
    }


def found(mutant: Mutant, share: int, over: float) -> str | None:
    """Return by what a mistake is found, or nothing; `None` if there was no time to look."""
    if time.monotonic() > over:
        return None
    child = os.fork()
    if not child:
        code = 1
        try:
            code = look(mutant, share)
        finally:
            os._exit(code)
    status = ended(child, PATIENCE)
    return {0: "", 2: "schedules"}.get(status, "tests")


def import_what_is_needed() -> None:
    """Import what takes long, so that no child has to; but nothing of the package."""
    for name in (
        "hypothesis",
        "hypothesis.stateful",
        "pytest",
        "anyio",
        "trio",
        "attrs",
        "asyncio",
    ):
        importlib.import_module(name)
    assert not any(name.partition(".")[0] == "resilience" for name in sys.modules)


def ended(child: int, patience: float) -> int:
    """
    Wait for a child, and end it if that takes too long; return its status.

    By a thread of ours: an alarm of the child's own is taken by its tests for their timeouts.
    """
    watch = threading.Timer(patience, os.kill, (child, signal.SIGKILL))
    watch.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        watch.cancel()


def look(mutant: Mutant, share: int) -> int:
    """In a child: return 1 if a test finds it, 2 if a schedule does."""
    code = compile(mutant.tree, mutant.path, "exec", dont_inherit=True)
    sys.meta_path.insert(0, Planted(mutant.path, code))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    import pytest

    groups = (CORE, *TESTS) if mutant.path.parent.name == "_core" else (*TESTS, CORE)
    if any(pytest.main([*OPTIONS, *group]) for group in groups):
        return 1
    from proof import schedules, threes

    pairs = itertools.product(schedules.OPERATIONS, repeat=2)
    try:
        wrong = any(schedules.play(pair, share)[1] for pair in pairs) or any(
            threes.play((name, (0, 1, 2)), share)[1] for name in threes.SITUATIONS
        )
    except Exception:
        wrong = True
    return 2 if wrong else 0
