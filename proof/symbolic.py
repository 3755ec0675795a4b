"""
The laws of the arithmetic, with numbers that a solver looks for instead of chance.

    python -m proof symbolic
    python -m proof symbolic --examples 10

The property tests of windows, tallies, rules, units and headers are run once more, with CrossHair
in the place of Hypothesis's own generator: it follows the code with numbers that are not known yet,
and asks Z3 for some that take another branch, or break the law.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

LAWS = (
    "tests/core/test_window.py",
    "tests/core/test_tally.py",
    "tests/core/test_circuit.py",
    "tests/test_units.py",
    "tests/test_budget_header.py",
)
OPTIONS = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--timeout=1800"),
    "--assert=plain",  # Hypothesis has been imported already, and pytest would complain
)


class Symbolic:
    """A plugin of pytest that runs property tests alone, by CrossHair."""

    def __init__(self, examples: int) -> None:
        self.examples = examples
        self.held: list[str] = []
        self.broken: list[str] = []

    def pytest_configure(self) -> None:
        """Take CrossHair for every property, however slow it is."""
        settings.register_profile(
            "symbolic",
            backend="crosshair",
            max_examples=self.examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("symbolic")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what is no property test."""
        items[:] = [
            item
            for item in items
            if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep which law held and which did not."""
        if report.failed:
            self.broken.append(report.nodeid)
        elif report.when == "call" and report.passed:
            self.held.append(report.nodeid)


def run(examples: int = 60) -> dict[str, Any]:
    """
    Look for numbers that break a law.

    Args:
        examples: How many of them for each law.
    """
    plugin = Symbolic(examples)
    pytest.main([*OPTIONS, *LAWS], plugins=[plugin])
    assert not plugin.broken, plugin.broken
    return {"laws": len(plugin.held), "examples of each": examples, "laws broken": 0}
