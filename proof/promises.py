"""The promises of `docs/promises.md`, and the tests that prove them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "promises.md"

_LINE = re.compile(
    r"^(?:## (?P<group>.+)|- \*\*(?P<id>[A-Z]\d+)\*\* (?P<text>.+)|  Not yet: (?P<reason>.+))$"
)


class Promise(NamedTuple):
    """One statement, and why no test proves it, where none does."""

    id: str
    group: str
    text: str
    reason: str | None = None


def promises(page: str) -> list[Promise]:
    """Read the page of promises."""
    found: list[Promise] = []
    group = ""
    for line in filter(None, map(_LINE.match, page.splitlines())):
        if line["group"]:
            group = line["group"]
        elif line["id"]:
            found.append(Promise(line["id"], group, line["text"]))
        else:
            found[-1] = found[-1]._replace(reason=line["reason"])
    return found


def proved(folder: str = "tests") -> dict[str, list[str]]:
    """Return the tests that name each promise, as pytest collects them in a process of its own."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "proof.promises"]
    ended = subprocess.run(
        [*command, "-p", "no:randomly", "-p", "no:cacheprovider", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(ended.stdout + ended.stderr)
    tests: dict[str, list[str]] = json.loads(ended.stdout.rpartition(_MARK)[2])
    return tests


_MARK = "== promises: "


def pytest_collection_finish(session: pytest.Session) -> None:
    """As a plugin of pytest: print which tests name which promise."""
    tests: dict[str, set[str]] = {}
    for item in session.items:
        for mark in item.iter_markers("promise"):
            for promise in mark.args:
                tests.setdefault(promise, set()).add(item.nodeid.partition("[")[0])
    print(_MARK + json.dumps({promise: sorted(names) for promise, names in tests.items()}))
