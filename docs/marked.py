"""The parts of pages that scripts write: what stands between two markers."""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

__all__ = ["Part"]


@attrs.frozen
class Part:
    """
    A part of a page that is drawn from something else, so that the two cannot differ.

    Attributes:
        path: The page.
        name: What the markers call it.
        draw: Gives its text of now.
    """

    path: Path
    name: str
    draw: Callable[[], str]

    @property
    def begin(self) -> str:
        """The marker before it."""
        return f"<!-- {self.name}: begin -->"

    @property
    def end(self) -> str:
        """The marker after it."""
        return f"<!-- {self.name}: end -->"

    def renew(self, text: str) -> str:
        """
        Return the text of the page with this part as it is drawn now.

        Raises:
            ValueError: The page does not have each marker once, in their order.
        """
        before, begin, rest = text.partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not (begin and end) or any(mark in before + after for mark in (self.begin, self.end)):
            raise ValueError(f"{self.path.name} must have {self.begin} and {self.end} once each")
        return f"{before}{begin}\n{self.draw()}\n{end}{after}"

    def is_current(self) -> bool:
        """Whether the page shows it as it is drawn now."""
        text = self.path.read_text(encoding="utf-8")
        return self.renew(text) == text

    def rewrite(self) -> None:
        """Rewrite the page."""
        text = self.path.read_text(encoding="utf-8")
        self.path.write_text(self.renew(text), encoding="utf-8")
