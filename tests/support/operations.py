"""
A program with every kind of trouble, in virtual time, to be looked at on the live page.

The page lives in real time, but what it shows goes by a clock that is moved second by second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

from playwright.sync_api import Page

from resilience import Command, Registry
from resilience.hystrix_stream import AsgiApp
from resilience.testing import FakeClock
from tests.support.served import served

LOOK = 0.02
"""Real seconds between two looks of a page that believes it looks once a second."""


class Operations:
    """A registry, the app that shows it, and a clock."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.registry = Registry(clock=self.clock)
        self.app = AsgiApp(self.registry, clock=self.clock, **options)
        self.app._site.feed.interval = LOOK
        self.random = Random(7)

    @contextmanager
    def served(self) -> Iterator[str]:
        with served(self.app) as address:
            yield address

    def command(self, name: str, **fields: Any) -> Command:
        fields = {"volume_threshold": 10, "max_concurrency": 10, **fields}
        return self.registry.command(name, **fields)

    def calls(self, cmd: Command, count: int, *, failing: float = 0.0, takes: float = 0.01) -> None:
        """Make calls that take about so long, of which about a share fails."""
        before = self.clock.now
        for _ in range(count):
            fails = self.random.random() < failing
            with suppress(OSError, Exception):
                cmd.call(self._work, takes * self.random.lognormvariate(0, 0.6), fails)
            self.clock.set_back((self.clock.now - before) / 1e9)  # they ran side by side

    def _work(self, takes: float, fails: bool) -> None:
        self.clock.advance(takes)
        if fails:
            raise ConnectionError("connection refused by 10.0.3.17:5432")

    def second(self) -> None:
        """Let a second pass."""
        self.clock.advance(1)


def heard(page: Page, expression: str, timeout: float = 10.0) -> None:
    """Wait until something holds on a page, whose policy lets nobody else's script wait there."""
    last = time.monotonic() + timeout
    while not page.evaluate(expression):
        assert time.monotonic() < last, f"never so: {expression}"
        page.wait_for_timeout(5)


def watched(page: Page, operations: Operations, story: Callable[[int], None], length: int) -> None:
    """Play a story, a second at a time, while a page looks at each of them."""
    for second in range(length):
        story(second)
        operations.second()
        heard(page, f"serverNow >= {operations.clock.now / 1e9 - 0.001}")
