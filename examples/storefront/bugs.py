"""The shop with a mistake in it: three that look right, and pass the tests one thinks of."""

import anyio

from examples.storefront.page import ASK_US, MOST
from examples.storefront.shop import PATIENCE, Shop
from resilience import Permit, RejectedError


class InvalidFallback(Shop):
    """Shows "None EUR" for a product that was never asked for before its first outage."""

    def last_price(self, sku: str) -> str:
        """Return the last price that was known."""
        last = self._last_prices.get(sku)
        return f"{last}".removesuffix(" EUR") + " EUR"


class LeakedPermit(Shop):
    """Keeps the permit of what it reads, for a shutdown to end it, and forgets those of errors."""

    def __init__(self, *services: object) -> None:
        super().__init__(*services)
        self._reading: list[Permit] = []

    async def also_bought(self, sku: str) -> tuple[str, ...]:
        """Return other products, if there is an answer in time."""
        try:
            permit = await self._recommendations.aacquire()
        except RejectedError:
            return ()
        self._reading.append(permit)
        try:
            with anyio.fail_after(PATIENCE):
                found = tuple(await self._ask_also_bought(sku))[:MOST]
        except Exception:  # noqa: BLE001 - as in the shop
            return ()
        self._reading.remove(permit)
        permit.succeed()
        return found


class EndlessBackOff(Shop):
    """Waits twice as long after each failure, and takes the circuit's refusals for failures."""

    def __init__(self, *services: object) -> None:
        super().__init__(*services)
        self._pause = 1.0
        self._not_before = 0.0

    async def stock(self, sku: str) -> str:
        """Return whether there is any, if that is known."""
        if anyio.current_time() < self._not_before:
            return ASK_US
        try:
            found = "in stock" if await self._ask_stock(sku) else "sold out"
        except Exception:  # noqa: BLE001 - as in the shop
            self._pause *= 2
            self._not_before = anyio.current_time() + self._pause
            return ASK_US
        self._pause = 1.0
        return found
