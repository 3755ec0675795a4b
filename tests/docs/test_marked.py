from __future__ import annotations

from pathlib import Path

import pytest

from docs.marked import Part


def part(path: Path) -> Part:
    """A part of one word."""
    return Part(path, "word", lambda: "new")


def test_another_text_takes_the_place_of_the_old_one_alone(tmp_path: Path) -> None:
    """
    What stands around the markers stays as it is.
    """
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- word: begin -->\nold\n<!-- word: end -->\n\nThe end.\n")
    assert not part(page).is_current()
    part(page).rewrite()
    assert part(page).is_current()
    expected = "# Title\n\n<!-- word: begin -->\nnew\n<!-- word: end -->\n\nThe end.\n"
    assert page.read_text() == expected


@pytest.mark.parametrize(
    "text",
    [
        "no marker at all",
        "<!-- word: begin --> without an end",
        "<!-- word: end --> before <!-- word: begin -->",
        "<!-- word: begin --> <!-- word: end --> <!-- word: begin --> <!-- word: end -->",
    ],
)
def test_a_page_with_other_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    """
    A page that has not each marker once, in order, is not rewritten but complained of.
    """
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md must have"):
        part(page).rewrite()
    assert page.read_text() == text
