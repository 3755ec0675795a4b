from __future__ import annotations

from docs import diagram
from resilience import State
from resilience._core.transitions import TRANSITIONS


def test_the_page_shows_the_machine_as_it_is() -> None:
    """
    The diagram of the page is the one that its script draws from the table of transitions.
    """
    text = diagram.PAGE.read_text(encoding="utf-8")
    assert text.count(diagram.BEGIN) == text.count(diagram.END) == 1
    assert text == diagram.page(text), "mend it with: python docs/diagram.py"


def test_the_diagram_has_each_transition_once() -> None:
    """
    One arrow leads into the first state, and one stands for each row of the table.
    """
    arrows = [line.strip() for line in diagram.draw().splitlines() if "-->" in line]
    assert arrows[0] == "[*] --> closed"
    assert len(set(arrows)) == len(arrows) == 1 + len(TRANSITIONS)
    assert all(any(state in arrow for arrow in arrows) for state in State)


def test_another_diagram_takes_the_place_of_the_old_one_alone() -> None:
    """
    What stands around the markers stays as it is.
    """
    text = f"# Title\n\n{diagram.BEGIN}\nold\n{diagram.END}\n\nThe end.\n"
    expected = f"# Title\n\n{diagram.BEGIN}\n{diagram.draw()}\n{diagram.END}\n\nThe end.\n"
    assert diagram.page(text) == expected
