from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from math import nan
from typing import Any

import anyio
import pytest

from resilience import ConfigurationError, Registry
from resilience.hystrix_stream import AsgiApp, WsgiApp
from resilience.hystrix_stream._reply import Request, Stream
from resilience.testing import FakeClock
from tests.support.visitor import AsgiVisitor, WsgiVisitor, events

Visiting = Callable[..., Any]


def test_the_page_is_one_document_that_lets_nothing_in(visiting: Visiting) -> None:
    """Its policy names the hashes of its own script and style, and nothing else from anywhere."""
    visit = visiting().get("/")
    assert visit.status == 200
    assert visit.headers["content-type"] == "text/html; charset=utf-8"
    assert visit.headers["content-length"] == str(len(visit.body))
    assert visit.headers["cache-control"] == "no-store"
    assert visit.headers["x-content-type-options"] == "nosniff"
    policy = dict(
        part.split(" ", 1) for part in visit.headers["content-security-policy"].split("; ")
    )
    assert policy.pop("script-src").startswith("'sha256-")
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert b"http://" not in visit.body.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in visit.body


def test_a_mount_without_its_slash_is_led_to_the_page(visiting: Visiting) -> None:
    """Addresses in the page are relative, so it has to be at a slash; never at another host."""
    visitor = visiting()
    assert visitor.get("", root="/ops/live").headers["location"] == "/ops/live/"
    assert visitor.get("", root="//evil.example").headers["location"] == "/evil.example/"
    assert visitor.get("", root="/a b").headers["location"] == "/a%20b/"
    assert visitor.get("").headers["location"] == "/"
    assert visitor.get("/", root="/ops/live").status == 200
    assert visitor.get("/hystrix.stream", root="/ops/live", stays=0).status == 200


def test_a_root_path_of_a_proxy_is_left_as_it_is(clock: FakeClock, registry: Registry) -> None:
    """A path that does not begin with the root path is taken as below it already."""
    app = AsgiApp(registry, clock=clock)
    assert AsgiVisitor(app, clock).get("/", root_path="/behind/a/proxy").status == 200


@pytest.mark.parametrize("path", ["/", "/hystrix.stream", "/live.stream"])
def test_head_is_get_without_a_body(visiting: Visiting, path: str) -> None:
    """HEAD is answered at once, also where GET has no end."""
    visitor = visiting()
    got, head = visitor.get(path, stays=0), visitor.head(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_what_is_not_there_is_told(visiting: Visiting) -> None:
    """Another path is 404 and another method 405, in JSON, with what there is instead."""
    visitor = visiting()
    visit = visitor.get("/metrics")
    assert (visit.status, visit.headers["content-type"]) == (404, "application/json")
    assert "/hystrix.stream" in visit.json["error"]
    visit = visitor.post("/", {})
    assert (visit.status, visit.headers["allow"]) == (405, "GET, HEAD")
    visit = visitor.get("/control")
    assert (visit.status, visit.headers["allow"]) == (405, "POST")


def test_a_stream_goes_on_as_long_as_it_is_read(visiting: Visiting, registry: Registry) -> None:
    """An event for each command comes at once, and again each second."""
    registry.command("users").call(len, "abc")
    visit = visiting().get("/hystrix.stream", stays=3.5)
    assert visit.status == 200
    assert visit.headers["content-type"] == "text/event-stream;charset=UTF-8"
    assert visit.headers["cache-control"] == "no-cache, no-store, max-age=0, must-revalidate"
    assert "content-length" not in visit.headers
    assert visit.times[:4] == [0, 1, 2, 3]
    assert [event["type"] for event in visit.events][:4] == [
        "HystrixCommand",
        "HystrixThreadPool",
    ] * 2


@pytest.mark.parametrize(
    ("query", "delay"),
    [
        ("?delay=2000", 2),
        ("?delay=500", 1),  # no sooner than the app looks
        ("?delay=0", 1),
        ("?delay=-7", 1),
        ("?delay=99999999999999999999", 60),
        (f"?delay={'9' * 5000}", 1),
        ("?delay=soon", 1),
        ("?delay=", 1),
        ("?delay=2000&delay=3000", 2),
        ("?" + "&".join("abcdefghijklmnopqrstuvwxyz"), 1),
        ("?x=%ff&delay=4000", 4),
        (f"?{'x=1&' * 19}delay=4000", 4),
        (f"?{'x=1&' * 20}delay=4000", 1),
    ],
)
def test_delay_is_bounded(visiting: Visiting, query: str, delay: float) -> None:
    """A reader may ask for fewer events, in milliseconds; nonsense is as if it had not asked."""
    assert visiting().get(f"/hystrix.stream{query}", stays=130).times[:3] == [0, delay, 2 * delay]


def test_an_empty_registry_pings(visiting: Visiting) -> None:
    """Without commands there is still something to send, as in Java."""
    assert visiting().get("/hystrix.stream", stays=1.5).body.startswith(b"ping: \n\nping: \n\n")


def test_the_page_reads_all_and_then_what_changed(
    visiting: Visiting, registry: Registry, clock: FakeClock
) -> None:
    """Each reader of `/live.stream` begins with everything."""
    registry.command("users").call(len, "abc")
    visitor = visiting(interval=2)
    visit = visitor.get("/live.stream", stays=20)
    assert visit.times[:3] == [0, 2, 4]
    first, *later = visit.events
    assert (first["interval"], first["controls"]) == (2, False)
    assert len(first["rows"]) == 1
    assert later[-1]["rows"] == []
    assert visitor.get("/live.stream", stays=0).events[0]["columns"]


@pytest.mark.parametrize("path", ["/hystrix.stream?delay=60000", "/live.stream"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_closed_client_ends_its_stream_at_once(
    clock: FakeClock, registry: Registry, path: str, backend: str
) -> None:
    """Nothing waits for the next event when the client has gone, and its place is free."""
    visitor = AsgiVisitor(
        AsgiApp(registry, clock=clock, interval=60, max_streams=1), clock, backend
    )
    for _ in range(3):
        visit = visitor.get(path, stays=7)
        assert (visit.status, visit.over) == (200, 7)


@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_server_that_cannot_send_ends_the_stream(
    clock: FakeClock, registry: Registry, after: int, backend: str
) -> None:
    """An OSError of the server's `send` is how a client's end may show; it goes no further."""
    visitor = AsgiVisitor(AsgiApp(registry, clock=clock, max_streams=1), clock, backend)
    for _ in range(2):
        assert visitor.get("/live.stream", send_fails=after).over == max(0, after - 1)


def test_too_many_streams_are_refused(visiting: Visiting) -> None:
    """A stream too many is 503, and the page itself still comes; each end makes room for one."""
    visitor = visiting(max_streams=1)
    other = visitor.site.answer(Request("GET", "/live.stream", "", "", {}))
    visit = visitor.get("/hystrix.stream")
    assert (visit.status, visit.headers["retry-after"]) == (503, "5")
    assert visit.json == {"error": "1 streams are open, and no more are allowed"}
    assert visitor.get("/").status == 200
    assert visitor.head("/live.stream").status == 200
    other.close()
    other.close()
    other = visitor.site.answer(Request("GET", "/live.stream", "", "", {}))
    assert visitor.get("/hystrix.stream").status == 503
    other.close()
    visits = [visitor.get("/live.stream", stays=1) for _ in range(3)]
    assert [visit.status for visit in visits] == [200, 200, 200]


def test_by_default_some_streams_may_be_open(visiting: Visiting) -> None:
    """A hundred, or five where each has a thread of the server."""
    visitor = visiting()
    request = Request("GET", "/live.stream", "", "", {})
    found = [visitor.site.answer(request) for _ in range(101)]
    room = 5 if isinstance(visitor, WsgiVisitor) else 100
    assert [isinstance(each, Stream) for each in found] == [True] * room + [False] * (101 - room)


def test_by_default_a_thousand_commands_are_shown(clock: FakeClock, registry: Registry) -> None:
    """One more is counted, by either kind of app."""
    for number in range(1001):
        registry.command(f"c{number}")
    for app in (AsgiApp(registry, clock=clock), WsgiApp(registry, clock=clock)):
        stream: Any = app._site.answer(Request("GET", "/live.stream", "", "", {}))
        (event,) = events(stream.next())
        assert (len(event["rows"]), event["left_out"], event["interval"]) == (1000, 1, 1)


def test_a_look_at_many_names_leaves_the_loop_alone(clock: FakeClock, registry: Registry) -> None:
    """More than a hundred names are read on a worker thread."""
    threads = set()

    def ticking() -> int:
        threads.add(threading.current_thread().name)
        return clock()

    for number in range(101):
        registry.command(f"c{number}").call(len, "")
    app = AsgiApp(registry, clock=ticking)
    anyio.run(_one_event, app)
    assert len(threads) == 2


async def _one_event(app: AsgiApp) -> None:
    """Read one event, in real time: virtual time does not wait for threads."""
    read = anyio.Event()

    async def receive() -> Any:
        await read.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body", b"").startswith(b"data: "):
            read.set()

    scope = {"type": "http", "method": "GET", "path": "/live.stream", "headers": []}
    await app(scope, receive, send)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_served_alone_it_begins_and_ends_with_the_server(
    clock: FakeClock, registry: Registry, backend: Any
) -> None:
    """A server that announces its life is answered, and a websocket is turned away."""
    inbox = [
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
        {"type": "websocket.connect"},
    ]
    sent = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    app = AsgiApp(registry, clock=clock)
    clock.run(lambda: app({"type": "lifespan"}, receive, send), backend=backend)
    clock.run(lambda: app({"type": "websocket"}, receive, send), backend=backend)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
    clock.run(lambda: app({"type": "of.the.future"}, receive, send), backend=backend)
    assert len(sent) == 3


@pytest.mark.parametrize("app", [AsgiApp, WsgiApp])
def test_what_is_wrong_is_told_when_it_is_made(app: Any) -> None:
    """All faults are told together, with what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        app(object(), interval=nan, max_commands=0, max_streams=True)
    faults = "\n".join(caught.value.faults)
    for part in ("registry must be", "interval must be 0.1 to 60", "max_commands", "max_streams"):
        assert part in faults
    with pytest.raises(ConfigurationError, match="authorize must be a callable"):
        app(authorize=True)
    for interval in (0.05, 61, "1", None):
        with pytest.raises(ConfigurationError, match="interval"):
            app(interval=interval)


def test_it_needs_no_other_package() -> None:
    """No web framework and no event loop is imported by it."""
    code = """
import sys
import resilience.hystrix_stream
print(sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""
    names = ("starlette", "uvicorn", "trio", "prometheus_client", "asyncio")
    said = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"
