"""A scene in two tables: the way of its requests, and what was counted."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from examples.budget.play import Answer, Result

OUTCOMES = ("success", "failure", "timeout", "expired")


def tables(result: Result) -> Group:
    """Return the title of a scene and both tables, one below the other."""
    scene = result.scene
    title = Text(f"\n{scene.title}, with a budget of {milliseconds(scene.budget)} ms", "bold")
    return Group(title, ways(result.answers), counts(result))


def ways(answers: list[Answer]) -> Table:
    """Return how each request went through the services; times are in milliseconds."""
    table = Table()
    table.add_column("who", no_wrap=True)
    table.add_column("on thread")
    for heading in ("left\nat entry", "client's\ntimeout", "took", "ended\nat"):
        table.add_column(heading, justify="right")
    table.add_column("and was", no_wrap=True)
    for answer in answers:
        took = milliseconds(answer.took)
        status = Text(str(answer.status), "green" if answer.status == 200 else "yellow")
        table.add_row(f"caller, {answer.route}", "", "", "", took, took, status)
        for depth, visit in enumerate(answer.visits):
            ended = visit.ended
            table.add_row(
                " " * depth + "└ " + visit.service,
                visit.thread.removesuffix(" thread"),
                milliseconds(visit.left),
                milliseconds(visit.given),
                milliseconds(None if ended is None else ended - visit.began),
                milliseconds(None if ended is None else ended - answer.visits[0].began),
                Text("answered", "green") if visit.answered else Text("cut off", "yellow"),
            )
        table.add_section()
    return table


def counts(result: Result) -> Table:
    """Return what the commands counted; sync and async calls share one command."""
    table = Table()
    table.add_column("counted for")
    for heading in (*OUTCOMES, "still in flight"):
        table.add_column(heading, justify="right")
    for name, snapshot in result.snapshots.items():
        totals = [str(snapshot.totals[outcome] or "·") for outcome in OUTCOMES]
        table.add_row(name, *totals, str(snapshot.in_flight))
    return table


def milliseconds(seconds: float | None) -> str:
    """Return a time as the tables show it."""
    return "–" if seconds is None else f"{1000 * seconds:.0f}"
