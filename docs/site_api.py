"""
How the site reads the code: a griffe extension, named in mkdocs.yml.

`Example:` is a section of code, as griffe's own `Examples:` is: a docstring here has one, and says
so. The seams between our own modules are not shown.
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import griffe

SEAMS = tomllib.loads(Path(__file__).with_name("seams.toml").read_text(encoding="utf-8"))


class SiteApi(griffe.Extension):
    """Reads docstrings as they are meant, and hides what users do not need."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object, and take the seams out of a class."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
        if obj.is_class:
            for name in SEAMS.get(obj.name, ()):
                obj.members.pop(name, None)
