"""
Mistakes of every common kind, planted one by one: does some test notice?

    python -m proof mutation                   all of `_core`
    python -m proof mutation --seconds 600     as many as there is time for, in a random order
    python -m proof mutation --changed 1       only lines that differ from the last commit

Each mistake is played in a child of a process that has imported what the tests need, but not the
package: the child imports the package with the mistake in it, lets it play beside its model for a
moment, and then runs the tests. A mistake that no test notices has survived; `SURVIVORS` says of
those that are known why no test can tell them from the code.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib.abc
import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from proof.promises import ROOT

SOURCE = ROOT / "src" / "resilience"
PATIENCE = 90
"""Seconds after which a mistake counts as noticed: something hangs."""
EPISODES = 12
QUICK = (
    "tests/core",
    "--ignore=tests/core/test_circuit_model.py",
)
REST = (
    "tests/test_breaker.py",
    "tests/test_bulkhead.py",
    "tests/test_snapshot.py",
    "tests/test_overrides.py",
    "tests/regressions/test_half_open.py",
    "tests/regressions/test_hystrix_go.py",
    "tests/regressions/test_journal.py",
    "tests/regressions/test_windows.py",
)
# What is imported already cannot be rewritten.
OPTIONS = (
    *("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:randomly"),
    "--timeout=30",
)
SURVIVORS: dict[str, str] = {
    "_core/circuit.py if self.state is CLOSED: return None -> if False: return None": (
        "a closed circuit has no trials, so it answers as a half-open one with room for them"
    ),
    "_core/tally.py if isinstance(notes, tuple): return -> if False: return": (
        "the tuple that stands for no list yet is empty, so there is nothing to count in it either"
    ),
    "_core/circuit.py 64 -> 65": "either number of doublings is more than any limit there can be",
}
"""Mistakes that change nothing anybody could see, and why."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
}


class Mutant(NamedTuple):
    """One mistake: the text of a module with it."""

    path: Path
    line: int
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(SOURCE)}:{self.line} {self.what}"

    @property
    def name(self) -> str:
        """What it is called in a list: the number of its line would change."""
        return f"{self.path.relative_to(SOURCE)} {self.what}"

    @property
    def module(self) -> str:
        """The name that the module is imported by."""
        parts = self.path.relative_to(SOURCE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def mutants(paths: list[Path]) -> Iterator[Mutant]:
    """Return every mistake that can be made in some modules."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for number in code(ast.parse(text)):
            for kind in itertools.count():
                tree = ast.parse(text)
                node = next(itertools.islice(ast.walk(tree), number, None))
                before = shown(node)
                if not planted(node, kind):
                    break
                what = f"{before} -> {shown(node)}"
                yield Mutant(path, getattr(node, "lineno", 0), what, ast.unparse(tree))


def code(tree: ast.Module) -> list[int]:
    """Return the numbers of the nodes that are run when something is called."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in function.body
        for node in ast.walk(statement)
    }
    told = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign | ast.JoinedStr)
        for inner in ast.walk(node.annotation if isinstance(node, ast.AnnAssign) else node)
    }
    run = inside - told
    return [
        number
        for number, node in enumerate(ast.walk(tree))
        if id(node) in run and planted(copy.deepcopy(node), 0)
    ]


def shown(node: ast.AST) -> str:
    """Return a node on one short line."""
    return re.sub(r"\s+", " ", ast.unparse(node))[:70]


def planted(node: ast.AST, kind: int) -> bool:
    """Make a mistake in a node; false if there is none of this number to make."""
    match node:
        case ast.Compare(ops=[op]) if not kind and type(op) in COMPARISONS:
            node.ops = [COMPARISONS[type(op)]()]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if not kind and type(op) in ARITHMETIC:
            node.op = ARITHMETIC[type(op)]()
        case ast.BoolOp(op=op) if not kind:
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.Not()) if not kind:
            node.op = ast.UAdd()
        case ast.Constant(value=bool(value)) if not kind:
            node.value = not value
        case ast.Constant(value=int(value)) if not kind:
            node.value = value + 1
        case ast.If() | ast.While() | ast.IfExp() if kind < 2 and not (
            kind and isinstance(node, ast.While)
        ):
            node.test = ast.Constant(bool(kind))
        case ast.Expr(value=ast.Call()) if not kind:
            node.value = ast.Constant(None)
        case ast.Return(value=value) if value is not None and not kind:
            if isinstance(value, ast.Constant) and value.value is None:
                return False
            node.value = ast.Constant(None)
        case ast.Continue() | ast.Break() if not kind:
            return False
        case _:
            return False
    return True


class Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module with a mistake in it."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> Any:
        if name != self.mutant.module:
            return None
        return importlib.util.spec_from_file_location(name, self.mutant.path, loader=self)

    def create_module(self, _spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        exec(compile(self.mutant.text, self.mutant.path, "exec"), vars(module))


def run(seconds: float = 3000.0, changed: int = 0, seed: int = 1) -> dict[str, Any]:
    """
    Make mistakes in `_core` until it is over, or all are made.

    Args:
        seconds: How long.
        changed: Whether only in lines that differ from the last commit.
        seed: Of the order.
    """
    return alone("mutation", seconds=seconds, changed=changed, seed=seed)


def alone(part: str, **arguments: Any) -> dict[str, Any]:
    """Play `here` of a part in a process that has not imported the package."""
    code = f"import json; from proof import {part}; print(json.dumps({part}.here(**{arguments!r})))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    *told, last = ended.stdout.splitlines() or [""]
    print(*told, sep="\n")
    assert not ended.returncode, last
    figures: dict[str, Any] = json.loads(last)
    return figures


def here(seconds: float, changed: int, seed: int) -> dict[str, Any]:
    """Make mistakes in `_core`, out of this process."""
    every = list(mutants(sorted((SOURCE / "_core").glob("*.py"))))
    if changed:
        lines = changed_lines()
        every = [each for each in every if each.line in lines.get(each.path, ())]
    Random(seed).shuffle(every)
    import_what_is_needed()
    over = time.monotonic() + seconds
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        noticed = list(pool.map(lambda each: is_noticed(each, over), every))
    made = [each is not None for each in noticed].count(True)
    survived = [each for each, found in zip(every, noticed, strict=True) if found is False]
    unknown = [each for each in survived if each.name not in SURVIVORS]
    for each in sorted(survived, key=str):
        print("survived:", each, "-", SURVIVORS.get(each.name, "no reason known"))
    share = round(100 * (made - len(survived)) / made, 1) if made else 100.0
    return {
        "mistakes possible": len(every),
        "made": made,
        "noticed": made - len(survived),
        "percent noticed": share,
        "survivors with a reason": "; ".join(
            f"{each}: {SURVIVORS[each.name]}" for each in survived if each.name in SURVIVORS
        ),
        "survivors without": len(unknown),
        "without": [str(each) for each in unknown],
    }


def changed_lines() -> dict[Path, set[int]]:
    """Return the lines of the working tree that differ from the last commit."""
    with contextlib.suppress(OSError):
        told = subprocess.run(
            ["git", "diff", "--unified=0", "HEAD", "--", "src"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found: dict[Path, set[int]] = {}
        path = ROOT
        for line in told.splitlines():
            if line.startswith("+++ b/"):
                path = ROOT / line.removeprefix("+++ b/")
            elif match := re.match(r"@@ .* \+(\d+)(?:,(\d+))? @@", line):
                first, count = int(match[1]), int(match[2] or 1)
                found.setdefault(path, set()).update(range(first, first + count))
        return found
    return {}


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


def is_noticed(mutant: Mutant, over: float) -> bool | None:
    """Return whether a mistake is noticed; `None` if there was no time to look."""
    if time.monotonic() > over:
        return None
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if survives(mutant) else 1
        finally:
            os._exit(code)
    return ended(child, PATIENCE) != 0


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


def survives(mutant: Mutant) -> bool:
    """In a child: whether all goes well with the mistake."""
    sys.meta_path.insert(0, Planted(mutant))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    from proof import driver

    driver.play(range(EPISODES), 1)
    import pytest

    return all(not pytest.main([*OPTIONS, *tests]) for tests in (QUICK, REST))
