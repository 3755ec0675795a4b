"""
Mistakes of every common kind, planted one by one: does some test notice?

    python -m proof mutation                     the whole package, or what there is time for
    python -m proof mutation --only _core        the modules whose paths begin so
    python -m proof mutation --again 1           those nobody noticed and no reason is given for
    python -m proof mutation --again 2           all that nobody noticed last time
    python -m proof mutation --tests tests/core  noticed by these, not by all that run the line
    python -m proof mutation --share 10          one of ten, drawn by chance
    python -m proof mutation --changed 1         only lines that differ from the last commit

The tests are imported once. For each mistake the process forks; the child puts the wrong code into
the functions that have it, and runs the tests that run its lines, those of each file in turn, the
quickest first. What is noticed by none of them and runs at import alone is looked for once more by
a process that imports the package with the mistake in it.

What has been found of each module is kept in `mutation.json` beside the text it was found for: a
part that is broken off goes on where it was. `survivors/` says of the mistakes that no test notices
why none can.
"""

from __future__ import annotations

import sys
import time
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proof import covering
from proof.changed import changed_lines
from proof.choice import AllTests, Tests
from proof.ledger import Ledger
from proof.mistakes import SOURCE, Mistake, mistakes
from proof.planted import Planted
from proof.playing import Playing, compile_

OF_CORE = ("tests/core", "--ignore=tests/core/test_circuit_model.py", "tests/test_breaker.py")
"""The tests for lines of `_core` that have just been changed."""
SURVIVORS = Path(__file__).parent / "survivors"


def run(
    seconds: float = 3000.0,
    changed: int = 0,
    again: int = 0,
    only: str = "",
    tests: str = "",
    share: int = 1,
    seed: int = 1,
) -> dict[str, Any]:
    """
    Make mistakes until it is over, or all are made.

    Args:
        seconds: How long.
        changed: Whether only in lines that differ from the last commit.
        again: Whether only those that were not noticed: 1, without those that have a reason.
        only: How the path of a module begins.
        tests: The files that may notice it; those that run the wrong line, if none are named.
        share: One of so many of them, drawn by chance.
        seed: Of the chance.
    """
    over = time.monotonic() + seconds
    if changed:
        return in_changed_lines(over)
    ledger = Ledger()
    paths = [path for path in sorted(SOURCE.rglob("*.py")) if ledger.name(path).startswith(only)]
    every = [mistake for path in paths for mistake in mistakes(path)]
    known = reasons() if again == 1 else {}
    asked = [each for each in every if ledger.asks(each, bool(again)) and each.name not in known]
    asked = Random(seed).sample(asked, len(asked) // share)
    if asked:
        if not tests:
            covering.bring_up_to_date()
        playing = Playing(asked, over, ledger.note, AllTests if tests else Tests)
        chosen = tests.split() or ["tests"]
        try:
            pytest.main([*covering.OPTIONS, "-s", *chosen], plugins=[playing])
        finally:
            ledger.keep(paths)
    return ledger.figures(reasons())


def in_changed_lines(over: float) -> dict[str, Any]:
    """Make mistakes in the lines of `_core` that differ, and run the tests of `_core` for each."""
    lines = changed_lines()
    every = [each for path in sorted(SOURCE.glob("_core/*.py")) for each in mistakes(path)]
    asked = [each for each in every if each.lines & lines.get(each.path, set())]
    noticed: dict[str, bool] = {}

    def note(mistake: Mistake, verdict: bool) -> None:
        noticed[mistake.name] = verdict

    if asked:
        options = [*covering.OPTIONS, "-s", *OF_CORE]
        pytest.main(options, plugins=[Playing(asked, over, note, AllTests)])
    without = [name for name, found in noticed.items() if not found and name not in reasons()]
    return {"made": len(noticed), "survivors without": len(without), "without": without}


def reasons() -> dict[str, str]:
    """Return why nobody can notice some mistakes, by their names."""
    return {
        name: each["reason"]
        for path in sorted(SURVIVORS.glob("*.toml"))
        for each in tomllib.loads(path.read_text(encoding="utf-8"))["survivors"]
        for name in each["names"]
    }


def afresh(name: str, names: list[str]) -> None:
    """In a process of its own: import the package with a mistake, and run some tests."""
    path = SOURCE / name.partition(" ")[0]
    mistake = next(each for each in mistakes(path) if each.name == name)
    sys.meta_path.insert(0, Planted(path, compile_(mistake)))
    sys.exit(pytest.main([*covering.OPTIONS, "-x", *names]))
