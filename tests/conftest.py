"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilience import Registry
from resilience._chain import current
from tests.support.runtime import RUNTIMES, AsyncRuntime, FakeClock, Runtime


@pytest.fixture(autouse=True)
def _leaves_no_scope() -> Iterator[None]:
    """A scope that a test leaves behind would bind, or be seen by, every test after it."""
    yield
    scope = current.get()
    current.set(None)
    assert scope is None, f"left as the current scope: {scope!r}"


@pytest.fixture(params=list(RUNTIMES))
def run(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """The runtime a scenario is played in: sync, asyncio, trio."""
    runtime = RUNTIMES[request.param]()
    yield runtime
    runtime.close()


@pytest.fixture(params=[name for name, kind in RUNTIMES.items() if kind.is_async])
def task(request: pytest.FixtureRequest) -> Iterator[AsyncRuntime]:
    """The runtime of a scenario that only tasks can play: asyncio, trio."""
    runtime = RUNTIMES[request.param]()
    yield runtime
    runtime.close()


@pytest.fixture
def registry(request: pytest.FixtureRequest) -> Registry:
    """A registry of the test's own, on the runtime's clock where the test has one."""
    for fixture in ("run", "task"):
        if fixture in request.fixturenames:
            return Registry(clock=request.getfixturevalue(fixture).clock, random=lambda: 0.0)
    return Registry(clock=request.getfixturevalue("clock"), random=lambda: 0.0)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock()
