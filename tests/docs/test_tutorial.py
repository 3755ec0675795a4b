"""The tutorial, typed from its pages into an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from tests.support import typed

TERMINAL = {**os.environ, "PYTHONUNBUFFERED": "1"}
"""As in a terminal: each line is seen when it is printed."""

PREPARE = ("python3 -m venv", ". .venv/bin/activate", "pip install")
"""Commands that make what the fixtures have made already."""


def run(python: Path | str, command: str, folder: Path) -> str:
    """Run a command of a page, and return what it prints."""
    words = shlex.split(command)
    start = [str(python)] if words[0] == "python" else [str(python), "-m", words[0]]
    done = subprocess.run(
        [*start, *words[1:]], cwd=folder, stdout=PIPE, stderr=STDOUT, env=TERMINAL, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def without_numbers(text: str) -> str:
    """A text in which every number with a fraction is the same: times differ from run to run."""
    return re.sub(r"\b\d+(\.\d+)?(?= ?s\b)", "#", text)


@pytest.mark.parametrize("page", ["first-command", "tests"])
def test_each_step_prints_what_the_page_says(page: str, new_python: Path, tmp_path: Path) -> None:
    """
    Whoever types the page into an empty folder sees what the page shows.
    """
    python = sys.executable if page == "tests" else new_python  # that page installs pytest as well
    ran = 0
    for step in typed.read(f"tutorial/{page}.md", tmp_path):
        if not step.command.startswith(PREPARE):
            prints = run(python, step.command, tmp_path)
            assert without_numbers(prints) == without_numbers(step.prints)
            ran += 1
    assert ran > 1


@contextmanager
def running(python: Path, file: str, folder: Path) -> Iterator[Iterator[str]]:
    """Run a program in a terminal of its own; yields the lines it prints."""
    program = subprocess.Popen(
        [python, file], cwd=folder, stdout=PIPE, stderr=STDOUT, env=TERMINAL, text=True
    )
    assert program.stdout is not None
    try:
        yield iter(program.stdout.readline, "")
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def test_an_outage_is_seen_as_the_page_tells_it(new_python: Path, tmp_path: Path) -> None:
    """
    The service goes and comes back, and the caller's lines are those of the page, ten times faster.
    """
    [*_] = typed.read("tutorial/outage.md", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    for name in ("service.py", "caller.py"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("8123", port)
        text = text.replace("sleep(0.5)", "sleep(0.05)").replace("window=2.0", "window=0.2")
        (tmp_path / name).write_text(text, encoding="utf-8")

    with running(new_python, "service.py", tmp_path) as said:
        assert next(said) == f"serving on port {port}; end it with Ctrl-C\n"
        terminal = running(new_python, "caller.py", tmp_path)
        lines = terminal.__enter__()
        assert next(lines) == next(lines) == "closed    fresh\n"
    try:
        seen = [until(lines, "went from closed to open: ")]
        seen.append(until(lines, "went from half_open to open: a trial failed"))
        with running(new_python, "service.py", tmp_path):
            seen.append(until(lines, "went from half_open to closed: 1 trial succeeded"))
            assert next(lines) == "closed    fresh\n"
    finally:
        terminal.__exit__(None, None, None)
    assert "closed    stale (URLError)\n" in seen[0]
    assert "open      stale (CircuitOpenError)\n" in seen[1]
    assert any("went from open to half_open: the sleep window is over" in line for line in seen[2])


def until(lines: Iterator[str], words: str) -> list[str]:
    """Read lines up to one with these words in it."""
    read: list[str] = []
    for line in lines:
        read.append(line)
        if words in line:
            return read
    raise AssertionError(f"never said: {words}")
