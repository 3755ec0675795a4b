"""
What it costs a program that somebody watches it: the live page and the Hystrix stream, both open.

    python -m benchmarks.watching               # 1 if it is more than a hundredth of a core

A web server and calls to 100 commands run in one process; the readers are another. The processor
time of the first is taken alternately with nobody reading and with both readers, over equal
stretches, and the difference is what watching costs. It goes by the second, not by the call.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import uvicorn

from benchmarks.library import Fn
from benchmarks.work import work
from resilience import Registry
from resilience.hystrix_stream import AsgiApp

ROOT = Path(__file__).parents[1]
COMMANDS = 100
BEAT = 0.1
"""Seconds from one call of each command to the next."""
LIMIT = 0.01
"""The share of one core it may take."""

READER = """
import http.client, sys, threading
def read(path):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    connection.request("GET", path)
    response = connection.getresponse()
    while response.readline():
        pass
for path in ("/live.stream", "/hystrix.stream"):
    threading.Thread(target=read, args=(path,), daemon=True).start()
sys.stdin.read()
"""


def share(seconds: float, rounds: int) -> float:
    """
    Return the share of a core that watching takes.

    Args:
        seconds: Of each stretch.
        rounds: How many stretches there are of each kind; the median of their differences counts.
    """
    registry = Registry()
    guarded: list[Fn] = [registry.command(f"service-{n}")(work) for n in range(COMMANDS)]
    with _served(AsgiApp(registry)) as port:
        _busy(guarded, seconds / 2)
        found = [_watched(guarded, port, seconds) for _ in range(rounds)]
    return median(found)


def _watched(guarded: list[Fn], port: int, seconds: float) -> float:
    alone = _busy(guarded, seconds)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(port)], stdin=subprocess.PIPE, cwd=ROOT
    )
    try:
        _busy(guarded, 1.0)  # it connects
        return (_busy(guarded, seconds) - alone) / seconds
    finally:
        reader.kill()
        reader.communicate()


def _busy(guarded: list[Fn], seconds: float) -> float:
    """Call everything now and then, and return the processor time of this process meanwhile."""
    pause = threading.Event()
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        for fn in guarded:
            fn()
        pause.wait(BEAT)
    return time.process_time() - used


@contextmanager
def _served(app: AsgiApp) -> Iterator[int]:
    config = uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def main() -> int:
    """Measure it, say it, and return whether it is too much."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each stretch")
    parser.add_argument("--rounds", type=int, default=3, help="stretches of each kind")
    options = parser.parse_args()
    found = share(options.seconds, options.rounds)
    print(
        f"{COMMANDS} commands, page and stream open: {found:.2%} of one core "
        f"(at most {LIMIT:.0%}: {'met' if found <= LIMIT else 'NOT MET'})"
    )
    return 0 if found <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
