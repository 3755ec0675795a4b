"""What a server pays for a request: reading its budget, and the middleware."""

from collections.abc import Iterator
from typing import Any

from benchmarks.limits import limits
from benchmarks.row import Row, Timed
from benchmarks.runtimes import RUNTIMES
from benchmarks.subject import Subject
from resilience._budget_header import GRPC, MILLISECONDS
from resilience.asgi import Middleware

HEADERS = {
    "2500": MILLISECONDS,
    "2500m": GRPC,
    "1e400": MILLISECONDS,
    "digits of another script": MILLISECONDS,
    "10 MB of digits": MILLISECONDS,
    "10 MB of digits, gRPC": GRPC,
}
VALUES = {
    "digits of another script": "\u0661\u0662".encode(),
    "10 MB of digits": b"9" * 10_000_000,
    "10 MB of digits, gRPC": b"9" * 10_000_000,
}
READ = {"2500": 2_500_000_000, "2500m": 2_500_000_000}

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "headers": [
        (b"host", b"127.0.0.1"),
        (b"accept", b"*/*"),
        (b"user-agent", b"benchmark"),
        (b"x-request-timeout", b"2500"),
    ],
}
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b""}


def server_rows() -> Iterator[Row]:
    """Make a row for the headers, and one for the middleware on each event loop."""
    yield Row(
        "header",
        "a budget read from a header, or what is none",
        [Timed(name, RUNTIMES["sync"], lambda name=name: _reading(name)) for name in HEADERS],
        limits("header"),
    )
    for name in ("asyncio", "trio"):
        yield Row(
            f"middleware {name}",
            f"an ASGI request with a budget and a slot, {name}",
            [
                Timed("resilience", RUNTIMES[name], _guarded),
                Timed("no middleware", RUNTIMES[name], _bare),
            ],
            limits(f"middleware {name}"),
        )


def _reading(name: str) -> Subject:
    read, value = HEADERS[name].read, VALUES.get(name, name.encode())
    return Subject(lambda: read(value), returns=READ.get(name))


def _guarded() -> Subject:
    return _requests(Middleware(_app, bulkhead=100))


def _bare() -> Subject:
    return _requests(_app)


def _requests(app: Any) -> Subject:
    async def request() -> None:
        await app(SCOPE, None, _send)

    return Subject(request)


async def _app(_scope: Any, _receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def _send(_message: Any) -> None: ...
