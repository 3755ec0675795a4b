from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resilience import Registry
from resilience.hystrix_stream import AsgiApp, WsgiApp
from resilience.testing import FakeClock
from tests.support.visitor import AsgiVisitor, WsgiVisitor

Visiting = Callable[..., Any]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock=clock)


@pytest.fixture(params=["asgi-asyncio", "asgi-trio", "wsgi"])
def visiting(request: pytest.FixtureRequest, clock: FakeClock, registry: Registry) -> Visiting:
    """Make an app of each kind, with options, and a visitor to it."""

    def visiting(**options: Any) -> Any:
        kind, _, backend = request.param.partition("-")
        if kind == "wsgi":
            return WsgiVisitor(WsgiApp(registry, clock=clock, **options), clock)
        return AsgiVisitor(AsgiApp(registry, clock=clock, **options), clock, backend)

    return visiting
