"""Web servers as processes of their own, on sockets that listen before they run."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[3]
UVICORN = ("uvicorn", "--no-access-log", "--log-level", "critical", "--fd", "{fd}")
GUNICORN = ("gunicorn", "--log-level", "critical", "--graceful-timeout", "1", "-b", "fd://{fd}")
HYPERCORN = ("hypercorn", "--log-level", "critical", "-b", "fd://{fd}")

PATIENCE = 50
"""Seconds that a server has to begin, and for each answer, on the slowest of machines."""


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@attrs.frozen
class Server:
    """A server that runs."""

    port: int

    def get(self, path: str, timeout: float = PATIENCE, **headers: str) -> Answer:
        """Ask, and read all of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers=named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())


@contextlib.contextmanager
def served(module: str, command: tuple[str, ...], app: str = "app") -> Iterator[Server]:
    """Run a server for an application of `tests.support.sites`, ready to answer, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = listening.fileno()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m"),
                *(part.format(fd=fd) for part in command),
                f"tests.support.sites.{module}:{app}",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(("src", "."))},
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            server = Server(listening.getsockname()[1])
            server.get("/live")  # what is timed afterwards is not its start
            yield server
        finally:
            # All of the group it began: a server has workers.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
