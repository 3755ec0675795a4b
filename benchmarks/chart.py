"""The chart: what a call costs on the closed path, one panel for each guard and colour."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import amount
from benchmarks.rivals import RIVALS

WITHOUT_CIRCUIT = {library.name for library in RIVALS if library.refusal is None}
IMAGES = Path(__file__).parents[1] / "docs" / "images"
PANELS = (
    ("breaker closed sync", "breaker alone, sync"),
    ("breaker closed asyncio", "breaker alone, asyncio"),
    ("command closed sync", "fallback, breaker, bulkhead, sync"),
    ("command closed asyncio", "fallback, breaker, bulkhead, asyncio"),
    ("timed closed sync", "the same with a timeout, on a thread"),
    ("timed closed asyncio", "the same with a timeout, asyncio"),
)
# Ours differs from the others in lightness as well, and its name is bold.
LIGHT = {
    "ground": "#ffffff",
    "ink": "#1f2328",
    "quiet": "#59636e",
    "ours": "#1f6fb2",
    "other": "#c3ccd5",
}
DARK = {
    "ground": "#0d1117",
    "ink": "#e6edf3",
    "quiet": "#9198a1",
    "ours": "#58a6ff",
    "other": "#424a53",
}

Result = dict[str, Any]


def draw_all(result: Result, folder: Path = IMAGES) -> None:
    """Save the chart for light and dark grounds, if its rows were measured."""
    rows = {row["key"]: row for row in result["rows"]}
    if all(key in rows for key, _ in PANELS):
        draw(rows, LIGHT, folder / "cost.svg")
        draw(rows, DARK, folder / "cost-dark.svg")


def draw(rows: dict[str, Result], colours: dict[str, str], path: Path) -> None:
    """Save the chart as SVG."""
    with mpl.rc_context(_style(colours)):
        counts = [len(_medians(rows[key])) for key, _ in PANELS]
        heights = [max(pair) + 1 for pair in zip(counts[::2], counts[1::2], strict=True)]
        figure = Figure(figsize=(10, 0.27 * sum(heights) + 0.8), layout="constrained")
        grid = figure.subplots(len(heights), 2, height_ratios=heights, squeeze=False)
        for axes, (key, title) in zip(grid.flat, PANELS, strict=True):
            _draw_panel(axes, rows[key], title, colours)
        # Without a date or random names, what changes in the file has changed in the chart.
        metadata = {"Title": "What a call costs on the closed path", "Date": None}
        figure.savefig(path, format="svg", metadata=metadata)


def _draw_panel(axes: Axes, row: Result, title: str, colours: dict[str, str]) -> None:
    """Draw a bar for each contender, the cheapest on top."""
    medians = _medians(row)
    names = sorted(medians, key=medians.__getitem__, reverse=True)
    for y, name in enumerate(names):
        ours, median = name == "resilience", medians[name]
        axes.barh(y, median, 0.72, color=colours["ours" if ours else "other"])
        axes.annotate(
            amount(median, row["unit"]),
            (median, y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=colours["ink" if ours else "quiet"],
            weight="bold" if ours else "normal",
            size=9,
        )
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        if label.get_text() == "resilience":
            label.set(weight="bold", color=colours["ink"])
    axes.set_xlim(0, 1.18 * max(medians.values()))
    axes.set_xticks([])
    axes.set_title(title)


def _medians(row: Result) -> dict[str, float]:
    # What has no circuit stands in the table alone: beside its bar the others would be dots.
    figures = row["figures"].items()
    return {name: spread["median"] for name, spread in figures if name not in WITHOUT_CIRCUIT}


def _style(colours: dict[str, str]) -> dict[str, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "cost",
        "figure.facecolor": colours["ground"],
        "axes.facecolor": colours["ground"],
        "axes.titlecolor": colours["ink"],
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.bottom": False,
        "axes.spines.left": False,
        "xtick.color": colours["quiet"],
        "ytick.color": colours["quiet"],
        "ytick.major.size": 0,
        "ytick.labelsize": 9,
        "figure.constrained_layout.h_pad": 0.09,
    }
