"""
Exceptions thrown at every place there is: suspensions of async calls, lines of sync ones.

    python -m proof sweep
    python -m proof sweep --everywhere 0    on this Python alone

Each entry point is called again and again, on a closed circuit and as the trial of a half-open one,
with a function that succeeds and one that fails. In a sync call the exception is raised in front of
one line of the library after the other; an async one has it thrown in at one suspension after the
other, also while it waits for its slot. What is no `Exception` has to leave as the same object; no
slot, trial, waiter, lock or scope may be held after it, and the next call has to be served.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import itertools
import json
import logging
import os
import subprocess
import sys
import traceback
import types
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import anyio
import trio
import trio.lowlevel

import resilience
from proof.entries import ASYNC, SYNC, Async, Sync, World
from proof.promises import ROOT
from tests.support.interrupt import watched
from tests.support.runtime import AsyncioRuntime, AsyncRuntime, TrioRuntime

HOME = Path(resilience.__file__).parent


class CustomExit(BaseException):
    """What a program of its own may raise to end something."""


KINDS: dict[str, Callable[[], BaseException]] = {
    "CancelledError": asyncio.CancelledError,
    "trio.Cancelled": lambda: cancelled_in_trio(),  # noqa: PLW0108 - it is defined below
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": SystemExit,
    "GeneratorExit": GeneratorExit,
    "MemoryError": MemoryError,
    "ValueError": ValueError,
    "CustomExit": CustomExit,
    "StopIteration": StopIteration,
}
RUNTIMES: tuple[type[AsyncRuntime], ...] = (AsyncioRuntime, TrioRuntime)

# What a `with` statement costs if it is interrupted between its own steps is documented.
BLOCKS = {"with command", "with breaker", "with bulkhead", "nested"}
OWN_STEPS = (" by _blocks.py", " by _shell.py", " by _command.py")

Held = Counter[str]


@functools.cache
def cancelled_in_trio() -> BaseException:
    """Return a cancellation as trio raises it, always the same: nobody else can make one."""

    async def main() -> BaseException:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancellation:
                return cancellation.with_traceback(None)
        raise AssertionError

    return trio.run(main)


def run(everywhere: int = 1, kinds: int = len(KINDS)) -> dict[str, Any]:
    """
    Throw all of it, on every Python that is found or on this one alone.

    Args:
        everywhere: Whether on every Python.
        kinds: How many exceptions are thrown at each line; all are, but not everywhere, if fewer.
    """
    if not everywhere:
        return here(kinds) | {"still held": 0}
    figures: dict[str, Any] = {}
    for kind, python in pythons():
        figures |= {f"{what}, {kind}": figure for what, figure in elsewhere(python, kinds).items()}
    return figures | {"still held": 0}


def pythons(ending: str = "") -> list[tuple[str, str]]:
    """Make an environment for the tests with each Python of this machine whose kind ends so."""
    found = subprocess.run(
        ["scripts/pythons"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    made: list[tuple[str, str]] = []
    for kind, python in (line.split(" ", 1) for line in found.stdout.splitlines()):
        if not kind.endswith(ending):
            continue
        folder = f".venv-{kind}"
        environment = {**os.environ, "PYTHON": python}
        subprocess.run(["scripts/venv", folder, "test"], cwd=ROOT, env=environment, check=True)
        made.append((kind, str(ROOT / folder / "bin" / "python")))
    return made


def elsewhere(python: str, kinds: int) -> dict[str, Any]:
    """Throw all of it on another Python."""
    code = f"import json; from proof import sweep; print(json.dumps(sweep.here({kinds})))"
    ended = subprocess.run(
        [python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not ended.returncode, ended.stderr.strip().splitlines()[-1]
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def here(kinds: int = len(KINDS)) -> dict[str, Any]:
    """Throw all of it on this Python."""
    return at_suspensions() | at_lines(kinds)


def at_lines(kinds: int = len(KINDS)) -> dict[str, Any]:
    """Raise in front of each line of the sync entry points."""
    return {"thrown at lines": thrown(each_line, SYNC, kinds), "kinds at each line": kinds}


def at_suspensions() -> dict[str, Any]:
    """Throw into each suspension of the async entry points."""
    cancelled_in_trio()  # before another loop of trio's is there
    return {"thrown at suspensions": thrown(each_suspension, ASYNC, len(KINDS))}


def thrown(each: Callable[[str, int], tuple[int, Held]], names: Iterable[str], kinds: int) -> int:
    """Throw at each place of some entry points; return how often."""
    total, held = 0, Held()
    with ProcessPoolExecutor(initializer=quiet) as pool:
        for count, still in pool.map(each, names, repeat(kinds)):
            total += count
            held += still
    for place, count in sorted(held.items()):
        print(f"{place}: {count}")
    places = "; ".join(f"{place}: {count}" for place, count in held.most_common(6))
    assert not held, f"{held.total()} of {total} exceptions left something held: {places}"
    return total


def quiet() -> None:
    """Prepare a process: what is there now is not looked through by each collection."""
    sys.unraisablehook = lambda _: None  # an exception in a finalizer goes nowhere
    logging.disable()
    gc.freeze()


# -- lines of sync calls


def each_line(name: str, kinds: int) -> tuple[int, Held]:
    """Raise in front of each line of one entry point; return how often, and what was held."""
    entry, held, count = SYNC[name], Held(), 0
    makers = list(KINDS.values())
    for trial, fails in itertools.product((False, True), repeat=2):
        world = World(trial=trial, fails=fails)
        lines = watched(functools.partial(quietly, entry(world)), lambda _: None, HOME)
        for line in range(1, lines + 1):
            for number in range(kinds):
                thrown = makers[(line + number) % len(makers)]()
                world = World(trial=trial, fails=fails)
                # What is left in the context of one must not be there in the next.
                what = contextvars.Context().run(at_line, world, entry, thrown, line)
                count += 1
                if what and not (name in BLOCKS and what.partition(":")[0].endswith(OWN_STEPS)):
                    held[what] += 1
    return count, held


def quietly(call: Callable[[], object]) -> None:
    """Call; what is raised is its own business."""
    with contextlib.suppress(Exception):
        call()


def at_line(world: World, entry: Sync, thrown: BaseException, line: int) -> str:
    """Raise in front of one line; return what is held then."""

    def strike(number: int) -> None:
        if number == line:
            raise thrown

    call, left = entry(world), None
    try:
        watched(call, strike, HOME)
    except BaseException as error:
        left = error
    place = place_of(thrown)
    # Python itself takes a GeneratorExit for the end of a generator that is being closed.
    may_stay = isinstance(thrown, Exception | GeneratorExit) or place is None
    is_another = left is not thrown and not may_stay
    thrown.__traceback__ = thrown.__context__ = None
    del left
    what = world.held() or ("another exception" if is_another else "")
    return what and f"{what} by {place}"


def place_of(error: BaseException) -> str | None:
    """Say before which line of the library an error was raised, if it was."""
    places = [
        f"{Path(frame.f_code.co_filename).name}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).is_relative_to(HOME)
    ]
    return places[-1] if places else None


# -- suspensions of async calls


@types.coroutine
def struck(
    awaitable: Any, thrown: BaseException, number: int
) -> Generator[Any, Any, tuple[int, BaseException | None]]:
    """Await something but throw into its nth suspension; return how many it had, and what left."""
    step, sent, count = awaitable.send, None, 0
    while True:
        try:
            trap = step(sent)
        except StopIteration:
            return count, None
        except BaseException as error:
            return count, error
        count += 1
        if count == number:
            step, sent = awaitable.throw, thrown
            continue
        try:
            step, sent = awaitable.send, (yield trap)
        except BaseException as error:
            step, sent = awaitable.throw, error


def each_suspension(name: str, _: int) -> tuple[int, Held]:
    """Throw into each suspension of one entry point; return how often, and what was held."""
    entry, held, count = ASYNC[name], Held(), 0
    for kind, (trial, waits), maker in itertools.product(
        RUNTIMES, itertools.product((False, True), repeat=2), KINDS.values()
    ):
        if name == "async stream" and maker is GeneratorExit:
            continue  # Python throws it past what awaits an async generator, which is lost then
        number = suspensions = 1
        while number <= suspensions:
            runtime = kind()
            thrown = maker()
            what, suspensions = runtime.call(
                at_suspension, runtime, entry, thrown, number, trial, waits
            )
            runtime.close()
            if what:
                held[f"{what} of {name!r} in {runtime.name}"] += 1
            count += number <= suspensions
            number += 1
    return count, held


async def at_suspension(
    runtime: AsyncRuntime,
    entry: Async,
    thrown: BaseException,
    number: int,
    trial: bool,
    waits: bool,
) -> tuple[str, int]:
    """Throw into one suspension; return what is held then, and how many suspensions there were."""
    world = World(trial=trial, waits=1, clock=runtime.clock)
    holders = [world.bulkhead.acquire()]
    if not trial:  # a trial that somebody has is waited for by nobody
        holders.append(world.command.acquire())

    async def work() -> str:
        for _ in range(3):
            await runtime.sleep(0)
        return world.work()

    async def release() -> None:
        for holder in holders:
            if waits:
                await runtime.sleep(0.1)
            holder.succeed()

    async with anyio.create_task_group() as group:
        if waits:
            group.start_soon(release)
        else:
            await release()
        count, left = await struck(entry(world, work), thrown, number)
    if number > count:
        return world.held(), count
    is_another = left is not thrown and not isinstance(thrown, Exception)
    thrown.__traceback__ = thrown.__context__ = None
    del left
    return world.held() or ("another exception" if is_another else ""), count
