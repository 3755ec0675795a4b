"""
Site: which path is what, without a colour. The shells of ASGI and WSGI read requests and send what
comes back from here.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final, final
from urllib.parse import parse_qs, quote

from resilience import Registry
from resilience._units import is_integer, number, show
from resilience.errors import ConfigurationError
from resilience.hystrix_stream import _document
from resilience.hystrix_stream._feed import Feed
from resilience.hystrix_stream._reply import Reply, Request, Stream, error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONTROL", "Site"]

CONTROL: Final = "/control"
"""Where controls are posted; the shells see to it, for they read bodies."""

LONGEST_DELAY: Final = 60.0
"""Seconds between two events, at most: silence looks like death."""

MOST: Final = 10_000
"""Commands or streams, at most."""


@final
class Site:
    """
    What both apps have in common; what is wrong with their arguments is found here.

    Raises:
        ConfigurationError: An argument is of no use; all faults are told together.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        controls: bool,
        interval: float,
        max_commands: int,
        max_streams: int,
        clock: Callable[[], int],
    ) -> None:
        faults: list[str] = []
        if not isinstance(registry, Registry):
            faults.append(f"registry must be a resilience.Registry, not {show(registry)}")
        seconds = number(interval)
        if seconds is None or not 0.1 <= seconds <= LONGEST_DELAY:
            faults.append(f"interval must be 0.1 to {LONGEST_DELAY:g} seconds, not {show(interval)}")
        for name, value in (("max_commands", max_commands), ("max_streams", max_streams)):
            if not is_integer(value) or not 1 <= value <= MOST:
                faults.append(f"{name} must be an integer from 1 to {MOST:,}, not {show(value)}")
        if seconds is None or faults:
            raise ConfigurationError(*faults)
        facts = {"interval": seconds, "controls": controls}
        self.controls = controls
        self.feed = Feed(
            registry, interval=seconds, max_commands=max_commands, clock=clock, facts=facts
        )
        self._max_streams = max_streams
        self._lock = Lock()
        self._streams = 0

    def answer(self, request: Request) -> Reply | Stream:
        """Answer a request; one for `CONTROL` is only looked at from outside."""
        if request.path == CONTROL:
            if request.method != "POST":
                return error(405, "a control is a POST", ("allow", "POST"))
            if not self.controls:
                return error(403, "read-only: the app was made without authorize")
            return Reply(200, ())
        if request.path not in {"", "/", "/hystrix.stream", "/live.stream"}:
            return error(404, "there is /, /hystrix.stream and /live.stream")
        if request.method not in {"GET", "HEAD"}:
            return error(405, "it can only be read", ("allow", "GET, HEAD"))
        if not request.path:
            # The page's own addresses are relative. One slash: two would lead to another host.
            root = quote(request.root.strip("/"))
            location = f"/{root}/" if root else "/"
            return Reply(307, (("content-type", "text/plain"), ("location", location)))
        if request.path == "/":
            return Reply(200, _document.headers(), _document.body())
        if request.method == "HEAD":
            return Reply(200, Stream.headers)
        return self._stream(request)

    def _stream(self, request: Request) -> Reply | Stream:
        with self._lock:
            if self._streams >= self._max_streams:
                why = f"{self._max_streams} streams are open, and no more are allowed"
                return error(503, why, ("retry-after", "5"))
            self._streams += 1
        if request.path == "/live.stream":
            return Stream(self.feed.interval, _page_events(self.feed), self._closed)
        return Stream(self._delay(request.query), self.feed.hystrix, self._closed)

    def _closed(self) -> None:
        with self._lock:
            self._streams -= 1

    def _delay(self, query: str) -> float:
        """Return the seconds that `delay=` asks for in milliseconds, as near as they may be."""
        least = self.feed.interval
        try:
            asked = int(parse_qs(query, max_num_fields=20)["delay"][0]) / 1000
        except (KeyError, ValueError, OverflowError):
            return least
        return min(max(asked, least), LONGEST_DELAY)


def _page_events(feed: Feed) -> Callable[[], bytes]:
    last: int | None = None

    def following() -> bytes:
        nonlocal last
        last, event = feed.page(last)
        return event

    return following
