"""What happens: who is slow, and what a request may take."""

from collections.abc import Mapping

import attrs

SERVICES = ("storefront", "inventory", "warehouse", "supplier")
"""Each asks the next one."""

WORK = 0.04
"""Seconds that a service works, unless a scene says otherwise."""


@attrs.frozen
class Scene:
    """
    One way the chain of services may behave.

    Attributes:
        title: What is to be seen.
        budget: Seconds that a request may take, however many services it goes through.
        slow: Seconds of work of the services that are slow.
    """

    title: str
    budget: float = 0.5
    slow: Mapping[str, float] = attrs.Factory(dict)

    def takes(self, service: str) -> float:
        """Return the seconds that a service works."""
        return self.slow.get(service, WORK)


ALL_WELL = Scene("All is well")
HANGING = Scene("The supplier hangs", slow={"supplier": 30.0})
DAWDLING = Scene("The warehouse dawdles", slow={"warehouse": 0.2, "supplier": 30.0})
"""
What is left for the supplier is less than a quarter of its command's timeout: no fair try, so that
call counts as `expired`, and not as a `timeout` of the supplier's.
"""

SCENES = (ALL_WELL, HANGING, DAWDLING)
