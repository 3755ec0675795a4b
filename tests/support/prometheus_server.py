"""
The real Prometheus: Debian's package `prometheus`, which `make test` installs where it can.

It is started on a free port of the loopback interface with a folder of its own, scrapes four times
a second, and answers PromQL.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.support.loopback import free_port

PATIENCE = 30.0
"""Seconds until something has happened, on the slowest of machines."""

CONFIG = """
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
scrape_configs:
  - job_name: test
    static_configs: [{targets: [%s]}]
"""

wait = threading.Event().wait
# Whatever proxy the environment names, the calls stay on this machine.
browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def needed(program: str) -> str:
    """Return where a program of the package is; without it, say in one line what is needed."""
    found = shutil.which(program)
    if found is None:
        why = f"needs {program}, of Debian's package prometheus: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return found


def eventually(answer: Callable[[], Any], what: str) -> Any:
    """Ask again and again until there is an answer, and return it."""
    until = time.monotonic() + PATIENCE
    while not (found := answer()):
        assert time.monotonic() < until, f"it never came to this: {what}"
        wait(0.05)
    return found


@attrs.frozen
class Prometheus:
    """A server that is running."""

    url: str

    def ask(self, path: str, **parameters: object) -> Any:
        """Return the data of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        with browser.open(f"{self.url}/api/v1/{path}?{query}", timeout=PATIENCE) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, promql: str) -> dict[tuple[str, ...], float]:
        """Return the present values of a query, by the values of its labels, in their order."""
        return {
            tuple(value for key, value in sorted(each["metric"].items()) if key != "__name__"): (
                float(each["value"][1])
            )
            for each in self.ask("query", query=promql)["result"]
        }

    def values(self, promql: str, start: float, end: float) -> list[float]:
        """Return all numbers of a query over a time."""
        data = self.ask("query_range", query=promql, start=start, end=end, step="250ms")
        found = [float(value) for each in data["result"] for _, value in each["values"]]
        return [value for value in found if not math.isnan(value)]

    def until(self, promql: str, expected: Any) -> None:
        """Wait until a query has this answer."""
        seen: Any = None

        def answered() -> bool:
            nonlocal seen
            seen = self.query(promql)
            return bool(seen == expected)

        with contextlib.suppress(AssertionError):
            eventually(answered, promql)
        assert seen == expected, f"{promql}: {seen}"


@contextlib.contextmanager
def prometheus(folder: Path, *ports: int) -> Iterator[Prometheus]:
    """Start a server that scrapes what listens on these ports."""
    program = needed("prometheus")
    config, port = folder / "prometheus.yaml", free_port()
    targets = ", ".join(f"'127.0.0.1:{each}'" for each in ports)
    config.write_text(CONFIG % targets, encoding="utf-8")
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _is_ready(server.url), "it is ready")
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _is_ready(url: str) -> bool:
    try:
        with browser.open(f"{url}/-/ready", timeout=PATIENCE) as response:
            return bool(response.status == 200)
    except OSError:
        return False
