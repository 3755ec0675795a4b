"""The examples of a page of documentation, as a module: what readers copy is what is tested."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(path: str) -> ModuleType:
    """Run the Python blocks of a page, in order, in a module of their own."""
    text = (DOCS / path).read_text(encoding="utf-8")
    module = ModuleType(path)
    for block in _BLOCK.finditer(text):
        # As many lines as stand above it: a traceback shows the line of the page.
        above = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(above + block[1], DOCS / path, "exec"), vars(module))
    return module
