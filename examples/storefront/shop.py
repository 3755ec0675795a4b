"""
The service: a page from a price, a stock level and recommendations, each behind a command.

This is the file to read. Whatever one of the three services does, a visitor gets a page: with the
last price that was known, without a stock level, without recommendations.
"""

from collections.abc import Awaitable, Callable

import anyio

from examples.storefront.page import ASK_US, MOST, ON_REQUEST, Page
from resilience import RejectedError, Settings, command

AT_MOST = 8
"""How many calls of each service there are at once."""

GUARD = Settings(max_concurrency=AT_MOST, volume_threshold=5, sleep_window=2)
PATIENCE = 0.5
"""Seconds that a visitor waits for one of the services."""


class Shop:
    """
    Builds pages.

    Args:
        price: Asks for the price of a product.
        stock: Asks how many there are.
        also_bought: Asks for other products.
    """

    def __init__(
        self,
        price: Callable[[str], Awaitable[float]],
        stock: Callable[[str], Awaitable[int]],
        also_bought: Callable[[str], Awaitable[list[str]]],
    ) -> None:
        self._last_prices: dict[str, str] = {}
        self._ask_price = command("prices", GUARD, timeout=PATIENCE)(price)
        self._ask_stock = command("stock", GUARD, timeout=PATIENCE)(stock)
        self._recommendations = command("recommendations", GUARD)
        self._ask_also_bought = also_bought

    async def page(self, sku: str) -> Page:
        """Build a page from what the three services say in time."""
        parts = {}

        async def part(name: str, find: Callable[[str], Awaitable[object]]) -> None:
            parts[name] = await find(sku)

        async with anyio.create_task_group() as group:
            group.start_soon(part, "price", self.price)
            group.start_soon(part, "stock", self.stock)
            group.start_soon(part, "also_bought", self.also_bought)
        return Page(sku, **parts)

    async def price(self, sku: str) -> str:
        """Return the price, or the last one that was known."""
        try:
            price = self._last_prices[sku] = f"{await self._ask_price(sku):.2f} EUR"
        except Exception:  # noqa: BLE001 - whatever it was, there is another answer
            return self.last_price(sku)
        return price

    def last_price(self, sku: str) -> str:
        """Return the last price that was known."""
        return self._last_prices.get(sku, ON_REQUEST)

    async def stock(self, sku: str) -> str:
        """Return whether there is any, if that is known."""
        try:
            return "in stock" if await self._ask_stock(sku) else "sold out"
        except Exception:  # noqa: BLE001 - as above
            return ASK_US

    async def also_bought(self, sku: str) -> tuple[str, ...]:
        """Return other products, if there is an answer in time."""
        try:
            permit = await self._recommendations.aacquire()
        except RejectedError:
            return ()
        try:
            with permit, anyio.fail_after(PATIENCE):
                return tuple(await self._ask_also_bought(sku))[:MOST]
        except Exception:  # noqa: BLE001 - as above
            return ()
