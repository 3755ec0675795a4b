"""
Transports: the guard around those of httpx2 and httpx, which have one shape.

The pairs differ by their awaits alone. A request is given back as it came: what was put into it for
the way (a header, shorter timeouts) belongs to this sending of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from resilience._http.exchange import Exchange, shorter
from resilience._http.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from resilience._http.policy import Policy

__all__ = ["AsyncPieces", "Pieces", "asend", "send"]

ASKS: Final = (429, 503)
"""The statuses whose `Retry-After` is heeded."""


def send(policy: Policy, wrapped: Any, request: Any, pieces: type[Pieces]) -> Any:
    """Send a request and return its response, whose body is guarded as well."""
    exchange = policy.exchange(request.method, _host(request.url))
    if exchange is None:
        return wrapped.handle_request(request)
    before = request.extensions, request.headers
    try:
        exchange.admit()
        _prepare(request, exchange, policy)
        response = wrapped.handle_request(request)
    except BaseException as error:
        failed = exchange.failed(error)
        if failed is error:
            raise
        raise failed from error
    finally:
        request.extensions, request.headers = before
    try:
        _answered(policy, exchange, response)
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
        await exchange.aadmit()
        _prepare(request, exchange, policy)
        response = await wrapped.handle_async_request(request)
    except BaseException as error:
        failed = exchange.failed(error)
        if failed is error:
            raise
        raise failed from error
    finally:
        request.extensions, request.headers = before
    try:
        _answered(policy, exchange, response)
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
        exchange, source = self._exchange, iter(self._stream)
        while True:
            try:
                exchange.resume()
                piece = next(source, None)
            except BaseException as error:
                failed = exchange.failed(error)
                if failed is error:
                    raise
                raise failed from error
            if piece is None:
                exchange.ended()
                return
            exchange.paused()
            yield piece

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
        left = exchange.left()
        super().__init__({kind: shorter(given.get(kind), left) for kind in PHASES})
        self._exchange = exchange

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return one of them, as it is now."""
        return shorter(super().get(key, default), self._exchange.left())


PHASES: Final = ("connect", "read", "write", "pool")


def _prepare(request: Any, exchange: Exchange, policy: Policy) -> None:
    """Give a request what is left of the time."""
    left = exchange.budget()
    if left is None:
        return
    extensions = request.extensions
    timeouts = Timeouts(extensions.get("timeout") or {}, exchange)
    request.extensions = {**extensions, "timeout": timeouts}
    if policy.write is not None:
        request.headers = headers = request.headers.copy()
        headers[policy.header] = policy.write(left)


def _answered(policy: Policy, exchange: Exchange, response: Any) -> None:
    """Look at the head of a response."""
    status = response.status_code
    try:
        failed = policy.failed(status, response)
    except BaseException:
        exchange.ignored()
        raise
    if failed:
        headers = response.headers
        wait = retry_after(headers.get("Retry-After"), headers.get("Date")) if status in ASKS else None
        exchange.answered(f"status {status}", wait)
    else:
        exchange.answered()


def _host(url: Any) -> str:
    port = url.port  # None where it is the scheme's own
    host: str = url.host
    if ":" in host:
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"
