"""
Transports: the guard around those of httpx2 and httpx, which have one shape.

The pairs differ by their awaits alone. A request is given back as it came: what was put into it for
the way (a header, shorter timeouts) belongs to this sending of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilience._http.exchange import Exchange, shorter
from resilience._http.policy import host_and_port
from resilience._units import NANOS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from resilience._http.policy import Policy

__all__ = ["AsyncPieces", "Pieces", "asend", "send"]

def send(policy: Policy, wrapped: Any, request: Any, pieces: type[Pieces]) -> Any:
    """Send a request and return its response, whose body is guarded as well."""
    exchange = policy.exchange(request.method, _host(request.url))
    if exchange is None:
        return wrapped.handle_request(request)
    before = request.extensions, request.headers
    try:
        left = exchange.admit(opaque=policy.opaque)
        if left is not None:
            _prepare(request, exchange, policy, left)
        response = wrapped.handle_request(request)
    except BaseException as error:
        failed = exchange.failed(error)
        if failed is error:
            raise
        raise failed from error
    finally:
        request.extensions, request.headers = before
    try:
        policy.look(exchange, response.status_code, response)
    except BaseException:
        response.close()
        raise
    if response.is_closed:  # it came with its body
        exchange.ended()
    else:
        response.stream = pieces(response.stream, exchange)
    return response


async def asend(policy: Policy, wrapped: Any, request: Any, pieces: type[AsyncPieces]) -> Any:
    """Send a request in a task and return its response, whose body is guarded as well."""
    exchange = policy.exchange(request.method, _host(request.url))
    if exchange is None:
        return await wrapped.handle_async_request(request)
    before = request.extensions, request.headers
    try:
        left = await exchange.aadmit()
        if left is not None:
            _prepare(request, exchange, policy, left)
        response = await wrapped.handle_async_request(request)
    except BaseException as error:
        failed = exchange.failed(error)
        if failed is error:
            raise
        raise failed from error
    finally:
        request.extensions, request.headers = before
    try:
        policy.look(exchange, response.status_code, response)
    except BaseException:
        await response.aclose()
        raise
    if response.is_closed:  # it came with its body
        exchange.ended()
    else:
        response.stream = pieces(response.stream, exchange)
    return response


class Pieces:
    """The body of a response, piece by piece."""

    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return self._exchange.pieces(iter(self._stream))

    def close(self) -> None:
        """Close the response; if it was not read to its end, it is judged by what was read."""
        try:
            self._stream.close()
        finally:
            self._exchange.ended()


class AsyncPieces:
    """The body of a response, piece by piece, in a task."""

    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange, source = self._exchange, aiter(self._stream)
        while True:
            try:
                exchange.aresume()
                piece = await anext(source, None)
            except BaseException as error:
                failed = exchange.failed(error)
                if failed is error:
                    raise
                raise failed from error
            if piece is None:
                exchange.ended()
                return
            exchange.paused()
            try:
                yield piece
            except GeneratorExit:
                if hasattr(source, "aclose"):
                    await source.aclose()
                raise

    async def aclose(self) -> None:
        """Close the response; if it was not read to its end, it is judged by what was read."""
        try:
            await self._stream.aclose()
        finally:
            self._exchange.ended()


class Timeouts(dict[str, float | None]):
    """The timeouts of a request, each cut to the time that is left when it is asked for."""

    def __init__(self, given: dict[str, float | None], exchange: Exchange) -> None:
        super().__init__(given)
        self._exchange = exchange

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return one of them, as it is now."""
        return shorter(super().get(key, default), self._exchange.left())


def _prepare(request: Any, exchange: Exchange, policy: Policy, left: int) -> None:
    """Give a request what is left of the time."""
    extensions = request.extensions
    given = extensions.get("timeout") or {}
    ask, most = given.get, left / NANOS
    cut = {
        "connect": most if (own := ask("connect")) is None or own > most else own,
        "read": most if (own := ask("read")) is None or own > most else own,
        "write": most if (own := ask("write")) is None or own > most else own,
        "pool": most if (own := ask("pool")) is None or own > most else own,
    }
    if not exchange.bound:
        request.extensions = {**extensions, "timeout": cut}
        return
    request.extensions = {**extensions, "timeout": Timeouts(cut, exchange)}
    if policy.write is not None:
        headers = request.headers
        request.headers = headers = type(headers)(headers)
        headers[policy.header] = policy.write(left)


def _host(url: Any) -> str:
    return host_and_port(url.host, url.port)  # which is None where it is the scheme's own
