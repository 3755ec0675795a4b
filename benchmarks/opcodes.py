"""
A guard against growing dearer that no machine can disturb: the opcodes of one call, counted.

    python -m benchmarks.opcodes            # compare with opcodes.json; 1 if a path has grown
    python -m benchmarks.opcodes --update   # accept the figures of this Python

What is executed in C counts nothing, so this says that something has grown, not what it costs.
"""

import argparse
import asyncio
import gc
import json
import sys
import sysconfig
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.library import LONG, TIMEOUT, Fn
from benchmarks.subject import TRIPS, Subject
from benchmarks.work import RESULT, answer, awork, fail, work
from resilience import CircuitBreaker, CircuitOpenError, Registry

COMMITTED = Path(__file__).parent / "opcodes.json"
CALLS = 160
"""Calls that are counted together: every sixteenth one reads the journal of successes."""
WARM = 10 * CALLS
SLACK = 0.02

Figures = dict[str, float]


def _registry() -> Registry:
    # A clock that goes on by a microsecond each time it is read: no bucket ends in the middle.
    return Registry(clock=count(start=10**9, step=1000).__next__)


def _breaker(fn: Fn) -> Fn:
    return CircuitBreaker("breaker", registry=_registry(), sleep_window=LONG)(fn)


def _command(fn: Fn, timeout: float | None) -> Fn:
    registry = _registry()
    return registry.command("command", timeout=timeout, fallback=answer, sleep_window=LONG)(fn)


SYNC: dict[str, Callable[[], Subject]] = {
    "breaker closed sync": lambda: Subject(_breaker(work), returns=RESULT),
    "breaker open sync": lambda: Subject(_breaker(fail), raises=CircuitOpenError, trips=TRIPS),
    "command closed sync": lambda: Subject(_command(work, None), returns=RESULT),
    "command open sync": lambda: Subject(
        _command(fail, None), returns=CircuitOpenError, trips=TRIPS
    ),
}
ASYNC: dict[str, Callable[[], Subject]] = {
    "breaker closed asyncio": lambda: Subject(_breaker(awork), returns=RESULT),
    "command closed asyncio": lambda: Subject(_command(awork, None), returns=RESULT),
    "timed closed asyncio": lambda: Subject(_command(awork, TIMEOUT), returns=RESULT),
}


class Counter:
    """Counts the opcodes of the functions that are entered while it is the tracer."""

    def __init__(self) -> None:
        self.opcodes = 0
        gc.collect()  # before the calls, for among them it may run finalizers
        # Python 3.12 looks for this when a tracer is set, not when a function is entered.
        sys._getframe().f_trace_opcodes = True

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG002
        """Count an event of a function."""
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.opcodes += 1
        return self.trace


def counted(subject: Subject) -> float:
    """Return the opcodes of one call."""
    subject.check()
    ends = subject.raises or ()
    for _ in range(WARM):
        try:
            subject.call()
        except ends:
            pass
    counter = Counter()
    sys.settrace(counter.trace)
    for _ in range(CALLS):
        try:
            subject.call()
        except ends:
            pass
    sys.settrace(None)
    return counter.opcodes / CALLS


async def acounted(subject: Subject) -> float:
    """Return the opcodes of one call of an async function."""
    await subject.acheck()
    for _ in range(WARM):
        await subject.call()
    counter = Counter()
    sys.settrace(counter.trace)
    for _ in range(CALLS):
        await subject.call()
    sys.settrace(None)
    return counter.opcodes / CALLS


def figures() -> Figures:
    """Count on every path."""

    async def asynchronous() -> Figures:
        return {key: await acounted(make()) for key, make in ASYNC.items()}

    return {key: counted(make()) for key, make in SYNC.items()} | asyncio.run(asynchronous())


def grown(now: Figures, committed: Figures) -> list[str]:
    """Return a sentence for each path that costs more than it may."""
    return [
        f"{key}: {opcodes:g} opcodes, {opcodes / committed[key] - 1:+.1%} of {committed[key]:g}"
        for key, opcodes in now.items()
        if key in committed and opcodes > committed[key] * (1 + SLACK)
    ]


def main(arguments: list[str] | None = None) -> int:
    """Compare the figures of this Python with the committed ones, or update these."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opcodes", description=__doc__)
    parser.add_argument("--update", action="store_true", help="accept the figures of this Python")
    asked = parser.parse_args(arguments)
    gc.disable()
    free_threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    python = ".".join(map(str, sys.version_info[:2])) + free_threaded
    committed: dict[str, Figures] = json.loads(COMMITTED.read_text(encoding="utf-8"))
    now, before = figures(), committed.get(python)
    for key, opcodes in now.items():
        print(f"{key:<25}{opcodes:>9g}")
    if asked.update:
        committed[python] = now
        text = json.dumps(committed, indent=1, sort_keys=True)
        COMMITTED.write_text(f"{text}\n", encoding="utf-8")
        return 0
    if before is None:
        print(f"there are no figures of Python {python} to compare with: run it with --update")
        return 0
    faults = grown(now, before)
    print(*(faults or [f"no path has grown by more than {SLACK:.0%}"]), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
