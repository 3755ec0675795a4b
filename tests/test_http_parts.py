"""Guarded HTTP clients: what each of them does in its own way."""

from __future__ import annotations

import asyncio
import copy
import gc
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import httpx2
import pytest
import requests
import urllib3
from aiohttp import web
from aiohttp.test_utils import TestServer
from requests.adapters import BaseAdapter

import resilience.aiohttp
import resilience.httpx2
import resilience.requests
from resilience import ConfigurationError, Registry, Snapshot, State, deadline, remaining
from resilience._http.retry_after import retry_after
from resilience.testing import FakeClock
from tests.support.faulty import BODY, Faulty, faulty
from tests.support.loopback import HTTP, dripping

NOW = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.fixture(scope="module")
def server() -> Iterator[Faulty]:
    """A server that answers, or fails."""
    with faulty() as server:
        yield server


def only(registry: Registry) -> Snapshot:
    """How the only command of a registry stands."""
    (snapshot,) = registry.snapshot().values()
    return snapshot


def counted(registry: Registry) -> dict[str, int]:
    """The outcomes of the only command of a registry."""
    return {str(outcome): count for outcome, count in only(registry).totals.items() if count}


# -- Retry-After


@pytest.mark.promise("G9")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120),
        ("0", 0),
        ("999999999", 31_536_000),
        ("Sun, 06 Nov 1994 08:50:07 GMT", 30),
        ("Sun, 06 Nov 1994 09:50:07 +0100", 30),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 1),
        ("Sun, 06 Nov 1994 08:50:07 GMT".rjust(40), 30),
        ("Sun, 06 Nov 1994 08:50:07 GMT".rjust(41), None),
        ("Sunday, 06-Nov-94 08:50:07 GMT", 30),
        ("Sun Nov  6 08:50:07 1994", 30),
        ("Sun, 06 Nov 9994 08:50:07 GMT", 31_536_000),
        (NOW, None),
        ("Sun, 06 Nov 1994 08:49:07 GMT", None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e400", None),
        ("NaN", None),
        ("inf", None),
        ("1, 2", None),
        (" 5", None),
        ("\N{ARABIC-INDIC DIGIT FIVE}", None),
        ("9" * 10_000_000, None),
        ("Sun, 99 Nov 1994 99:99:99 GMT", None),
        ("Sun, 06 Nov 99999999 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +9999999", None),
        ("soon" * 1000, None),
    ],
    ids=lambda value: str(value)[:40] or "empty",
)
def test_retry_after_is_read_or_ignored(value: str, expected: float | None) -> None:
    """Seconds and the three forms of a date are understood; whatever is hostile is ignored."""
    assert retry_after(value, NOW) == expected


def test_dates_go_by_this_clock_where_the_server_names_none() -> None:
    """A server without a `Date` is taken to have our time."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)

    assert 50 < (retry_after(soon) or 0) <= 60
    assert 50 < (retry_after(soon, "garbage") or 0) <= 60


# -- httpx2, whose transports can be played


class Slow(httpx2.BaseTransport, httpx2.SyncByteStream):
    """A transport whose head and pieces take their time."""

    def __init__(self, clock: FakeClock, head: float = 0, pieces: tuple[float, ...] = ()) -> None:
        self.clock = clock
        self.head = head
        self.pieces = pieces
        self.asked: list[float | None] = []
        self.timeouts: dict[str, Any] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.timeouts = request.extensions["timeout"]
        self.asked.append(remaining())
        self.clock.advance(self.head)
        return httpx2.Response(200, stream=self)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.clock.advance(piece)
            yield b"x"


def slow(head: float = 0, *pieces: float, **settings: Any) -> tuple[Slow, Registry, httpx2.Client]:
    """Make a client whose responses are slow, in virtual time."""
    clock = FakeClock()
    transport, registry = Slow(clock, head, pieces), Registry(clock=clock)
    guarded = resilience.httpx2.Transport(transport, registry=registry, **settings)
    return transport, registry, httpx2.Client(transport=guarded)


def test_the_timeout_is_for_each_wait() -> None:
    """A download may take longer than the timeout, if no wait of it does."""
    _, registry, client = slow(0.9, *[0.9] * 10, timeout=1.0)

    assert client.get("http://a.example/").content == b"x" * 10
    assert counted(registry) == {"success": 1}
    (latency,) = only(registry).latency.values()
    assert latency.sum == pytest.approx(9.9)


def test_a_wait_that_is_too_long_is_a_timeout_even_if_it_ends() -> None:
    """What came too late is given to the caller and counted as a timeout."""
    for waits in ((1.1,), (0, 1.1, 0), (1.1, 0)):
        _, registry, client = slow(*waits, timeout=1.0)

        assert client.get("http://a.example/").status_code == 200
        assert counted(registry) == {"timeout": 1}


def test_the_consumers_time_counts_nowhere() -> None:
    """How long the consumer takes for a piece is its own affair."""
    transport, registry, client = slow(0.1, 0.1, 0.1, timeout=1.0)

    with client.stream("GET", "http://a.example/") as response:
        for _ in response.iter_bytes():
            transport.clock.advance(100)
    assert counted(registry) == {"success": 1}
    (latency,) = only(registry).latency.values()
    assert latency.sum == pytest.approx(0.3)


@pytest.mark.promise("E1", "E11")
def test_the_client_is_given_no_more_time_than_is_left() -> None:
    """Timeouts are cut to the timeout and to the caller's deadline, and never lengthened."""
    transport, _, client = slow(timeout=3.0)

    client.get("http://a.example/", timeout=httpx2.Timeout(10, read=1, pool=None))
    assert transport.timeouts == {"connect": 3, "read": 1, "write": 3, "pool": 3}
    assert transport.asked == [3]
    with deadline(2.0, clock=transport.clock):
        client.get("http://a.example/")
        assert transport.timeouts == {"connect": 2, "read": 2, "write": 2, "pool": 2}
        transport.clock.advance(0.5)
        assert transport.timeouts.get("read") == 1.5
        transport.clock.advance(9)
        assert 0 < transport.timeouts.get("read") < 1e-3


def test_without_a_timeout_the_client_keeps_its_own() -> None:
    """Where nothing bounds the request its timeouts are left alone."""
    transport, _, client = slow(timeout=None)

    client.get("http://a.example/", timeout=7)
    assert set(transport.timeouts.values()) == {7}
    assert type(transport.timeouts) is dict


def test_a_request_is_given_back_as_it_came() -> None:
    """What is put into a request for the way is gone afterwards: it may be sent again."""
    transport, _, client = slow(timeout=3.0)
    request = client.build_request("GET", "http://a.example/", timeout=7)

    with deadline(2.0, clock=transport.clock):
        client.send(request)
    assert "X-Request-Timeout" not in request.headers
    assert request.extensions["timeout"]["read"] == 7


def test_a_response_that_came_with_its_body_is_judged_at_once() -> None:
    """Transports that answer by themselves hold nothing."""
    registry = Registry()
    answers = httpx2.MockTransport(lambda _: httpx2.Response(500, json={}))
    guarded = resilience.httpx2.Transport(answers, registry=registry)

    response = guarded.handle_request(httpx2.Request("GET", "http://a.example/"))
    assert response.is_closed
    assert counted(registry) == {"failure": 1}


def test_a_response_that_came_with_its_body_is_judged_at_once_in_a_task() -> None:
    """Transports that answer by themselves hold nothing, in a task as elsewhere."""
    registry = Registry()
    answers = httpx2.MockTransport(lambda _: httpx2.Response(200, json={}))

    async def main() -> None:
        guarded = resilience.httpx2.AsyncTransport(answers, registry=registry)
        response = await guarded.handle_async_request(
            httpx2.Request("GET", "http://a.example/", content=b"")
        )
        assert response.is_closed

    asyncio.run(main())
    assert counted(registry) == {"success": 1}


def test_a_shorter_timeout_of_the_client_s_stays(clock: FakeClock) -> None:
    """Each of its four is as it was, or what is left of the time."""
    slow = Slow(clock)
    transport = resilience.httpx2.Transport(slow, registry=Registry(clock=clock), timeout=5)
    own = {"connect": 1.0, "read": 2.0, "write": 3.0, "pool": 4.0}
    transport.handle_request(httpx2.Request("GET", "http://a/", extensions={"timeout": own}))
    assert slow.timeouts == own


def test_a_thousand_hosts_have_names_unless_more_are_asked_for() -> None:
    """One more makes room by one that is idle, and what is remembered of names is let go."""
    registry = Registry()
    answers = httpx2.MockTransport(lambda _: httpx2.Response(200))
    guarded = resilience.httpx2.Transport(answers, registry=registry)
    for each in range(1001):
        assert len(guarded._policy._names) == each
        guarded.handle_request(httpx2.Request("GET", f"http://{each}.example/"))
    assert (len(registry), len(guarded._policy._names)) == (1000, 1)


def test_what_was_never_sent_says_nothing() -> None:
    """An address that the client refuses is told by the client, and counts for no host."""
    registry = Registry()
    with httpx2.Client(transport=resilience.httpx2.Transport(registry=registry)) as client:
        with pytest.raises(httpx2.UnsupportedProtocol):
            client.get("gopher://a.example/")
    assert counted(registry) == {"ignored": 1}


def test_a_host_of_any_length_has_a_command() -> None:
    """A name that no server has is cut, and not remembered; others are, as many as may be."""
    registry = Registry()
    answers = httpx2.MockTransport(lambda _: httpx2.Response(200))
    guarded = resilience.httpx2.Transport(answers, registry=registry, max_hosts=2)

    for each in range(5):
        guarded.handle_request(httpx2.Request("GET", f"http://{each}{'x' * 10_000}/"))
    assert len(registry) == 2
    assert all(len(name) < 300 for name in registry)
    assert guarded._policy._names == {}
    for each in range(5):
        guarded.handle_request(httpx2.Request("GET", f"http://{each}.example/"))
        assert 0 < len(guarded._policy._names) <= 2


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://A.example/", "http:a.example"),
        ("http://a.example:80/", "http:a.example"),
        ("https://a.example:443/", "http:a.example"),
        ("http://a.example:8080/", "http:a.example:8080"),
        ("http://me:secret@a.example/", "http:a.example"),
        ("http://[::1]:8080/", "http:[::1]:8080"),
    ],
)
def test_a_host_has_one_name(url: str, name: str) -> None:
    """A host is named by what is dialled, and never by who asks."""
    registry = Registry()
    answers = httpx2.MockTransport(lambda _: httpx2.Response(200))
    with httpx2.Client(transport=resilience.httpx2.Transport(answers, registry=registry)) as client:
        client.get(url)
    assert list(registry) == [name]

    other = Registry()
    session = requests.Session()
    adapter = resilience.requests.Adapter(Echo(), registry=other)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.get(url)
    assert list(other) == [name]


@pytest.mark.parametrize("url", ["http:///", "http://a.example:99999999/", "http://[::1"])
def test_an_address_without_a_host_is_left_to_the_client(url: str) -> None:
    """Its command is nobody's, and what is wrong is told by whoever sends."""
    registry = Registry()
    request = requests.Request("GET", "http://a.example/").prepare()
    request.url = url

    resilience.requests.Adapter(Echo(), registry=registry).send(request)
    assert counted(registry) == {"success": 1}


def test_a_command_for_all_hosts_is_there_from_the_beginning() -> None:
    """It can be looked at before the first request; those of hosts are made when they are met."""
    registry = Registry()

    resilience.httpx2.Transport(registry=registry, name="web")
    resilience.httpx2.Transport(registry=registry)
    assert list(registry) == ["web"]


def test_all_that_is_wrong_is_told_together() -> None:
    """A wrong name hides no other fault."""
    with pytest.raises(ConfigurationError) as caught:
        resilience.httpx2.Transport(name="", methods="GET", statuses=500, header="two words")
    assert [fault.split()[0] for fault in caught.value.faults] == [
        "name",
        "methods",
        "statuses",
        "header",
    ]


def objects() -> int:
    """How many objects are alive."""
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.promise("J5")
def test_ten_thousand_hosts_take_bounded_memory() -> None:
    """Idle hosts make room for others; those with an open circuit stay."""
    registry = Registry()
    answers = httpx2.MockTransport(
        lambda request: httpx2.Response(500 if "open" in request.url.host else 200)
    )
    guarded = resilience.httpx2.Transport(
        answers, registry=registry, max_hosts=100, volume_threshold=1
    )
    draw = random.Random(7)

    def visit(hosts: int) -> None:
        for _ in range(hosts):
            name = f"{draw.getrandbits(64):x}.example"
            guarded.handle_request(httpx2.Request("GET", f"http://{name}/"))

    for each in range(3):
        guarded.handle_request(httpx2.Request("GET", f"http://open{each}.example/"))
    visit(1_000)
    before = objects()
    visit(9_000)
    after = objects()

    assert len(registry) == 100
    assert sum(each.state is State.OPEN for each in registry.snapshot().values()) == 3
    assert after - before < 200


# -- requests


class Echo(BaseAdapter):
    """An adapter that answers at once, and remembers the timeout it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.timeout: Any = None

    def send(self, request: Any, stream: Any = False, timeout: Any = None, *_: Any) -> Any:
        self.timeout = timeout
        response = requests.Response()
        response.status_code = 200
        response.request, response.url, response._content = request, request.url, b""
        return response

    def close(self) -> None: ...


@pytest.mark.promise("E11")
@pytest.mark.parametrize(
    ("given", "connect", "read"),
    [
        (None, 3, None),
        (10, 3, 10),
        ((1, 2), 1, 2),
        ((None, 2), 3, 2),
        (urllib3.Timeout(connect=1, read=2), 1, 2),
        (urllib3.Timeout(connect=None, read=2, total=9), 3, 2),
        (urllib3.Timeout(connect=None, read=1, total=2), 2, 1),
    ],
    ids=str,
)
def test_requests_is_given_no_more_time_than_is_left(given: Any, connect: Any, read: Any) -> None:
    """Every form of its timeout is cut, the connect taken from the wait for the head."""
    echo = Echo()
    session = requests.Session()
    session.mount("http://", resilience.requests.Adapter(echo, registry=Registry(), timeout=3.0))

    session.get("http://a.example/", timeout=given)
    assert echo.timeout.connect_timeout == pytest.approx(connect, abs=0.1)
    assert echo.timeout._read == read
    assert echo.timeout.total <= 3


def test_requests_says_what_is_wrong_with_an_address() -> None:
    """What cannot be sent is told by requests itself, and says nothing about any host."""
    registry = Registry()
    session = requests.Session()
    session.mount("http://", resilience.requests.Adapter(registry=registry))

    with pytest.raises(requests.exceptions.InvalidURL):
        session.get("http://a.example:99999999/")
    assert sum(sum(each.totals.values()) for each in registry.snapshot().values()) <= 1
    assert all(not each.window.calls for each in registry.snapshot().values())


def test_requests_reads_its_body_in_every_way(server: Faulty) -> None:
    """Whichever way a body is read, it is read whole, and its slot is back at its end."""
    registry = Registry()
    with requests.Session() as session:
        session.mount("http://", resilience.requests.Adapter(registry=registry))

        def get(path: str = "healthy") -> requests.Response:
            return session.get(server.url(path), stream=True)

        assert get().content == BODY
        assert b"".join(get("chunked").iter_content(4)) == BODY
        assert get("zipped").content == BODY * 1000
        assert b"".join(get("zipped").iter_content(7)) == BODY * 1000
        assert list(get().iter_lines()) == [BODY]
        assert b"".join(get().raw) == BODY
        response = get()
        assert response.raw.read(5) == BODY[:5]
        assert only(registry).in_flight == 1
        assert response.raw.read() == BODY[5:]
        response = get()
        assert b"".join(iter(lambda: response.raw.read1(4), b"")) == BODY
        buffer = bytearray(100)
        response = get()
        assert response.raw.readinto(buffer) == len(BODY)
        assert response.raw.headers["Content-Length"] == str(len(BODY))
        assert response.raw.readinto(buffer) == 0
        get().raw.drain_conn()
        response = get()
        assert copy.copy(response.raw).status == 200
        response.close()
    assert only(registry).in_flight == 0
    assert counted(registry) == {"success": 11}


class Plain:
    """A body as other adapters have it: a stream, and no `read1`."""

    def stream(self, amt: int, decode_content: Any) -> Iterator[bytes]:
        yield b"plain"
        yield b" and simple"

    def close(self) -> None: ...


class Simple(Echo):
    """An adapter whose bodies are plain."""

    def send(self, request: Any, stream: Any = False, timeout: Any = None, *_: Any) -> Any:
        response = super().send(request, stream, timeout)
        response.raw, response._content = Plain(), False
        return response


def test_requests_reads_bodies_of_other_adapters() -> None:
    """A body that is none of urllib3's is read as it can be."""
    registry = Registry()
    session = requests.Session()
    session.mount("http://", resilience.requests.Adapter(Simple(), registry=registry))

    assert session.get("http://a.example/").content == b"plain and simple"
    assert counted(registry) == {"success": 1}


def test_requests_reads_a_piece_no_longer_than_the_deadline(server: Faulty) -> None:
    """A single read of the raw body is bounded as well, and breaks the response off."""
    registry = Registry()
    with requests.Session() as session:
        session.mount("http://", resilience.requests.Adapter(registry=registry, timeout=0.08))
        response = session.get(server.url("stall"), stream=True)
        assert response.raw.read1(100) == BODY
        with pytest.raises(resilience.requests.DeadlineExceededError):
            response.raw.read(100)
        assert response.raw.closed
        response = session.get(server.url("healthy"), stream=True)
        pieces = response.raw.stream(4)
        assert next(pieces) == BODY[:4]
        pieces.close()
        assert response.raw.read() == BODY[4:]
        assert response.raw.read1(4) == b""
    assert counted(registry) == {"timeout": 1, "success": 1}


def test_requests_does_not_wait_for_a_whole_chunk() -> None:
    """A server that drips keeps nobody beyond the deadline: a piece is what has come."""
    registry = Registry()
    with dripping(HTTP) as drip, requests.Session() as session:
        session.mount("http://", resilience.requests.Adapter(registry=registry))
        with pytest.raises(resilience.requests.DeadlineExceededError), deadline(0.1):
            session.get(drip.url)
    assert counted(registry) == {"expired": 1}


# -- aiohttp


def test_aiohttp_reads_its_body_in_every_way(server: Faulty) -> None:
    """Whichever way a body is read, it is read whole, and its slot is back at its end."""
    registry = Registry()
    guard = resilience.aiohttp.middleware(registry=registry)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=[guard]) as session:
            url = server.url("late-body")
            async with session.get(url) as response:
                assert await response.content.readexactly(5) == BODY[:5]
                assert await response.content.readline() == BODY[5:]
            async with session.get(url) as response:
                assert await response.content.readuntil(b",") == BODY[:6]
                assert await response.content.read(100) == BODY[6:]
                assert await response.content.read(100) == b""
            async with session.get(url) as response:
                assert b"".join([each async for each in response.content]) == BODY
            async with session.get(url) as response:
                assert b"".join([each async for each in response.content.iter_any()]) == BODY
            async with session.get(url) as response:
                pieces = [each async for each in response.content.iter_chunked(3)]
                assert b"".join(pieces) == BODY
            async with session.get(url) as response:
                chunks = [each async for each, _ in response.content.iter_chunks()]
                assert b"".join(chunks) == BODY
                assert response.content.at_eof()
            async with session.get(url) as response:
                assert await response.text() == BODY.decode()

    asyncio.run(main())
    assert only(registry).in_flight == 0
    assert counted(registry) == {"success": 7}


def test_a_websocket_holds_no_slot() -> None:
    """A connection that was made a WebSocket is no request any more."""
    registry = Registry()
    guard = resilience.aiohttp.middleware(registry=registry)

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str())
        await socket.close()
        return socket

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", echo)
        async with TestServer(app) as server, aiohttp.ClientSession(middlewares=[guard]) as session:
            async with session.ws_connect(server.make_url("/")) as socket:
                assert counted(registry) == {"success": 1}
                await socket.send_str("hello")
                assert await socket.receive_str() == "hello"

    asyncio.run(main())
    assert only(registry).in_flight == 0


def test_aiohttp_counts_a_body_that_broke_while_nobody_read_it(server: Faulty) -> None:
    """A connection that is lost between two reads is a failure, even if nobody reads on."""
    registry = Registry()
    guard = resilience.aiohttp.middleware(registry=registry)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=[guard]) as session:
            async with session.get(server.url("reset-body")) as response:
                for _ in range(10_000):
                    await asyncio.sleep(0.001)
                    if response.content.exception() is not None:
                        break

    asyncio.run(main())
    assert counted(registry) == {"failure": 1}
