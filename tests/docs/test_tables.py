from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import tables
from docs.marked import Part
from resilience.prometheus import CATALOGUE
from resilience.settings import FIELDS

TEMPLATE = [
    "About",
    "Usage",
    "Settings",
    "Errors",
    "Events and metrics",
    "Diagram",
    "Pitfalls",
    "API",
]


@pytest.mark.parametrize("part", tables.PARTS, ids=lambda part: f"{part.path.stem} {part.name}")
def test_a_table_shows_the_code_as_it_is(part: Part) -> None:
    """
    The tables of settings and metrics are those that the script makes of the code.
    """
    assert part.is_current(), "mend it with: python -m docs.tables"


def test_each_setting_and_each_metric_has_its_row() -> None:
    """
    The whole tables have one row for each setting and each metric, and say something of each.
    """
    for table, names in (
        (tables.settings(tables.ALL), list(FIELDS)),
        (tables.metrics([""]), [family.name for family in CATALOGUE]),
    ):
        rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
        assert [row[0].strip("`") for row in rows] == names
        assert all(len(row) == 4 and all(row) for row in rows)


@pytest.mark.parametrize("page", sorted(tables.PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_of_the_reference_follows_the_template(page: Path) -> None:
    """
    Each concept is told in the same order: whoever has read one page finds their way in all.
    """
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == TEMPLATE
