"""
Draw the circuit as its table of transitions has it: a picture, and the table on the page about it.

    python -m docs.diagram
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs.marked import Part
from resilience import State
from resilience._core.transitions import TRANSITIONS

PAGE = Path(__file__).parent / "explanation" / "state-machine.md"
PICTURE = Path(__file__).parent / "images" / "states.svg"

PLACES: Final = {State.CLOSED: 110, State.HALF_OPEN: 430, State.OPEN: 750}
"""Where the middle of each state is; all are on one line."""

LINE: Final = 215
BOX: Final = (64, 24)
"""Half the width and half the height of a state."""

DEPTHS: Final = (48, 94, 168)
"""How far an arrow keeps off the states: between neighbours, a second one, and past a state."""

STYLE: Final = """
    text { font: 14px system-ui, sans-serif; text-anchor: middle; fill: #24292f }
    .state { font-weight: 600; font-size: 16px }
    rect { fill: #ddf4ff; stroke: #0969da; stroke-width: 2 }
    path { fill: none; stroke: #57606a; stroke-width: 1.6 }
    .head { fill: #57606a; stroke: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      rect { fill: #12304f; stroke: #58a6ff }
      path { stroke: #8b949e }
      .head { fill: #8b949e }
    }
"""


def picture() -> str:
    """Return the diagram, as SVG."""
    return "\n".join(_svg()) + "\n"


def _svg() -> Iterator[str]:
    told = "; ".join(f"{old} to {new}: {event}" for (old, event), new in TRANSITIONS.items())
    yield '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 435" role="img">'
    yield f"  <title>{told}</title>"
    yield f"  <style>{STYLE}  </style>"
    wide, high = BOX
    for state, x in PLACES.items():
        yield f'  <rect x="{x - wide}" y="{LINE - high}" width="{2 * wide}" height="{2 * high}"'
        yield '    rx="10"/>'
        yield f'  <text class="state" x="{x}" y="{LINE + 5}">{state}</text>'
    seen: Counter[tuple[State, State]] = Counter()
    for (old, event), new in TRANSITIONS.items():
        yield from _arrow(old, new, event, seen[old, new])
        seen[old, new] += 1
    yield "</svg>"


def _arrow(old: State, new: State, event: str, before: int) -> Iterator[str]:
    """Yield an arrow: to the right above the states, to the left below them."""
    start, end = PLACES[old], PLACES[new]
    past = State.HALF_OPEN not in (old, new)
    depth = DEPTHS[2] if past else DEPTHS[before]
    # Outer arrows hold on to the outer parts of the states, so that none crosses another.
    inset = -24 if past else 44 - 30 * before
    up = -1 if end > start else 1
    a, b = start - up * inset, end + up * inset
    y = LINE + up * BOX[1]
    pull = y + up * depth / 0.75
    yield f'  <path d="M{a},{y} C{a},{pull:g} {b},{pull:g} {b},{y + up * 8}"/>'
    yield f'  <path class="head" d="M{b - 5},{y + up * 10} h10 L{b},{y} z"/>'
    label = y + up * depth + (-7 if up < 0 else 17)
    yield f'  <text x="{(start + end) / 2:g}" y="{label:g}">{event}</text>'


def table() -> str:
    """Return the transitions, as a table in Markdown."""
    rows = [f"| `{old}` | `{new}` | {event} |" for (old, event), new in TRANSITIONS.items()]
    return "\n".join(["| from | to | when |", "|---|---|---|", *rows])


PART = Part(PAGE, "diagram", table)

if __name__ == "__main__":
    PART.rewrite()
    PICTURE.write_text(picture(), encoding="utf-8")
