"""The benchmarks measure what they say; no time is judged here."""

import contextvars
import json
from pathlib import Path

import attrs
import pytest

from benchmarks import chart, page, report, watching
from benchmarks.limits import LIMITS
from benchmarks.row import Contender, Limit, Row, Spread
from benchmarks.rows import all_rows
from benchmarks.runtimes import RUNTIMES
from benchmarks.subject import Subject, WrongPathError

# Rivals may use what newer Pythons warn of.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROWS = {row.key: row for row in all_rows()}
CONTENDERS = [
    pytest.param(contender, id=f"{row.key}-{contender.name}")
    for row in ROWS.values()
    for contender in row.contenders
]


@attrs.frozen
class Scripted:
    """A contender whose figures are known."""

    name: str
    figures: list[float]

    def check(self) -> None: ...

    def sample(self, scale: float) -> float:
        return self.figures.pop(0)


@pytest.mark.parametrize("contender", CONTENDERS)
def test_a_contender_does_what_it_is_measured_for(contender: Contender) -> None:
    """
    Each contender takes the path of its row.
    """
    contextvars.copy_context().run(contender.check)  # some measure within a span, which stays


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_wrong_path_is_not_measured(runtime: str) -> None:
    """
    What ends in another way than it should is neither checked nor measured.
    """

    def work() -> int:
        return 1

    async def awork() -> int:
        return 1

    call = work if runtime == "sync" else awork
    for wrong in (Subject(call, returns=2), Subject(call, raises=ValueError)):
        with pytest.raises(WrongPathError, match="returned 1 but should"):
            RUNTIMES[runtime].check(lambda wrong=wrong: wrong)
        with pytest.raises(WrongPathError):
            RUNTIMES[runtime].sample(lambda wrong=wrong: wrong, 0.0001)


@pytest.mark.parametrize("key", ["breaker open sync", "breaker failing asyncio", "threads"])
def test_a_row_is_measured(key: str) -> None:
    """
    A measured row has a figure for each contender, and can be written as JSON.
    """
    result = ROWS[key].measure(rounds=2, scale=0.001)
    assert result["figures"].keys() == {each.name for each in ROWS[key].contenders}
    assert all(0 < figure["low"] <= figure["high"] for figure in result["figures"].values())
    assert json.loads(json.dumps(result)) == result


def test_ratios_are_formed_within_a_round() -> None:
    """
    A machine that is slow for a while makes both sides slow, and moves no ratio.
    """
    ours, theirs = Scripted("resilience", [1, 10, 2]), Scripted("rival", [2, 20, 4])
    limits = [Limit(0.5, "rival"), Limit(0.49, "rival"), Limit(2), Limit(1.9)]
    result = Row("key", "title", [ours, theirs], limits).measure(rounds=3)
    assert [limit["median"] for limit in result["limits"]] == [0.5, 0.5, 2, 2]
    assert [limit["met"] for limit in result["limits"]] == [True, False, True, False]


def test_what_must_add_nothing_is_judged_by_the_lower_quartile() -> None:
    """
    A limit within noise is met if a quarter of the rounds meet it.
    """
    spread = Spread.of([0.98, 0.99, 1.01, 1.02, 1.03])
    assert spread == Spread(1.01, 0.99, 1.02)
    assert Limit(1.0, noise=True).met(spread)
    assert not Limit(1.0).met(spread)


def test_each_limit_belongs_to_a_row_and_its_contenders() -> None:
    """
    No limit is forgotten because a key was misspelt.
    """
    for key, limits in LIMITS.items():
        assert list(ROWS[key].limits) == limits
        names = {contender.name for contender in ROWS[key].contenders}
        for limit in limits:
            assert {limit.contender, limit.baseline or limit.contender} <= names


def test_the_page_shows_the_committed_figures() -> None:
    """
    The tables of the page are those of results.json.
    """
    assert page.part(report.load()).is_current(), "mend it with: make bench"


def test_the_committed_figures_are_complete() -> None:
    """
    The committed run measured every row, and judged it by the limits in force.
    """
    rows = {row["key"]: row for row in report.load()["rows"]}
    assert list(rows) == list(ROWS)
    for key, row in ROWS.items():
        assert rows[key]["figures"].keys() == {each.name for each in row.contenders}
        for judged, limit in zip(rows[key]["limits"], row.limits, strict=True):
            assert attrs.asdict(limit).items() <= judged.items()


def test_the_chart_is_drawn_for_light_and_dark_grounds(tmp_path: Path) -> None:
    """
    Both charts name the contenders.
    """
    chart.draw_all(report.load(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"cost.svg", "cost-dark.svg"}
    for path in tmp_path.iterdir():
        assert all(name in path.read_text(encoding="utf-8") for name in ("nopanic", "resilience"))


def test_what_watching_costs_is_measured() -> None:
    """
    It is the difference of two stretches of processor time, so it is no more than a core.
    """
    assert -1 < watching.share(seconds=0.2, rounds=1) < 1
