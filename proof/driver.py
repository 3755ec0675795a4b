"""
A plain loop over random bytes that plays a circuit beside its model, as fast as it can.

    python -m proof driver --steps 1e8 --seed 1

Each episode has rules, a clock and a seed of its own; what fails is played again by that seed.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from random import Random
from typing import Any

from tests.support.beside import TABLE, Beside

LENGTH = 1000
"""Events of one episode."""
EACH = 32
"""After so many events everything is compared; after each one, what anybody can see."""

Hits = Counter[tuple[str, str]]


def run(steps: int = 10**8, seed: int = 1, processes: int = os.cpu_count() or 1) -> dict[str, Any]:
    """Play so many events, in episodes."""
    episodes = -(-steps // LENGTH)
    batches = [range(first, min(first + 500, episodes)) for first in range(0, episodes, 500)]
    hits: Hits = Counter()
    moves = 0
    with ProcessPoolExecutor(processes) as pool:
        for hit, moved in pool.map(play, batches, repeat(seed)):
            hits += hit
            moves += moved
    return {
        "events": episodes * LENGTH,
        "changes of state": moves,
        "cells of state × event": len(hits),
        "hits of the rarest cell": min(hits.values()),
        "divergences": 0,
    }


def play(episodes: range, seed: int) -> tuple[Hits, int]:
    """Play some episodes; return what met what, and how often the state changed."""
    hits: Hits = Counter()
    moves = 0
    for number in episodes:
        name = f"{seed}/{number}"
        try:
            moves += episode(name, hits)
        except Exception as error:
            raise AssertionError(f"episode {name!r} diverges") from error
    return hits, moves


def episode(name: str, hits: Hits) -> int:
    """Play the episode of this name; return how often the state changed."""
    draw = Random(name)
    beside = Beside(draw.getrandbits(16), hits)
    compare = beside.compare
    arguments = array("H", draw.randbytes(2 * LENGTH))
    for number, (code, argument) in enumerate(zip(draw.randbytes(LENGTH), arguments, strict=True)):
        TABLE[code](beside, argument)
        compare()
        if not number % EACH:
            beside.compare_all()
    beside.compare_all()
    return beside.moves
