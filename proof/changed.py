"""Which lines of the library differ from the last commit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from proof.promises import ROOT


def changed_lines() -> dict[Path, set[int]]:
    """Return the lines of the working tree that differ from the last commit; none without git."""
    try:
        told = subprocess.run(
            ["git", "diff", "--unified=0", "HEAD", "--", "src"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except OSError:
        return {}
    found: dict[Path, set[int]] = {}
    path = ROOT
    for line in told.splitlines():
        if line.startswith("+++ b/"):
            path = ROOT / line.removeprefix("+++ b/")
        elif match := re.match(r"@@ .* \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(match[1]), int(match[2] or 1)
            found.setdefault(path, set()).update(range(first, first + count))
    return found
