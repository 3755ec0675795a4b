"""
Signals that raise KeyboardInterrupt somewhere in a sync call, or between two of them.

    python -m proof signals --interrupts 50000

A timer of the process strikes after a random few microseconds, while calls are made one after the
other; the circuit opens and is half-open all the while. After each strike nothing may be held: no
slot and no trial once what is unreachable has been collected, and no lock.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from resilience import Command, Registry, RejectedError
from resilience._chain import current, scopes

LONGEST = 150e-6
"""Seconds after which the timer strikes, at most."""


class FaultError(Exception):
    """What the function raises now and then."""


class Alarm:
    """A timer that strikes once for each time it is set, and only then."""

    def __init__(self) -> None:
        self.armed = False

    def set(self, seconds: float) -> None:
        self.armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def strike(self, *_: object) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt


def run(interrupts: int = 50_000, seed: int = 1) -> dict[str, Any]:
    """Strike so many times in calls through each entry point."""
    figures: dict[str, Any] = {}
    held: Counter[str] = Counter()
    alarm = Alarm()
    before = signal.signal(signal.SIGALRM, alarm.strike)
    lost: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda told: lost.append(told.exc_type)
    try:
        for name in ("decorated", "call", "acquire"):
            draw = Random(f"{seed}/{name}")
            figures[f"strikes, {name}"] = interrupts
            figures[f"in the library, {name}"] = strike(alarm, name, interrupts, draw, held)
    finally:
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
    assert set(lost) <= {KeyboardInterrupt}, "only a strike may be lost in a finalizer"
    places = "; ".join(f"{place}: {count}" for place, count in held.most_common(5))
    assert not held, f"{held.total()} of {3 * interrupts} strikes left something held: {places}"
    return figures | {"slots, trials, scopes or locks still held": 0}


def strike(alarm: Alarm, name: str, interrupts: int, draw: Random, held: Counter[str]) -> int:
    """Strike in calls through one entry point; return how often that was in the library."""
    inside = moves = 0
    command = None
    for _ in range(interrupts):
        if command is None:
            command = made(draw)
            call = entry(command, name, work_of(draw))
        place = struck(alarm, call, draw.random() * LONGEST)
        inside += place.startswith(("resilience/", "_core/"))
        what = still_held(command)
        if what:
            held[f"{what} by {place}"] += 1
            moves += command.snapshot().generation
            current.set(None)
            command = None
    if command is not None:
        moves += command.snapshot().generation
    assert moves > interrupts / 100, "there were trials"
    return inside


def still_held(command: Command) -> str:
    """Say what is held although nobody is there, once what is unreachable has been collected."""
    lock: Any = command._guard.entry.lock
    after = command.snapshot()
    if after.in_flight or after.trials_running:
        gc.collect()
        after = command.snapshot()
    kept = {
        "slot": after.in_flight,
        "trial": after.trials_running,
        "lock": lock._is_owned(),
        "scope": next(scopes(), None) is not None,
    }
    return " and ".join(what for what, is_held in kept.items() if is_held)


def made(draw: Random) -> Command:
    """Return a command whose circuit opens often; its clock ticks whenever it is read."""
    registry = Registry(clock=itertools.count(0, 1_000_000).__next__, random=draw.random)
    return registry.command(
        "db",
        timeout=None,
        max_concurrency=2,
        volume_threshold=2,
        error_percent=20,
        sleep_window=0.02,
    )


def work_of(draw: Random) -> Callable[[], None]:
    """Return a function that fails now and then."""

    def work() -> None:
        if draw.random() < 0.3:
            raise FaultError

    return work


def entry(command: Command, name: str, work: Callable[[], None]) -> Callable[[], None]:
    """Return what makes one call through an entry point."""
    if name == "decorated":
        return command(work)
    if name == "call":
        return lambda: command.call(work)

    def acquired() -> None:
        with command.acquire():
            work()

    return acquired


def struck(alarm: Alarm, call: Callable[[], None], seconds: float) -> str:
    """Make calls until the timer strikes; return where that was."""
    try:
        alarm.set(seconds)
        while alarm.armed:
            with contextlib.suppress(RejectedError, FaultError):
                call()
    except KeyboardInterrupt as error:
        return place_of(error)
    return "a finalizer"


def place_of(error: BaseException) -> str:
    """Say in which line below the handler of the signal an error was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-2]
    return f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno}"
