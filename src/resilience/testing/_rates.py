"""Rates: how much of each fault `chaos` makes."""

from __future__ import annotations

from typing import Any

import attrs

from resilience.errors import ConfigurationError
from resilience.testing._read import read_share, read_time

__all__ = ["Rates", "read_rates"]


@attrs.frozen
class Rates:
    """How much of each fault: see `chaos`."""

    error_rate: float
    latency: float
    hang: float


def read_rates(given: dict[str, Any]) -> Rates:
    """
    Check rates by name.

    Raises:
        ConfigurationError: They are out of their ranges, all faults together.
    """
    readers = {"error_rate": read_share, "latency": read_time, "hang": read_share}
    plain: dict[str, float] = {}
    faults: list[str] = []
    for field, value in given.items():
        if field not in readers:
            faults.append(f"{field!r} is no rate; there are {', '.join(readers)}")
            continue
        try:
            plain[field] = readers[field](field, value)
        except ConfigurationError as error:
            faults.extend(error.faults)
    if not faults and plain["error_rate"] + plain["hang"] > 1:
        total = plain["error_rate"] + plain["hang"]
        faults.append(f"error_rate and hang together must be at most 1, not {total:g}")
    if faults:
        raise ConfigurationError(*faults)
    return Rates(**plain)
