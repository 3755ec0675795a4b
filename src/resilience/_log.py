"""
The library's own log lines, under the name `resilience`: few, and never in a storm.

There is a line for each move of a circuit, a warning where it opens, and a warning where the
library is used in a way that goes wrong silently. Each subject has so many lines a minute; what is
left out is counted, and the count is told with the next line.

Nothing here takes a lock, and no lock of ours is held while something is logged: a handler may do
what it likes, use the library or raise, and changes nothing for the caller.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from resilience._core.outcome import OPEN
from resilience._names import plain
from resilience._units import NANOS

if TYPE_CHECKING:
    from resilience._core.transitions import Transition

__all__ = ["Moves", "warn"]

LINES: Final = 10
"""Lines that the moves of one circuit have in a minute."""
MINUTE: Final = 60 * NANOS
TOPICS: Final = 1000
"""Topics of warnings that are remembered."""

# As in `logging`, which costs more to import than the whole library.
INFO: Final = 20
WARNING: Final = 30


class Limit:
    """How many lines there may be about one subject, and how many were left out."""

    __slots__ = ("_lines", "_said", "_since", "left_out")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._since = 0
        self._said = 0
        self.left_out = 0

    def allow(self, now: int) -> bool:
        """Say whether there may be a line now; if not, it is counted as left out."""
        if not self._said or self.over(now):
            self._since, self._said = now, 0
        # Of a clock that was put back: no longer than from there.
        self._since = min(self._since, now)
        if self._said < self._lines:
            self._said += 1
            return True
        self.left_out += 1
        return False

    def over(self, now: int) -> bool:
        """Whether the minute is over that began with the first line."""
        return now - self._since >= MINUTE


class Moves:
    """What is logged of the moves of one circuit."""

    __slots__ = ("_limit", "_what")

    def __init__(self, name: str | None) -> None:
        self._what = "an unnamed circuit" if name is None else f"circuit '{plain(name)}'"
        self._limit = Limit(LINES)

    def tell(self, move: Transition) -> None:
        """Log one move: a warning if the circuit opened, else for information."""
        level = WARNING if move.new is OPEN else INFO
        words = (self._what, move.old.value, move.new.value, plain(move.reason))
        _write(level, self._limit, move.at, "%s went from %s to %s: %s", *words)

    def owe(self, now: int) -> bool:
        """Whether lines were left out, and their minute is over: no more may come to tell it."""
        return self._limit.left_out > 0 and self._limit.over(now)

    def catch_up(self, now: int) -> None:
        """Log how many lines were left out, if nobody has told meanwhile."""
        if self.owe(now):
            _write(WARNING, self._limit, now, "%s has stopped moving so often", self._what)


_last: dict[str, Limit] = {}


def warn(topic: str, message: str, *args: object, error: BaseException | None = None) -> None:
    """Log a warning, at most once a minute for one topic."""
    limit = _last.get(topic)
    if limit is None:
        if len(_last) >= TOPICS:  # topics are names: bound what is kept of them
            _last.clear()
        limit = _last.setdefault(topic, Limit(1))
    _write(WARNING, limit, time.monotonic_ns(), message, *args, error=error)


def _write(
    level: int,
    limit: Limit,
    now: int,
    message: str,
    *args: object,
    error: BaseException | None = None,
) -> None:
    if level < WARNING and "logging" not in sys.modules:
        return  # nobody can have asked for it
    # A handler may raise anything, and at the exit of the interpreter nothing can be imported.
    with contextlib.suppress(Exception):
        import logging  # noqa: PLC0415 - costs more than the whole library, and is rarely needed

        logger = logging.getLogger("resilience")
        if not logger.isEnabledFor(level) or not limit.allow(now):
            return
        left_out, limit.left_out = limit.left_out, 0
        told: tuple[Any, ...] = args
        if left_out:
            message += " (lines left out before: %d)"
            told = (*args, left_out)
        info = None if error is None else (type(error), error, error.__traceback__)
        logger.log(level, message, *told, exc_info=info)
