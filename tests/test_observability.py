"""Rules and dashboard: tested with the tools they are for, and in the wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

from docs import dashboard
from resilience.observability import FILES, read
from resilience.prometheus import CATALOGUE
from tests.support.loopback import free_port
from tests.support.prometheus_server import eventually, needed, prometheus

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "observability" / "rules.test.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(read("rules"))["groups"] for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]
PANELS = [panel for panel in json.loads(read("dashboard"))["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]

SERIES = {family.name for family in CATALOGUE} | {
    f"resilience_call_duration_seconds_{end}" for end in ("bucket", "count", "sum")
}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool, and return what it said."""
    return subprocess.run(
        [needed("promtool"), *arguments], capture_output=True, text=True, timeout=50, check=False
    )


# -- rules


def test_the_rules_are_valid() -> None:
    """
    Promtool has nothing to say against them.
    """
    done = promtool(
        "check", "rules", "--lint-fatal", ROOT / "src/resilience/observability/rules.yaml"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_the_rules_pass_their_unit_tests() -> None:
    """
    Each alert fires when it should, not before, and for nobody else.
    """
    done = promtool("test", "rules", TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_unit_test() -> None:
    """
    An alert is tested with and without its cause, and what is recorded is asked for.
    """
    text = TESTS.read_text(encoding="utf-8")
    cases = [
        each for test in yaml.safe_load(text)["tests"] for each in test.get("alert_rule_test", ())
    ]
    for alert in ALERTS:
        fires = [bool(each.get("exp_alerts")) for each in cases if each["alertname"] == alert]
        assert set(fires) == {True, False}, alert
    for rule in RULES:
        assert rule.get("record", "") in text


def never_fires(rule: dict[str, Any]) -> None:
    """Make an alert that knows no cause."""
    rule["expr"] = f"({rule['expr']}) < -1"


def fires_at_once(rule: dict[str, Any]) -> None:
    """Make an alert that takes anything for its cause, at once."""
    rule.pop("for", None)
    rule["expr"] = re.sub(r">=? *[0-9.]+\s*$", ">= 0", rule["expr"])


@pytest.mark.parametrize("change", [never_fires, fires_at_once])
@pytest.mark.parametrize("alert", ALERTS)
def test_a_rule_that_is_wrong_fails_its_unit_test(
    tmp_path: Path, alert: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """
    The unit tests are worth something: no alert can be spoilt and pass them.
    """
    rules = yaml.safe_load(read("rules"))
    (spoilt,) = [
        rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == alert
    ]
    change(spoilt)
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))
    tests["rule_files"] = ["rules.yaml"]
    tests["tests"] = [
        test
        for test in tests["tests"]
        if alert in {each["alertname"] for each in test.get("alert_rule_test", ())}
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests), encoding="utf-8")
    done = promtool("test", "rules", tmp_path / "tests.yaml")
    assert done.returncode != 0
    assert alert in done.stdout + done.stderr


@pytest.mark.parametrize("query", [rule["expr"] for rule in RULES] + QUERIES)
def test_only_metrics_that_exist_are_asked_for(query: str) -> None:
    """
    Rules and dashboard know no metric but those of the catalogue, and those that are recorded.
    """
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    named = set(re.findall(r"[a-z0-9_:]*resilience_[a-z0-9_:]+", query))
    assert named
    assert named <= SERIES | recorded


# -- dashboard


def test_the_dashboard_is_the_one_that_is_built() -> None:
    """
    What is checked in is what the script builds now.
    """
    assert read("dashboard") == dashboard.build(), "mend it with: python -m docs.dashboard"


def test_the_dashboard_can_be_imported() -> None:
    """
    Each panel has a number and a place of its own, and asks the source that was chosen.
    """
    board = json.loads(read("dashboard"))
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert {target["refId"] for panel in PANELS for target in panel["targets"]} <= set("ABC")
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert [each["name"] for each in board["templating"]["list"]] == ["datasource", "job", "name"]
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What the real Prometheus answers to each query, while the demo is played."""
    folder, metrics = tmp_path_factory.mktemp("demo"), free_port()
    command = (
        *(sys.executable, "-m", "examples.outage", "--plain", "--duration", "8"),
        *("--port", str(free_port()), "--metrics-port", str(metrics)),
        *("--svg", str(folder / "outage.svg")),
    )
    with prometheus(folder, metrics) as server:
        demo = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        try:
            eventually(lambda: server.query("resilience_in_flight"), "the demo is scraped")
            began = server.query("max(timestamp(up))")[()]
            demo.wait(50)  # whether its story holds is for its own tests to say
        finally:
            demo.kill()
            demo.wait()
        ended = server.query("max(timestamp(up))")[()]
        plain = {query: substituted(query) for query in QUERIES}
        found = {query: server.values(plain[query], began, ended) for query in QUERIES}
        variables = json.loads(read("dashboard"))["templating"]["list"][1:]
        for variable in variables:
            selector = re.fullmatch(r"label_values\((.*), \w+\)", substituted(variable["query"]))
            assert selector is not None
            matched = server.ask("series", **{"match[]": selector[1]}, start=began, end=ended)
            found[variable["query"]] = [float(bool(each[variable["name"]])) for each in matched]
        return found


def substituted(query: str) -> str:
    """Return a query as Grafana sends it when everything is chosen."""
    plain = query.replace("$job", ".*").replace("$name", ".*").replace("$__rate_interval", "2s")
    assert "$" not in plain
    return plain


def test_every_query_of_the_dashboard_is_answered(answers: dict[str, list[float]]) -> None:
    """
    While the demo's traffic runs no panel and no variable is empty, and most see something happen.
    """
    assert [query for query, values in answers.items() if not values] == []
    # In the demo nobody waits, no operator interferes, and no thread is left behind.
    moved = [query for query, values in answers.items() if any(values)]
    assert len(moved) > len(answers) / 2
    assert metrics_of(moved) >= {
        "resilience_calls_total",
        "resilience_call_duration_seconds_bucket",
        "resilience_circuit_state",
        "resilience_circuit_transitions_total",
        "resilience_fallbacks_total",
    }


def metrics_of(queries: list[str]) -> set[str]:
    """Return the metrics that some queries ask for."""
    return set(re.findall(r"resilience_[a-z_]+", " ".join(queries)))


# -- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The wheel, built from the sources as they are."""
    built = WheelBuilder(str(ROOT)).build(
        directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"]
    )
    yield from map(Path, built)


def test_the_wheel_has_what_operators_need(wheel: Path) -> None:
    """
    Installed without its sources, the package writes out the same files.
    """
    with zipfile.ZipFile(wheel) as files:
        for name in FILES.values():
            assert f"resilience/observability/{name}" in files.namelist()
    for what in FILES:
        done = subprocess.run(
            [sys.executable, "-m", "resilience", "export", what],
            cwd=wheel.parent,
            env={**os.environ, "PYTHONPATH": str(wheel)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, read(what)), done.stderr
