"""
What a library offers, and how this one guards a function.

All libraries have their own defaults, but for two settings that keep a circuit in the state that a
path is about: how many failures open it (on the failing path: never as many), and how long it stays
open (for as long as the measuring takes). A command is a fallback around a circuit around a
bulkhead of ten places that nobody waits for, and when timed a timeout of one second inside of that.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from benchmarks.work import answer
from resilience import CircuitBreaker, CircuitOpenError, Registry

logging.getLogger("resilience").addHandler(logging.NullHandler())  # many circuits open, on purpose

Fn = Callable[..., Any]

NEVER = 10**9
"""Failures that are not reached."""
LONG = 3600.0
"""Seconds that are not waited for."""
PLACES = 10
TIMEOUT = 1.0

SYNC = frozenset({"sync"})
ASYNCIO = frozenset({"asyncio", "uvloop"})
TRIO = frozenset({"trio"})
ALL = SYNC | ASYNCIO | TRIO


class Guard(Protocol):
    """Guards a function by a circuit of its own that may open, or by one that does not."""

    def __call__(self, fn: Fn, /, *, opens: bool) -> Fn:
        """Return the function guarded."""
        ...


@attrs.frozen
class Library:
    """
    A library and its ways to guard.

    Attributes:
        name: What it is installed as.
        refusal: What its open circuit raises; `None`: it has no circuit.
        guards: Its ways to guard a function, each with the runtimes it works on.
        lacks: Why it is not measured everywhere.
    """

    name: str
    refusal: type[Exception] | None
    guards: Mapping[str, tuple[Guard, frozenset[str]]]
    lacks: str = ""

    def guard(self, kind: str, runtime: str) -> Guard | None:
        """Return its way to guard, or `None` if it has none there."""
        guard, runtimes = self.guards.get(kind, (None, frozenset()))
        return guard if runtime in runtimes else None


def _fields(*, opens: bool) -> dict[str, Any]:
    return {"sleep_window": LONG} if opens else {"sleep_window": LONG, "volume_threshold": NEVER}


def _breaker(fn: Fn, /, *, opens: bool) -> Fn:
    return CircuitBreaker("breaker", registry=Registry(), **_fields(opens=opens))(fn)


def _command(fn: Fn, /, *, opens: bool) -> Fn:
    # An async command has to be asked to do without a timeout. A sync one is not called on another
    # thread unless it is given one.
    return Registry().command("command", timeout=None, fallback=answer, **_fields(opens=opens))(fn)


def _timed(fn: Fn, /, *, opens: bool) -> Fn:
    fields = _fields(opens=opens)
    return Registry().command("command", timeout=TIMEOUT, fallback=answer, **fields)(fn)


OURS = Library(
    "resilience",
    CircuitOpenError,
    {"breaker": (_breaker, ALL), "command": (_command, ALL), "timed": (_timed, ALL)},
)
