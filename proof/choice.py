"""Which tests are asked whether they notice a mistake: those of its lines, or those named."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import coverage
import pytest

from proof import covering
from proof.mistakes import Mistake

SECONDS = 4.0
"""How much work the tests for one mistake may be, as it was measured; none of them over a third."""
LONGEST = 15.0
"""How long a test may take that is the only one."""
LAST = 20
"""How many of the tests that noticed something are asked first."""


class Tests:
    """The tests there are, and which lines they run."""

    work = 20
    """Seconds of work after which a mistake counts as noticed: something goes round and round."""
    patience = 90.0
    """Seconds after which a mistake counts as noticed: something hangs."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self._items = {item.nodeid: item for item in items}
        self._seconds: dict[str, float] = json.loads(covering.SECONDS.read_text("utf-8"))
        self._data = coverage.CoverageData(str(covering.LINES))
        self._data.read()
        self._of: Path | None = None
        self._lines: dict[int, set[str]] = {}
        self._last: list[str] = []

    def that_run(self, mistake: Mistake) -> tuple[list[pytest.Item], bool]:
        """Return the tests for a mistake, and whether its lines are run at import alone."""
        if self._of != mistake.path:
            self._of = mistake.path
            kept = self._data.contexts_by_lineno(str(mistake.path))
            self._lines = {line: set(names) for line, names in kept.items()}
            self._last = []
        nothing: set[str] = set()
        names = nothing.union(*(self._lines.get(line, nothing) for line in mistake.lines))
        at_import = names == {""}
        if not names - {""}:  # some tests trace the library themselves, unseen by coverage
            names = nothing.union(*(self._lines.get(line, nothing) for line in mistake.function))
        return self._ordered(names - {""}), at_import

    def was_noticed(self, mistake: Mistake, by: Path) -> None:
        """Ask the tests first that have just noticed another mistake of the module."""
        if by.exists() and mistake.path == self._of:
            name = by.read_text(encoding="utf-8")
            self._last = [name, *(each for each in self._last if each != name)]

    def _ordered(self, names: set[str]) -> list[pytest.Item]:
        known = sorted(
            (self._seconds[name], name)
            for name in names & self._items.keys() & self._seconds.keys()
            if self._seconds[name] < LONGEST
        )
        quick = [name for seconds, name in known if seconds < SECONDS / 3]
        files: dict[str, list[str]] = defaultdict(list)
        for name in quick or [name for _, name in known[:1]]:
            files[name.partition("::")[0]].append(name)
        # Those that noticed the last mistakes of the module; then the quickest test of each file,
        # the second of each, and so on.
        order = sorted((place, name) for each in files.values() for place, name in enumerate(each))
        first = [name for name in self._last[:LAST] if name in names]
        chosen: list[pytest.Item] = []
        left = SECONDS
        for name in dict.fromkeys([*first, *(name for _, name in order)]):
            left -= self._seconds[name]
            if left > 0 or not chosen:
                chosen.append(self._items[name])
        return chosen


class AllTests(Tests):
    """Those that were named, all of them, however much work that is."""

    work = 300
    patience = 300.0

    def __init__(self, items: list[pytest.Item]) -> None:
        self._all = items

    def that_run(self, mistake: Mistake) -> tuple[list[pytest.Item], bool]:
        """Return all tests that were collected; nobody knows whether it runs at import alone."""
        return self._all, True

    def was_noticed(self, mistake: Mistake, by: Path) -> None:
        """Keep the order."""
