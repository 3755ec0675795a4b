from __future__ import annotations

from docs import diagram
from resilience import State
from resilience._core.circuit import TRANSITIONS


def test_the_page_shows_the_machine_as_it_is() -> None:
    """
    The diagram of the page is the one that its script draws from the table of transitions.
    """
    assert diagram.PART.is_current(), "mend it with: python -m docs.diagram"


def test_the_diagram_has_each_transition_once() -> None:
    """
    One arrow leads into the first state, and one stands for each row of the table.
    """
    arrows = [line.strip() for line in diagram.draw().splitlines() if "-->" in line]
    assert arrows[0] == "[*] --> closed"
    assert len(set(arrows)) == len(arrows) == 1 + len(TRANSITIONS)
    assert all(any(state in arrow for arrow in arrows) for state in State)
