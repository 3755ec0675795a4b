"""The view on a terminal: the outage as it unfolds, drawn anew several times a second."""

from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from examples.outage.inventory import GUARD
from examples.outage.palette import DARK as PALETTE
from examples.outage.story import Story
from examples.outage.timeline import OUTCOMES, Call, Span, Timeline
from examples.outage.traffic import RATE
from examples.outage.wording import next_trial, words
from resilience import Snapshot

COLUMNS, ROWS = 60, 8
"""The size of the chart, in characters."""


class Screen:
    """A panel that is drawn over itself; leaving it leaves its last picture standing."""

    def __init__(self, console: Console, story: Story) -> None:
        self.story = story
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, timeline: Timeline, snapshot: Snapshot) -> None:
        """Draw the present."""
        self._live.update(self.panel(timeline, snapshot), refresh=True)

    def panel(self, timeline: Timeline, snapshot: Snapshot) -> Panel:
        """Return the whole picture."""
        body = Group(
            present(timeline, snapshot),
            Text(),
            self.chart(timeline),
            Text(),
            legend(timeline),
        )
        clock = f"{timeline.end:.0f} of {self.story.duration:.0f} s"
        return Panel(
            body,
            title="an outage, live",
            subtitle=f"{self.story.page_url} · {self.story.metrics_url} · {clock}",
            width=COLUMNS + 18,
            padding=(1, 2),
        )

    def chart(self, timeline: Timeline) -> Table:
        """Return the past: the calls by outcome, above what service and circuit were."""
        width = self.story.duration / COLUMNS
        chart = Table.grid(padding=(0, 1))
        chart.add_column(justify="right", style=PALETTE.quiet)
        chart.add_column()
        chart.add_row(f"{RATE:.0f}/s", bars(timeline, width))
        chart.add_row("service", band(timeline.phase_spans(), width))
        chart.add_row("circuit", band(timeline.state_spans(), width))
        return chart


def present(timeline: Timeline, snapshot: Snapshot) -> Table:
    """Return the state of things, in words and figures."""
    phase = timeline.phases[-1][1] if timeline.phases else "starting"
    state = Text(words(snapshot.state), f"bold {PALETTE[snapshot.state]}")
    window = snapshot.window
    limit = GUARD.settings.max_concurrency or 0
    slots = Text("■" * snapshot.in_flight, PALETTE["success"])
    slots.append("□" * (limit - snapshot.in_flight), PALETTE.quiet)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style=PALETTE.quiet, min_width=9)
    facts.add_column(min_width=24)
    facts.add_column(style=PALETTE.quiet)
    facts.add_column()
    facts.add_row(
        "service", phase, "errors", f"{window.error_percent:.0f} % of {window.calls} calls"
    )
    facts.add_row("circuit", state, "next trial", next_trial(snapshot))
    facts.add_row("in flight", Text(f"{snapshot.in_flight:2} ").append_text(slots))
    return facts


def bars(timeline: Timeline, width: float) -> Text:
    """Return one column for each full stretch of time, stacked by outcome."""
    stretches = timeline.stretches(width, min(COLUMNS, int(timeline.end / width)))
    columns = [column(calls, RATE * width / (2 * ROWS)) for calls in stretches]
    rows = [Text() for _ in range(ROWS)]
    for cells in columns:
        for row, lower, upper in zip(reversed(rows), cells[::2], cells[1::2], strict=True):
            # Two cells to a character: the lower half is its background, unless it is the top.
            if upper:
                row.append("▀", f"{upper} on {lower}")
            else:
                row.append("▄" if lower else " ", lower)
    return Text("\n").join(rows)


def column(calls: list[Call], calls_per_cell: float) -> list[str]:
    """Return the colours of one column's cells from the bottom up, "" above its top."""
    counts = Counter(call.outcome for call in calls)
    cells: list[str] = []
    total = 0.0
    for outcome in OUTCOMES:
        total += counts[outcome] / calls_per_cell
        # Rounding the running total keeps the height of the column right, whatever it is made of.
        cells += [PALETTE[outcome]] * (round(total) - len(cells))
    return (cells + [""] * 2 * ROWS)[: 2 * ROWS]


def band(spans: list[Span], width: float) -> Text:
    """Return a line that is coloured by what was the case; the briefest has a cell of its own."""
    line = Text()
    for span in spans:
        cells = max(1, round(span.end / width) - len(line))
        line.append("▀" * cells, PALETTE[span.name])
    return line[:COLUMNS]


def legend(timeline: Timeline) -> Table:
    """Return what the colours mean, and how many calls of the last second had each outcome."""
    latest = timeline.latest(1.0)
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_row(*(Text.assemble(("■ ", PALETTE[name]), words(name)) for name in OUTCOMES))
    table.add_row(*(f"  {latest[name]}/s" for name in OUTCOMES))
    return table
