"""
Every pair of operations on two threads, one of them stopped before each of its lines in turn.

    python -m proof schedules

While one thread stands before a line of the library the other one runs its operation to the end, or
for as long as it can without what the first one holds. What both return, and what is to be seen
afterwards, has to be what some order of their steps gives one after the other: a call is two steps,
being admitted and being settled, everything else is one. These orders are played too, by permits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from typing import Any

from proof.threads import Aside, Stop, telling
from resilience import Permit, Registry, RejectedError
from tests.support.runtime import FakeClock

STARTS = ("closed", "nearly open", "due", "half open", "full")


class FaultError(Exception):
    """What a function raises."""


class World:
    """A command in some state, and the permits that were there before."""

    def __init__(self, start: str, slots: int = 3) -> None:
        self.clock = FakeClock()
        self.registry = Registry(clock=self.clock, random=lambda: 0.0)
        with telling():
            self.command = self.registry.command(
                "db", timeout=None, max_concurrency=slots, volume_threshold=2, sleep_window=1
            )
        self.succeed = self.command(lambda: "value")
        self.fail = self.command(fault)
        self.kept: list[Permit] = []
        self.held = self.command.acquire()
        if start != "closed":
            self.command.acquire().fail()
        if start in {"due", "half open"}:
            self.command.acquire().fail()
            self.clock.advance(1)
        if start == "half open":
            self.held = self.command.acquire()
        if start == "full":
            self.kept += [self.command.acquire(), self.command.acquire()]

    def seen(self) -> tuple[Any, ...]:
        """Return what can be seen of it."""
        after = self.command.snapshot()
        return (
            after.state,
            after.override,
            after.generation,
            after.window,
            dict(after.totals),
            after.in_flight,
            after.trials_running,
            dict(after.trials),
            dict(after.transitions),
            after.stale,
            after.max_concurrency,
        )


Steps = Iterator[Any]


def fault() -> None:
    raise FaultError


def told(fn: Callable[[], Any]) -> Any:
    """Return what a function returns, or the kind of what it raises."""
    try:
        return fn()
    except (RejectedError, FaultError) as error:
        return type(error).__name__


# -- operations: what a thread does, and the steps it is to be equal to


def by_permit(world: World, *, fails: bool) -> Steps:
    """A call, as two steps."""
    try:
        permit = world.command.acquire()
    except RejectedError as error:
        yield type(error).__name__
        return
    yield None
    if fails:
        permit.fail(FaultError())
    else:
        permit.succeed()
    yield "FaultError" if fails else "value"


def one(fn: Callable[[World], Any]) -> Callable[[World], Steps]:
    """An operation of one step."""

    def steps(world: World) -> Steps:
        yield told(lambda: fn(world))

    return steps


def acquired(world: World) -> str:
    world.kept.append(world.command.acquire())
    return "permit"


OPERATIONS: dict[str, Callable[[World], Any]] = {
    "a success": lambda world: world.succeed(),
    "a failure": lambda world: world.fail(),
    "acquire": acquired,
    "succeed": lambda world: world.held.succeed(),
    "fail": lambda world: world.held.fail(),
    "release": lambda world: world.held.release(),
    "reset": lambda world: world.command.reset(),
    "force open": lambda world: world.command.force_open(),
    "force closed": lambda world: world.command.force_closed(),
    "shadow": lambda world: world.command.shadow(),
    "clear override": lambda world: world.command.clear_override(),
    "configure": lambda world: world.command.configure(volume_threshold=1, max_concurrency=2),
    "state": lambda world: world.command.state,
    "totals": lambda world: sum(world.command.snapshot().totals.values()),
    "in flight": lambda world: world.command.snapshot().in_flight,
}
STEPS: dict[str, Callable[[World], Steps]] = {
    name: one(operation) for name, operation in OPERATIONS.items()
} | {
    "a success": lambda world: by_permit(world, fails=False),
    "a failure": lambda world: by_permit(world, fails=True),
}


def run(share: int = 1) -> dict[str, Any]:
    """
    Play every pair from every start.

    Args:
        share: One of so many lines is stopped before, another one in each pair and start.
    """
    pairs = list(itertools.product(OPERATIONS, repeat=2))
    schedules, found = 0, []
    with ProcessPoolExecutor() as pool:
        for count, wrong in pool.map(play, pairs, repeat(share), chunksize=4):
            schedules += count
            found += wrong
    for each in found[:50]:
        print(each)
    assert not found, f"{len(found)} of {schedules} schedules equal no order: {found[:3]}"
    return {"pairs": len(pairs), "starts": len(STARTS), "schedules": schedules, "violations": 0}


def play(pair: tuple[str, str], share: int = 1) -> tuple[int, list[str]]:
    """Play one pair from every start, stopping the first before each of its lines."""
    first, second = pair
    count, wrong = 0, []
    offset = list(OPERATIONS).index(first) * len(OPERATIONS) + list(OPERATIONS).index(second)
    for number, start in enumerate(STARTS):
        allowed = orders(start, first, second)
        for line in itertools.count(1 + (offset + number) % share, share):
            stopped, got = stopped_at(line, start, OPERATIONS[first], OPERATIONS[second])
            if not stopped:
                break
            count += 1
            if got not in allowed:
                wrong.append(f"{first} / {second}, {start}, line {line} ({stopped}): {got[:2]}")
    return count, wrong


def orders(start: str, first: str, second: str) -> list[Any]:
    """Return what every order of the steps of two operations gives."""
    results = []
    for order in set(itertools.permutations((0, 0, 1, 1))):
        world = World(start)
        steps = [STEPS[first](world), STEPS[second](world)]
        last = [None, None]
        for turn in order:
            last[turn] = next(steps[turn], last[turn])
        results.append((*last, world.seen()))
    return results


def stopped_at(
    line: int, start: str, first: Callable[[World], Any], second: Callable[[World], Any]
) -> tuple[str, Any]:
    """Stop the first before a line of the library, let the second run; return where, and what."""
    world = World(start)
    answers: list[Any] = [None, None]
    other = Aside(lambda: answers.__setitem__(1, told(lambda: second(world))))
    stop = Stop(line, other.let_run)
    answers[0] = stop.watch(lambda: told(lambda: first(world)))
    other.end(stop.place)
    return stop.place, (*answers, world.seen()) if stop.place else None
