"""
The ledger: what this process has put into the files of prometheus_client, series by series.

Counters are entered by what they grew since the last time, so they go on growing when a name is
removed and made anew, when a writer is stopped and started, and when a process has the number of
an earlier one and finds its file. Gauges are entered as they are.

What did not change is not written again: most parts of most names, most of the time.

Not thread-safe; the writer locks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import attrs
from prometheus_client import values

from resilience import Snapshot
from resilience.prometheus.families import (
    CATALOGUE,
    COUNTER,
    GAUGE,
    HISTOGRAM,
    SUM,
    Family,
    Series,
    bounds,
    plain,
)

__all__ = ["OTHER", "Ledger"]

OTHER: Final = "other"
"""Under which all names are added up for which there is no room."""

KINDS: Final[dict[Any, str]] = {COUNTER: "counter", GAUGE: "gauge", HISTOGRAM: "histogram"}
CALLS: Final = CATALOGUE[0]
NEVER: Final = object()
TICK: Final = 0.001
"""Seconds by which the beginning of a life may be off, for it is the sum of rounded numbers."""

Key = tuple[str, ...]


@attrs.define(eq=False)
class Life:
    """
    A name from its creation to its removal.

    Attributes:
        shown: The name of its series.
        began: When it was created.
        parts: What was last seen of each metric.
        counted: What is in the files of each counter.
    """

    shown: str
    began: float
    parts: dict[str, Any] = attrs.field(factory=dict)
    counted: dict[tuple[str, Key], float] = attrs.field(factory=dict)


@final
class Ledger:
    """
    What was entered, and where.

    Attributes:
        max_names: How many names have series of their own.
    """

    def __init__(self) -> None:
        self.max_names = 1
        self._names: set[str] = set()
        self._lives: dict[str, Life] = {}
        self._cells: dict[tuple[str, Key], Any] = {}
        self._together: dict[str, dict[Key, float]] = {}
        self._idle = False
        self._anew = False

    def forked(self, *, child: bool) -> None:
        """Begin anew in a child; in its parent, be idle."""
        if child:
            self._lives.clear()
        self._set_idle(idle=not child)

    def enter(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Enter all names of a registry."""
        for name in self._lives.keys() - snapshots.keys():
            self._leave(self._lives.pop(name))
        found = [(self._life(name, snapshot), snapshot) for name, snapshot in snapshots.items()]
        if self._idle and any(CALLS.part(new) != old.parts.get(CALLS.name) for old, new in found):
            self._set_idle(idle=False)
        rest: list[Snapshot] = []
        for life, snapshot in found:
            if life.shown == OTHER:
                rest.append(snapshot)
            for family in CATALOGUE:
                if family.kind is not GAUGE:
                    self._count(life, family, snapshot)
                elif life.shown != OTHER:
                    self._show(life, family, snapshot)
        self._show_together(rest)
        self._anew = False

    # -- names

    def _life(self, name: str, snapshot: Snapshot) -> Life:
        began = snapshot.at - sum(snapshot.state_seconds.values())
        life = self._lives.get(name)
        if life is None or abs(life.began - began) > TICK:
            life = self._lives[name] = Life(self._shown(plain(name)), began)
        return life

    def _shown(self, name: str) -> str:
        """Return the name of the series: once it has some of its own, a name keeps them."""
        if name not in self._names and len(self._names) >= self.max_names:
            return OTHER
        self._names.add(name)
        return name

    def _leave(self, life: Life) -> None:
        """Nothing is in flight any more under a name that is gone, and it is in no state."""
        for family in CATALOGUE:
            if family.kind is GAUGE and family.name in life.parts:
                for labels, _ in family.series(life.parts[family.name]):
                    self._cell(family, (life.shown, *labels)).set(0.0)

    def _set_idle(self, *, idle: bool) -> None:
        """Leave the gauges that are added up at zero from now on, or no longer."""
        self._idle, self._anew = idle, True

    # -- numbers

    def _count(self, life: Life, family: Family, snapshot: Snapshot) -> None:
        part = family.part(snapshot)
        before = life.parts.get(family.name, NEVER)
        if part == before:
            return
        life.parts[family.name] = part
        if family.kind is COUNTER:
            for labels, value in family.series(part):
                self._grow(life, family, (life.shown, *labels), value)
            return
        if before is not NEVER and part[0] != before[0]:  # other bounds: everything is counted anew
            for key in [key for key in life.counted if key[0].startswith(family.name)]:
                del life.counted[key]
        for labels, latency in family.series(part):
            mine = (life.shown, *labels)
            for bound, count in zip(bounds(latency), latency.counts, strict=True):
                self._grow(life, family, (*mine, bound), count, "_bucket")
            self._grow(life, family, mine, latency.sum, "_sum")

    def _grow(self, life: Life, family: Family, labels: Key, value: float, end: str = "") -> None:
        key = (family.name + end, labels)
        before = life.counted.get(key)
        if before == value:
            return
        if before is None or value < before:  # counted anew, as by a name made anew very quickly
            before = 0.0
        self._cell(family, labels, end).inc(value - before)
        life.counted[key] = value

    def _show(self, life: Life, family: Family, snapshot: Snapshot) -> None:
        part = family.part(snapshot)
        if part == life.parts.get(family.name, NEVER) and not self._anew:
            return
        life.parts[family.name] = part
        self._set(family, life.shown, family.series(part))

    def _show_together(self, rest: list[Snapshot]) -> None:
        for family in CATALOGUE:
            if family.kind is GAUGE:
                # What was shown of names that have left is nothing now.
                known = self._together.setdefault(family.name, {})
                together = dict.fromkeys(known, 0.0)
                for snapshot in rest:
                    for labels, value in family.of(snapshot):
                        old = together.get(labels, 0.0)
                        together[labels] = old + value if family.mode == SUM else max(old, value)
                known.update(together)
                self._set(family, OTHER, together.items())

    def _set(self, family: Family, name: str, series: Series) -> None:
        idle = self._idle and family.mode == SUM
        for labels, value in series:
            self._cell(family, (name, *labels)).set(0.0 if idle else value)

    def _cell(self, family: Family, labels: Key, end: str = "") -> Any:
        """Return the place of one series in the files."""
        key = (family.name + end, labels)
        found = self._cells.get(key)
        if found is None:
            metric = family.name.removesuffix("_total")
            kind = KINDS[family.kind]
            found = self._cells[key] = values.ValueClass(
                kind,
                metric,
                family.name + end,
                ("name", *family.labels, *(("le",) if end == "_bucket" else ())),
                labels,
                family.help,
                multiprocess_mode=family.mode,
            )
        return found
