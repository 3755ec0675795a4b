from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from resilience import Command, Override, Registry, State
from resilience.hystrix_stream import AsgiApp, Control, WsgiApp
from resilience.hystrix_stream._control import LONGEST_BODY
from resilience.testing import FakeClock
from tests.support.visitor import OURS, AsgiVisitor, WsgiVisitor

Visiting = Callable[..., Any]
OPEN = {"name": "users", "action": "force_open"}


@pytest.fixture
def cmd(registry: Registry) -> Command:
    """Make a command that was called once."""
    cmd = registry.command("users")
    cmd.call(len, "abc")
    return cmd


def yes(control: Control) -> bool:
    """Allow anything."""
    return True


def without(*names: str, **others: str) -> dict[str, str]:
    """Return the page's own headers without some, or with others."""
    changed = {name.replace("_", "-"): value for name, value in others.items()}
    return {name: value for name, value in {**OURS, **changed}.items() if name not in names}


@pytest.mark.parametrize(
    ("action", "override"),
    [
        ("force_open", Override.OPEN),
        ("force_closed", Override.CLOSED),
        ("shadow", Override.SHADOW),
        ("clear", None),
    ],
)
def test_a_control_lays_an_override(
    visiting: Visiting, cmd: Command, action: str, override: Override | None
) -> None:
    """Each action does what the method of that name does, and says what lies there now."""
    cmd.force_open()
    visit = visiting(authorize=yes).post("/control", {"name": "users", "action": action})
    assert (visit.status, visit.json) == (200, {"name": "users", "override": override})
    assert cmd.override is override
    assert cmd.state is State.CLOSED


def test_it_is_read_only_by_default(visiting: Visiting, cmd: Command) -> None:
    """Without `authorize` nothing can be changed, and the page is told so."""
    visitor = visiting()
    visit = visitor.post("/control", OPEN)
    assert (visit.status, cmd.override) == (403, None)
    assert "read-only" in visit.json["error"]
    assert visitor.get("/live.stream", stays=0).events[0]["controls"] is False
    assert visiting(authorize=yes).get("/live.stream", stays=0).events[0]["controls"] is True


@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_who_may_not_is_told_so(visiting: Visiting, cmd: Command, answer: Any) -> None:
    """What `authorize` refuses is 403, also for a command that is not there."""
    visitor = visiting(authorize=lambda control: answer)
    for name in ("users", "nobody"):
        visit = visitor.post("/control", {"name": name, "action": "force_open"})
        assert (visit.status, visit.json) == (403, {"error": "you may not do that"})
    assert cmd.override is None


def test_authorize_is_told_what_is_asked(visiting: Visiting, cmd: Command) -> None:
    """It sees command, action, headers and what middleware has put into the request."""
    seen: list[Control] = []

    def may(control: Control) -> bool:
        seen.append(control)
        return control.scope["user"] == "ann"

    headers = {**OURS, "authorization": "Bearer secret"}
    visit = visiting(authorize=may).post("/control", OPEN, headers=headers, user="ann")
    assert visit.status == 200
    (control,) = seen
    assert (control.name, control.action) == ("users", "force_open")
    assert control.headers["authorization"] == "Bearer secret"


def test_authorize_may_be_async(clock: FakeClock, registry: Registry, cmd: Command) -> None:
    """In ASGI it is awaited, whatever gives the awaitable."""

    async def no(control: Control) -> bool:
        return False

    class Disguised:
        def __call__(self, control: Control) -> Any:
            return no(control)

    for may in (no, Disguised()):
        visitor = AsgiVisitor(AsgiApp(registry, authorize=may, clock=clock), clock)
        assert visitor.post("/control", OPEN).status == 403
    assert cmd.override is None


def test_in_wsgi_an_async_authorize_is_refused(cmd: Command, visiting: Visiting) -> None:
    """A coroutine is no yes: it would be one to `if`."""

    async def no(control: Control) -> bool:
        return False

    with pytest.raises(TypeError, match="WSGI awaits nothing"):
        WsgiApp(authorize=no)


def test_in_wsgi_a_coroutine_is_no_yes(clock: FakeClock, registry: Registry, cmd: Command) -> None:
    """Not even that of an async function in disguise."""

    async def no(control: Control) -> bool:
        return False

    made = []

    def disguised(control: Control) -> Any:
        made.append(no(control))
        return made[0]

    visitor = WsgiVisitor(WsgiApp(registry, authorize=disguised, clock=clock), clock)
    with pytest.raises(TypeError, match="WSGI awaits nothing"):
        visitor.post("/control", OPEN)
    made[0].close()
    assert cmd.override is None


def test_an_unknown_command_is_told(visiting: Visiting, registry: Registry, cmd: Command) -> None:
    """A command that is not there is 404, and is not there afterwards either."""
    visit = visiting(authorize=yes).post("/control", {"name": "<b>user", "action": "shadow"})
    assert (visit.status, visit.json) == (404, {"error": "no command is named '<b>user'"})
    assert visit.headers["content-type"] == "application/json"
    assert list(registry) == ["users"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OURS, 200),
        (without("sec-fetch-site"), 200),  # curl
        (without("sec-fetch-site", origin="https://app.example"), 200),
        (without("sec-fetch-site", origin="https://evil.example"), 403),
        (without("sec-fetch-site", origin="https://app.example.evil"), 403),
        (without("sec-fetch-site", origin="null"), 403),
        (without(sec_fetch_site="cross-site"), 403),
        (without(sec_fetch_site="same-site"), 403),
        (without(sec_fetch_site="none"), 403),
        (without(sec_fetch_site="cross-site", origin="https://app.example"), 403),
        (without("x-resilience-control"), 403),
        (without("content-type"), 415),
        (without(content_type="text/plain"), 415),
        (without(content_type="application/x-www-form-urlencoded"), 415),
        (without(content_type="application/json; charset=utf-8"), 200),
    ],
)
def test_another_site_can_do_nothing(
    visiting: Visiting, cmd: Command, headers: dict[str, str], status: int
) -> None:
    """A request that another site can make a browser send is refused before anybody is asked."""
    asked = []
    visitor = visiting(authorize=lambda control: asked.append(control) or True)
    assert visitor.post("/control", OPEN, headers=headers).status == status
    assert (cmd.override is Override.OPEN) is bool(asked) is (status == 200)


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "JSON object"),
        (b"{", 400, "JSON object"),
        (b"\xff\xfe", 400, "JSON object"),
        (b"[" * 9000, 400, "JSON object"),
        (b"[]", 400, "JSON object"),
        (b'{"action": "shadow"}', 400, "name must be"),
        (b'{"name": 1, "action": "shadow"}', 400, "name must be"),
        (b'{"name": "users"}', 400, "force_open, force_closed, shadow, clear"),
        (b'{"name": "users", "action": "close"}', 400, "not 'close'"),
        (b'{"name": "users", "action": ["shadow"]}', 400, "action must be"),
        (b'"' + b"x" * 20_000 + b'"', 413, "16384 bytes"),
    ],
)
def test_nonsense_is_told(
    visiting: Visiting, cmd: Command, body: bytes, status: int, why: str
) -> None:
    """Whatever else comes as a body is refused in one sentence, and changes nothing."""
    visit = visiting(authorize=yes).post("/control", body)
    if not body and visit.status == 411:  # WSGI: no length at all
        why = "content-length"
    else:
        assert visit.status == status
    assert why in visit.json["error"]
    assert cmd.override is None


def test_the_longest_name_fits(visiting: Visiting, registry: Registry) -> None:
    """However it is escaped."""
    name = "\U0001f525" * 1000
    registry.command(name).call(len, "")
    visit = visiting(authorize=yes).post("/control", {"name": name, "action": "force_open"})
    assert visit.status == 200


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_that_leaves_in_between_changes_nothing(
    clock: FakeClock, registry: Registry, cmd: Command, backend: Any
) -> None:
    """Half a control is none."""
    app = AsgiApp(registry, authorize=yes, clock=clock)
    inbox = [
        {"type": "http.request", "body": b'{"name": "users", ', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/control",
        "headers": [(name.encode(), value.encode()) for name, value in OURS.items()],
    }  # fmt: skip
    clock.run(lambda: app(scope, receive, send), backend=backend)
    assert (sent, cmd.override) == ([], None)


def control(size: int) -> bytes:
    """Return a control of so many bytes."""
    return json.dumps(OPEN).encode().ljust(size)


@pytest.mark.parametrize(("size", "status"), [(LONGEST_BODY, 200), (LONGEST_BODY + 1, 413)])
def test_the_longest_control_is_read(
    visiting: Visiting, cmd: Command, size: int, status: int
) -> None:
    """One byte more is too much, though it be blank."""
    assert visiting(authorize=yes).post("/control", control(size)).status == status


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("more", [b" ", b" " * 100_000])
def test_of_too_long_a_body_no_more_is_kept_than_tells_so(
    clock: FakeClock, registry: Registry, cmd: Command, more: bytes, backend: Any
) -> None:
    """It is received to its end, and refused, also where a control would fit its beginning."""
    inbox = [control(LONGEST_BODY), *[more] * 100]
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": inbox.pop(0), "more_body": bool(inbox)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http", "method": "POST", "path": "/control",
        "headers": [(name.encode(), value.encode()) for name, value in OURS.items()],
    }  # fmt: skip
    app = AsgiApp(registry, authorize=yes, clock=clock)
    clock.run(lambda: app(scope, receive, send), backend=backend)
    tracemalloc.start()
    inbox = [control(LONGEST_BODY), *[more] * 100]
    clock.run(lambda: app(scope, receive, send), backend=backend)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (statuses, inbox, cmd.override) == ([413, 413], [], None)
    assert peak < 1_000_000


def test_in_wsgi_no_more_of_a_body_is_read_than_tells_so(
    clock: FakeClock, registry: Registry, cmd: Command
) -> None:
    """However long it says it is; and of a short one no more than there is."""
    asked: list[int] = []

    class Body(io.BytesIO):
        def read(self, size: Any = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    def send(body: bytes) -> int:
        visitor = WsgiVisitor(WsgiApp(registry, authorize=yes, clock=clock), clock)
        return visitor.post("/control", body, **{"wsgi.input": Body(body)}).status

    assert [send(control(size)) for size in (100, 1_000_000)] == [200, 413]
    assert asked == [100, LONGEST_BODY + 1]
