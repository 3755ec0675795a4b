"""
Draw the state diagram of the circuit from its table, into the page that explains it.

    python -m docs.diagram
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

from pathlib import Path

from docs.marked import Part
from resilience import State
from resilience._core.circuit import TRANSITIONS

PAGE = Path(__file__).parent / "explanation" / "state-machine.md"


def draw() -> str:
    """Return the diagram, as Mermaid."""
    edges = [f"{old} --> {new}: {event}" for (old, event), new in TRANSITIONS.items()]
    lines = ["stateDiagram-v2", *(f"    {line}" for line in (f"[*] --> {State.CLOSED}", *edges))]
    return "\n".join(["```mermaid", *lines, "```"])


PART = Part(PAGE, "diagram", draw)

if __name__ == "__main__":
    PART.rewrite()
