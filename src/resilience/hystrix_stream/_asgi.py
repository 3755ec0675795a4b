"""AsgiApp: the page and the streams on any ASGI server, under asyncio or trio."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, final

import anyio
from anyio import to_thread

from resilience._default import default_registry
from resilience._registry import Registry
from resilience._units import show
from resilience.errors import ConfigurationError
from resilience.hystrix_stream._control import LONGEST_BODY, Control, carry_out, read, refusal
from resilience.hystrix_stream._reply import Headers, Reply, Request, Stream, error
from resilience.hystrix_stream._site import Site

__all__ = ["AsgiApp"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@final
class AsgiApp:
    """
    The live page at `/` and the Hystrix stream at `/hystrix.stream`, as an ASGI app.

    Mount it under a path of its own, or serve it alone. It looks at the registry only while
    somebody reads, once an interval for all of them.

    Args:
        registry: Whose commands are shown.
        authorize: Called with a `Control`, says whether it may be carried out; it may be async.
            `None`: the page is read-only.
        interval: Seconds from one look to the next, 0.1 to 60.
        max_commands: How many commands are shown; of more, those in trouble first, and the rest
            are counted.
        max_streams: How many pages and streams may be open; one more is answered by 503.
        clock: Gives integer nanoseconds, and never goes back.

    Raises:
        ConfigurationError: An argument is of no use.

    Example:
        >>> from resilience import Registry
        >>> from resilience.hystrix_stream import AsgiApp
        >>> app = AsgiApp(Registry(), authorize=lambda control: False, interval=0.5)
    """

    __module__ = "resilience.hystrix_stream"

    def __init__(
        self,
        registry: Registry = default_registry,
        *,
        authorize: Callable[[Control], bool | Awaitable[bool]] | None = None,
        interval: float = 1.0,
        max_commands: int = 1000,
        max_streams: int = 100,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if authorize is not None and not callable(authorize):
            raise ConfigurationError(f"authorize must be a callable, not {show(authorize)}")
        self._authorize = authorize
        self._site = Site(
            registry,
            controls=authorize is not None,
            interval=interval,
            max_commands=max_commands,
            max_streams=max_streams,
            clock=clock,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            await self._serve(scope, receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        elif kind == "lifespan":
            await _live(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        found = self._site.answer(request)
        if isinstance(found, Stream):
            try:
                await self._stream(found, receive, send)
            finally:
                found.close()
            return
        reply = await self._control(request, scope, receive) if found is None else found
        if reply is not None:
            await _start(send, reply.status, reply.headers, len(reply.body))
            body = b"" if request.method == "HEAD" else reply.body
            await send({"type": "http.response.body", "body": body})

    # -- streams

    async def _stream(self, stream: Stream, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(_watch, receive, group.cancel_scope)
            try:
                await _start(send, 200, stream.headers)
                while True:
                    await _more(send, await self._next(stream))
                    await anyio.sleep(stream.delay)
            except OSError:  # what servers raise once the client has gone
                group.cancel_scope.cancel()

    async def _next(self, stream: Stream) -> bytes:
        if self._site.feed.is_long:
            return await to_thread.run_sync(stream.next)
        return stream.next()

    # -- controls

    async def _control(self, request: Request, scope: Scope, receive: Receive) -> Reply | None:
        """Do what is asked, if it may be; `None`: the client has gone before it had asked."""
        refused = refusal(request)
        if refused is not None:
            return refused
        body = await _body(receive)
        if body is None:
            return None
        control = read(body, request, scope)
        if isinstance(control, Reply):
            return control
        assert self._authorize is not None
        allowed = self._authorize(control)
        if isinstance(allowed, Awaitable):
            allowed = await allowed
        if not allowed:
            return error(403, "you may not do that")
        return carry_out(control, self._site.feed.registry)


def _request(scope: Scope) -> Request:
    root, path = scope.get("root_path") or "", scope["path"]
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    query = scope.get("query_string", b"").decode("latin-1")
    return Request(scope["method"], path, query, root, headers)


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel a scope as soon as the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _body(receive: Receive) -> bytes | None:
    """Return the body, as far as it is of interest; `None` if the client has gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= LONGEST_BODY:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def _start(send: Send, status: int, headers: Headers, length: int | None = None) -> None:
    plain = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    if length is not None:
        plain.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": plain})


async def _more(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _live(receive: Receive, send: Send) -> None:
    """Begin and end with the server, where the app is served alone."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
