"""
Write the tables of settings and metrics into the pages of the reference, as the code has them.

    python -m docs.tables
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from docs.marked import Part
from resilience import Settings
from resilience.prometheus import CATALOGUE
from resilience.settings import FIELDS

PAGES: Final = Path(__file__).parent / "reference"

ALL: Final = tuple(FIELDS)
CIRCUIT: Final = (
    "volume_threshold", "error_percent", "rolling_window", "buckets", "sleep_window",
    "sleep_window_max", "sleep_window_jitter", "half_open_calls", "half_open_successes",
    "slow_call_duration", "slow_call_percent", "fair_share",
)  # fmt: skip
BULKHEAD: Final = ("max_concurrency", "max_waiting", "max_wait", "count_rejections")
DEADLINE: Final = ("timeout", "fair_share", "slow_call_duration")

METRICS: Final = {
    "circuit-breaker": ("circuit", "trials", "shadowed", "window", "stale", "slow"),
    "bulkhead": ("in_flight", "waiting", "abandoned", "max_concurrency"),
    "deadline": ("call_duration", "abandoned"),
    "fallback": ("fallbacks",),
    "metrics": ("",),
}
"""Which metrics a page is about: those whose names go on like this."""


def settings(names: Iterable[str]) -> str:
    """Return a table of settings, as Markdown."""
    defaults = {field.name: field.default for field in attrs.fields(Settings)}
    rows = (
        f"| `{name}` | {_default(defaults[name])} | {_range(FIELDS[name].words)} "
        f"| {_meaning(name)} |"
        for name in names
    )
    return "\n".join(["| field | default | range | meaning |", "|---|---|---|---|", *rows])


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:g} … {value[-1]:g}: {len(value)} bounds"
    return f"`{value}`"


def _range(words: str) -> str:
    """Return the words of an error message, shorter."""
    short = re.sub(r"^an? (?=integer|number|percentage)", "", words)
    short = short.replace("a time in (0, 31,536,000] seconds", "a time")
    return short.replace(" up to 2,147,483,647", " on").replace("None", "`None`")


def _meaning(name: str) -> str:
    """Return what the docstring says of a field."""
    text = inspect.getdoc(Settings) or ""
    found = re.search(rf"^    {name}: ((?:.+\n)(?:        .+\n)*)", text, re.MULTILINE)
    assert found is not None, f"the docstring of Settings says nothing of {name}"
    return " ".join(found[1].split())


def metrics(beginnings: Iterable[str]) -> str:
    """Return a table of metrics, as Markdown."""
    starts = tuple(f"resilience_{each}" for each in beginnings)
    rows = (
        f"| `{family.name}` | {_kind(family.kind)} | {', '.join(('name', *family.labels))} "
        f"| {family.help} |"
        for family in CATALOGUE
        if family.name.startswith(starts)
    )
    return "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *rows])


def _kind(kind: type) -> str:
    return kind.__name__.removesuffix("MetricFamily").lower()


PARTS: Final = (
    Part(PAGES / "settings.md", "settings", partial(settings, ALL)),
    Part(PAGES / "command.md", "settings", partial(settings, ALL)),
    Part(PAGES / "circuit-breaker.md", "settings", partial(settings, CIRCUIT)),
    Part(PAGES / "bulkhead.md", "settings", partial(settings, BULKHEAD)),
    Part(PAGES / "deadline.md", "settings", partial(settings, DEADLINE)),
    Part(PAGES / "fallback.md", "settings", partial(settings, ["fallback_max_concurrency"])),
    *(
        Part(PAGES / f"{page}.md", "metrics", partial(metrics, beginnings))
        for page, beginnings in METRICS.items()
    ),
)

if __name__ == "__main__":
    for part in PARTS:
        part.rewrite()
