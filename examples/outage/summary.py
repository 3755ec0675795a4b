"""The end of the demo in two tables: what became of the calls, and whether the story held."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from examples.outage.timeline import OUTCOMES, Timeline, waits
from examples.outage.verdict import Check
from examples.outage.wording import words


def summary(timeline: Timeline, checks: list[Check]) -> Group:
    """Return both tables, one below the other."""
    return Group(Text(), outcomes(timeline), Text(), verdicts(checks))


def outcomes(timeline: Timeline) -> Table:
    """Return the calls by outcome, and how long their callers waited."""
    table = Table(
        title=f"{timeline.made} calls in {timeline.end:.0f} seconds", title_justify="left"
    )
    table.add_column("outcome")
    for heading in ("calls", "share", "p50", "p99"):
        table.add_column(heading, justify="right")
    for outcome in OUTCOMES:
        calls = [call for call in timeline.calls if call.outcome == outcome]
        times = [f"{1000 * wait:.2f} ms" for wait in waits(calls) or ()] or ["-", "-"]
        table.add_row(words(outcome), str(len(calls)), f"{len(calls) / timeline.made:.0%}", *times)
    return table


def verdicts(checks: list[Check]) -> Table:
    """Return the promises, and whether they were kept."""
    table = Table(title="Did the story hold?", title_justify="left")
    table.add_column("")
    table.add_column("promise")
    table.add_column("seen")
    for check in checks:
        mark = Text("yes", "green") if check.kept else Text("NO", "bold red")
        table.add_row(mark, check.promise, check.seen)
    return table
