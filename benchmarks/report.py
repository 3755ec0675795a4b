"""The result of a run: where it was made, what it says, and how to show it."""

import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results.json"
MEASURED = (
    "python-resilience",
    "circuitbreaker",
    "pybreaker",
    "aiobreaker",
    "purgatory",
    "hyx",
    "pyresilience",
    "nopanic",
    "interlock-cb",
    "tenacity",
    "anyio",
    "attrs",
    "httpx2",
    "trio",
    "uvloop",
)

Result = dict[str, Any]


def place() -> Result:
    """Return the machine, and the versions of everything."""
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: version(name) for name in MEASURED if _installed(name)},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"
    fields = (line.partition(":") for line in text.splitlines())
    names = [value.strip() for field, _, value in fields if field.strip() == "model name"]
    return names[0] if names else platform.processor() or "unknown"


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except ImportError:  # PackageNotFoundError is one
        return False


def judgements(result: Result) -> Iterator[tuple[Result, Result]]:
    """Yield each limit with its row."""
    for row in result["rows"]:
        for limit in row["limits"]:
            yield row, limit


def missed(result: Result) -> list[str]:
    """Return the titles of the rows that miss a limit."""
    return [row["title"] for row, limit in judgements(result) if not limit["met"]]


def amount(value: float, unit: str) -> str:
    """Write a figure with its unit, in three digits."""
    units = {"ns": ("ns", "µs", "ms", "s"), "bytes": ("B", "KB")}[unit]
    step = 1000 if unit == "ns" else 1024
    for name in units[:-1]:
        if value < step * 0.9995:
            return f"{value:.3g} {name}"
        value /= step
    return f"{value:.3g} {units[-1]}"


def cells(row: Result, limit: Result) -> tuple[str, ...]:
    """Return what the tables show of a limit, under HEADS."""
    figures, unit = row["figures"], row["unit"]
    ours = amount(figures[limit["contender"]]["median"], unit)
    met = "yes" if limit["met"] else "no"
    title = row["title"]
    if limit["contender"] != "resilience":
        title = f"{title}: {limit['contender']}"
    if limit["baseline"] is None:
        low, high = (amount(limit[edge], unit) for edge in ("low", "high"))
        return title, ours, "–", ours, f"{low} – {high}", amount(limit["at_most"], unit), met
    theirs = f"{limit['baseline']} {amount(figures[limit['baseline']]['median'], unit)}"
    allowed = f"{limit['at_most']:.2f}" + (" (within noise)" if limit["noise"] else "")
    spread = f"{limit['low']:.2f} – {limit['high']:.2f}"
    return title, ours, theirs, f"{limit['median']:.2f}", spread, allowed, met


HEADS = ("work", "resilience", "compared with", "ratio", "quartiles", "at most", "met")


def show(result: Result, console: Console) -> None:
    """Print the figures, what was to be reached, and the place."""
    costs = Table("work", "cost of a call, or other figure", title="what it costs")
    for row in result["rows"]:
        medians = {name: figure["median"] for name, figure in row["figures"].items()}
        cheapest_first = sorted(medians, key=medians.__getitem__)
        figures = (f"{name} {amount(medians[name], row['unit'])}" for name in cheapest_first)
        costs.add_row(row["title"], ", ".join(figures))
    console.print(costs)
    limits = Table(*HEADS, title="what is to be reached")
    for row, limit in judgements(result):
        limits.add_row(*cells(row, limit), style="" if limit["met"] else "red")
    console.print(limits)
    console.print(*whereabouts(result), sep="\n")


def whereabouts(result: Result) -> tuple[str, str]:
    """Return where and with what it was measured, in two lines."""
    machine = result["machine"]
    cores = f"{machine['cores']} cores of {machine['processor']}, {machine['system']}"
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return f"Measured on {cores}, {result['python']}, in {result['rounds']} rounds, with", versions


def save(result: Result, path: Path) -> None:
    """Write the result as JSON."""
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path = RESULTS) -> Result:
    """Read a result."""
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result
