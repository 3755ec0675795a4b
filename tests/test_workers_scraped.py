"""Real servers with real workers, killed and replaced under load, and what a scrape shows of it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.skipif(os.name != "posix", reason="gunicorn and kill need POSIX")

ROOT = Path(__file__).parents[1]
GUNICORN = ("gunicorn", "--bind=fd://{fd}", "--workers={count}", "tests.support.worker_app:wsgi")
UVICORN = ("uvicorn", "--fd={fd}", "--workers={count}", "tests.support.worker_app:asgi")

INTERVAL = 0.3
"""Seconds from one flush of a worker to the next."""

PATIENCE = 30.0
"""Seconds until something has happened, on the slowest of machines."""

SLACK = 1.0
"""Seconds by which a thread may come late on a machine that is busy."""

wait = threading.Event().wait


def eventually(true: Callable[[], object], what: str) -> None:
    """Ask again and again until it is so."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, f"it never came to this: {what}"
        wait(0.02)


@attrs.define
class Served:
    """
    A program that is being served, and what its callers were told.

    Attributes:
        answers: The process that answered, and when, in the order of the answers.
        killed: When each process was killed.
    """

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    folder: Path
    answers: list[tuple[int, float]] = attrs.field(factory=list)
    killed: dict[int, float] = attrs.field(factory=dict)

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read()

    def call(self, path: str = "/ok") -> int:
        worker = int(self.get(path))
        self.answers.append((worker, time.monotonic()))
        return worker

    def keep_calling(self, over: threading.Event) -> None:
        """Call until it is over; a worker that is killed takes its caller's answer along."""
        while not over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.call()

    def workers(self, since: float = 0.0) -> set[int]:
        """Return who has answered, and lives."""
        return {worker for worker, at in self.answers if at >= since} - self.killed.keys()

    def kill(self, worker: int) -> None:
        os.kill(worker, signal.SIGKILL)
        self.killed[worker] = time.monotonic()

    def counted(self, worker: int) -> float:
        """Return the calls that are in a worker's file, as soon as it has one."""
        files = list(map(str, self.folder.glob(f"counter_{worker}.db")))
        return sum(
            sample.value
            for family in MultiProcessCollector.merge(files)
            for sample in family.samples
            if sample.name == "resilience_calls_total"
        )

    def scrape(self) -> dict[str, Counter[str]]:
        """Return the metrics with one label beside the name, by that label."""
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for family in text_string_to_metric_families(self.get("/metrics").decode()):
            for sample in family.samples:
                label, *more = [value for key, value in sample.labels.items() if key != "name"] + [
                    ""
                ]
                if len(more) <= 1:
                    found[sample.name][label] += sample.value
        return found

    def states(self) -> dict[str, float]:
        states = self.scrape()["resilience_circuit_state"]
        return {state: count for state, count in states.items() if count}


@contextlib.contextmanager
def served(folder: Path, program: tuple[str, ...], count: int, *more: str) -> Iterator[Served]:
    """Serve the program on a socket of its own, to the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        fd = server.fileno()
        arguments = [each.format(fd=fd, count=count) for each in (*program, *more)]
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "INTERVAL": str(INTERVAL)},
            pass_fds=[fd],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Served(process, server.getsockname(), folder)
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.mark.parametrize("more", [(), ("--preload",)], ids=["pre-fork", "preload"])
@pytest.mark.promise("J2", "J8")
def test_four_workers_killed_and_replaced_under_load(tmp_path: Path, more: tuple[str, ...]) -> None:
    """
    No killed worker loses more than it counted in its last interval, and no other loses anything.
    """
    with served(tmp_path, GUNICORN, 4, *more) as program:
        over = threading.Event()
        callers = [threading.Thread(target=program.keep_calling, args=(over,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            eventually(lambda: len(program.workers()) == 4, "four workers answer")
            for worker in program.workers():
                wait(1.5 * INTERVAL)
                program.kill(worker)
            began = time.monotonic()
            eventually(lambda: len(program.workers(began)) == 4, "four others have replaced them")
        finally:
            over.set()
            for caller in callers:
                caller.join()
        assert len(program.killed) == 4
        told = Counter(worker for worker, _ in program.answers)
        # A worker that was not killed has counted every call, and none that it did not answer.
        for worker in program.workers():
            eventually(lambda: program.counted(worker) == told[worker], "all its calls are shown")  # noqa: B023
        for worker, at in program.killed.items():
            safe = sum(
                1 for who, when in program.answers if who == worker and when < at - INTERVAL - SLACK
            )
            assert safe <= program.counted(worker) <= told[worker] + 1, (worker, safe)
        shown = program.scrape()["resilience_calls_total"]
        assert shown["success"] == sum(map(program.counted, told)) > 100
        eventually(lambda: program.states() == {"closed": 4}, "four workers are in one state")

        last = {program.call() for _ in range(8)}  # and not one of these is lost by going
        told = Counter(worker for worker, _ in program.answers)
    assert {worker: program.counted(worker) for worker in last} == {
        worker: told[worker] for worker in last
    }


def test_the_program_of_the_documentation(tmp_path: Path) -> None:
    """
    What the page says to write is what is served.
    """
    page = (ROOT / "docs" / "how-to" / "prometheus.md").read_text(encoding="utf-8")
    (program,) = [text.partition("```")[0] for text in page.split("```py\n")[1:]]
    (tmp_path / "app.py").write_text(program, encoding="utf-8")
    arguments = ("gunicorn", "--bind=fd://{fd}", "--workers={count}", f"--pythonpath={tmp_path}")
    (tmp_path / "files").mkdir()
    with served(tmp_path / "files", arguments, 2, "app:app") as program_served:
        assert program_served.get("/") == b"user 7"
        calls = lambda: program_served.scrape()["resilience_calls_total"]["success"]
        eventually(lambda: calls() == 1, "the call is shown")
        eventually(lambda: program_served.states() == {"closed": 2}, "by two workers")


@pytest.mark.promise("J8")
def test_workers_of_uvicorn(tmp_path: Path) -> None:
    """
    Nobody tells prometheus_client that a worker of uvicorn has died; its state goes all the same.
    """
    with served(tmp_path, UVICORN, 2) as program:
        eventually(lambda: program.call() and len(program.workers()) == 2, "two workers answer")
        eventually(lambda: program.states() == {"closed": 2}, "both are closed")
        first = program.call("/fail")
        eventually(lambda: program.states() == {"closed": 1, "open": 1}, "one has opened")
        told = Counter(worker for worker, _ in program.answers)
        eventually(lambda: program.counted(first) == told[first], "all its calls are shown")
        program.kill(first)
        eventually(lambda: program.states() == {"closed": 1}, "the dead one is in no state")
        began = time.monotonic()
        eventually(
            lambda: program.call() and len(program.workers(began)) == 2, "another one replaces it"
        )
        eventually(lambda: program.states() == {"closed": 2}, "two are closed again")
        shown = program.scrape()
        assert shown["resilience_calls_total"]["failure"] == 1
        told = Counter(worker for worker, _ in program.answers)
        eventually(lambda: sum(map(program.counted, told)) == told.total(), "no call is lost")
