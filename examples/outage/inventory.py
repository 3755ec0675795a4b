"""
The caller: one function, guarded by one command.

This is the file to read, and the only one of the demo that a program of your own would have.
"""

import attrs
import httpx2

from resilience import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceededError,
    Registry,
    State,
    command,
)

REGISTRY = Registry()
"""A registry of the demo's own; without one, commands are in the default one."""


@attrs.frozen
class Stock:
    """How many of an item there are: fresh, or as last known together with the reason for that."""

    count: int | None
    error: Exception | None = None


def last_known(error: Exception, inventory: "Inventory", item: int) -> Stock:
    """Answer from memory: old news is better than none."""
    return Stock(inventory.known.get(item), error)


class Inventory:
    """
    The stock of a shop, asked of a service and remembered.

    Attributes:
        known: The last count of each item that the service told.
        trials: Calls that a half-open circuit let in and that are still under way.
        trials_at_once: The most that there were at one time: counted here, and not by the library
            that is to be judged by it.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.known: dict[int, int] = {}
        self.trials = 0
        self.trials_at_once = 0

    @command(
        "inventory",
        timeout=0.25,
        max_concurrency=16,
        volume_threshold=20,
        error_percent=50,
        rolling_window=3.0,
        sleep_window=2.0,
        half_open_calls=2,
        fallback=last_known,
        registry=REGISTRY,
    )
    async def stock(self, item: int) -> Stock:
        """Ask the service how many of an item there are."""
        trial = GUARD.state is State.HALF_OPEN
        self.trials += trial
        self.trials_at_once = max(self.trials_at_once, self.trials)
        try:
            response = await self.http.get(f"/stock/{item}")
            response.raise_for_status()
            count = self.known[item] = response.json()["count"]
            return Stock(count)
        finally:
            self.trials -= trial


GUARD = Inventory.stock.command
"""The command itself: its state, its snapshot and its settings."""


def outcome(stock: Stock) -> str:
    """Name, in the words of the metrics, what became of the call that was answered so."""
    match stock.error:
        case None:
            return "success"
        case CircuitOpenError():
            return "short_circuited"
        case BulkheadFullError():
            return "bulkhead_full"
        case DeadlineExceededError():
            return "timeout"
        case _:
            return "failure"
