"""
Feed: what all readers of one app share. It looks at the registry when somebody asks and the last
look is too old, so that a hundred readers cost one look an interval, and nobody costs nothing.

A look at very many names is followed by a longer rest: looking takes at most a twentieth of a core.
"""

from __future__ import annotations

import json
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from resilience import _fork
from resilience._units import NANOS
from resilience.hystrix_stream._fields import command_event, pool_event
from resilience.hystrix_stream._rolling import Past, Rolling
from resilience.hystrix_stream._rows import COLUMNS, row, trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resilience._registry import Registry
    from resilience._snapshot import Snapshot

__all__ = ["PING", "Feed", "Look"]

PING: Final = b"ping: \n\n"
"""What Hystrix sends while there is no command."""

REST: Final = 20
"""How many times as long as a look the rest after it is, at least."""

FEW: Final = 100
"""Names that are looked at in a few milliseconds; more of them may hold up an event loop."""

SLACK: Final = 0.1
"""The share of an interval by which a reader that has slept for one may be early."""

NOTHING_NEW: Final = b": nothing new\n\n"
"""A comment, that finds out whether anybody is still there."""

_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Seen(NamedTuple):
    """One name at one look."""

    name: str
    snapshot: Snapshot
    rolling: Rolling


class Look:
    """
    One look at the registry.

    Attributes:
        version: Its number; each look has the next one.
        seen: The names, those in trouble first.
        left_out: How many more there are.
    """

    def __init__(self, version: int, seen: list[Seen], left_out: int, before: Look | None) -> None:
        self.version = version
        self.seen = seen
        self.left_out = left_out
        self._rows = {each.name: row(*each) for each in seen}
        self._before = {} if before is None else before._rows
        self._hystrix: bytes | None = None
        self._whole: bytes | None = None
        self._changes: bytes | None = None

    def hystrix(self) -> bytes:
        """Return the events of the Hystrix stream."""
        if self._hystrix is None:
            now = time.time_ns() // 1_000_000  # by definition: the wall clock's
            events = [command_event(*each, now) for each in self.seen]
            events += [pool for each in self.seen if (pool := pool_event(*each, now))]
            parts = [f"data: {event}\n\n" for event in events]
            if self.left_out:
                parts.append(f": {self.left_out} more commands are left out\n\n")
            self._hystrix = "".join(parts).encode() or PING
        return self._hystrix

    def page(self, last: int | None, facts: Mapping[str, Any]) -> bytes:
        """Return the event for a page that has read the look numbered `last`; `None`: none yet."""
        if last == self.version - 1:
            if self._changes is None:
                rows = [new for name, new in self._rows.items() if new != self._before.get(name)]
                gone = [name for name in self._before if name not in self._rows]
                self._changes = self._event(rows, gone=gone)
            return self._changes
        if self._whole is None:
            self._whole = self._event(list(self._rows.values()), columns=COLUMNS, **facts)
        return self._whole

    def _event(self, rows: list[list[Any]], **others: Any) -> bytes:
        now = max((each.snapshot.at for each in self.seen), default=0.0)
        event = {"now": round(now, 3), "left_out": self.left_out, **others, "rows": rows}
        return f"data: {_encode(event)}\n\n".encode()


class Feed:
    """
    The latest look at a registry.

    Args:
        registry: What is looked at.
        interval: Seconds from one look to the next.
        max_commands: How many names are shown; of more, those in trouble first.
        clock: Gives integer nanoseconds, and never goes back.
        facts: What a page is told besides, once.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        interval: float,
        max_commands: int,
        clock: Callable[[], int],
        facts: Mapping[str, Any],
    ) -> None:
        self.registry = registry
        self.interval = interval
        self._facts = facts
        self._max_commands = max_commands
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._forks = _fork.count
        self._lock = Lock()
        self._pasts: dict[str, Past] = {}
        self._look: Look | None = None
        self._due = 0

    @property
    def is_long(self) -> bool:
        """Whether the next look takes so long that an event loop should not wait for it."""
        return len(self.registry) > FEW and self._clock() >= self._due

    def look(self) -> Look:
        """Return the latest look, which is a new one if the last is too old."""
        if self._forks != _fork.count:
            self._begin()  # in a child, where another thread of the parent may hold the lock
        with self._lock:
            now = self._clock()
            if self._look is None or now >= self._due:
                self._look = self._anew(self._look)
                length = self._clock() - now
                interval = int(self.interval * (1 - SLACK) * NANOS)
                self._due = now + max(interval, REST * length)
            return self._look

    def hystrix(self) -> bytes:
        """Return the events of the Hystrix stream."""
        look = self.look()
        with self._lock:
            return look.hystrix()

    def page(self, last: int | None) -> tuple[int, bytes]:
        """Return the event for a page that has read the look numbered `last`, and its number."""
        look = self.look()
        if look.version == last:
            return last, NOTHING_NEW
        with self._lock:
            return look.version, look.page(last, self._facts)

    def _anew(self, last: Look | None) -> Look:
        # str's own method: a subclass may say anything of itself.
        found = [(str.__str__(name), taken) for name, taken in self.registry.snapshot().items()]
        found.sort(key=_urgency)
        shown = found[: self._max_commands]
        self._pasts = {name: self._pasts.get(name) or Past() for name, _ in shown}
        seen = [Seen(name, taken, self._pasts[name].look(taken)) for name, taken in shown]
        version = 1 if last is None else last.version + 1
        return Look(version, seen, len(found) - len(shown), last)


def _urgency(found: tuple[str, Snapshot]) -> tuple[int, str]:
    name, snapshot = found
    return -trouble(snapshot), name
