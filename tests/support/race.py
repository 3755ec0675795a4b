"""
A race: the caller cancels a block, and the block's own deadline cuts it off.

A `Race` is one cell of the matrix, an `End` how it ended; a `Track` (track.py) has it run.
Time is counted in ticks of a millisecond, and the deadline that comes first ends at tick 0.
"""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

import anyio

TICK = 0.001
LENGTH = 20
"""Ticks that the shorter deadline lasts; a longer one lasts twice as long."""
PAUSE = 3
"""Ticks that a clean-up takes, and that a shield goes on after tick 0."""
HAIR = 0.001
"""A part of a tick: what is so close together, the runtime finds due at once."""


class When(enum.Enum):
    """When the caller cancels, in ticks."""

    BEFORE = -1.0
    FIRST = -HAIR
    SECOND = HAIR
    AFTER = 1.0
    NEVER = math.inf

    @property
    def same_tick(self) -> bool:
        return self in {When.FIRST, When.SECOND}


class By(enum.Enum):
    """What the caller cancels with; a scope of anyio's is one of trio's in trio."""

    TASK = "task.cancel()"
    SCOPE = "an anyio scope"


class Does(enum.Enum):
    """What the guarded block does."""

    WAITS = "waits"
    CLEANS_UP = "cleans up"
    CLEANS_UP_SHIELDED = "cleans up in a shield"
    SHIELDED = "waits in a shield"
    SHIELDED_TO_THE_END = "waits in a shield to its end"


class Nest(enum.Enum):
    """The limits around the block, the outermost first: how many times `LENGTH` each lasts."""

    ALONE = "one deadline", (1,)
    LONGER_INSIDE = "a longer deadline inside", (1, 2)
    SHORTER_INSIDE = "a shorter deadline inside", (2, 1)
    EQUAL_INSIDE = "an equal deadline inside", (1, 1)
    COMMAND_FIRST = "a command inside, its timeout shorter", (2, 1)
    CALLER_FIRST = "a command inside, its timeout longer", (1, 2)

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.value[1]

    @property
    def has_command(self) -> bool:
        return self in {Nest.COMMAND_FIRST, Nest.CALLER_FIRST}


class Race(NamedTuple):
    """One cell of the matrix, but for the runtime."""

    when: When
    by: By
    does: Does
    nest: Nest = Nest.ALONE


class End(NamedTuple):
    """How a race ended."""

    left: str
    """What left the block: `cancelled`, `deadline` or `value`."""
    whose: int | None
    """Whose deadline it was: the number of the limit, from outside."""
    tick: int
    """When the block was left."""
    seen: int
    """How many cancellations the block saw."""
    same: bool
    """Whether the last of these is what left, or the cause of what left."""
    cancelling: int
    """What `task.cancelling()` said then; 1 for more, as anyio cancels again and again."""
    later: bool
    """Whether the cancellation struck later, at the next `await`."""


class Block:
    """What is guarded, and the cancellations that it saw."""

    def __init__(self) -> None:
        self.seen: list[BaseException] = []

    async def run(self, does: Does) -> str:
        if does in {Does.WAITS, Does.CLEANS_UP, Does.CLEANS_UP_SHIELDED}:
            try:
                await self._wait(100 * LENGTH)
            finally:
                if does is not Does.WAITS:
                    with anyio.CancelScope(shield=does is Does.CLEANS_UP_SHIELDED):
                        await self._wait(PAUSE)
        else:
            with anyio.CancelScope(shield=True):
                await self._wait(LENGTH + PAUSE)
            if does is Does.SHIELDED:
                await self._wait(0)
        return "value"

    async def _wait(self, ticks: float) -> None:
        try:
            await anyio.sleep(ticks * TICK)
        except anyio.get_cancelled_exc_class() as cancellation:
            self.seen.append(cancellation)
            raise
