"""The callers: several at once, at a steady pace, whatever becomes of their calls."""

import asyncio
from itertools import count

from examples.outage.inventory import Inventory, outcome
from examples.outage.timeline import Timeline

CALLERS = 32
PERIOD = 0.4
"""Seconds from one call of a caller to its next."""

RATE = CALLERS / PERIOD
"""Calls per second of all of them."""

ITEMS = 50


class Traffic:
    """Customers of the shop, who keep asking."""

    def __init__(self, inventory: Inventory, timeline: Timeline) -> None:
        self.inventory = inventory
        self.timeline = timeline
        self._flowing = True
        self._items = count()

    def stop(self) -> None:
        """Let every caller finish the call it has begun, and begin no other."""
        self._flowing = False

    async def flow(self) -> None:
        """Call until stopped."""
        async with asyncio.TaskGroup() as callers:
            for number in range(CALLERS):
                callers.create_task(self._keep_calling(PERIOD * number / CALLERS))

    async def _keep_calling(self, due: float) -> None:
        timeline = self.timeline
        due += timeline.now
        while self._flowing:
            began = timeline.now
            if began < due:
                await asyncio.sleep(due - began)
                continue
            timeline.made += 1
            stock = await self.inventory.stock(next(self._items) % ITEMS)
            timeline.called(began, outcome(stock))
            # A caller held up for long goes on from where it is: steady, never a burst.
            due = max(due + PERIOD, began)
