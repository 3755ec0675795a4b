"""Both apps behind real servers, read over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from resilience import Registry
from resilience.hystrix_stream import AsgiApp, WsgiApp
from tests.support.served import served, wsgi_served
from tests.support.visitor import OURS, events

INTERVAL = 0.1
Serving = Callable[[Any], AbstractContextManager[str]]


def mounted(app: Any) -> Starlette:
    """Mount an app under a path of another."""
    return Starlette(routes=[Mount("/ops/live", app)])


KINDS: dict[str, tuple[Any, Serving]] = {
    "uvicorn": (AsgiApp, served),
    "uvicorn, mounted": (AsgiApp, lambda app: _below("/ops/live", served(mounted(app)))),
    "wsgiref": (WsgiApp, wsgi_served),
}


@contextmanager
def _below(path: str, serving: AbstractContextManager[str]) -> Iterator[str]:
    with serving as address:
        yield address + path


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    """Return an app and what serves it."""
    return KINDS[request.param]


@pytest.fixture
def registry() -> Registry:
    """Keep commands apart from those of other tests."""
    registry = Registry()
    registry.command("users").call(len, "abc")
    return registry


class Reading:
    """An open connection to a stream."""

    def __init__(self, address: str, path: str) -> None:
        url = urlsplit(address)
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
        self.connection.request("GET", url.path + path)
        self.response = self.connection.getresponse()

    def events(self, count: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < count:
            found += events(self.response.readline())
        return found

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def test_streams_and_controls_over_a_socket(kind: Any, registry: Registry) -> None:
    """A client reads events as they come, and an operator's hand is seen in the next of them."""
    make, serving = kind
    app = make(registry, interval=INTERVAL, authorize=lambda control: True)
    with serving(app) as address:
        stream, page = Reading(address, "/hystrix.stream"), Reading(address, "/live.stream")
        assert stream.response.headers["content-type"] == "text/event-stream;charset=UTF-8"
        first = stream.events(2)
        assert [event["type"] for event in first] == ["HystrixCommand", "HystrixThreadPool"]
        assert page.events(1)[0]["controls"] is True
        asking = Reading(address, "/")
        assert asking.response.read().startswith(b"<!doctype html>")
        asking.connection.request(
            "POST",
            f"{urlsplit(address).path}/control",
            json.dumps({"name": "users", "action": "force_open"}),
            OURS,
        )
        assert json.loads(asking.connection.getresponse().read())["override"] == "open"
        later = stream.events(8)
        assert later[-2]["propertyValue_circuitBreakerForceOpen"] is True
        for each in (stream, page, asking):
            each.close()


def test_closed_clients_leave_nothing_behind(kind: Any, registry: Registry) -> None:
    """Each stream that is closed makes room for the next, many times over."""
    make, serving = kind
    app = make(registry, interval=INTERVAL, max_streams=2)
    freed = threading.Event()
    closed = app._site._closed

    def _closed() -> None:
        closed()
        freed.set()

    app._site._closed = _closed
    with serving(app) as address:
        for _ in range(6):
            freed.clear()
            reading = Reading(address, "/hystrix.stream")
            assert reading.response.status == 200
            reading.events(1)
            reading.close()
            assert freed.wait(10)
    assert app._site._streams == 0


HYPERCORN = """
import sys
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from resilience import Registry
from resilience.hystrix_stream import AsgiApp

registry = Registry()
registry.command("users").call(len, "abc")
config = Config()
config.bind = [sys.argv[1]]
config.loglevel = "critical"

async def until_the_input_ends():
    await trio.to_thread.run_sync(sys.stdin.read)

app = AsgiApp(registry, interval=0.1)
trio.run(lambda: serve(app, config, shutdown_trigger=until_the_input_ends))
"""


def test_it_runs_on_a_trio_server(tmp_path: Any) -> None:
    """Hypercorn serves it under trio; the client's end is its end there too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.set_inheritable(True)
        with subprocess.Popen(
            [sys.executable, "-c", HYPERCORN, f"fd://{listener.fileno()}"],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        ) as process:
            reading = Reading(f"http://127.0.0.1:{port}", "/hystrix.stream")
            assert [event["name"] for event in reading.events(6)] == ["users"] * 6
            reading.close()
            process.stdin.close()
            assert process.wait(20) == 0


def test_a_port_in_use_is_the_servers_to_tell(registry: Registry) -> None:
    """The app opens no port: a server that cannot have its own says so, and the app goes on."""
    app = AsgiApp(registry, interval=INTERVAL)
    with served(app) as address:
        port = urlsplit(address).port
        code = (
            "import uvicorn, resilience.hystrix_stream as h\n"
            f"uvicorn.run(h.AsgiApp(), host='127.0.0.1', port={port})"
        )
        second = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert second.returncode != 0
        assert "address already in use" in second.stderr
        reading = Reading(address, "/hystrix.stream")
        assert reading.events(1)[0]["name"] == "users"
        reading.close()
