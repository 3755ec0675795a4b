"""The examples of the how-to page do what they say."""

from __future__ import annotations

import pytest
from flask import Flask
from starlette.responses import PlainTextResponse
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from resilience import Registry
from resilience.hystrix_stream import AsgiApp, Control, WsgiApp
from resilience.testing import FakeClock
from tests.support.page import page
from tests.support.visitor import AsgiVisitor

PAGE = "how-to/live-page.md"


@pytest.mark.parametrize(
    ("name", "scope", "allowed"),
    [
        ("payments", {"session": {"user": "ann"}}, True),
        ("payments", {"session": {"user": "eve"}}, False),
        ("payments", {"session": {}}, False),
        ("payments", {}, False),
        ("billing", {"session": {"user": "ann"}}, False),
    ],
)
def test_who_may(name: str, scope: dict[str, dict[str, str]], allowed: bool) -> None:
    """Operators with a session may, but for what is none of their business."""
    control = Control(name=name, action="shadow", headers={}, scope=scope)
    assert page(PAGE).may(control) is allowed


def test_in_flask(registry: Registry) -> None:
    """A dispatcher leads to the page, adds the slash that is missing, and leaves the rest alone."""
    app = Flask("shop")
    app.add_url_rule("/", view_func=lambda: "the shop")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/circuits": WsgiApp(registry)})
    client = Client(app)
    assert client.get("/").text == "the shop"
    assert client.get("/circuits").headers["location"] == "/circuits/"
    assert client.get("/circuits/").text.startswith("<!doctype html>")
    assert client.get("/circuits/nothing").status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "begins"),
    [
        ("/", 200, "the shop"),
        ("/circuits-of-others", 200, "the shop"),
        ("/circuits", 307, ""),
        ("/circuits/", 200, "<!doctype html>"),
        ("/circuits/nothing", 404, "{"),
    ],
)
def test_beside_an_application(
    registry: Registry, clock: FakeClock, path: str, status: int, begins: str
) -> None:
    """What stands beside an application is served below its path, and nowhere else."""
    visitor = AsgiVisitor(AsgiApp(registry, clock=clock), clock)
    visitor.app = page(PAGE).beside(PlainTextResponse("the shop"), "/circuits", visitor.app)
    visit = visitor.get(path)
    assert (visit.status, visit.body.decode()[: len(begins)]) == (status, begins)
