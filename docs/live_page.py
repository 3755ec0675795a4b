"""
Take the pictures of the live page, in a real browser.

    python -m docs.live_page
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from resilience import Permit, State
from tests.support.browser import chromium
from tests.support.operations import Operations, watched

IMAGES = Path(__file__).parent / "images"
MINUTE = 60

RATES = {
    "billing.invoices": 9,
    "catalogue": 70,
    "checkout.payments": 14,
    "fraud-score": 14,
    "geocoder": 6,
    "http:cdn.example": 40,
    "inventory": 40,
    "recommendations": 12,
    "search": 20,
    "sessions": 90,
    "smtp": 1,
}
"""Calls a second of each command."""


class Afternoon(Operations):
    """A minute in which several things go wrong, each in a way of its own."""

    def __init__(self) -> None:
        super().__init__(authorize=lambda _: True)
        self.cmds = {
            name: self.command(name, volume_threshold=20, max_concurrency=16) for name in RATES
        }
        self.held: list[Permit] = []
        self.stuck: list[Permit] = []

    def second(self) -> None:
        """Let a second pass, at the end of which some calls are under way."""
        self.clock.advance(0.97)
        for name in ("catalogue", "sessions", "inventory", "http:cdn.example"):
            busy = self.random.randrange(1, 8)
            self.held += [self.cmds[name].acquire() for _ in range(busy)]
        self.clock.advance(0.03)
        self.beat.advance(1)

    def play(self, second: int) -> None:
        """Make the calls of one second."""
        while self.held:
            self.held.pop().release()
        billing = self.cmds["billing.invoices"].snapshot()
        if billing.state is State.OPEN and billing.retry_after is None:
            self.stuck.append(self.cmds["billing.invoices"].acquire())  # a trial that hangs
        for name, rate in RATES.items():
            count = max(0, round(self.random.gauss(rate, rate**0.5 / 2)))
            self.calls(
                self.cmds[name], count, failing=self.failing(name, second), takes=self.takes(name)
            )
        if second == 24:
            self.cmds["fraud-score"].shadow()
        if second == 30:
            self.cmds["geocoder"].force_open()
        if second == 44:
            self.stuck += [self.cmds["search"].acquire() for _ in range(16)]

    def failing(self, name: str, second: int) -> float:
        """Return the share of the calls of a command that fail in that second."""
        return {
            "checkout.payments": 1.0 * (second > 41),
            "billing.invoices": 1.0 * (second > 47),
            "inventory": 0.08 * (second > 20),
            "fraud-score": 0.3 * (second > 10),
            "recommendations": 0.85 * (12 < second < 34),
        }.get(name, 0.0)

    def takes(self, name: str) -> float:
        """Return about how many seconds a call takes."""
        return {
            "checkout.payments": 0.16,
            "sessions": 0.002,
            "billing.invoices": 0.3,
            "smtp": 0.09,
        }.get(name, 0.02)


def take(page: Page, afternoon: Afternoon) -> None:
    """Take all pictures."""
    watched(page, afternoon, afternoon.play, MINUTE)
    page.screenshot(path=IMAGES / "live-page.png")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=IMAGES / "live-page-dark.png")
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="checkout.payments").click()
    page.screenshot(path=IMAGES / "live-page-details.png")


def main() -> None:
    """Write the pictures."""
    afternoon = Afternoon()
    with afternoon.served() as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 820})
        page.goto(address)
        take(page, afternoon)


if __name__ == "__main__":
    main()
