"""The storefront as a web service: played by histories, and with real services."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from starlette.testclient import TestClient

from examples.storefront.clients import AT_MOST, NAMES, Clients, client
from examples.storefront.page import Page
from examples.storefront.play import Scene, play
from examples.storefront.report import lines, verdict
from examples.storefront.service import Storefront, make_app
from examples.storefront.stage import stage
from resilience import Registry
from resilience.testing import DependencyError, FaultyDependency
from resilience.testing.machine import CommandMachine

SOME = settings(
    max_examples=6, stateful_step_count=8, derandomize=True, database=None, deadline=None
)
# Runs the example as `python -m` does, without the package that the first argument names.
WITHOUT = """
import runpy, sys
sys.modules[sys.argv.pop(1)] = None
runpy.run_module("examples.storefront", run_name="__main__", alter_sys=True)
"""
ANSWERS = {
    "prices": {"price": 9.5},
    "stock": {"count": 3},
    "recommendations": {"skus": ["paper", "cap"]},
}


class Wire(httpx2.AsyncBaseTransport):
    """What is between a client and a dependency: it says in httpx2's words what went wrong."""

    def __init__(self, dependency: FaultyDependency) -> None:
        self._dependency = dependency

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert 0 < int(request.headers["X-Request-Timeout"]) <= 500
        try:
            return httpx2.Response(200, json=await self._dependency.acall(request.url.path))
        except ConnectionRefusedError as error:
            raise httpx2.ConnectError("refused", request=request) from error
        except DependencyError:
            return httpx2.Response(500)


class Visits(CommandMachine):
    arguments = st.tuples(st.sampled_from(("pen", "ink")))
    at_most = AT_MOST
    recovers_within = 15

    def build(self) -> Any:
        app = make_app(Clients(*map(self.client, NAMES)), self.registry, self.clock)

        async def visit(sku: str) -> httpx2.Response:
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as http:
                return await http.get(f"/products/{sku}")

        return visit

    def client(self, name: str) -> httpx2.AsyncClient:
        wire = Wire(self.dependency(name, lambda path: ANSWERS[name]))
        return client(name, f"http://{name}", self.registry, wire)

    def answered(self, response: httpx2.Response) -> None:
        assert response.status_code == 200
        assert Page(**response.json()).valid, response.text

    def raised(self, error: Exception) -> None:
        raise error


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_visitor_always_gets_a_valid_page_in_time(backend: str) -> None:
    """
    Whatever the services do: the page is valid, nothing leaks, and they are asked again in time.
    """
    machine = type(f"Visits_{backend}", (Visits,), {"backend": backend})
    run_state_machine_as_test(machine, settings=SOME)


def test_a_seeded_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A fallback that knows no price before the first answer is told as a page that is not valid.
    """
    monkeypatch.setattr(Storefront, "last_price", lambda self, error, sku: "None EUR")
    enough = settings(SOME, max_examples=100, phases=[Phase.generate])
    with pytest.raises(AssertionError, match="None EUR"):
        run_state_machine_as_test(Visits, settings=enough)


@pytest.fixture
def http() -> Iterator[TestClient]:
    """A visitor of a storefront whose services are gone."""
    registry = Registry()
    clients = Clients(*(client(name, "http://127.0.0.1:1", registry) for name in NAMES))
    with TestClient(make_app(clients, registry)) as http:
        yield http


def test_those_who_run_it_see_what_is_going_on(http: TestClient) -> None:
    """Metrics, checks of health and the live page are served beside the products."""
    for _ in range(10):
        assert Page(**http.get("/products/pen").json()).valid
    assert http.get("/live").json()["refusing"] == 3
    assert http.get("/ready").status_code == 200
    metrics = http.get("/metrics/").text
    assert 'resilience_circuit_state{name="prices",state="open"} 1.0' in metrics
    assert 'resilience_calls_total{name="visitors",outcome="success"} 10.0' in metrics
    assert "<!doctype html>" in http.get("/circuits/").text.lower()


def test_a_visitor_without_time_is_told_so(http: TestClient) -> None:
    """A budget that is over is a 504, with problem details."""
    late = http.get("/products/pen", headers={"X-Request-Timeout": "0"})
    assert (late.status_code, late.headers["content-type"]) == (504, "application/problem+json")


def test_the_whole_of_it_plays() -> None:
    """
    With real services and real faults: circuits open, visitors have pages, and all closes again.

    Promises about how quick it is are for a machine that has nothing else to do.
    """

    async def main() -> list[Scene]:
        async with stage() as made:
            return await play(made, pace=0.3)

    scenes = asyncio.run(main())
    *_, outage, recovered = scenes
    assert {"prices", "stock", "recommendations"} <= outage.not_closed.keys()
    assert recovered.not_closed == {}
    assert {scene.live for scene in scenes} == {200}
    shown = "\n".join(line for scene in scenes for line in lines(scene))
    assert "prices hang" in shown
    assert verdict(scenes)["all circuits closed again, by themselves"]
    assert sum(visit.page is not None for scene in scenes for visit in scene.visits) > 20


@pytest.mark.parametrize("package", ["fastapi", "httpx2"])
def test_what_is_missing_is_told_in_one_line(package: str) -> None:
    """
    Without a package it needs, the command says how to get it.
    """
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package], capture_output=True, text=True, check=False
    )
    told = f"The example needs {package}, which `make storefront` installs.\n"
    assert (done.returncode, done.stderr, done.stdout) == (2, told, "")
