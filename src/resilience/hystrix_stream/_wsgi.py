"""WsgiApp: the page and the streams on any WSGI server that has threads to spare."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from threading import Event
from typing import Any, Self, final

from resilience._default import default_registry
from resilience._fallback import is_async
from resilience._registry import Registry
from resilience._units import show
from resilience.errors import ConfigurationError
from resilience.hystrix_stream._control import LONGEST_BODY, Control, carry_out, read, refusal
from resilience.hystrix_stream._reply import Headers, Reply, Request, Stream, error
from resilience.hystrix_stream._site import Site

__all__ = ["WsgiApp"]

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@final
class WsgiApp:
    """
    The live page at `/` and the Hystrix stream at `/hystrix.stream`, as a WSGI app.

    Each page and each stream keeps one thread of the server as long as it is open. That its client
    has gone is found out at the next event, which is one interval later at most.

    Args:
        registry: Whose commands are shown.
        authorize: Called with a `Control`, says whether it may be carried out. `None`: the page is
            read-only.
        interval: Seconds from one look to the next, 0.1 to 60.
        max_commands: How many commands are shown; of more, those in trouble first, and the rest
            are counted.
        max_streams: How many pages and streams may be open; one more is answered by 503.
        clock: Gives integer nanoseconds, and never goes back.

    Raises:
        ConfigurationError: An argument is of no use.
        TypeError: `authorize` is async.

    Example:
        >>> from resilience import Registry
        >>> from resilience.hystrix_stream import WsgiApp
        >>> app = WsgiApp(Registry(), authorize=lambda control: False, interval=0.5)
    """

    __module__ = "resilience.hystrix_stream"

    def __init__(
        self,
        registry: Registry = default_registry,
        *,
        authorize: Callable[[Control], bool] | None = None,
        interval: float = 1.0,
        max_commands: int = 1000,
        max_streams: int = 5,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if authorize is not None and not callable(authorize):
            raise ConfigurationError(f"authorize must be a callable, not {show(authorize)}")
        if authorize is not None and is_async(authorize):
            raise TypeError(f"WSGI awaits nothing, so {show(authorize)} cannot be async")
        self._authorize = authorize
        self._site = Site(
            registry,
            controls=authorize is not None,
            interval=interval,
            max_commands=max_commands,
            max_streams=max_streams,
            clock=clock,
        )
        # A thread of the server is what a stream costs.
        self._pause: Callable[[float], object] = Event().wait

    def __call__(
        self, environ: Mapping[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        request = _request(environ)
        found = self._site.answer(request)
        if isinstance(found, Stream):
            start_response("200 OK", list(found.headers))
            return _Events(found, self._pause)
        reply = self._control(request, environ) if found is None else found
        _start(start_response, reply.status, reply.headers, len(reply.body))
        return [b"" if request.method == "HEAD" else reply.body]

    def _control(self, request: Request, environ: Mapping[str, Any]) -> Reply:
        refused = refusal(request)
        if refused is not None:
            return refused
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return error(411, "a control has a content-length")
        body = environ["wsgi.input"].read(min(int(length), LONGEST_BODY + 1))
        control = read(body, request, environ)
        if isinstance(control, Reply):
            return control
        assert self._authorize is not None
        allowed = self._authorize(control)
        if isinstance(allowed, Awaitable):  # of an async function in disguise; it is no yes
            raise TypeError("WSGI awaits nothing, so authorize cannot be async")
        if not allowed:
            return error(403, "you may not do that")
        return carry_out(control, self._site.feed.registry)


@final
class _Events:
    """The events of a stream, one after the other; the server closes it."""

    def __init__(self, stream: Stream, pause: Callable[[float], object]) -> None:
        self._stream = stream
        self._pause = pause
        self._began = False
        self.close = stream.close

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._began:
            self._pause(self._stream.delay)
        self._began = True
        return self._stream.next()


def _request(environ: Mapping[str, Any]) -> Request:
    headers = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = environ[key]
    root = environ.get("SCRIPT_NAME", "").encode("latin-1").decode("utf-8", "replace")
    return Request(
        environ["REQUEST_METHOD"],
        environ.get("PATH_INFO", ""),
        environ.get("QUERY_STRING", ""),
        root,
        headers,
    )


def _start(start_response: StartResponse, status: int, headers: Headers, length: int) -> None:
    phrase = HTTPStatus(status).phrase
    start_response(f"{status} {phrase}", [*headers, ("content-length", str(length))])
