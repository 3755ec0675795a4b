"""
The timeline as a picture: what the service did, what the circuit did, and what callers got of it.

Three panels share one axis of time: the bands of service and circuit, the calls per second stacked
by outcome, and how long callers waited.
"""

from collections import Counter
from math import nan
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.outage.inventory import GUARD
from examples.outage.palette import Palette
from examples.outage.timeline import OUTCOMES, Timeline, waits
from examples.outage.traffic import RATE
from examples.outage.wording import words

BINS = 60
"""How many stretches the time is cut into."""


def draw(timeline: Timeline, palette: Palette, path: Path) -> None:
    """Save the picture as SVG."""
    with mpl.rc_context(style(palette)):
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        bands, rates, latency = figure.subplots(3, sharex=True, height_ratios=(1, 4, 3.2))
        latency.set_xlim(0, timeline.end)
        latency.set_xlabel("seconds")
        draw_bands(bands, timeline, palette)
        draw_rates(rates, timeline, palette)
        draw_waits(latency, timeline, palette)
        for axes in (rates, latency):
            for phase in timeline.phase_spans()[1:]:
                axes.axvline(phase.start, color=palette.quiet, linewidth=0.8, linestyle=(0, (1, 3)))
        # Without a date or random names, what changes in the file has changed in the picture.
        figure.savefig(path, format="svg", metadata={"Title": "An outage", "Date": None})


def style(palette: Palette) -> dict[str, Any]:
    """Return matplotlib's settings for one ground."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "outage",
        "figure.facecolor": palette.ground,
        "axes.facecolor": palette.ground,
        "axes.edgecolor": palette.faint,
        "axes.labelcolor": palette.quiet,
        "axes.titlecolor": palette.ink,
        "axes.titlelocation": "left",
        "axes.titlepad": 7,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": palette.faint,
        "grid.linewidth": 0.6,
        "text.color": palette.ink,
        "xtick.color": palette.quiet,
        "ytick.color": palette.quiet,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "ytick.minor.size": 0,
        "figure.constrained_layout.h_pad": 0.09,
        "legend.frameon": False,
        "legend.borderpad": 0.2,
        "legend.borderaxespad": 0.2,
        "legend.handlelength": 1,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.4,
    }


def draw_bands(axes: Axes, timeline: Timeline, palette: Palette) -> None:
    """Draw what the service and the circuit were at each moment."""
    for y, spans in ((1, timeline.phase_spans()), (0, timeline.state_spans())):
        for span in spans:
            length = span.end - span.start
            axes.barh(y, length, 0.84, span.start, color=palette[span.name])
            if length > timeline.end / 20:
                middle = span.start + length / 2
                text = axes.text(middle, y, words(span.name), ha="center", va="center_baseline")
                text.set_color(palette.text(span.name))
    # Half-open may last for milliseconds: as a line it is wide enough to be seen.
    starts = [span.start for span in timeline.state_spans() if span.name == "half_open"]
    axes.vlines(starts, -0.42, 0.42, palette["half_open"], linewidth=3, label="half open")
    axes.set_title("service and circuit")
    place_legend(axes)
    axes.set_yticks([1, 0], ["service", "circuit"])
    axes.set_ylim(-0.5, 1.5)
    axes.grid(visible=False)
    axes.tick_params(labelbottom=False)
    axes.spines["bottom"].set_visible(False)


def place_legend(axes: Axes) -> None:
    """Put the legend at the right end of the title's line."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.008, 1), ncols=len(OUTCOMES))


def draw_rates(axes: Axes, timeline: Timeline, palette: Palette) -> None:
    """Draw the calls per second, stacked by outcome."""
    width = timeline.end / BINS
    edges = [index * width for index in range(BINS + 1)]
    counts = [Counter(call.outcome for call in calls) for calls in timeline.stretches(width, BINS)]
    base = [0.0] * BINS
    for outcome in OUTCOMES:
        top = [low + count[outcome] / width for low, count in zip(base, counts, strict=True)]
        axes.stairs(
            top, edges, baseline=base, fill=True, color=palette[outcome], label=words(outcome)
        )
        base = top
    axes.set_title("calls per second, by outcome")
    axes.set_ylim(0, 1.2 * RATE)
    place_legend(axes)


def draw_waits(axes: Axes, timeline: Timeline, palette: Palette) -> None:
    """Draw how long callers waited for their answer, from the service or from the fallback."""
    width = timeline.end / BINS
    halves: list[float] = []
    tails: list[float] = []
    for calls in timeline.stretches(width, BINS):
        half, tail = waits(calls) or (nan, nan)
        halves.append(1000 * half)
        tails.append(1000 * tail)
    deadline = 1000 * (GUARD.settings.timeout or 0)
    axes.axhline(
        deadline, color=palette["timeout"], linewidth=1.2, linestyle=(0, (4, 3)), label="deadline"
    )
    edges = [index * width for index in range(BINS + 1)]
    axes.stairs(
        tails, edges, baseline=None, color=palette.quiet, linewidth=1, label="99th percentile"
    )
    axes.stairs(halves, edges, baseline=None, color=palette.ink, linewidth=2, label="median")
    axes.set_yscale("log")
    axes.set_ylim(top=2 * deadline)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_title("milliseconds until callers had an answer")
    place_legend(axes)
