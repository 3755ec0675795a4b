"""
Rows: contenders that do the same work, measured in turns.

Each round takes one sample of each contender, in another order. A ratio is formed within a round,
where both sides had the same machine; the median of the rounds is what is judged.
"""

from collections.abc import Sequence
from random import Random
from statistics import median, quantiles
from typing import Any, Protocol, Self

import attrs

from benchmarks.runtimes import Make, Runtime

SECONDS = 0.01
"""How long the calls of one sample take together, where nothing else is said."""


class Contender(Protocol):
    """One side of a comparison."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        ...

    def check(self) -> None:
        """Do once what is measured; fail if something else happens."""
        ...

    def sample(self, scale: float) -> float:
        """Return one measured figure; `scale` makes it shorter and less exact."""
        ...


@attrs.frozen
class Timed:
    """
    A function whose calls are timed in a runtime.

    Attributes:
        name: What it is called in the table.
        runtime: Where it is called.
        make: Makes it.
        small: Makes one that is good enough to be checked, if making it takes long.
        seconds: How long the calls of one sample take together.
    """

    name: str
    runtime: Runtime
    make: Make
    small: Make | None = None
    seconds: float = SECONDS

    def check(self) -> None:
        """Call it once."""
        self.runtime.check(self.small or self.make)

    def sample(self, scale: float) -> float:
        """Return the nanoseconds of one call."""
        return self.runtime.sample(self.make, self.seconds * scale)


@attrs.frozen
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise some values."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)


@attrs.frozen
class Limit:
    """
    What a contender has to reach.

    Attributes:
        at_most: The highest ratio to the baseline, or figure if there is no baseline.
        baseline: The contender it is compared with.
        contender: The contender that is judged.
        noise: Whether the lower quartile is judged instead of the median: for no difference at all.
    """

    at_most: float
    baseline: str | None = None
    contender: str = "resilience"
    noise: bool = False

    def spread(self, samples: dict[str, list[float]]) -> Spread:
        """Return the median ratio of the rounds, or figure, with its spread."""
        figures = samples[self.contender]
        if self.baseline is None:
            return Spread.of(figures)
        pairs = zip(figures, samples[self.baseline], strict=True)
        return Spread.of([figure / base for figure, base in pairs])

    def met(self, spread: Spread) -> bool:
        """Whether it is reached."""
        return (spread.low if self.noise else spread.median) <= self.at_most


@attrs.frozen
class Row:
    """
    A comparison.

    Attributes:
        key: What `--only` looks at: "breaker closed sync".
        title: The work in words.
        contenders: Who does it.
        limits: What has to be reached.
        unit: What the figures are: "ns" or "bytes".
        absent: Who does not do it, and why.
        exact: Whether one round is enough.
    """

    key: str
    title: str
    contenders: Sequence[Contender]
    limits: Sequence[Limit] = ()
    unit: str = "ns"
    absent: dict[str, str] = attrs.field(factory=dict)
    exact: bool = False

    def measure(self, rounds: int, scale: float = 1.0) -> dict[str, Any]:
        """Return the figures of each contender and what they are worth, ready for JSON."""
        order = Random(self.key)  # the same in each run
        samples: dict[str, list[float]] = {each.name: [] for each in self.contenders}
        for _ in range(1 if self.exact else rounds):
            for each in order.sample(self.contenders, len(self.contenders)):
                samples[each.name].append(each.sample(scale))
        return {
            "key": self.key,
            "title": self.title,
            "unit": self.unit,
            "figures": {
                name: rounded(attrs.asdict(Spread.of(values))) for name, values in samples.items()
            },
            "limits": [self._judge(limit, samples) for limit in self.limits],
            "absent": self.absent,
        }

    @staticmethod
    def _judge(limit: Limit, samples: dict[str, list[float]]) -> dict[str, Any]:
        spread = limit.spread(samples)
        return {**attrs.asdict(limit), **rounded(attrs.asdict(spread)), "met": limit.met(spread)}


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Leave out the digits that mean nothing."""
    return {name: float(f"{value:.4g}") for name, value in figures.items()}
