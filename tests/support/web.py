"""
One way to ask for a page, whatever the client: guarded clients of every kind, in every colour.

A `Web` gives `fetch(url)`, which reads the whole body, and `open(url)`, which reads the head and
leaves the body for later. Both are awaited; in sync code nothing ever waits by that.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import httpx
import httpx2
import requests
import trio

import resilience.aiohttp
import resilience.httpx
import resilience.httpx2
import resilience.requests
from resilience import Registry
from tests.support.scene import drive

TLS = ssl.create_default_context()
"""Made once: it takes longer than most requests here."""


class Web(NamedTuple):
    """A guarded client."""

    fetch: Callable[..., Awaitable[int]]
    """Gives the status, when the body was read."""
    open: Callable[..., Awaitable[Page]]
    """Gives the response as soon as its head is there."""


class Page(NamedTuple):
    """A response whose body is still to be read."""

    status: int
    read: Callable[[], Awaitable[bytes]]
    close: Callable[[], Awaitable[None]]
    headers: Any


Make = Callable[..., AbstractAsyncContextManager[Web]]


class Kind(NamedTuple):
    """A kind of client: how it is made and run, and the module with its errors."""

    name: str
    make: Make
    run: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]
    module: Any
    base: type[Exception]
    """What all of the client's errors are."""
    error: type[Exception]
    timeout: type[Exception]
    is_async: bool = True


def _sync(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return drive(main())


def _asyncio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


def _httpx(client: Any, guard: Any) -> Make:
    @asynccontextmanager
    async def make(registry: Registry, **settings: Any) -> AsyncIterator[Web]:
        sends = client.HTTPTransport(verify=TLS)
        transport = guard.Transport(sends, registry=registry, **settings)
        with client.Client(transport=transport, trust_env=False) as session:

            async def fetch(url: str, method: str = "GET", **options: Any) -> int:
                return int(session.request(method, url, **options).status_code)

            async def open_(url: str, **options: Any) -> Page:
                request = session.build_request("GET", url, **options)
                response = session.send(request, stream=True)

                async def read() -> bytes:
                    return bytes(response.read())

                async def close() -> None:
                    response.close()

                return Page(response.status_code, read, close, response.headers)

            yield Web(fetch, open_)

    return make


def _ahttpx(client: Any, guard: Any) -> Make:
    @asynccontextmanager
    async def make(registry: Registry, **settings: Any) -> AsyncIterator[Web]:
        sends = client.AsyncHTTPTransport(verify=TLS)
        transport = guard.AsyncTransport(sends, registry=registry, **settings)
        async with client.AsyncClient(transport=transport, trust_env=False) as session:

            async def fetch(url: str, method: str = "GET", **options: Any) -> int:
                return int((await session.request(method, url, **options)).status_code)

            async def open_(url: str, **options: Any) -> Page:
                request = session.build_request("GET", url, **options)
                response = await session.send(request, stream=True)
                return Page(response.status_code, response.aread, response.aclose, response.headers)

            yield Web(fetch, open_)

    return make


@asynccontextmanager
async def _requests(registry: Registry, **settings: Any) -> AsyncIterator[Web]:
    with requests.Session() as session:
        session.trust_env = False
        adapter = resilience.requests.Adapter(registry=registry, **settings)
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)

        async def fetch(url: str, method: str = "GET", **options: Any) -> int:
            return session.request(method, url, **options).status_code

        async def open_(url: str, **options: Any) -> Page:
            response = session.get(url, stream=True, **options)

            async def read() -> bytes:
                return response.content

            async def close() -> None:
                response.close()

            return Page(response.status_code, read, close, response.headers)

        yield Web(fetch, open_)


@asynccontextmanager
async def _aiohttp(registry: Registry, **settings: Any) -> AsyncIterator[Web]:
    guard = resilience.aiohttp.middleware(registry=registry, **settings)
    async with aiohttp.ClientSession(middlewares=[guard]) as session:

        async def fetch(url: str, method: str = "GET", **options: Any) -> int:
            async with session.request(method, url, **options) as response:
                await response.read()
                return response.status

        async def open_(url: str, **options: Any) -> Page:
            response = await session.get(url, **options)

            async def close() -> None:
                response.close()

            return Page(response.status, response.read, close, response.headers)

        yield Web(fetch, open_)


def _kinds() -> list[Kind]:
    kinds = []
    for client, guard in ((httpx2, resilience.httpx2), (httpx, resilience.httpx)):
        rest: Any = (guard, client.HTTPError, client.TransportError, client.TimeoutException)
        name = client.__name__
        kinds += [
            Kind(f"{name}", _httpx(client, guard), _sync, *rest, is_async=False),
            Kind(f"{name} asyncio", _ahttpx(client, guard), _asyncio, *rest),
            Kind(f"{name} trio", _ahttpx(client, guard), trio.run, *rest),
        ]
    return [
        *kinds,
        Kind(
            "requests",
            _requests,
            _sync,
            resilience.requests,
            requests.RequestException,
            requests.ConnectionError,
            requests.Timeout,
            is_async=False,
        ),
        Kind(
            "aiohttp",
            _aiohttp,
            _asyncio,
            resilience.aiohttp,
            aiohttp.ClientError,
            aiohttp.ClientError,
            aiohttp.ServerTimeoutError,
        ),
    ]


KINDS = {kind.name: kind for kind in _kinds()}
