"""
Which test runs which lines of the library, and how much work it is.

    python -m proof.covering

It plays the whole suite once and writes `.cache/covering/`, by which `proof.mutation` chooses the
tests that may notice a mistake. Lines that run while tests are imported stand under no test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import coverage
import pytest

from proof.mistakes import SOURCE
from proof.promises import ROOT

FOLDER = ROOT / ".cache" / "covering"
LINES = FOLDER / "lines"
"""A data file of coverage: each line, and the tests that run it."""
SECONDS = FOLDER / "seconds.json"
"""How much work each test is; without end, if it fails by itself."""
LEFT_OUT = (
    *("test_benchmarks", "test_exporter_cost", "test_opcodes", "test_promises"),
    *("test_demo", "test_proof", "test_storefront_service"),
    *("test_observability", "test_page", "test_prometheus_server"),
    *("test_budgets_travel", "test_servers", "test_workers_scraped"),
)
"""What judges the code's cost or its text, takes minutes, or starts browsers and servers."""
OPTIONS = (
    # Plain: pytest would import a package that is its plugin itself, without the mistake in it.
    *("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--timeout=30", "--assert=plain"),
    *("--ignore=tests/docs", *(f"--ignore-glob=*/{name}*" for name in LEFT_OUT)),
)


class Covering:
    """A plugin of pytest that says to coverage which test is being run."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}

    def pytest_configure(self) -> None:
        """Draw what is drawn when a mistake is looked for."""
        draw_alike()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Name what is measured after the test; keep how much work it was, if it passed."""
        self.measured.switch_context(item.nodeid)
        before = sum(os.times()[:4])
        try:
            return (yield)
        finally:
            self.seconds.setdefault(item.nodeid, sum(os.times()[:4]) - before)
            self.measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Leave out tests that fail by themselves."""
        if not report.passed:
            self.seconds[report.nodeid] = float("inf")


def draw_alike() -> None:
    """Let Hypothesis stop at the first example that fails, and begin alike each time."""
    from hypothesis import Phase, settings

    phases = [Phase.explicit, Phase.generate]
    settings.register_profile(
        "mistakes", phases=phases, derandomize=True, database=None, deadline=None
    )
    settings.load_profile("mistakes")


def bring_up_to_date() -> None:
    """Play the suite, in a process of its own, unless nothing has changed since it was played."""
    texts = [*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    newest = max(path.stat().st_mtime for path in texts)
    if not SECONDS.exists() or SECONDS.stat().st_mtime < newest:
        subprocess.run([sys.executable, "-m", "proof.covering"], cwd=ROOT, check=True)


def main() -> None:
    """Play the suite and write down what is covered."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    measured = coverage.Coverage(
        data_file=str(LINES), source_pkgs=["resilience"], config_file=False
    )
    measured.erase()
    measured.start()
    plugin = Covering(measured)
    pytest.main([*OPTIONS, "tests"], plugins=[plugin])
    measured.stop()
    measured.save()
    SECONDS.write_text(json.dumps(plugin.seconds), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # threads that a test left waiting shall not hold us


if __name__ == "__main__":
    main()
