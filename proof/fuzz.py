"""
Hostile values for everything that can be set, and hostile names.

    python -m proof fuzz --values 1e7

Whatever is given is taken, or refused by a `ConfigurationError` (by a `TypeError` where a keyword
is not known); nothing else is raised, then or when what was taken is used. Names that were taken
come out of a scrape as they went in.
"""

from __future__ import annotations

import datetime as dt
import math
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from fractions import Fraction
from itertools import repeat
from random import Random
from typing import Any

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from resilience import Bulkhead, ConfigurationError, Registry, Settings, deadline
from resilience.prometheus import ResilienceCollector

BATCH = 5_000
FIELDS = [field.name for field in attrs.fields(Settings)]
HYSTRIX = [
    "timeout",
    "max_concurrent_requests",
    "request_volume_threshold",
    "sleep_window",
    "error_percent_threshold",
    "unknown",
]


class Number(float):
    """A number of a class of its own."""


class Liar:
    """Says it is a number, and is none."""

    def __float__(self) -> float:
        raise OverflowError

    def __index__(self) -> int:
        raise ValueError

    def __repr__(self) -> str:
        raise RuntimeError


VALUES: list[Callable[[Random], Any]] = [
    lambda draw: draw.randint(-3, 40),
    lambda draw: draw.random() * 10,
    lambda draw: draw.uniform(-1, 200),
    lambda draw: draw.choice((0, -0.0, 1, 100, 31_536_000, 31_536_001, 10_000, 10_001)),
    lambda draw: draw.choice((math.nan, math.inf, -math.inf, 1e308, 5e-324, 1e-9, 1e-10)),
    lambda draw: draw.choice((True, False, None, "", "5", b"5", "\N{ARABIC-INDIC DIGIT FIVE}")),
    lambda draw: draw.choice((10**400, -(10**400), 2**63, 2**64 - 1)),
    lambda draw: Decimal(draw.choice(("1.5", "0.1", "NaN", "sNaN", "Infinity", "1E+999999"))),
    lambda draw: Fraction(draw.randint(-9, 9), draw.randint(1, 9)),
    lambda draw: draw.choice((dt.timedelta.max, dt.timedelta.min, dt.timedelta(seconds=2))),
    lambda draw: draw.choice(([], [1, 2], (0.1, 0.2), (2, 1), {}, {1: 2}, set(), range(3), 1j)),
    lambda draw: tuple(draw.uniform(-1, 10) for _ in range(draw.randrange(6))),
    lambda draw: draw.choice((Number(1.5), Number(math.nan), Liar(), object(), int, len)),
    lambda draw: "x" * draw.choice((1, 999, 1000, 1001, 100_000)),
]


def run(values: int = 10**7, seed: int = 1, processes: int = os.cpu_count() or 1) -> dict[str, Any]:
    """Try so many values and names."""
    batches = -(-values // BATCH)
    counts: Counter[str] = Counter()
    with ProcessPoolExecutor(processes) as pool:
        for count in pool.map(play, range(batches), repeat(seed)):
            counts += count
    return {"tried": batches * BATCH} | dict(sorted(counts.items())) | {"other errors": 0}


def play(number: int, seed: int) -> Counter[str]:
    """Try a batch of them; return how many were taken and refused."""
    draw = Random(f"{seed}/{number}")
    counts: Counter[str] = Counter()
    tries = (settings, settings, hystrix, bulkhead, limit, hold, configured, name)
    registry = Registry()
    for step in range(BATCH):
        attempt = tries[draw.randrange(len(tries))]
        try:
            attempt(draw, registry)
        except (ConfigurationError, TypeError) as error:
            if not (isinstance(error, ConfigurationError) or "keyword" in str(error)):
                raise AssertionError(f"batch {seed}/{number}, step {step}") from error
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"batch {seed}/{number}, step {step}") from error
        else:
            counts["taken"] += 1
    counts["names scraped"] += scraped(registry)
    return counts


def value(draw: Random) -> Any:
    """Return any value."""
    return VALUES[draw.randrange(len(VALUES))](draw)


def some(draw: Random, names: list[str]) -> dict[str, Any]:
    """Return values for some of these names."""
    return {name: value(draw) for name in draw.sample(names, draw.choice((1, 1, 1, 2, 3)))}


def settings(draw: Random, _: Registry) -> None:
    """Make settings; what is taken is good for a command."""
    made = Settings(**some(draw, FIELDS))
    assert hash(made) == hash(Settings(**made.chosen())), "equal settings"
    if not draw.randrange(8):
        command = Registry().command("db", made)
        if made.max_concurrency != 0:
            assert command.call(lambda: 1) == 1
        command.snapshot()


def hystrix(draw: Random, _: Registry) -> None:
    """Read settings of hystrix-go."""
    Settings.from_hystrix(some(draw, HYSTRIX))


def bulkhead(draw: Random, _: Registry) -> None:
    """Make a bulkhead, and resize it."""
    made = Bulkhead(value(draw), max_waiting=draw.choice((0, 1, value(draw))))
    made.resize(value(draw))
    assert made.in_flight == 0


def limit(draw: Random, _: Registry) -> None:
    """Set a deadline."""
    with deadline(value(draw)) as scope:
        assert scope.remaining >= 0


def hold(draw: Random, _: Registry) -> None:
    """Settle a permit with the time that the dependency asked for."""
    with Registry().command("db").acquire() as permit:
        try:
            permit.fail(retry_after=value(draw))
        except ConfigurationError:
            assert not permit.settled
            raise
        assert permit.settled


def configured(draw: Random, registry: Registry) -> None:
    """Configure a name, or many."""
    changes = some(draw, [*FIELDS, "unknown"])
    if draw.random() < 0.5:
        registry.configure("configured", **changes)
    else:
        registry.configure({"configured": changes})


def name(draw: Random, registry: Registry) -> None:
    """Name a command: text of any characters, or something else."""
    chosen = text(draw) if draw.random() < 0.9 else value(draw)
    registry.command(chosen).snapshot()
    if sum(1 for _ in registry) > 40:
        for each in registry.snapshot():
            registry.remove(each)


def text(draw: Random) -> str:
    """Return text with characters that break lines, quotes, labels or encodings."""
    hard = "\"\\{}=,\n\r\t\0 \x1b\x7f\x85\u2028\u202e\ud800\U0010ffff%'#"
    draws = (
        lambda: draw.choice(hard),
        lambda: chr(draw.randrange(32, 127)),
        lambda: chr(draw.randrange(0x110000)),
    )
    mild = draw.random() < 0.7
    kinds = (1,) if mild and draw.random() < 0.5 else (0, 1, 2)
    return "".join(draws[draw.choice(kinds)]() for _ in range(draw.randrange(8)))


def scraped(registry: Registry) -> int:
    """Scrape and parse; return how many names came out as they had gone in."""
    metrics = CollectorRegistry()
    metrics.register(ResilienceCollector(registry))
    page = generate_latest(metrics).decode()
    found = {
        sample.labels["name"]
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert found == set(registry.snapshot()), "a name changed on its way"
    return len(found)
