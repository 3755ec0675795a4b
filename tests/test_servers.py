"""The middleware in Starlette, FastAPI, Flask and Django, under their servers, on real sockets."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.sites.servers import GUNICORN, HYPERCORN, UVICORN, Answer, Server, served

SERVERS = {
    "starlette-uvicorn": ("starlette_app", (*UVICORN, "--loop", "asyncio")),
    "starlette-gunicorn": ("starlette_app", (*GUNICORN, "-k", "asgi")),
    "starlette-hypercorn-trio": ("starlette_app", (*HYPERCORN, "-k", "trio")),
    "fastapi-uvicorn": ("fastapi_app", UVICORN),
    "fastapi-gunicorn": ("fastapi_app", (*GUNICORN, "-k", "asgi")),
    "flask-uvicorn": ("flask_app", (*UVICORN, "--interface", "wsgi")),
    "flask-gunicorn": ("flask_app", (*GUNICORN, "--threads", "12")),
    "django-gunicorn": ("django_app", (*GUNICORN, "--threads", "12")),
    "django-uvicorn": ("django_app", UVICORN, "asgi_app"),
}


HELD = 6
"""How many requests the applications let in at once."""

SOON = 20
"""Seconds after which what should have been at once was late, on the slowest of machines."""


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[str], Server]]:
    """What starts a server at its first use, and ends them all."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda name: stack.enter_context(served(*SERVERS[name])))


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, running: Callable[[str], Server]) -> Server:
    """One framework under one server."""
    return running(request.param)


def until(server: Server, status: int) -> Answer:
    """Ask until there is an answer of this status."""
    end = time.monotonic() + SOON
    while (answer := server.get("/ok")).status != status:
        assert time.monotonic() < end, answer
    return answer


def hold(server: Server) -> Answer:
    """Hold a slot for a while; whoever asks in between may have it first."""
    while (answer := server.get("/slow", X_Request_Timeout="700")).status == 503:
        pass
    return answer


def check_problem(answer: Answer) -> None:
    """Check that an answer says what a problem says, and no more."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == answer.status
    assert b"stock" not in answer.body


def test_a_request_is_answered(server: Server) -> None:
    """Without a budget it has all the time it likes, with one it has that."""
    assert server.get("/ok").body == b"for ever"
    assert 15 < float(server.get("/ok", X_Request_Timeout="20000").body) <= 20
    assert 15 < float(server.get("/ok", grpc_timeout="20S").body) <= 20
    assert 50 < float(server.get("/ok", X_Request_Timeout="3600000").body) <= 60


def test_a_refusal_is_a_503(server: Server) -> None:
    """An open circuit is told with whole seconds, rounded up."""
    refused = server.get("/refused")
    assert (refused.status, refused.headers["retry-after"]) == (503, "3")
    check_problem(refused)


def test_a_late_request_is_a_504_in_time(server: Server) -> None:
    """It is answered when its time is over, not when it would have ended."""
    began = time.monotonic()
    late = server.get("/slow", X_Request_Timeout="150")
    assert 0.1 < time.monotonic() - began < SOON
    assert late.status == 504
    check_problem(late)


def test_time_that_was_over_before_is_a_504(server: Server) -> None:
    """A budget of nothing is not one without end."""
    assert server.get("/slow", X_Request_Timeout="0").status == 504


def test_an_answer_of_the_application_is_its_own(server: Server) -> None:
    """A handler that catches our errors keeps working, and a mistake is a 500 as ever."""
    assert (server.get("/own").status, server.get("/own").body) == (418, b"mine")
    assert server.get("/bug").status == 500


def test_a_stream_ends_with_its_time(server: Server) -> None:
    """The response has begun, so all that is left is to break it off."""
    began = time.monotonic()
    with pytest.raises(http.client.IncompleteRead):
        server.get("/stream", X_Request_Timeout="150")
    assert time.monotonic() - began < SOON


def test_too_many_requests_are_refused_at_once_and_liveness_is_not(server: Server) -> None:
    """What has no slot is a 503; a check of health needs none."""
    until(server, 200)
    with concurrent.futures.ThreadPoolExecutor(HELD) as pool:
        held = [pool.submit(hold, server) for _ in range(HELD)]
        full = until(server, 503)
        assert full.headers["retry-after"] == "1"
        check_problem(full)
        assert server.get("/live").status == 200
        assert [each.result().status for each in held] == [504] * HELD
    until(server, 200)


HOSTILE = [
    b"",
    b"-1",
    b"+1",
    b"1e400",
    b"NaN",
    b"inf",
    b"1_000",
    b"1,2",
    b"1;2",
    b"\xb2",
    b"\xd9\xa1",
    b"1\tS",
    b"9" * 5_000,
]


def test_hostile_headers_are_ignored(server: Server) -> None:
    """Each is as if it were not there, on one connection after the other."""
    for value in HOSTILE:
        for name in (b"X-Request-Timeout", b"grpc-timeout"):
            assert b"for ever" in raw(server, name + b": " + value), value
    twice = b"X-Request-Timeout: 20000\r\nX-Request-Timeout: 20000"
    assert b"for ever" in raw(server, twice)


def test_headers_of_ten_megabytes_hurt_nobody(server: Server) -> None:
    """Servers refuse them, and go on."""
    raw(server, b"X-Request-Timeout: " + b"9" * 10_000_000)
    assert until(server, 200).body == b"for ever"


def raw(server: Server, header: bytes) -> bytes:
    """Send a request with any bytes as a header, and return what comes back."""
    request = b"GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%b\r\n\r\n"
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as connection,
        contextlib.suppress(ConnectionError),  # refused before it was sent
    ):
        connection.sendall(request % header)
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize("name", [name for name in SERVERS if name.startswith(("star", "fast"))])
def test_background_tasks_outlive_the_deadline(running: Callable[[str], Server], name: str) -> None:
    """What a framework does after the response has its own time."""
    server = running(name)
    assert server.get("/background", X_Request_Timeout="800").body == b"later"
    # Begun later, it is over later: the time of the first request is, too. Then the task may end.
    assert server.get("/slow", X_Request_Timeout="800").status == 504
    end = time.monotonic() + SOON
    while server.get("/done").body != b"done":
        assert time.monotonic() < end


def test_a_view_of_django_with_a_deadline_of_its_own_is_cut_off(
    running: Callable[[str], Server],
) -> None:
    """Django forgets the task of a view; a deadline there enforces that of the request."""
    server = running("django-uvicorn")
    assert server.get("/patient", X_Request_Timeout="150").status == 504
    end = time.monotonic() + SOON
    while server.get("/what_became").body != b"cut off":
        assert time.monotonic() < end
