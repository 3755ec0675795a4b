from __future__ import annotations

from xml.etree import ElementTree as ET

from docs import diagram
from resilience import State
from resilience._core.transitions import TRANSITIONS

SVG = "{http://www.w3.org/2000/svg}"


def test_the_page_shows_the_machine_as_it_is() -> None:
    """
    The table of the page and its picture are those that the script draws of the transitions.
    """
    assert diagram.PART.is_current(), "mend it with: python -m docs.diagram"
    drawn = diagram.PICTURE.read_text(encoding="utf-8")
    assert drawn == diagram.picture(), "mend it with: python -m docs.diagram"


def test_the_picture_has_each_transition_once() -> None:
    """
    Each state has a box, and each row of the table an arrow with its words.
    """
    picture = ET.fromstring(diagram.picture())
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert sorted(words) == sorted([*State, *(event for _, event in TRANSITIONS)])
    heads = [path for path in picture.iter(f"{SVG}path") if path.get("class") == "head"]
    assert len(heads) == len(TRANSITIONS)
