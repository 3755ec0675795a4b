"""Links between the pages: each leads somewhere, without the network being asked."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])

_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`|<!--.*?-->", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|\b(?:src|srcset|href)=\"([^\"]+)\"")


def plain(page: Path) -> str:
    """The text of a page without its code and comments."""
    return _CODE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page: its headings."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def slug(heading: str) -> str:
    """The anchor of a heading, as the site makes it."""
    ascii_text = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_text).strip().lower())


def links(page: Path) -> list[str]:
    """The links of a page that stay inside."""
    found = [first or second for first, second in _LINK.findall(plain(page))]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    """
    A link leads to a file that is there, and to a heading that it has.
    """
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"
        assert target.is_relative_to(DOCS) or not page.is_relative_to(DOCS), (
            f"{page.name}: {link} leads out of the site"
        )


def test_each_page_is_in_the_navigation_once() -> None:
    """
    The site shows every page of docs/, and no page that is not there.
    """
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = re.findall(r"([\w/-]+\.md)$", config.partition("\nnav:\n")[2], re.MULTILINE)
    assert sorted(shown) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    """
    No page loads a picture, a script or a style from another place than the site.
    """
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"!\[[^\]]*\]\([a-z]+:|<script|\b(?:src|srcset)=\"[a-z]+:", text)
    assert "```mermaid" not in text, "its script would be loaded from elsewhere"
