"""Write what is known of reliability into the page that shows it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from docs.marked import Part
from proof import results
from proof.parts import PARTS
from proof.promises import PAGE as PROMISES
from proof.promises import ROOT, Promise, promises, proved

PAGE = ROOT / "docs" / "explanation" / "reliability.md"


def write() -> None:
    """Rewrite the page."""
    text = page(PAGE.read_text(encoding="utf-8"), results.read(), proved())
    PAGE.write_text(text, encoding="utf-8")


def page(text: str, kept: Mapping[str, Any], tests: Mapping[str, list[str]]) -> str:
    """Return the text of the page with the figures and the tests of now in it."""
    listed = promises(PROMISES.read_text(encoding="utf-8"))
    text = _between(text, "figures", figures(kept))
    return _between(text, "promises", ledger(listed, tests))


def figures(kept: Mapping[str, Any]) -> Iterator[str]:
    """Say for each part what is played, and what came of it when it last was."""
    for name, part in PARTS.items():
        yield f"### {part.what}\n"
        yield f"`make test`: {part.small}. `make proof PART={name}`: {part.full}.\n"
        result = kept.get(name)
        if result is None:
            yield "Not played yet.\n"
            continue
        if result["broken"] is not None:
            yield f"**Broken**: {result['broken']}\n"
        table = result["figures"].get("table")
        if table is not None:
            yield from rows(table)
        found = "; ".join(f"{what}: {_shown(figure)}" for what, figure in numbers(result))
        where = f"{result['date']}, {result['python']}, {result['machine']}"
        took = f"{result['seconds']:,.0f} s"
        yield f"{found + '. ' if found else ''}(`{result['command']}`, {took}, {where})\n"


def numbers(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the figures that are no table."""
    return [(what, figure) for what, figure in result["figures"].items() if what != "table"]


def rows(table: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Write a table: a row for each name."""
    columns = list(next(iter(table.values())))
    yield f"| | {' | '.join(columns)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for name, cells in table.items():
        yield f"| {name} | {' | '.join(cells[column] for column in columns)} |"
    yield ""


def _shown(figure: Any) -> str:
    if isinstance(figure, bool) or not isinstance(figure, int | float):
        return str(figure)
    return f"{figure:,}"


def ledger(listed: list[Promise], tests: Mapping[str, list[str]]) -> Iterator[str]:
    """Say for each promise by which tests it is proved, or why it is not."""
    for group, members in itertools.groupby(listed, key=lambda promise: promise.group):
        yield f"### {group}\n"
        for promise in members:
            yield f"- **{promise.id}** {_short(promise.text)}"
            if promise.reason is not None:
                yield f"  - *not yet: {promise.reason}*"
            for test in tests.get(promise.id, ()):
                path, _, name = test.removeprefix("tests/").partition("::")
                yield f"  - `{path}` {name.removeprefix('test_').replace('_', ' ')}"
        yield ""


def _short(text: str) -> str:
    """Return the first sentence of a statement, or what fits on a line of it."""
    first = text.split(". ", maxsplit=1)[0].split("; ", maxsplit=1)[0].rstrip(".")
    return first if len(first) <= 160 else first[:160].rpartition(" ")[0] + " …"


def _between(text: str, name: str, lines: Iterator[str]) -> str:
    body = "\n".join(lines).strip()
    return Part(PAGE, name, lambda: f"\n{body}\n").renew(text)
