"""
Servers on the loopback interface that keep their clients waiting, and how long these may wait.

Sockets need real time: budgets are short, and a call has kept to one if it is over SOON.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import SystemRandom

BUDGET = 0.15
SOON = 2.0
"""Seconds within which a call with that budget is over, on the slowest of machines."""

PAUSE = 0.005
"""Seconds between two bytes of a server that drips."""


def free_port() -> int:
    """
    Return a port that nobody listens on.

    It is below those that the system hands out to callers, because a caller who is given the very
    port it calls is connected to itself. SystemRandom, as pytest-randomly draws the same each time.
    """
    while True:
        port = SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def over_soon() -> Iterator[None]:
    """Check that what is called takes its budget, and little more."""
    began = time.monotonic()
    yield
    assert BUDGET * 0.9 <= time.monotonic() - began <= SOON


class Silent:
    """A server that accepts connections and says nothing: the system takes them, nobody answers."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.socket.getsockname()
        self.url = f"http://{self.host}:{self.port}/"
        self.conninfo = f"host={self.host} port={self.port} user=nobody dbname=none"

    def was_called(self, within: float = 0) -> bool:
        """Tell whether anybody has connected, or does so within some seconds."""
        self.socket.settimeout(within)
        try:
            self.socket.accept()[0].close()
        except (BlockingIOError, TimeoutError):
            return False
        return True


@contextmanager
def silent() -> Iterator[Silent]:
    """Serve silence; at the end whoever still waits is disconnected."""
    server = Silent()
    with server.socket:
        yield server


@contextmanager
def dripping(greeting: bytes = b"") -> Iterator[Silent]:
    """Answer one caller with a greeting, and then with a byte now and then, for ever."""
    server, over = Silent(), threading.Event()

    def drip() -> None:
        with server.socket.accept()[0] as peer:
            peer.recv(65536)
            peer.sendall(greeting)
            try:
                while not over.wait(PAUSE):
                    peer.sendall(b".")
            except OSError:  # the caller has had enough
                return

    thread = threading.Thread(target=drip, daemon=True)
    with server.socket:
        thread.start()
        try:
            yield server
        finally:
            over.set()
            socket.create_connection((server.host, server.port)).close()  # if nobody has called
            thread.join()


HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
"""The greeting of a web server."""
