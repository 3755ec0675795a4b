"""The bodies of urllib3, as requests hands them out: each way of reading, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

import resilience.requests
from resilience import DeadlineExceededError, Registry, State, deadline, remaining
from resilience.testing import FakeClock

URL = "http://a.example/"
LATE = urllib3.exceptions.ReadTimeoutError(None, URL, "late")  # type: ignore[arg-type]


class Body:
    """Stands for a response of urllib3: each piece of it takes its time."""

    def __init__(self, clock: FakeClock, *pieces: bytes | Exception, takes: float = 0.0) -> None:
        self.clock = clock
        self.pieces = list(pieces)
        self.takes = takes
        self.meanwhile: Callable[[], Any] = lambda: None
        self.did: list[str] = []
        self.options: list[Any] = []
        self.timeouts: list[Any] = []
        self.connection = self.sock = self

    def settimeout(self, timeout: float | None) -> None:
        self.timeouts.append(timeout)

    def read1(self, amt: int | None = None, decode_content: Any = None) -> bytes:
        self.options.append(decode_content)
        if amt == 0:
            return b""
        self.did.append("read")
        self.clock.advance(self.takes)
        self.meanwhile()
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        if amt is not None and len(piece) > amt:
            self.pieces.insert(0, piece[amt:])
        return piece[:amt]

    read = read1

    def close(self) -> None:
        self.did.append("close")

    def release_conn(self) -> None:
        self.did.append("release")

    def drain_conn(self) -> None:
        self.did.append("drain")


class Hands(BaseAdapter):
    """An adapter that hands out a body."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.asked: list[float | None] = []

    def send(self, request: Any, stream: Any = False, timeout: Any = None, *_: Any) -> Any:
        response = requests.Response()
        self.asked.append(remaining())
        response.status_code, response.raw = 200, self.body
        response.request, response.url = request, request.url
        return response

    def close(self) -> None: ...


@pytest.fixture
def session(registry: Registry) -> Iterator[Callable[..., Any]]:
    """Asks for a page whose body is given, and returns the guarded body."""
    with requests.Session() as session:

        def get(body: Body, given: Any = None, **settings: Any) -> Any:
            adapter = resilience.requests.Adapter(
                Hands(body), registry=registry, **{"timeout": 1.0, "name": "web", **settings}
            )
            session.mount("http://", adapter)
            return session.get(URL, stream=True, timeout=given).raw

        yield get


Get = Callable[..., Any]
READS = pytest.mark.parametrize(
    "read",
    [lambda raw: raw.read(5), lambda raw: raw.read1(5), lambda raw: next(raw.stream(5))],
    ids=["read", "read1", "stream"],
)
Read = Callable[[Any], bytes]


def counted(registry: Registry) -> dict[str, int]:
    """The outcomes of the only command."""
    totals = registry.snapshot()["web"].totals
    return {str(outcome): count for outcome, count in totals.items() if count}


def took(registry: Registry) -> float:
    """How long its calls have taken, in seconds."""
    return sum(latency.sum for latency in registry.snapshot()["web"].latency.values())


# -- how it is read


def test_lines_are_cut_where_they_end(session: Get, clock: FakeClock) -> None:
    """Over pieces, decoded, and the last line as it is."""
    for pieces, lines in (
        ((b"one\ntw", b"o\n", b"\nend"), [b"one\n", b"two\n", b"\n", b"end"]),
        ((b"one\n",), [b"one\n"]),
        ((), []),
    ):
        body = Body(clock, *pieces)
        assert list(session(body)) == lines
        assert set(body.options) == {True}


def test_a_read_of_nothing_is_no_end(session: Get, clock: FakeClock, registry: Registry) -> None:
    """Nothing was asked for, so nothing says nothing."""
    for read in (lambda raw: raw.read(0), lambda raw: raw.read1(0)):
        raw = session(Body(clock, b"hello"))
        assert read(raw) == b""
        assert registry.snapshot()["web"].in_flight == 1
        assert raw.read() == b"hello"
    assert counted(registry) == {"success": 2}


def test_an_empty_piece_is_the_end(session: Get, clock: FakeClock, registry: Registry) -> None:
    """However little was asked for, the slot is back; and to read on gives what urllib3 gives."""
    for read in (lambda raw: raw.read(1), lambda raw: raw.read1(1), lambda raw: raw.read1()):
        raw = session(Body(clock, b"x"))
        assert [read(raw), read(raw)] == [b"x", b""]
        assert registry.snapshot()["web"].in_flight == 0
        assert [read(raw), raw.read(), list(raw.stream())] == [b"", b"", []]
    assert counted(registry) == {"success": 3}


@pytest.mark.parametrize("does", ["close", "release", "drain"])
def test_who_gives_a_response_back_gives_its_slot_back(
    session: Get, clock: FakeClock, registry: Registry, does: str
) -> None:
    """What urllib3 does with the connection it still does."""
    body = Body(clock, b"hello")
    raw = session(body)
    assert raw.read(2) == b"he"

    getattr(raw, "close" if does == "close" else f"{does}_conn")()
    assert body.did == ["read", does]
    assert counted(registry) == {"success": 1}
    assert registry.snapshot()["web"].in_flight == 0


@READS
def test_an_error_leaves_as_it_was_raised(
    session: Get, clock: FakeClock, registry: Registry, read: Read
) -> None:
    """And nobody can go on in the middle: the response is closed."""
    error = urllib3.exceptions.ProtocolError("cut")
    body = Body(clock, error)

    with pytest.raises(urllib3.exceptions.ProtocolError) as caught:
        read(session(body))
    assert caught.value is error
    assert error.__cause__ is None
    assert body.did == ["read", "close"]
    assert counted(registry) == {"failure": 1}


def test_a_response_is_closed_if_its_predicate_raises(
    session: Get, clock: FakeClock, registry: Registry
) -> None:
    """Nobody else has it."""
    body = Body(clock, b"hello")
    with pytest.raises(ZeroDivisionError):
        session(body, is_failure=lambda _: 1 / 0)
    assert "close" in body.did
    assert counted(registry) == {"ignored": 1}


# -- how long it takes


@READS
def test_each_read_is_a_wait(
    session: Get, clock: FakeClock, registry: Registry, read: Read
) -> None:
    """The reads count, and the time between them does not."""
    raw = session(Body(clock, b"hello", b"world", takes=0.4))

    for _ in range(2):
        read(raw)
        clock.advance(100)
    raw.close()
    assert counted(registry) == {"success": 1}
    assert took(registry) == pytest.approx(0.8)


@READS
@pytest.mark.parametrize(("takes", "ours"), [(0.9, True), (0.89, False)])
def test_a_timer_of_the_sockets_may_be_early(
    session: Get, clock: FakeClock, registry: Registry, read: Read, takes: float, ours: bool
) -> None:
    """A read that times out when the timeout is nearly over is ours."""
    with pytest.raises((urllib3.exceptions.ReadTimeoutError, DeadlineExceededError)) as caught:
        read(session(Body(clock, LATE, takes=takes)))
    assert isinstance(caught.value, resilience.requests.DeadlineExceededError) is ours
    assert counted(registry) == {"timeout" if ours else "failure": 1}


@READS
def test_nothing_is_read_once_the_callers_time_is_over(
    session: Get, clock: FakeClock, registry: Registry, read: Read
) -> None:
    """The error is ours and requests', and the response is closed."""
    body = Body(clock, b"hello")
    raw = session(body)

    with pytest.raises(resilience.requests.DeadlineExceededError), deadline(2.0, clock=clock):
        clock.advance(2)
        read(raw)
    assert body.did == ["close"]
    assert counted(registry) == {"expired": 1}


@READS
@pytest.mark.parametrize(
    ("given", "timeout", "waits"),
    [
        (None, None, None),
        (None, 3.0, 3),
        (7, None, 7),
        (7, 3.0, 3),
        (0.5, 3.0, 0.5),
        ((1, 2), None, 2),
        ((1, None), None, None),
        (0, None, None),
        (urllib3.Timeout(connect=1, read=2), None, 2),
        (urllib3.Timeout(connect=1), None, None),
    ],
    ids=str,
)
def test_the_socket_waits_as_long_as_it_may(
    session: Get, clock: FakeClock, read: Read, given: Any, timeout: Any, waits: Any
) -> None:
    """By the user's own timeout for a read, or less where less is left."""
    body = Body(clock, b"hello", b"world")
    raw = session(body, given, timeout=timeout)

    read(raw)
    with deadline(0.25, clock=clock):
        read(raw)
    assert body.timeouts == [waits, 0.25]


@READS
def test_who_reads_on_after_the_end_is_bounded_as_well(
    session: Get, clock: FakeClock, read: Read
) -> None:
    """Whatever there may be on the connection, nobody waits beyond a deadline for it."""
    for _ in range(2):
        body = Body(clock)
        raw = session(body)
        assert raw.read() == b""
    body.pieces = [b"more"]

    with deadline(0.25, clock=clock):
        assert read(raw) == b"more"
    assert body.timeouts == [1, 0.25]
    body.pieces = [LATE]
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        read(raw)


@READS
def test_what_a_trial_asks_itself_is_part_of_it(
    session: Get, clock: FakeClock, registry: Registry, read: Read
) -> None:
    """While a trial reads, the requests it makes to the same host are let in."""
    settings = {"timeout": None, "volume_threshold": 1, "sleep_window": 1.0}
    command = registry.command("web", **settings)
    command.acquire().fail()
    clock.advance(1)
    body = Body(clock, b"hello")
    body.meanwhile = lambda: session(Body(clock), **settings).read()

    raw = session(body, **settings)
    read(raw)
    raw.close()
    assert counted(registry) == {"success": 2, "failure": 1}
    assert command.state is State.CLOSED
