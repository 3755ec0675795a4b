"""
Draw the state diagram of the circuit from its table, into the page that explains it.

    python docs/diagram.py
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

from pathlib import Path

from resilience import State
from resilience._core.transitions import TRANSITIONS

PAGE = Path(__file__).parent / "explanation" / "state-machine.md"
BEGIN = "<!-- diagram: begin -->"
END = "<!-- diagram: end -->"


def draw() -> str:
    """Return the diagram, as Mermaid."""
    edges = [f"{old} --> {new}: {event}" for (old, event), new in TRANSITIONS.items()]
    lines = ["stateDiagram-v2", *(f"    {line}" for line in (f"[*] --> {State.CLOSED}", *edges))]
    return "\n".join(["```mermaid", *lines, "```"])


def page(text: str) -> str:
    """Return the text of the page with the diagram of now in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{draw()}\n{END}{after}"


def main() -> None:
    """Rewrite the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page(text), encoding="utf-8")


if __name__ == "__main__":
    main()
