"""
HTTP: what a guarded transport adds to a request.

A client of httpx2 asks a server in another process of this machine, which does nothing but answer:
a real network and a real service only make the share smaller. Every client keeps its connection.
"""

import asyncio
import atexit
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import cache
from ssl import create_default_context
from time import perf_counter_ns
from typing import Any

import attrs
import httpx2
from interlock.integrations.httpx2 import AsyncCircuitBreakerTransport, CircuitBreakerTransport

from benchmarks.limits import limits
from benchmarks.row import Contender, Row
from benchmarks.runtimes import quiet
from benchmarks.subject import WrongPathError
from resilience import Registry
from resilience.httpx2 import AsyncTransport, Transport

SECONDS = 0.1
"""How long the requests of one sample take together: they take longer than other calls."""

ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"ok": true}'
)


def http_rows() -> Iterator[Row]:
    """Make a row for each colour."""
    for runtime, sides in (("sync", _sync_sides()), ("asyncio", _asyncio_sides())):
        key = f"http {runtime}"
        yield Row(key, f"GET by httpx2 from a local server, {runtime}", sides, limits(key))


def _sync_sides() -> list[Contender]:
    return [
        Sync("resilience", lambda sends: Transport(sends, registry=Registry())),
        Sync("interlock-cb", CircuitBreakerTransport),
        Sync("httpx2", lambda sends: sends),
    ]


def _asyncio_sides() -> list[Contender]:
    return [
        Asyncio("resilience", lambda sends: AsyncTransport(sends, registry=Registry())),
        Asyncio("interlock-cb", AsyncCircuitBreakerTransport),
        Asyncio("httpx2", lambda sends: sends),
    ]


@attrs.frozen
class Sync:
    """
    A client whose requests are timed.

    Attributes:
        name: What it is called in the table.
        guard: Puts a guard around the transport that sends.
    """

    name: str
    guard: Callable[[Any], httpx2.BaseTransport]

    def check(self) -> None:
        """Make one request."""
        with self._client() as client:
            _judge(client.get(_server()))

    def sample(self, scale: float) -> float:
        """Return the nanoseconds of one request."""
        with self._client() as client:
            get, url = client.get, _server()

            def loop(number: int) -> int:
                start = perf_counter_ns()
                for _ in range(number):
                    get(url)
                return perf_counter_ns() - start

            _judge(get(url))
            number = _number(loop(10) / 10, scale)
            with quiet():
                return loop(number) / number

    def _client(self) -> httpx2.Client:
        transport = self.guard(httpx2.HTTPTransport(verify=_tls()))
        return httpx2.Client(transport=transport, trust_env=False)


@attrs.frozen
class Asyncio:
    """A client whose requests are timed, on asyncio: see `Sync`."""

    name: str
    guard: Callable[[Any], httpx2.AsyncBaseTransport]

    def check(self) -> None:
        """Make one request."""

        async def check() -> None:
            async with self._client() as client:
                _judge(await client.get(_server()))

        asyncio.run(check())

    def sample(self, scale: float) -> float:
        """Return the nanoseconds of one request."""

        async def sample() -> float:
            async with self._client() as client:
                get, url = client.get, _server()

                async def loop(number: int) -> int:
                    start = perf_counter_ns()
                    for _ in range(number):
                        await get(url)
                    return perf_counter_ns() - start

                _judge(await get(url))
                number = _number(await loop(10) / 10, scale)
                with quiet():
                    return await loop(number) / number

        return asyncio.run(sample())

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx2.AsyncClient]:
        transport = self.guard(httpx2.AsyncHTTPTransport(verify=_tls()))
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
            yield client


def _number(nanoseconds: float, scale: float) -> int:
    return max(1, int(SECONDS * scale * 1e9 / nanoseconds))


def _judge(response: httpx2.Response) -> None:
    if response.status_code != httpx2.codes.OK or response.json() != {"ok": True}:
        raise WrongPathError(f"answered {response!r}")


_tls = cache(create_default_context)


@cache
def _server() -> str:
    """Start the server, once, and return its address."""
    command = [sys.executable, "-m", "benchmarks.http"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    assert server.stdout is not None
    with server.stdout:
        return f"http://127.0.0.1:{int(server.stdout.readline())}/"


class _Answer(asyncio.Protocol):
    """One connection of the server: it answers whatever is asked."""

    transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
