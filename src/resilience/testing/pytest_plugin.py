"""
The plugin that pytest finds by itself: two fixtures, and a check that nothing is left behind.

- `resilience_clock`: a `FakeClock` of the test's own.
- `resilience_registry`: a registry on that clock, in the place of `default_registry` while the test
  runs. When the test has passed, and the fixtures that use it have ended, nothing of it may be
  held: a slot, a trial, a waiter or a worker thread fails the test with its name.
- The ini option `resilience_leaks = true` checks `default_registry` after every test as well: what
  a test holds at its end beyond what it found. It is off unless it is set.

Who uses neither notices nothing. `-p no:resilience` turns the plugin off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

import resilience
from resilience.testing import FakeClock, isolated_registry
from resilience.testing._held import held, look, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilience import Registry

LEAKS = "resilience_leaks"


@pytest.fixture
def resilience_clock() -> FakeClock:
    """A clock that moves when the test says so."""
    return FakeClock()


@pytest.fixture
def resilience_registry(
    request: pytest.FixtureRequest, resilience_clock: FakeClock
) -> Iterator[Registry]:
    """A registry of the test's own, which must have nothing held at its end."""
    with isolated_registry(resilience_clock) as registry:
        yield from _checked(request, registry)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest of the ini option."""
    parser.addini(LEAKS, "fail tests that leave slots, trials, waiters or threads held", "bool")


def pytest_configure(config: pytest.Config) -> None:
    """Check every test if that was asked for."""
    if cast("bool", config.getini(LEAKS)):
        config.pluginmanager.register(_EveryTest())


class _EveryTest:
    @pytest.fixture(autouse=True)
    def resilience_leaks(self, request: pytest.FixtureRequest) -> Iterator[Registry]:
        """Nothing of the default registry that was not held before must be held afterwards."""
        yield from _checked(request, resilience.default_registry)


def _checked(request: pytest.FixtureRequest, registry: Registry) -> Iterator[Registry]:
    """Fail a test that would pass, for what it holds at its end and did not at its beginning."""
    failed, before = request.session.testsfailed, look(registry)
    yield registry
    if request.session.testsfailed == failed:  # otherwise it was stopped in the middle
        left = held(registry, before)
        if left:
            pytest.fail(f"{request.node.name} ended with {told(left)}", pytrace=False)
