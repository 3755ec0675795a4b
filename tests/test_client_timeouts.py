"""
The examples of docs/how-to/client-timeouts.md against servers that keep them waiting.

Databases and processes are in `test_client_timeouts_apart.py`.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import anyio
import httpx2
import psycopg
import pytest
import redis
import redis.asyncio
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilience import DeadlineExceededError, deadline
from tests.support.loopback import BUDGET, HTTP, Silent, dripping, over_soon, silent
from tests.support.page import page
from tests.support.threads import Caller

OURS = DeadlineExceededError
LOST = redis.ConnectionError
ONCE = Retry(NoBackoff(), 0)
web = httpx2.Client()  # made once: reading the certificates takes longer than a budget
clients: Any = page("how-to/client-timeouts.md")


@pytest.fixture
def server() -> Iterator[Silent]:
    """A server that says nothing."""
    with silent() as server:
        yield server


# -- the examples, called as a program would call them


def _fetch(server: Silent) -> Any:
    return clients.fetch(server.url)


def _document(server: Silent) -> Any:
    return clients.document(server.url)


def _download(server: Silent) -> Any:
    return clients.download(web, server.url)


def _read(server: Silent) -> Any:
    return clients.read(server.url)


def _ask(server: Silent) -> Any:
    return clients.ask((server.host, server.port), b"who is there?\n")


def _cached(server: Silent) -> Any:
    return clients.cached(server.host, server.port, "key")


def _lookup(server: Silent) -> Any:
    with redis.Redis(server.host, server.port, socket_timeout=BUDGET, retry=ONCE) as client:
        return clients.lookup(client, "key")


async def _adownload(server: Silent) -> Any:
    async with httpx2.AsyncClient(verify=False) as client:
        return await clients.adownload(client, server.url)


async def _alookup(server: Silent) -> Any:
    async with redis.asyncio.Redis(host=server.host, port=server.port) as client:
        try:
            return await clients.alookup(client, "key")
        finally:
            idle = client.connection_pool._available_connections
            assert [each.is_connected for each in idle] == [False]


async def _aconnect(server: Silent) -> Any:
    return await clients.aconnect(server.conninfo)


# -- against a server that says nothing


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (_fetch, requests.Timeout),
        (_document, (requests.Timeout, OURS)),
        (_download, httpx2.TimeoutException),
        (_read, TimeoutError),
        (_ask, TimeoutError),
        (_cached, redis.TimeoutError),
        (_lookup, (redis.TimeoutError, OURS)),
    ],
)
def test_a_client_waits_for_the_time_that_is_left(
    server: Silent, call: Callable[[Silent], Any], error: Any
) -> None:
    """
    A server says nothing: the call ends with the budget, in an error of the client's or in ours.
    """
    with deadline(BUDGET), over_soon(), pytest.raises(error):
        call(server)
    assert server.was_called(within=10)  # by a thread that was left behind, maybe after its caller


@pytest.mark.parametrize(
    ("call", "backend"),
    [
        (_adownload, "asyncio"),
        (_adownload, "trio"),
        (_alookup, "asyncio"),
        (_aconnect, "asyncio"),
    ],
)
def test_an_async_client_is_cut_off(
    server: Silent, call: Callable[[Silent], Any], backend: str
) -> None:
    """
    A deadline cancels what waits, without the client's being told of it.
    """

    async def main() -> None:
        with over_soon(), pytest.raises(OURS), deadline(BUDGET):
            await call(server)

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("call", [_fetch, _document, _download, _read, _ask, _cached, _lookup])
def test_nothing_is_sent_once_no_time_is_left(
    server: Silent, call: Callable[[Silent], Any]
) -> None:
    """
    A budget that is used up is our error, and nobody is connected to.
    """
    with deadline(0), pytest.raises(OURS):
        call(server)
    assert not server.was_called()


# -- against a server that says a byte now and then


@pytest.mark.parametrize(
    ("call", "greeting"), [(_document, HTTP), (_download, HTTP), (_read, HTTP), (_ask, b"")]
)
def test_a_server_that_drips_is_not_listened_to_for_ever(
    call: Callable[[Silent], Any], greeting: bytes
) -> None:
    """
    Each read ends in time, and the whole ends with the budget as well.
    """
    with dripping(greeting) as server:
        with deadline(BUDGET), over_soon(), pytest.raises(TimeoutError):
            call(server)


@pytest.mark.parametrize("chunk", [None, 65536])
def test_requests_itself_listens_for_ever(chunk: int | None) -> None:
    """
    Its timeout is for each read, and `iter_content` waits for a whole chunk.
    """
    patience = 0.5  # longer than a busy machine lets a server that drips wait for its turn

    def stream(url: str) -> None:
        with requests.get(url, timeout=patience, stream=True) as response:
            next(response.iter_content(chunk))

    with dripping(HTTP) as server:
        caller = Caller(stream, server.url)
        threading.Thread.join(caller, 3 * patience)
        assert caller.is_alive()
    with pytest.raises(requests.RequestException):
        caller.outcome()


# -- what a timeout of 0 is


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda at: requests.get(at.url, timeout=0), ValueError),
        (lambda at: httpx2.get(at.url, timeout=0), httpx2.ConnectError),
        (lambda at: urlopen(at.url, timeout=0), URLError),
        (lambda at: socket.create_connection((at.host, at.port), timeout=0), BlockingIOError),
        (lambda at: redis.Redis(at.host, at.port, socket_timeout=0, retry=ONCE).ping(), LOST),
        (
            lambda at: redis.Redis(at.host, at.port, socket_connect_timeout=0, retry=ONCE).ping(),
            LOST,
        ),
    ],
    ids=["requests", "httpx2", "urllib", "socket", "redis", "redis connect"],
)
def test_no_client_takes_zero_for_no_time(
    server: Silent, call: Callable[[Silent], Any], error: type[Exception]
) -> None:
    """
    0 is something else than very little, which is why `remaining()` never returns it.
    """
    with pytest.raises(error):
        call(server)


@pytest.mark.parametrize(
    ("error", "kin"),
    [
        (requests.Timeout, False),
        (httpx2.TimeoutException, False),
        (URLError, False),
        (redis.TimeoutError, False),
        (psycopg.errors.ConnectionTimeout, False),
        (psycopg.errors.QueryCanceled, False),
        (sqlite3.OperationalError, False),
        (subprocess.TimeoutExpired, False),
        (TimeoutError, True),
        (OURS, True),
    ],
)
def test_few_errors_are_a_timeout_error(error: type[Exception], kin: bool) -> None:
    """
    `except TimeoutError` finds ours and those of sockets.
    """
    assert issubclass(error, TimeoutError) is kin


def test_redis_has_five_seconds_and_ten_retries_by_itself() -> None:
    """
    Which is why its example says otherwise.
    """
    with redis.Redis() as client:
        told = client.get_connection_kwargs()
    assert (told["socket_timeout"], told["socket_connect_timeout"]) == (5, 5)
    assert told["retry"].get_retries() == 10
