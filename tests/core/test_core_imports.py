from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resilience
from resilience import _core

CORE = Path(_core.__file__).parent
FILES = sorted(CORE.glob("*.py"))
ALLOWED = {"__future__", "attrs", "bisect", "collections", "enum", "math", "typing"}

NOT_PULLED_IN = {
    *("aiohttp", "asyncio", "concurrent.futures", "http", "httpx", "httpx2", "logging"),
    *("opentelemetry", "prometheus_client", "requests", "socket", "ssl", "trio", "uvloop"),
}

PROGRAM = f"""
import sys, threading
sys.path[:0] = {[entry for entry in sys.path if entry]!r}
before = set(sys.modules)
import resilience
print(threading.active_count(), *sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_machine_imports_nothing_that_waits_locks_or_tells_the_time(file: Path) -> None:
    """
    The machines know a few modules of pure computation and one another.
    """
    siblings = {sibling.stem for sibling in FILES}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            assert (node.module or "") in siblings
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] in ALLOWED


def test_every_machine_is_looked_at() -> None:
    """
    The five machines are there, and the words they share.
    """
    assert {file.stem for file in FILES} >= {"__init__", "circuit", "outcome", "slots", "tally"}


@pytest.mark.promise("I8", "M9")
def test_importing_the_library_starts_nothing_and_pulls_in_no_runtime() -> None:
    """
    A fresh interpreter that imports it has one thread, and no event loop, exporter or HTTP client.
    """
    ran = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    threads, *modules = ran.stdout.split()
    assert threads == "1"
    assert "resilience" in modules
    assert not NOT_PULLED_IN.intersection(modules)


@pytest.mark.promise("M9")
def test_what_it_depends_on_at_run_time_is_anyio_and_attrs() -> None:
    """
    Of everything outside the standard library only these two are named in the package's imports.
    """
    named = set()
    for file in Path(resilience.__file__).parent.rglob("*.py"):
        optional = {"aiohttp", "httpx", "httpx2", "requests"}
        optional |= {"opentelemetry", "prometheus", "testing"}
        if optional & {file.stem, file.parent.stem}:
            continue  # what needs an optional dependency, and is imported by nobody
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                named.add((node.module or "").partition(".")[0])
    assert named - sys.stdlib_module_names == {"anyio", "attrs", "resilience"}
