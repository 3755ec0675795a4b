"""
Let every client meet every fault, print how that ends, and write it into the page about clients.

    python -m docs.faults
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

import sys
from pathlib import Path

from docs.marked import Part
from tests.support.faulty import faulty
from tests.support.matrix import FAULTS, meet, tell
from tests.support.web import KINDS

PAGE = Path(__file__).parent / "how-to" / "http-clients.md"


def draw() -> str:
    """Return the table, as Markdown."""
    with faulty() as server:
        rows = [[tell(meet(kind, fault, server)) for kind in KINDS.values()] for fault in FAULTS]
    return table(rows)


def table(rows: list[list[str]]) -> str:
    """Return a table of how each fault ends, by client."""
    lines = [_row("the server …", *KINDS), _row(*["---"] * (1 + len(KINDS)))]
    lines += [_row(fault.title, *row) for fault, row in zip(FAULTS, rows, strict=True)]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def drawn(text: str) -> str:
    """Return the table that stands in the text of the page."""
    return text.partition(PART.begin)[2].partition(PART.end)[0].strip()


def main() -> None:
    """Print the table, and rewrite the page."""
    PART.rewrite()
    sys.stdout.write(f"{drawn(PAGE.read_text(encoding='utf-8'))}\n")


PART = Part(PAGE, "faults", draw)

if __name__ == "__main__":
    main()
