"""
Concurrency mistakes, planted one by one: each has to be found.

    python -m proof mutants
    python -m proof mutants --first 3      some of them

Mistakes are made in a copy of the package wherever one of its kind can be: a lock that is not
taken, a `finally` that an exception skips, an `except BaseException` that lets cancellations by, a
generation that nobody looks at, a token that is laid back twice or never, waiters that nobody
wakes, events that nobody delivers. They are looked for by the schedules of two threads and by the
tests of what is shared; one that nobody finds is listed.
"""

from __future__ import annotations

import ast
import copy
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from proof.promises import ROOT

SOURCE = ROOT / "src" / "resilience"
PATIENCE = 600.0
SCHEDULES = "from proof import schedules; schedules.run(share={share})"
TESTS = (
    "tests/core",
    "tests/test_bulkhead.py",
    "tests/test_permit.py",
    "tests/test_events.py",
    "tests/test_overrides.py",
    "tests/test_registry.py",
    "tests/decisions",
    "tests/regressions",
    "tests/test_workers.py",
    "tests/test_streams.py",
    "tests/test_fallback.py",
    "tests/test_snapshot.py",
)


class Mutant(NamedTuple):
    """One mistake: the text of a file with it."""

    path: Path
    line: int
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(SOURCE)}:{self.line} {self.what}"


def mutants() -> list[Mutant]:
    """Return every mistake that can be planted."""
    return [
        mutant
        for path in sorted(SOURCE.rglob("*.py"))
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
        yield Mutant(path, getattr(node, "lineno", 0), what, ast.unparse(tree))


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


def run(first: int = 10_000, share: int = 25) -> dict[str, Any]:
    """Plant each mistake, or the first few; look for it."""
    chosen = mutants()[:first]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda mutant: found(mutant, share), chosen))
    survivors = [str(mutant) for mutant, by in zip(chosen, verdicts, strict=True) if not by]
    for survivor in survivors:
        print("not found:", survivor)
    kinds = sorted({mutant.what for mutant in chosen})
    counts = {f"found by {by}": verdicts.count(by) for by in ("schedules", "tests")}
    assert not survivors, f"{len(survivors)} of {len(chosen)} not found: {'; '.join(survivors)}"
    return {"planted": len(chosen), "kinds": len(kinds), **counts, "not found": 0}


def found(mutant: Mutant, share: int) -> str:
    """Return by what a mistake is found, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "resilience"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / mutant.path.relative_to(SOURCE)).write_text(mutant.text, encoding="utf-8")
        python = [sys.executable, "-c", SCHEDULES.format(share=share)]
        pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
        pytest += ["--timeout=20", "-p", "no:randomly"]
        if not passes(pytest, folder):
            return "tests"
        return "" if passes(python, folder) else "schedules"


def passes(command: list[str], folder: str) -> bool:
    """Run something on the package in a folder; return whether it ends well."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((folder, str(ROOT)))}
    try:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0
