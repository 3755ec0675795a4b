"""
Footprint: the memory of a command, and what importing the library takes.

A command is measured with everything: a name, a timeout, a fallback, and the wrapper of its
function; not the function itself, which is there anyway. `tracemalloc` counts what is allocated
for it, in a process of its own:

    python -m benchmarks.footprint COMMANDS CALLS
"""

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import attrs

from benchmarks.library import TIMEOUT
from benchmarks.limits import limits
from benchmarks.row import Row
from benchmarks.work import RESULT, answer, awork, work
from resilience import Registry

COMMANDS = 1000
CALLS = 1_000_000
ROOT = Path(__file__).parents[1]
STEP = 25_000
"""Nanoseconds that the clock moves each time it is read, so that the calls fill every bucket."""


def footprint_rows() -> Iterator[Row]:
    """Make a row for memory and one for the import."""
    yield Row(
        "memory",
        "memory of one command with everything, its wrapper included",
        [Memory("new", calls=0), Memory("after 1,000,000 calls", calls=CALLS)],
        limits("memory"),
        unit="bytes",
        exact=True,
    )
    yield Row(
        "import",
        "`import resilience`, less the start of Python",
        [
            Import("resilience", "import resilience"),
            Import("attrs, anyio", "import attrs, anyio"),
            Import("attrs, anyio, asyncio", "import attrs, anyio, asyncio"),
        ],
        limits("import"),
    )


@attrs.frozen
class Memory:
    """The bytes of one command, new or after many calls."""

    name: str
    calls: int

    def check(self) -> None:
        """Measure a few, called a few times."""
        assert _in_process(10, min(self.calls, 100)) > 0

    def sample(self, scale: float) -> float:
        """Return the bytes of one command."""
        return _in_process(1 if self.calls else COMMANDS, int(self.calls * scale))


@attrs.frozen
class Import:
    """The nanoseconds a statement takes in a new process, less those of an empty one."""

    name: str
    statement: str

    def check(self) -> None:
        """Run it once."""
        _run("-c", self.statement)

    def sample(self, scale: float) -> float:  # noqa: ARG002 - one start is one start
        """Return the difference."""
        empty, full = perf_counter_ns(), 0
        _run("-c", "pass")
        full = perf_counter_ns()
        _run("-c", self.statement)
        return (perf_counter_ns() - full) - (full - empty)


def _run(*arguments: str) -> str:
    command = (sys.executable, *arguments)
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout


def _in_process(commands: int, calls: int) -> float:
    size: float = json.loads(_run("-m", "benchmarks.footprint", str(commands), str(calls)))
    return size


def _size(commands: int, calls: int, fn: Any) -> float:
    registry = Registry(clock=count(step=STEP).__next__)
    kept: list[Any] = [None] * commands

    def make(name: str) -> Any:
        return registry.command(name, timeout=TIMEOUT, fallback=answer)(fn)

    async def call(guarded: Any, calls: int) -> None:
        for _ in range(calls):
            assert await guarded() == RESULT

    first = make("first")  # brings in what is made once for all commands
    if calls:
        asyncio.run(call(first, 100))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(commands):
        kept[number] = make(f"command-{number}")
    if calls:
        for guarded in kept:
            asyncio.run(call(guarded, calls))
    gc.collect()  # what the loops have left is not the commands'
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / commands


def main(commands: int, calls: int) -> None:
    """Print the bytes of a command; new ones are of the kind that takes more."""
    kinds = (awork,) if calls else (awork, work)
    print(json.dumps(max(_size(commands, calls, fn) for fn in kinds)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
