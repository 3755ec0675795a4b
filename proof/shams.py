"""
Nothing planted, where a mistake could be: no test may fail only because it is played in a fork.

    python -m proof shams
    python -m proof shams --share 200    at fewer places

What `mutation` counts as noticed is worth something as long as nothing is noticed here.
"""

from __future__ import annotations

import ast
import math
from random import Random
from typing import Any

import pytest

from proof import covering
from proof.choice import Tests
from proof.mistakes import SOURCE, Mistake, mistakes, parsed
from proof.playing import Playing


class Sham(Mistake):
    """A mistake that is none."""

    __slots__ = ()

    def tree(self) -> ast.Module:
        """Return the module as it is."""
        return parsed(self.path)[0]


class InForks(Tests):
    """The tests of each line, in forks alone: a process of its own would plant the mistake."""

    def that_run(self, mistake: Mistake) -> tuple[list[pytest.Item], bool]:
        """Return the tests for a mistake."""
        return super().that_run(mistake)[0], False


def run(share: int = 40, seed: int = 1) -> dict[str, Any]:
    """
    Run the tests of places drawn by chance, with nothing wrong there.

    Args:
        share: One of so many places where a mistake can be made.
        seed: Of the chance.
    """
    covering.bring_up_to_date()
    every = [each for path in sorted(SOURCE.rglob("*.py")) for each in mistakes(path)]
    shams = [Sham(*each) for each in Random(seed).sample(every, len(every) // share)]
    verdicts: dict[str, bool] = {}

    def note(mistake: Mistake, noticed: bool) -> None:
        verdicts[mistake.name] = noticed

    playing = Playing(shams, math.inf, note, InForks)
    pytest.main([*covering.OPTIONS, "-s", "tests"], plugins=[playing])
    noticed = [name for name, verdict in verdicts.items() if verdict]
    assert not noticed, f"{len(noticed)} of {len(verdicts)} were noticed: {noticed}"
    assert len(verdicts) == len(shams), f"only {len(verdicts)} of {len(shams)} were played"
    return {"played": len(verdicts), "noticed": len(noticed)}
