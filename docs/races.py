"""
Play the races of deadline and caller, and write how they end into the page that explains it.

    python -m docs.races
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

from pathlib import Path

from docs.marked import Part
from tests.support.race import PAUSE, By, Does, End, Race, When
from tests.support.runtime import AsyncioRuntime, AsyncRuntime, TrioRuntime
from tests.support.track import Track

PAGE = Path(__file__).parent / "explanation" / "cancellation.md"

COLUMNS = {
    "asyncio, `task.cancel()`": (AsyncioRuntime, By.TASK),
    "asyncio, anyio scope": (AsyncioRuntime, By.SCOPE),
    "trio": (TrioRuntime, By.SCOPE),
}
WHEN = {
    When.BEFORE: "one tick before",
    When.FIRST: "in its tick, before it",
    When.SECOND: "in its tick, after it",
    When.AFTER: "one tick after",
    When.NEVER: "never",
}
BLOCKS = {
    Does.WAITS: "The block awaits something",
    Does.CLEANS_UP: f"When it is cancelled, the block cleans up, and awaits that for {PAUSE} ticks",
    Does.CLEANS_UP_SHIELDED: "The same, with the clean-up in a shield",
    Does.SHIELDED: f"The block waits in a shield until tick {PAUSE}, and awaits something after it",
    Does.SHIELDED_TO_THE_END: f"The block waits in a shield until tick {PAUSE}, and then returns",
}


def tell(end: End) -> str:
    """Say who won, when the block was left, and whether it was cancelled more than once."""
    winner = {"cancelled": "**caller**", "deadline": "deadline", "value": "value"}[end.left]
    tick = str(end.tick).replace("-", "\N{MINUS SIGN}")
    return f"{winner} at {tick}{', twice' if end.seen > 1 else ''}"


def column(kind: type[AsyncRuntime], by: By) -> dict[tuple[Does, When], str]:
    """Play the races of one column."""
    runtime = kind()
    track = Track(runtime)
    ends = {(does, when): tell(track.play(Race(when, by, does))) for does in Does for when in When}
    runtime.close()
    return ends


def draw() -> str:
    """Return the tables, as Markdown."""
    columns = [column(kind, by) for kind, by in COLUMNS.values()]
    lines: list[str] = []
    for does, text in BLOCKS.items():
        lines += ["", f"{text}:", ""]
        lines += [_row("the caller cancels", *COLUMNS), _row(*["---"] * (1 + len(COLUMNS)))]
        lines += [_row(WHEN[when], *(cells[does, when] for cells in columns)) for when in When]
    return "\n".join([*lines, ""])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


PART = Part(PAGE, "races", draw)

if __name__ == "__main__":
    PART.rewrite()
