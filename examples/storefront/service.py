"""
The web service: a page in time, whatever the three services do.

This is the file to read. A visitor's request has a budget, from its header or one second. The page
is built from three guarded clients at once; each part has a fallback. Beside it there are metrics,
checks of health, and a live page of the circuits.
"""

import argparse
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import attrs
import httpx2
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, make_asgi_app
from starlette.routing import Route

from examples.storefront.clients import NAMES, Clients, client
from examples.storefront.page import ASK_US, MOST, ON_REQUEST, Page
from resilience import Bulkhead, Registry, fallback
from resilience.asgi import Health, Middleware
from resilience.hystrix_stream import AsgiApp
from resilience.prometheus import ResilienceCollector

BUDGET = 1.0
"""Seconds for a visitor who does not say how long there is."""

OPERATIONS = ("/live", "/ready", "/metrics", "/circuits")
"""What is for those who run the service: it needs no slot, and has all the time it likes."""

WRONG = (httpx2.HTTPError, LookupError, TypeError, ValueError)
"""What may be wrong with a service: its connection, its status, what it says."""


class Storefront:
    """
    Builds pages.

    Args:
        clients: How the services are asked.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._last_prices: dict[str, str] = {}
        self.price = fallback(self.last_price, handle=WRONG)(self.ask_price)
        self.stock = fallback(lambda _error, _sku: ASK_US, handle=WRONG)(self.ask_stock)
        self.also_bought = fallback(lambda _error, _sku: (), handle=WRONG)(self.ask_also_bought)

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

    async def ask_price(self, sku: str) -> str:
        """Ask for the price."""
        price = (await ask(self._clients.prices, sku))["price"]
        self._last_prices[sku] = f"{price:.2f} EUR"
        return self._last_prices[sku]

    def last_price(self, _error: Exception, sku: str) -> str:
        """Return the last price that was known."""
        return self._last_prices.get(sku, ON_REQUEST)

    async def ask_stock(self, sku: str) -> str:
        """Ask whether there is any."""
        return "in stock" if (await ask(self._clients.stock, sku))["count"] else "sold out"

    async def ask_also_bought(self, sku: str) -> tuple[str, ...]:
        """Ask for other products."""
        return tuple((await ask(self._clients.recommendations, sku))["skus"])[:MOST]


async def ask(service: httpx2.AsyncClient, sku: str) -> dict[str, object]:
    """Return what a service says of a product."""
    response = await service.get(f"/{sku}")
    return response.raise_for_status().json()


def make_app(
    clients: Clients,
    registry: Registry | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> FastAPI:
    """Make the application; `clock` is for tests."""
    registry = registry or Registry(clock=clock)
    shop = Storefront(clients)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await clients.aclose()

    # It can do without each of the three, so none is critical to its being ready.
    checks = [Route("/live", Health(registry)), Route("/ready", Health(registry))]
    app = FastAPI(lifespan=lifespan, routes=checks)

    @app.get("/products/{sku}")
    async def product(sku: str) -> dict[str, object]:
        return attrs.asdict(await shop.page(sku))

    metrics = CollectorRegistry()
    metrics.register(ResilienceCollector(registry))
    app.mount("/metrics", make_asgi_app(metrics))
    app.mount("/circuits", AsgiApp(registry))
    visitors = Bulkhead(50, name="visitors", registry=registry)
    app.add_middleware(
        Middleware, default_budget=BUDGET, bulkhead=visitors, exempt=OPERATIONS, clock=clock
    )
    return app


def main() -> None:
    """Serve on a port, with the services at the given addresses, until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in NAMES:
        parser.add_argument(f"--{name}", required=True)
    given = vars(parser.parse_args())
    logging.getLogger("resilience").setLevel(logging.ERROR)  # moves are told by the one who plays
    registry = Registry()
    clients = Clients(**{name: client(name, given[name], registry) for name in NAMES})
    config = uvicorn.Config(
        make_app(clients, registry), port=given["port"], log_level="critical", access_log=False
    )
    # A daemon, because the end of the input is the end of the process, whatever is being served.
    threading.Thread(target=uvicorn.Server(config).run, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
