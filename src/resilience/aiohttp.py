"""
Guard every request of an aiohttp session, with a command for each host.

    aiohttp.ClientSession(middlewares=[middleware(timeout=1.0)])

What is refused or runs out of time raises an error that is both ours and aiohttp's. It needs the
extra `aiohttp`, from its version 3.12 on.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Unpack

import aiohttp

from resilience import errors
from resilience._default import default_registry
from resilience._http.errors import Both, kinds
from resilience._http.policy import Options, Policy, host_and_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._http.exchange import Exchange
    from resilience._registry import Registry

__all__ = ["BulkheadFullError", "CircuitOpenError", "DeadlineExceededError", "middleware"]


class CircuitOpenError(Both, errors.CircuitOpenError, aiohttp.ClientConnectionError):
    """
    The circuit of the host is open: nothing was sent.

    Example:
        >>> import aiohttp
        >>> import resilience.aiohttp
        >>> error = resilience.aiohttp.CircuitOpenError("http:a.example")
        >>> (
        ...     isinstance(error, resilience.CircuitOpenError),
        ...     isinstance(error, aiohttp.ClientConnectionError),
        ... )
        (True, True)
    """


class BulkheadFullError(Both, errors.BulkheadFullError, aiohttp.ClientConnectionError):
    """
    Every slot of the host is taken: nothing was sent.

    Example:
        >>> import aiohttp
        >>> import resilience.aiohttp
        >>> error = resilience.aiohttp.BulkheadFullError("http:a.example")
        >>> (
        ...     isinstance(error, resilience.BulkheadFullError),
        ...     isinstance(error, aiohttp.ClientConnectionError),
        ... )
        (True, True)
    """


class DeadlineExceededError(Both, errors.DeadlineExceededError, aiohttp.ServerTimeoutError):
    """
    Time ran out: that of the command, or of a deadline around it.

    Example:
        >>> import aiohttp
        >>> import resilience.aiohttp
        >>> error = resilience.aiohttp.DeadlineExceededError("http:a.example")
        >>> (
        ...     isinstance(error, resilience.DeadlineExceededError),
        ...     isinstance(error, aiohttp.ServerTimeoutError),
        ... )
        (True, True)
    """


_KINDS = kinds(
    CircuitOpenError,
    BulkheadFullError,
    DeadlineExceededError,
    timeouts=(TimeoutError,),
    misuse=(aiohttp.InvalidURL,),
)


def middleware(
    *, registry: Registry | None = default_registry, **settings: Unpack[Options]
) -> aiohttp.ClientMiddlewareType:
    """
    Make a middleware that sends each request as a call of its host's command.

    Connection errors, timeouts, 429 and 5xx are failures; other responses are answers. The slot is
    held until the body has come or is closed, and the outcome is judged then. `timeout` bounds the
    wait for the head of the response, and then for each piece of its body.

    Args:
        registry: Where the commands are.
        **settings: The fields of `Settings`, and those of `Options`.

    Raises:
        ConfigurationError: A setting is wrong.

    Example:
        >>> import asyncio
        >>> import aiohttp
        >>> from resilience import Registry
        >>> guard = middleware(registry=Registry(), timeout=0.5)
        >>> async def main():
        ...     async with aiohttp.ClientSession(middlewares=[guard]) as session:
        ...         pass
        >>> asyncio.run(main())
    """
    policy = Policy(_KINDS, registry, settings)

    async def guarded(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        exchange = policy.exchange(request.method, _host(request))
        if exchange is None:
            return await handler(request)
        try:
            budget = policy.budget(exchange, await exchange.aadmit())
            if budget is not None:
                request.headers[str(policy.header)] = budget
            response = await handler(request)
        except BaseException as error:
            failed = exchange.failed(error)
            if failed is error:
                raise
            raise failed from error
        try:
            policy.look(exchange, response.status, response)
        except BaseException:
            response.close()
            raise
        _guard_body(response, exchange)
        return response

    return guarded


def _host(request: aiohttp.ClientRequest) -> str:
    url = request.url
    return host_and_port(url.host, None if url.is_default_port() else url.port)


def _guard_body(response: aiohttp.ClientResponse, exchange: Exchange) -> None:
    connection = response.connection
    # The body has come with the head, or the connection is a WebSocket now and no request.
    if connection is None or response.status == HTTPStatus.SWITCHING_PROTOCOLS:
        exchange.ended()
        return
    content: Any = _Content(response.content, exchange)
    response.content = content
    connection.add_callback(content.released)


_Reader: Any = aiohttp.StreamReader


class _Content:
    """The body of a response, piece by piece, in front of the reader itself."""

    def __init__(self, reader: Any, exchange: Exchange) -> None:
        self._reader = reader
        self._exchange = exchange
        self._closed = False
        self._released = False

    def __getattr__(self, name: str) -> Any:
        if name == "_reader":  # asked by what copies objects, before it is there
            raise AttributeError(name)
        return getattr(self._reader, name)

    # They ask for nothing but the methods below.
    __aiter__ = _Reader.__aiter__
    iter_any = _Reader.iter_any
    iter_chunked = _Reader.iter_chunked
    iter_chunks = _Reader.iter_chunks

    async def read(self, n: int = -1) -> bytes:
        """Read up to so many bytes, or all of them."""
        if n >= 0:
            piece: bytes = await self._one(lambda: self._reader.read(n))
            return piece
        pieces: list[bytes] = []
        while piece := await self.readany():
            pieces.append(piece)
        return b"".join(pieces)

    async def readany(self) -> bytes:
        """Read what has come."""
        piece: bytes = await self._one(self._reader.readany)
        return piece

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read a chunk, as the server has sent it."""
        chunk: tuple[bytes, bool] = await self._one(self._reader.readchunk)
        return chunk

    async def readexactly(self, n: int) -> bytes:
        """Read so many bytes."""
        piece: bytes = await self._one(lambda: self._reader.readexactly(n))
        return piece

    async def readline(self, **options: Any) -> bytes:
        """Read a line."""
        line: bytes = await self._one(lambda: self._reader.readline(**options))
        return line

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> bytes:
        """Read up to a separator, and it."""
        piece: bytes = await self._one(lambda: self._reader.readuntil(separator, **options))
        return piece

    async def _one(self, read: Callable[[], Any]) -> Any:
        """Wait once, guarded."""
        exchange = self._exchange
        try:
            exchange.aresume()
            piece = await read()
        except BaseException as error:
            failed = exchange.failed(error)
            if failed is error:
                raise
            raise failed from error
        exchange.paused()
        if self._released:
            self._judge()
        return piece

    def set_exception(self, *args: Any) -> None:
        """Take note that the response was closed by its consumer."""
        self._closed = True
        self._reader.set_exception(*args)

    def released(self) -> None:
        """Take note that the connection has gone back or was closed: no more will come."""
        self._released = True
        if not self._exchange.waiting:  # else whoever waits is about to see it
            self._judge()

    def _judge(self) -> None:
        error = None if self._closed else self._reader.exception()
        if error is None:
            self._exchange.ended()
        else:
            self._exchange.failed(error)
