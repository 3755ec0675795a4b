"""`results.json`: the figures of each part, and when, where and by what they were found."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results.json"

_PACKAGES = ("anyio", "attrs", "hypothesis", "trio", "uvloop")


def read() -> dict[str, Any]:
    """Return what was kept, by part."""
    kept: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return kept


def keep(
    part: str,
    arguments: dict[str, Any],
    took: float,
    figures: dict[str, Any],
    broken: str | None = None,
) -> None:
    """Put the figures of one part, or what broke, in the place of its older ones."""
    results = read()
    results[part] = {
        "broken": broken,
        "command": _command(part, arguments),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "seconds": round(took, 1),
        "python": platform.python_implementation() + " " + platform.python_version(),
        "versions": _versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "figures": figures,
    }
    text = json.dumps(dict(sorted(results.items())), indent=2, ensure_ascii=False) + "\n"
    FILE.write_text(text, encoding="utf-8")


def _command(part: str, arguments: dict[str, Any]) -> str:
    options = [f"--{name.replace('_', '-')} {value}" for name, value in arguments.items()]
    return " ".join(["python -m proof", part, *options])


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def gil() -> bool:
    """Whether this Python has a global interpreter lock, and uses it."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())
