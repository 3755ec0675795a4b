"""The comparison in the README, asked of the libraries themselves."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import circuitbreaker
import interlock
import interlock.pipeline
import nopanic
import pybreaker
import pyresilience
import pytest

import resilience
from benchmarks.rivals import RIVALS
from tests.support.probes import LIBRARIES, PROBES, Library, limits_trials, runs_calls_side_by_side

# Rivals may use what newer Pythons warn of, and leave threads to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

MODULES: dict[str, Any] = {
    "resilience": resilience,
    "interlock-cb": interlock,
    "nopanic": nopanic,
    "pyresilience": pyresilience,
    "pybreaker": pybreaker,
    "circuitbreaker": circuitbreaker,
}


def _names(library: str) -> str:
    """Every name of a library, and of its classes, as one text."""
    module = MODULES[library]
    kinds = [getattr(module, name, None) for name in ("CircuitBreaker", "PipelineBuilder", "State")]
    return " ".join([*dir(module), *(name for kind in kinds for name in dir(kind))]).lower()


NAMES = {
    "bulkhead, timeout and fallback as well": ("bulkhead", "timeout|deadline", "fallback"),
    "shadow mode": ("shadow|metrics_only",),
    "retries": (r"\bretry(config)?\b",),
    "rate limits": ("rate_?limit",),
    "hedging": ("hedge",),
    "one circuit for several processes (Redis)": ("redis|sharedstate",),
}
"""What a library that has it speaks of: each of these is somewhere among its names."""


def rows() -> dict[str, dict[str, str]]:
    """The table: what each row says of each library."""
    table = README.partition("## Beside others")[2].partition("\n\nA guarded call")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    head, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    libraries = [cell.partition(" ")[0] for cell in head[1:]]
    return {row[0]: dict(zip(libraries, row[1:], strict=True)) for row in body}


@cache
def asked(question: str, library: Library) -> str:
    """What a library itself has to say to a question."""
    if question == "every part on trio":
        timed = {each.name: each.guards.get("timed", (None, set())) for each in RIVALS}
        return _word(library.name == "resilience" or "trio" in timed[library.name][1])
    if question in NAMES:
        names = _names(library.name)
        return _word(all(re.search(pattern, names) for pattern in NAMES[question]))
    if _does_not_arise(question, library):
        return "–"
    return _word(PROBES[question](library))


def _does_not_arise(question: str, library: Library) -> bool:
    if "left behind" in question:
        return library.timed is None
    if "hangs" in question:  # everybody passes while it hangs
        return not limits_trials(library)
    if "late result" in question or "cancelled" in question:
        return library.name == "pybreaker" and not runs_calls_side_by_side(library)
    return False


def _word(answer: object) -> str:
    return "yes" if answer else "no"


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@pytest.mark.parametrize("question", rows())
def test_a_cell_of_the_comparison_is_true(question: str, library: Library) -> None:
    """
    What the README says of a library, its own included, is what the library does.
    """
    assert rows()[question][library.name] == asked(question, library)


def test_every_probe_has_its_row() -> None:
    """
    No question is left out for its answers.
    """
    assert set(PROBES) <= set(rows())
