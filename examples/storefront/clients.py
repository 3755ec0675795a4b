"""The three services as the storefront asks them: each by an HTTP client that is guarded."""

import attrs
import httpx2

from resilience import Registry
from resilience.httpx2 import AsyncTransport

NAMES = ("prices", "stock", "recommendations")

AT_MOST = 8
"""How many requests each service has at once."""

PATIENCE = 0.5
"""Seconds that a visitor waits for one of the services."""


@attrs.frozen
class Clients:
    """
    The clients, by service.

    What they send carries what is left of the visitor's time. What is refused or late raises errors
    that are httpx2's own as well.
    """

    prices: httpx2.AsyncClient
    stock: httpx2.AsyncClient
    recommendations: httpx2.AsyncClient

    async def aclose(self) -> None:
        """Close their connections."""
        for name in NAMES:
            await getattr(self, name).aclose()


def client(
    name: str,
    url: str,
    registry: Registry | None = None,
    wrapped: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """Make the client of one service; `wrapped` is what sends."""
    transport = AsyncTransport(
        wrapped,
        registry=registry,
        name=name,
        timeout=PATIENCE,
        max_concurrency=AT_MOST,
        volume_threshold=5,
        rolling_window=2,  # a short memory: it opens within a second or two
        sleep_window=1,
    )
    return httpx2.AsyncClient(base_url=url, transport=transport, trust_env=False)
