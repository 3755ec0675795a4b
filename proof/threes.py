"""
Three threads in the ten situations that matter most, two of them stopped before their lines.

    python -m proof threes
    python -m proof threes --share 5     one line of five

The first thread is stopped before a line of the library, then the second before one of its own;
meanwhile the third runs to its end, or for as long as it can without what the others hold. Then the
second goes on, then the first. Every pair of lines is played, with the threads in every order. What
is to be seen afterwards has to be what some order of the steps gives, as in `schedules`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from typing import Any

from proof.schedules import OPERATIONS, STEPS, Steps, World, one, told
from proof.threads import Aside, Stop
from resilience._core.slots import Waiter

SITUATIONS: dict[str, tuple[str, tuple[str, str, str]]] = {
    "a herd at the end of the sleep window": ("due", ("a success", "a success", "a success")),
    "a trial fails while others ask": ("due", ("a failure", "a success", "acquire")),
    "the errors that open the circuit": ("nearly open", ("a failure", "a failure", "a success")),
    "the last slot": ("full", ("release", "a success", "acquire")),
    "fewer slots while one comes back": ("full", ("configure", "release", "acquire")),
    "a reset while the trial ends": ("half open", ("fail", "reset", "a success")),
    "an override while the circuit opens": (
        "nearly open",
        ("force open", "a failure", "a success"),
    ),
    "one permit, settled by three": ("half open", ("succeed", "fail", "release")),
    "a look while calls are counted": ("closed", ("a success", "a failure", "totals")),
    "a waiter gives up as it is served": ("waited for", ("release", "give up", "a success")),
}


class Crowd(World):
    """A world where somebody may wait for a slot."""

    def __init__(self, start: str) -> None:
        # A call that is about to ask the circuit holds a slot: enough of them where none is wanted.
        full = start in {"full", "waited for"}
        super().__init__("full" if full else start, 3 if full else 9)
        self.waiter = Waiter()
        if start == "waited for":
            self.command.configure(max_waiting=1)
            pool = self.command._guard.pool
            assert pool is not None
            assert pool.enqueue(self.waiter)
            self.command.configure(max_waiting=0)  # nobody else waits

    def give_up(self) -> None:
        """Leave the waiting room."""
        pool = self.command._guard.pool
        assert pool is not None
        pool.leave(self.waiter)

    def seen(self) -> tuple[Any, ...]:
        """Return what can be seen of it."""
        return (*super().seen(), self.command.snapshot().waiting, self.waiter.left)


DONE: dict[str, Callable[[Any], Any]] = {**OPERATIONS, "give up": lambda world: world.give_up()}
IN_STEPS: dict[str, Callable[[Any], Steps]] = {**STEPS, "give up": one(DONE["give up"])}


def run(share: int = 1) -> dict[str, Any]:
    """
    Play each situation.

    Args:
        share: One of so many lines of each thread is stopped before.
    """
    played = [(name, order) for name in SITUATIONS for order in itertools.permutations(range(3))]
    schedules, found = 0, []
    with ProcessPoolExecutor() as pool:
        for count, wrong in pool.map(play, played, repeat(share)):
            schedules += count
            found += wrong
    for each in found[:50]:
        print(each)
    assert not found, f"{len(found)} of {schedules} schedules equal no order: {found[:3]}"
    return {"situations": len(SITUATIONS), "schedules": schedules, "violations": 0}


def play(played: tuple[str, tuple[int, ...]], share: int) -> tuple[int, list[str]]:
    """Play one situation, with the threads in one order."""
    name, turns = played
    start, names = SITUATIONS[name]
    chosen = tuple(names[turn] for turn in turns)
    count, wrong = 0, []
    # Where the lines begin that are played, so that another share is of other ones.
    offset = sum(turn * 3**place for place, turn in enumerate(turns))
    for line in itertools.count(1 + offset % share, share):
        for inner in itertools.count(1 + (offset + line) % share, share):
            places, got, blocked = stopped_at(line, inner, start, chosen)
            if "" in places:
                break
            count += 1
            if got not in allowed(start, chosen):
                wrong.append(f"{name}: {chosen} at {places}: {got[:3]}")
            if blocked:
                break  # a later stop of the second is one after the first has gone on
        if not places[0]:
            break
    return count, wrong


@cache
def allowed(start: str, names: tuple[str, ...]) -> list[Any]:
    """Return what every order of the steps of three operations gives."""
    results: list[Any] = []
    for order in set(itertools.permutations((0, 0, 1, 1, 2, 2))):
        world = Crowd(start)
        steps = [IN_STEPS[name](world) for name in names]
        last = [None, None, None]
        for turn in order:
            last[turn] = next(steps[turn], last[turn])
        result = (*last, world.seen())
        if result not in results:
            results.append(result)
    return results


def stopped_at(
    line: int, inner: int, start: str, names: tuple[str, ...]
) -> tuple[tuple[str, str], Any, bool]:
    """
    Stop the first before one line and the second before another; return where, and what.

    Also return whether the second waited for the lock of the first, and never came to its stop.
    """
    world = Crowd(start)
    answers: list[Any] = [None, None, None]

    def answer(number: int) -> None:
        answers[number] = told(lambda: DONE[names[number]](world))

    third = Aside(lambda: answer(2))
    second_stop = Stop(inner, third.let_run)
    second = Aside(lambda: second_stop.watch(lambda: answer(1)))
    blocked = False

    def let_second_run() -> None:
        nonlocal blocked
        second.let_run()
        blocked = second.waits and not second_stop.place

    first_stop = Stop(line, let_second_run)
    first_stop.watch(lambda: answer(0))
    places = (first_stop.place, second_stop.place)
    for thread in (second, third):
        thread.end(places)
    return places, (*answers, world.seen()), blocked
