"""A deadline from the guarded client of one program to the code of another, on a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from resilience import DeadlineExceededError, Registry, deadline
from resilience.httpx2 import Transport
from tests.support.sites.servers import UVICORN, Server, served


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that tells how much time there is."""
    with served("starlette_app", (*UVICORN, "--loop", "asyncio")) as server:
        yield server


def client(server: Server, **settings: object) -> httpx2.Client:
    """Make a guarded client of it."""
    transport = Transport(registry=Registry(), timeout=20, **settings)
    return httpx2.Client(
        transport=transport, base_url=f"http://127.0.0.1:{server.port}", trust_env=False
    )


@pytest.mark.promise("E11")
@pytest.mark.parametrize("header", ["X-Request-Timeout", "grpc-timeout"])
def test_the_other_side_has_what_is_left_and_no_more(server: Server, header: str) -> None:
    """What is left here is more than what is left there, a moment later."""
    with client(server, header=header) as http, deadline(15) as budget:
        there = float(http.get("/ok").text)
        assert budget.remaining - 5 < there < 15


def test_the_other_side_stops_with_its_caller(server: Server) -> None:
    """Work that nobody waits for any more is given up there, too."""
    with client(server) as http:
        with deadline(0.2), pytest.raises(DeadlineExceededError):
            http.get("/slow")
        # The slots of what was given up are free again: there are six.
        for _ in range(7):
            with deadline(0.05), pytest.raises(DeadlineExceededError):
                http.get("/slow")


def test_a_server_that_refuses_is_left_alone_as_long_as_it_says(server: Server) -> None:
    """A 503 with `Retry-After: 3` opens the client's circuit for three seconds at least."""
    with client(server, volume_threshold=1, sleep_window=1) as http:
        assert http.get("/refused").status_code == 503
        with pytest.raises(httpx2.TransportError) as refused:
            http.get("/ok")
        assert 2 < refused.value.retry_after <= 3
