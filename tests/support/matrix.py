"""The matrix: every client meets every fault, over real sockets."""

from __future__ import annotations

import time
from typing import NamedTuple

from resilience import Outcome, Registry, ResilienceError, deadline
from tests.support.faulty import Faulty
from tests.support.web import Kind

TIMEOUT = 0.08
LONG = 10.0
BUDGET = 0.08
SOON = 3.0
"""Seconds within which a call that is cut off is over, on the slowest of machines."""


class Fault(NamedTuple):
    """A fault, and what stands against it."""

    title: str
    path: str
    timeout: float = LONG
    budget: float | None = None


class End(NamedTuple):
    """How a request ended."""

    outcome: str
    error: BaseException | None
    took: float
    in_flight: int
    calls: int
    sent: int


FAULTS = [
    Fault("answers", "healthy"),
    Fault("answers in chunks", "chunked"),
    Fault("answers 404", "not-found"),
    Fault("answers 500", "error"),
    Fault("answers 429, with `Retry-After`", "busy"),
    Fault("refuses the connection", "refuse"),
    Fault("accepts and hangs", "hang", TIMEOUT),
    Fault("closes without an answer", "close"),
    Fault("resets the connection", "reset"),
    Fault("answers garbage", "garbage"),
    Fault("fails the TLS handshake", "tls"),
    Fault("sends the head byte by byte", "drip-head", TIMEOUT),
    Fault("hangs in the middle of the body", "stall", TIMEOUT),
    Fault("closes in the middle of the body", "cut"),
    Fault("resets in the middle of the body", "reset-body"),
    Fault("hangs, and the caller has a deadline", "hang", budget=BUDGET),
    Fault("hangs in the body, and the caller has a deadline", "stall", budget=BUDGET),
    Fault("sends the body byte by byte, and the caller has a deadline", "drip-body", budget=BUDGET),
    Fault("would answer, and the caller has no time left", "healthy", budget=0),
]


def meet(kind: Kind, fault: Fault, server: Faulty) -> End:
    """Let a client meet a fault, and tell how it ended."""
    registry = Registry()

    async def main() -> tuple[BaseException | None, float, int]:
        async with kind.make(registry, timeout=fault.timeout) as web:
            if fault.budget is not None:  # it is the answer that takes time, not the connect
                await web.fetch(server.url("healthy"))
            sent, began = len(server.requests), time.monotonic()
            error: BaseException | None = None
            try:
                if fault.budget is None:
                    await web.fetch(server.url(fault.path))
                else:
                    with deadline(fault.budget or LONG) as scope:
                        if not fault.budget:  # entered in time, and over by now
                            scope._ends = scope.started
                        await web.fetch(server.url(fault.path))
            except Exception as raised:
                error = raised
            return error, time.monotonic() - began, len(server.requests) - sent

    error, took, sent = kind.run(main)
    (snapshot,) = registry.snapshot().values()
    totals = dict(snapshot.totals)
    if fault.budget is not None:
        totals[Outcome.SUCCESS] -= 1
    outcomes = [str(outcome) for outcome, count in totals.items() if count]
    return End(" ".join(outcomes), error, took, snapshot.in_flight, sum(totals.values()), sent)


def tell(end: End) -> str:
    """Say how a request ended: the outcome, in bold if the error is ours as well."""
    return f"**{end.outcome}**" if isinstance(end.error, ResilienceError) else end.outcome
