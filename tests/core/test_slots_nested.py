"""A step inside a step: what a signal handler that uses the library does to slots and waiters."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import RLock
from types import FrameType
from typing import Any

import pytest

from resilience import _pool
from resilience._core import slots
from resilience._core.slots import Token, Waiter
from resilience._pool import Pool
from tests.support.whole import check_slots

CAPACITY = 3
FILES = {_pool.__file__, slots.__file__}


class Scene:
    """Three slots: two are held, and the third was lost; so many wait."""

    def __init__(self, waiting: int) -> None:
        self.pool = Pool(RLock(), CAPACITY, 9)
        self.held = [self.pool.take() for _ in range(CAPACITY)]
        self.woken: list[Waiter] = []
        self.waiters = [self.waiter() for _ in range(4)]
        for waiter in self.waiters[:waiting]:
            assert self.pool.enqueue(waiter)
        self.left: list[Waiter] = self.waiters[waiting:]
        del self.held[0]
        assert len(self.pool.lost) == 1

    def waiter(self) -> Waiter:
        waiter = Waiter()
        waiter.wake = lambda: self.woken.append(waiter) or True
        return waiter

    def take(self) -> None:
        token = self.pool.take()
        if token is not None:
            self.held.append(token)

    def put(self) -> None:
        token = self.held.pop()
        assert token is not None
        self.pool.put(token)

    def leave(self) -> None:
        waiter = next((each for each in self.waiters if each not in self.left), self.waiters[0])
        self.left.append(waiter)
        self.pool.leave(waiter)

    def drain(self) -> None:
        """End every call, those of the waiters as well as they are served."""
        while self.held or any(waiter.token for waiter in self.waiters):
            for waiter in self.waiters:
                if waiter.token is not None:
                    self.held.append(waiter.token)
                    waiter.token = None
                    self.left.append(waiter)
            self.put()


STEPS: dict[str, Callable[[Scene], object]] = {
    "assign": lambda scene: scene.pool.assign(),
    "take": Scene.take,
    "put": Scene.put,
    "leave": Scene.leave,
    "reclaim": lambda scene: scene.pool.reclaim(),
}
ids = STEPS.keys()


def lines(step: Callable[[], object], before: Callable[[int], None]) -> int:
    """Run a step, calling `before(n)` in front of its nth line; return how many."""
    count = 0

    def enter(frame: FrameType, _event: str, _arg: object) -> Any:
        code = frame.f_code
        return within if code.co_filename in FILES and code.co_name != "__del__" else None

    def within(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            before(count)
        return within

    outside = sys.gettrace()
    sys.settrace(enter)
    try:
        step()
    finally:
        sys.settrace(outside)
    return count


def room(pool: Pool) -> int:
    """How many calls get a slot now, the way calls do."""
    tokens: list[Token] = []
    while (token := pool.slots.grab() or pool.take()) is not None:
        tokens.append(token)
    return len(tokens)


@pytest.mark.promise("D2", "D4", "I10")
@pytest.mark.parametrize("waiting", [0, 1, 4])
@pytest.mark.parametrize("inner", STEPS.values(), ids=ids)
@pytest.mark.parametrize("step", STEPS.values(), ids=ids)
def test_a_step_may_run_inside_another(
    step: Callable[[Scene], object], inner: Callable[[Scene], object], waiting: int
) -> None:
    """
    Wherever a handler's own step falls, nothing is raised, no slot is lost and nobody is forgotten.

    Whoever waits still does so for a slot that is taken; once all calls have ended, all are there.
    """
    for at in range(1, lines(lambda: step(Scene(waiting)), lambda _: None) + 1):
        scene = Scene(waiting)

        def nest(number: int, at: int = at, scene: Scene = scene) -> None:
            if number == at:
                inner(scene)

        lines(lambda scene=scene: step(scene), nest)  # type: ignore[misc]
        pool = scene.pool
        check_slots(pool.slots)
        waits = list(pool.slots.waiters)
        assert not waits or pool.slots.in_flight >= CAPACITY, at
        for waiter in scene.waiters:
            if waiter in scene.left:
                assert (waiter.token, waiter in waits) == (None, False), at
            else:
                assert (waiter.token is None) == (waiter in waits), at
                assert (waiter in scene.woken) == (waiter not in waits), at
        scene.drain()
        pool.reclaim()
        assert set(scene.left) == set(scene.waiters), at
        assert (len(pool.slots.waiters), pool.slots.in_flight) == (0, 0), at
        assert room(pool) == CAPACITY, at
