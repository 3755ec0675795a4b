"""Replies: what is said to a client at once, and what is said to it again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Reply", "Request", "Stream", "error", "in_json"]

Headers = tuple[tuple[str, str], ...]

ALWAYS: Final[Headers] = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
)

JSON: Final[Headers] = (("content-type", "application/json"), *ALWAYS)

EVENTS: Final[Headers] = (
    ("content-type", "text/event-stream;charset=UTF-8"),
    ("cache-control", "no-cache, no-store, max-age=0, must-revalidate"),
    ("pragma", "no-cache"),
    ("x-accel-buffering", "no"),  # nginx would keep events back
    *ALWAYS[1:],
)


@final
@attrs.frozen
class Request:
    """
    What is asked.

    Attributes:
        method: `GET`, ….
        path: Below where the app is mounted; "" of its very root.
        query: What stands behind the `?`.
        root: Where the app is mounted.
        headers: By their names in small letters.
    """

    method: str
    path: str
    query: str
    root: str
    headers: Mapping[str, str]


@final
@attrs.frozen
class Reply:
    """An answer: status, headers and the whole body."""

    status: int
    headers: Headers
    body: bytes = b""


@final
class Stream:
    """
    An answer without an end.

    Attributes:
        delay: Seconds from one event to the next.
        next: Returns the next event.
        close: To be called once nobody reads it any more.
    """

    headers = EVENTS

    def __init__(
        self, delay: float, following: Callable[[], bytes], close: Callable[[], object]
    ) -> None:
        self.delay = delay
        self.next = following
        self._close: Callable[[], object] | None = close

    def close(self) -> None:
        """Make room for another one; twice is once."""
        close, self._close = self._close, None
        if close is not None:
            close()


def in_json(status: int, content: object, *headers: tuple[str, str]) -> Reply:
    """Return an answer in JSON."""
    return Reply(status, (*JSON, *headers), json.dumps(content).encode() + b"\n")


def error(status: int, why: str, *headers: tuple[str, str]) -> Reply:
    """Return a refusal that says why."""
    return in_json(status, {"error": why}, *headers)
