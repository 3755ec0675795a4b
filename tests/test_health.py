"""Health: what is told of circuits, and what never fails because of them."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from resilience import ConfigurationError, Registry, asgi, wsgi
from resilience.health import health
from resilience.testing import FakeClock
from tests.support.runtime import AsyncRuntime


@pytest.fixture
def stock(registry: Registry) -> Any:
    """A command that opens at its first failure, for five seconds."""
    return registry.command("stock", volume_threshold=1, sleep_window=5)


def fail(command: Any) -> None:
    """Let a call of a command fail."""

    def refused() -> None:
        raise ConnectionError("the password is secret")

    with pytest.raises(ConnectionError):
        command.call(refused)


def asked(app: Any, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    """Ask a WSGI application, and return status, headers and body."""
    head: list[Any] = []
    environ = {"REQUEST_METHOD": method}
    body = b"".join(app(environ, lambda status, headers: head.extend((status, dict(headers)))))
    return head[0], head[1], body


def test_what_is_closed_is_not_worth_a_word(registry: Registry, stock: Any) -> None:
    """Where all is as usual nothing is named."""
    assert health(registry).as_dict() == {"status": "pass", "refusing": 0, "circuits": {}}


def test_an_open_circuit_is_reported_and_changes_nothing(registry: Registry, stock: Any) -> None:
    """It says how long, not why: messages of errors may hold secrets."""
    fail(stock)
    said = health(registry).as_dict()
    assert said == {
        "status": "pass",
        "refusing": 1,
        "circuits": {
            "stock": {"state": "open", "override": None, "refusing": True, "retry_after": 5.0}
        },
    }
    assert "secret" not in json.dumps(said)


def test_ready_again_when_a_trial_is_due(registry: Registry, stock: Any, clock: FakeClock) -> None:
    """A program without traffic would never make the trial call that closes the circuit."""
    fail(stock)
    ill = health(registry, critical="stock")
    assert (ill.ready, ill.as_dict()["status"]) == (False, "fail")
    clock.advance(5)
    found = health(registry, critical="stock")
    assert (found.ready, found.circuits["stock"].state) == (True, "open")


def test_what_is_not_critical_does_not_count(registry: Registry, stock: Any) -> None:
    """Names that are not there, and those that are not named, leave a program ready."""
    fail(stock)
    assert health(registry, critical=["prices", "orders"]).ready


@pytest.mark.parametrize(
    ("put", "override", "refusing"),
    [("force_open", "open", True), ("force_closed", "closed", False), ("shadow", "shadow", False)],
)
def test_overrides_are_told(
    registry: Registry, stock: Any, put: str, override: str, refusing: bool
) -> None:
    """Forced open refuses; closed and shadow refuse nothing, whatever the circuit underneath."""
    fail(stock)
    getattr(stock, put)()
    found = health(registry, critical="stock")
    assert (found.circuits["stock"].override, found.ready) == (override, not refusing)
    assert found.refusing == (("stock",) if refusing else ())


def test_a_report_names_a_hundred_circuits_and_counts_all(registry: Registry) -> None:
    """However many hosts are down, a check of health stays small."""
    for index in range(150):
        registry.command(f"host {index}").force_open()
    said = health(registry).as_dict()
    assert (said["refusing"], len(said["circuits"])) == (150, 100)


def test_asking_changes_nothing(registry: Registry, stock: Any, clock: FakeClock) -> None:
    """A check of health is no attempt: it moves no circuit."""
    fail(stock)
    clock.advance(5)
    before = attrs.evolve(registry.snapshot()["stock"], at=0)
    health(registry)
    assert attrs.evolve(registry.snapshot()["stock"], at=0) == before


def test_liveness_never_fails_and_readiness_may(registry: Registry, stock: Any) -> None:
    """The WSGI application is a 200 unless something critical was named, and refuses."""
    fail(stock)
    status, headers, body = asked(wsgi.Health(registry))
    assert status == "200 OK"
    assert headers["Cache-Control"] == "no-store"
    assert json.loads(body)["refusing"] == 1
    ready = wsgi.Health(registry, critical="stock")
    assert asked(ready)[0] == "503 Service Unavailable"
    assert asked(ready, "HEAD")[2] == b""


def test_the_asgi_application_says_the_same(
    task: AsyncRuntime, registry: Registry, stock: Any
) -> None:
    """Under asyncio and trio; what is no request is none of its business."""
    stock.force_open()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    for critical in ((), ("stock",)):
        app = asgi.Health(registry, critical=critical)
        task.call(app, {"type": "http", "method": "GET"}, None, send)
        task.call(app, {"type": "lifespan"}, None, send)
    assert [message["status"] for message in sent[::2]] == [200, 503]
    assert json.loads(sent[1]["body"])["circuits"]["stock"]["refusing"] is True


@pytest.mark.parametrize("arguments", [{"registry": {}}, {"critical": ["a\n"]}, {"critical": ""}])
def test_what_is_wrong_is_told_at_construction(arguments: Any) -> None:
    """A registry is a registry, and a name a name."""
    with pytest.raises(ConfigurationError):
        asgi.Health(**arguments)
