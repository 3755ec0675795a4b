"""A page of the tutorial, as somebody types it: files that are saved, and commands that are run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

DOCS = Path(__file__).parents[2] / "docs"

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r'py title="([\w.]+)"( append)?')


@attrs.frozen
class Typed:
    """A command, and what the page says it prints."""

    command: str
    prints: str


def read(path: str, folder: Path) -> Iterator[Typed]:
    """Save the files of a page into a folder, and yield its commands where they stand."""
    for block in _BLOCK.finditer((DOCS / path).read_text(encoding="utf-8")):
        words, text = block.groups()
        file = _FILE.fullmatch(words)
        if file:
            name, append = file.groups()
            with (folder / name).open("a" if append else "w", encoding="utf-8") as saved:
                saved.write(f"\n\n{text}" if append else text)
        elif words == "console":
            yield from _commands(text)


def _commands(text: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, prints = part.partition("\n")
        yield Typed(command, prints)
