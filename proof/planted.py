"""A process of its own for mistakes, and the import of a module that has one."""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import CodeType
from typing import Any

from proof.mistakes import SOURCE
from proof.promises import ROOT


class Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module with another code than its file has."""

    def __init__(self, path: Path, code: CodeType) -> None:
        self._path = path
        self._name = module(path)
        self._code = code

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> Any:
        if name != self._name:
            return None
        inside = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, self._path, loader=self, submodule_search_locations=inside
        )

    def create_module(self, _spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        exec(self._code, vars(module))


def module(path: Path) -> str:
    """Return the name that a file of the package is imported by."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def alone(part: str, **arguments: Any) -> dict[str, Any]:
    """Play `here` of a part in a process that has not imported the package."""
    code = f"import json; from proof import {part}; print(json.dumps({part}.here(**{arguments!r})))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    *told, last = ended.stdout.splitlines() or [""]
    print(*told, sep="\n")
    assert not ended.returncode, last
    figures: dict[str, Any] = json.loads(last)
    return figures
