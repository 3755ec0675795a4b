"""
Guard every request of an httpx client, with a command for each host.

    client = httpx.Client(transport=Transport(timeout=1.0))

What is refused or runs out of time raises an error that is both ours and httpx's. It needs the
extra `httpx`. `resilience.httpx2` is the same for httpx2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, final

import httpx

from resilience import errors
from resilience._default import default_registry
from resilience._http.errors import Both, kinds
from resilience._http.policy import Options, Policy
from resilience._http.transport import AsyncPieces, Pieces, asend, send

if TYPE_CHECKING:
    from resilience._registry import Registry

__all__ = [
    "AsyncTransport",
    "BulkheadFullError",
    "CircuitOpenError",
    "DeadlineExceededError",
    "Transport",
]


class CircuitOpenError(Both, errors.CircuitOpenError, httpx.TransportError):
    """
    The circuit of the host is open: nothing was sent.

    Example:
        >>> import httpx
        >>> import resilience.httpx
        >>> error = resilience.httpx.CircuitOpenError("http:a.example")
        >>> isinstance(error, resilience.CircuitOpenError), isinstance(error, httpx.TransportError)
        (True, True)
    """

    _request = None


class BulkheadFullError(Both, errors.BulkheadFullError, httpx.TransportError):
    """
    Every slot of the host is taken: nothing was sent.

    Example:
        >>> import httpx
        >>> import resilience.httpx
        >>> error = resilience.httpx.BulkheadFullError("http:a.example")
        >>> isinstance(error, resilience.BulkheadFullError), isinstance(error, httpx.TransportError)
        (True, True)
    """

    _request = None


class DeadlineExceededError(Both, errors.DeadlineExceededError, httpx.TimeoutException):
    """
    Time ran out: that of the command, or of a deadline around it.

    Example:
        >>> import httpx
        >>> import resilience.httpx
        >>> error = resilience.httpx.DeadlineExceededError("http:a.example")
        >>> (
        ...     isinstance(error, resilience.DeadlineExceededError),
        ...     isinstance(error, httpx.TimeoutException),
        ... )
        (True, True)
    """

    _request = None


_KINDS = kinds(
    CircuitOpenError,
    BulkheadFullError,
    DeadlineExceededError,
    timeouts=(httpx.TimeoutException,),
    misuse=(httpx.LocalProtocolError, httpx.StreamError, httpx.UnsupportedProtocol),
)


@final
class Transport(httpx.BaseTransport):
    """
    A transport that sends by another one, each request as a call of its host's command.

    Connection errors, timeouts, 429 and 5xx are failures; other responses are answers. The slot is
    held until the body is read or closed, and the outcome is judged then. `timeout` bounds the wait
    for the head of the response, and then for each piece of its body.

    Args:
        wrapped: What sends; `None`: an `httpx.HTTPTransport`.
        registry: Where the commands are.
        **settings: The fields of `Settings`, and those of `Options`.

    Raises:
        ConfigurationError: A setting is wrong.

    Example:
        >>> import httpx
        >>> from resilience import Registry
        >>> transport = Transport(registry=Registry(), timeout=0.5, max_concurrency=20)
        >>> with httpx.Client(transport=transport) as client:
        ...     pass
    """

    def __init__(
        self,
        wrapped: httpx.BaseTransport | None = None,
        *,
        registry: Registry | None = default_registry,
        **settings: Unpack[Options],
    ) -> None:
        self._wrapped = httpx.HTTPTransport() if wrapped is None else wrapped
        opaque = type(self._wrapped) is httpx.HTTPTransport
        self._policy = Policy(_KINDS, registry, settings, opaque=opaque)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """
        Send a request.

        Raises:
            CircuitOpenError: The circuit of the host is open.
            BulkheadFullError: Every slot of the host is taken.
            DeadlineExceededError: Time ran out.
        """
        response: httpx.Response = send(self._policy, self._wrapped, request, _Pieces)
        return response

    def close(self) -> None:
        """Close the transport that sends."""
        self._wrapped.close()


@final
class AsyncTransport(httpx.AsyncBaseTransport):
    """
    The same for an `httpx.AsyncClient`, under asyncio and trio: see `Transport`.

    Example:
        >>> import anyio
        >>> import httpx
        >>> from resilience import Registry
        >>> async def main():
        ...     transport = AsyncTransport(registry=Registry(), timeout=0.5)
        ...     async with httpx.AsyncClient(transport=transport) as client:
        ...         pass
        >>> anyio.run(main, backend="trio")
    """

    def __init__(
        self,
        wrapped: httpx.AsyncBaseTransport | None = None,
        *,
        registry: Registry | None = default_registry,
        **settings: Unpack[Options],
    ) -> None:
        self._wrapped = httpx.AsyncHTTPTransport() if wrapped is None else wrapped
        opaque = type(self._wrapped) is httpx.AsyncHTTPTransport
        self._policy = Policy(_KINDS, registry, settings, opaque=opaque)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request: see `Transport.handle_request`."""
        response: httpx.Response = await asend(self._policy, self._wrapped, request, _AsyncPieces)
        return response

    async def aclose(self) -> None:
        """Close the transport that sends."""
        await self._wrapped.aclose()


class _Pieces(Pieces, httpx.SyncByteStream): ...


class _AsyncPieces(AsyncPieces, httpx.AsyncByteStream): ...
