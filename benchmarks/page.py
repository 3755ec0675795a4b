"""The page that shows the result: its tables are written from results.json, between two markers."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.library import OURS
from benchmarks.paths import TITLES
from benchmarks.report import HEADS, amount, cells, judgements, whereabouts
from benchmarks.rivals import RIVALS
from docs.marked import Part

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "cost.md"

Result = dict[str, Any]


def part(result: Result) -> Part:
    """Return the part of the page that shows these figures."""
    return Part(PAGE, "figures", lambda: figures(result))


def figures(result: Result) -> str:
    """Return the figures in Markdown."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    measured, versions = whereabouts(result)
    yield f"{measured} {versions}."
    yield ""
    yield "### What is to be reached"
    yield ""
    yield from _table(HEADS, (cells(row, limit) for row, limit in judgements(result)))
    for kind, title in TITLES.items():
        yield ""
        yield f"### {title[0].upper()}{title[1:]}"
        yield ""
        yield from _costs(kind, result)
    yield ""
    yield "### Who is missing, and why"
    yield ""
    yield from (f"- {library.name} {library.lacks}." for library in RIVALS if library.lacks)


def _costs(kind: str, result: Result) -> Iterator[str]:
    """Yield a table of what a call costs in each library, by path and runtime."""
    rows = [row for row in result["rows"] if row["key"].startswith(f"{kind} ")]
    order = [library.name for library in (OURS, *RIVALS)]
    names = [name for name in order if any(name in row["figures"] for row in rows)]
    floors = (name for row in rows for name in row["figures"] if name not in order)
    names += dict.fromkeys(floors)
    yield from _table(("path", *names), (_costs_of(row, kind, names) for row in rows))


def _costs_of(row: Result, kind: str, names: list[str]) -> Iterator[str]:
    yield row["title"].removeprefix(f"{TITLES[kind]}, ")
    for name in names:
        figure = row["figures"].get(name)
        yield "–" if figure is None else amount(figure["median"], row["unit"])


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = tuple(heads)
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
