"""
The Grafana dashboard: build it, and write it to where the package keeps it.

    python -m docs.dashboard

It is a table of panels: what each asks, and how it shows the answer. Everything is filtered by the
variables `job` and `name`, and adds up over instances.
"""  # noqa: INP001 - docs/ is no package

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import attrs
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as kinds

PATH = Path(__file__).parents[1] / "src" / "resilience" / "observability" / "dashboard.json"

WIDTH = 24
"""Columns of a dashboard."""

SOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE = "$__rate_interval"

COLOURS = {
    "success": "#2f7ebc", "closed": "#2f7ebc",
    "short_circuited": "#b9d3e8",
    "bulkhead_full": "#8262b5", "rejected": "#8262b5",
    "timeout": "#f2b134", "half_open": "#f2b134",
    "expired": "#fbe3a9", "released": "#fbe3a9",
    "failure": "#c8401f", "open": "#c8401f",
    "ignored": "#9198a1", "cancelled": "#59636e",
}  # fmt: skip
"""Colours that mean the same in every panel, each lighter or darker than the next."""


def chosen(metric: str, more: str = "") -> str:
    """Return a metric as the variables choose it."""
    return f'{metric}{{job=~"$job", name=~"$name"{", " * bool(more)}{more}}}'


def rate(metric: str, more: str = "") -> str:
    """Return how much a counter grows in a second."""
    return f"rate({chosen(metric, more)}[{RATE}])"


def share(part: str, whole: str, by: str = "name") -> str:
    """Return a ratio; of nothing it is nothing."""
    return f"sum by ({by}) ({part}) / (sum by ({by}) ({whole}) > 0)"


def quantile(share: float) -> str:
    """Return a quantile of the durations."""
    return (
        f"histogram_quantile({share}, "
        f"sum by (name, le) ({rate('resilience_call_duration_seconds_bucket')}))"
    )


CALLS = "resilience_calls_total"
STATE = "resilience_circuit_state"
OPEN = 'state="open"'
TROUBLED = 'state=~"open|half_open"'
FAILED = 'outcome=~"failure|timeout"'
JUDGED = 'outcome=~"success|failure|timeout"'
REFUSED = 'outcome=~"short_circuited|bulkhead_full"'
LATE = 'outcome=~"timeout|expired"'
LIMIT = 'setting="error_percent"'


@attrs.frozen
class Panel:
    """
    One panel.

    Attributes:
        title: What it shows.
        queries: What it asks, by the legend of the answer.
        width: Columns it takes.
        unit: Grafana's name for the unit.
        single: Whether it is a single number instead of a graph.
        stacked: Whether its series lie upon each other.
        note: What a reader has to know.
    """

    title: str
    queries: dict[str, str]
    width: int = 8
    unit: str = "short"
    single: bool = False
    stacked: bool = False
    note: str = ""


ROWS: dict[str, list[Panel]] = {
    "Now": [
        Panel("circuits not closed", {"": f"sum({chosen(STATE, TROUBLED)})"},
              width=4, single=True, note="Of all instances: open, or half-open and on trial."),
        Panel("calls", {"": f"sum({rate(CALLS)})"}, width=5, unit="reqps", single=True),
        Panel("error ratio",
              {"": share(rate(CALLS, FAILED), rate(CALLS, JUDGED), by="")},
              width=5, unit="percentunit", single=True,
              note="Failures and timeouts, of the calls that tell of the dependency."),
        Panel("refused",
              {"": share(rate(CALLS, REFUSED), rate(CALLS), by="")},
              width=5, unit="percentunit", single=True,
              note="By an open circuit or a full bulkhead."),
        Panel("abandoned threads", {"": f"sum({chosen('resilience_abandoned')})"},
              width=5, single=True, note="They run calls that nobody waits for any more."),
    ],
    "Circuits": [
        Panel("instances by state",
              {"{{name}} {{state}}": f"sum by (name, state) ({chosen(STATE)})"}),
        Panel("error ratio of the window",
              {"{{name}}": f"max by (name) ({chosen('resilience_window_error_ratio')})",
               "{{name}} opens at": "max by (name) ("
               f"{chosen('resilience_setting', LIMIT)}) / 100"},
              unit="percentunit", note="What the circuit decides by: of the worst instance."),
        Panel("transitions",
              {"{{name}} {{from}} → {{to}}": "sum by (name, from, to) (increase("
               f"{chosen('resilience_circuit_transitions_total')}[{RATE}]))"}),
        Panel("share of time open",
              {"{{name}}": share(rate("resilience_circuit_state_seconds_total", OPEN),
                                 rate("resilience_circuit_state_seconds_total"))},
              unit="percentunit"),
        Panel("trials", {"{{name}} {{outcome}}":
              f"sum by (name, outcome) ({rate('resilience_trials_total')})"},
              unit="reqps", stacked=True, note="Expired ones have outlasted their lease."),
        Panel("overrides",
              {"{{name}} {{override}}": "sum by (name, override) ("
               f"{chosen('resilience_circuit_override')})"},
              note="Circuits that an operator has forced open or closed, or put in shadow mode."),
    ],
    "Calls": [
        Panel("calls by outcome",
              {"{{outcome}}": f"sum by (outcome) ({rate(CALLS)})"},
              width=12, unit="reqps", stacked=True),
        Panel("error ratio by name",
              {"{{name}}": share(rate(CALLS, FAILED),
                                 rate(CALLS, JUDGED))},
              width=12, unit="percentunit"),
        Panel("latency",
              {"{{name}} p50": quantile(0.5), "{{name}} p95": quantile(0.95),
               "{{name}} p99": quantile(0.99)},
              unit="s", note="Of calls that were executed. Exemplars lead to their traces."),
        Panel("out of time",
              {"{{name}}": share(rate(CALLS, LATE), rate(CALLS))},
              unit="percentunit", note="Calls that ran into their timeout or a caller's deadline."),
        Panel("slow calls", {"{{name}}": f"sum by (name) ({rate('resilience_slow_calls_total')})"},
              unit="reqps"),
    ],
    "Bulkheads and fallbacks": [
        Panel("in flight", {"{{name}}": f"sum by (name) ({chosen('resilience_in_flight')})",
                            "{{name}} limit":
                            f"sum by (name) ({chosen('resilience_max_concurrency')})"}),
        Panel("waiting and abandoned",
              {"{{name}} waiting": f"sum by (name) ({chosen('resilience_waiting')})",
               "{{name}} abandoned": f"sum by (name) ({chosen('resilience_abandoned')})"}),
        Panel("fallbacks",
              {"{{name}} {{outcome}}":
               f"sum by (name, outcome) ({rate('resilience_fallbacks_total')})"},
              unit="reqps", stacked=True),
        Panel("shadow mode would have refused",
              {"{{name}} {{reason}}":
               f"sum by (name, reason) ({rate('resilience_shadowed_total')})"},
              width=12, unit="reqps"),
        Panel("late results",
              {"{{name}}": f"sum by (name) ({rate('resilience_stale_results_total')})"},
              width=12, unit="reqps", note="They came after the circuit had moved on."),
    ],
}  # fmt: skip


def build() -> str:
    """Return the dashboard as JSON."""
    board = (
        dashboard.Dashboard("Resilience")
        .uid("resilience")
        .description("Circuits, calls, bulkheads and fallbacks of python-resilience.")
        .tags(["resilience"])
        .editable()
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(kinds.DashboardCursorSync.CROSSHAIR)
        .timezone("browser")
    )
    for variable in variables():
        board.with_variable(variable)
    numbers = count(1)
    for title, panels in ROWS.items():
        board.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            board.with_panel(drawn(panel).id(next(numbers)))
    text = json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
    return text + "\n"


def variables() -> Iterator[Any]:
    """Make what is chosen at the top of the dashboard."""
    yield dashboard.DatasourceVariable("datasource").label("source").type("prometheus")
    for name, query in (
        ("job", f"label_values({STATE}, job)"),
        ("name", f'label_values({STATE}{{job=~"$job"}}, name)'),
    ):
        yield (
            dashboard.QueryVariable(name)
            .query(query)
            .datasource(SOURCE)
            .refresh(kinds.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(kinds.VariableSort.ALPHABETICAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
            .current(kinds.VariableOption(selected=True, text="All", value="$__all"))
        )


def drawn(panel: Panel) -> Any:
    """Make a panel."""
    made: Any = stat.Panel() if panel.single else timeseries.Panel()
    made.title(panel.title).description(panel.note).datasource(SOURCE).unit(panel.unit).min(0)
    made.span(panel.width).height(4 if panel.single else 8)
    (number if panel.single else graph)(made, panel)
    for place, (legend_format, query) in enumerate(panel.queries.items()):
        made.with_target(
            prometheus.Dataquery()
            .ref_id("ABC"[place])
            .expr(query)
            .legend_format(legend_format or "__auto")
            .range()
            .exemplar("_bucket" in query)
        )
    return made


def number(made: Any, _: Panel) -> None:
    """Show the latest value, over a line that tells where it comes from."""
    made.color_mode(looks.BigValueColorMode.NONE)
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def graph(made: Any, panel: Panel) -> None:
    """Show lines, or areas that add up."""
    made.legend(
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(looks.LegendDisplayMode.LIST)
        .placement(looks.LegendPlacement.BOTTOM)
        .calcs([])
    )
    made.line_width(1).fill_opacity(40 if panel.stacked else 0)
    if panel.stacked:
        made.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if any("{{outcome}}" in legend or "{{state}}" in legend for legend in panel.queries):
        for word, colour in COLOURS.items():
            made.override_by_regexp(f"/\\b{word}$/", [colored(colour)])


def colored(colour: str) -> kinds.DynamicConfigValue:
    """Make what gives a series its colour."""
    return kinds.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


if __name__ == "__main__":
    PATH.write_text(build(), encoding="utf-8")
