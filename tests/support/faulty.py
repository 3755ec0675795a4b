"""
A web server on the loopback interface that fails in the ways real ones do.

The path of a request says which fault it meets: `/hang`, `/cut`, …. Sockets need real time, so the
times are short.
"""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PAUSE = 0.002
"""Seconds between two bytes of a server that drips."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
STATUS = b"HTTP/1.1 %d Whatever\r\nRetry-After: %s\r\nContent-Length: 5\r\n\r\nsorry"
BODY = b"hello, world"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello,\r\n6\r\n world\r\n0\r\n\r\n"
)
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: what is not sent yet is thrown away, and the peer is told."""


class Faulty:
    """The server: its address, and the heads of the requests that reached it."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.requests: list[str] = []
        self.over = threading.Event()
        self._news = threading.Condition()
        self._peers: list[socket.socket] = []
        # Bound, and nobody listens: whoever calls is refused, and nobody else gets the port.
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))

    def url(self, fault: str) -> str:
        """Return the address at which a fault is met."""
        if fault == "refuse":
            return f"http://127.0.0.1:{self._closed.getsockname()[1]}/"
        return f"{'https' if fault == 'tls' else 'http'}://{self.address}/{fault}"

    def header(self, name: str) -> str | None:
        """Return a header of the last request."""
        for line in self.requests[-1].split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    def reached(self, count: int) -> None:
        """Wait until so many requests have come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.requests) >= count, 30)

    @property
    def accepted(self) -> int:
        """How many connections there were."""
        return len(self._peers)

    def serve(self) -> None:
        """Serve each connection in a thread of its own."""
        while not self.over.is_set():
            try:
                peer = self.listening.accept()[0]
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._attend, args=(peer,), daemon=True).start()

    def stop(self) -> None:
        """Disconnect everybody."""
        self.over.set()
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self._closed.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()

    def _attend(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while head := _head(peer):
                with self._news:
                    self.requests.append(head)
                    self._news.notify_all()
                parts = head.split()
                fault = parts[1].strip("/").split("?")[0] if len(parts) > 1 else "tls"
                if not getattr(self, "_" + fault.replace("-", "_"))(peer):
                    return

    # -- what becomes of a request; true: the connection is kept

    def _healthy(self, peer: socket.socket) -> bool:
        peer.sendall(HEAD % len(BODY) + BODY)
        return True

    def _chunked(self, peer: socket.socket) -> bool:
        peer.sendall(CHUNKED)
        return True

    def _bare(self, peer: socket.socket) -> bool:
        peer.sendall(HEAD % len(BODY))  # the answer to HEAD
        return True

    def _zipped(self, peer: socket.socket) -> bool:
        body = gzip.compress(BODY * 1000)
        head = HEAD % len(body)
        peer.sendall(head.replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1) + body)
        return True

    def _empty(self, peer: socket.socket) -> bool:
        peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        return True

    def _not_found(self, peer: socket.socket) -> bool:
        peer.sendall(STATUS % (404, b"60"))
        return True

    def _busy(self, peer: socket.socket) -> bool:
        peer.sendall(STATUS % (429, b"20"))
        return True

    def _unavailable(self, peer: socket.socket) -> bool:
        peer.sendall(STATUS % (503, b"20"))
        return True

    def _error(self, peer: socket.socket) -> bool:
        peer.sendall(STATUS % (500, b"20"))
        return True

    def _moved(self, peer: socket.socket) -> bool:
        peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /healthy\r\nContent-Length: 0\r\n\r\n")
        return True

    def _hang(self, peer: socket.socket) -> bool:
        peer.recv(1)  # until the client has had enough
        return False

    def _reset(self, peer: socket.socket) -> bool:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return False

    def _close(self, peer: socket.socket) -> bool:
        return False

    def _garbage(self, peer: socket.socket) -> bool:
        peer.sendall(b"\x00\xff\x01 this is no HTTP at all\r\n\r\n")
        return False

    _tls = _garbage

    def _drip_head(self, peer: socket.socket) -> bool:
        for each in HEAD % len(BODY) + BODY:
            peer.sendall(bytes([each]))
            if self.over.wait(PAUSE):
                return False
        return True

    def _drip_body(self, peer: socket.socket) -> bool:
        peer.sendall(HEAD % 1_000_000)
        while not self.over.wait(PAUSE):
            peer.sendall(b".")
        return False

    def _stall(self, peer: socket.socket) -> bool:
        peer.sendall(HEAD % 1_000 + BODY)
        return self._hang(peer)

    def _late_body(self, peer: socket.socket) -> bool:
        peer.sendall(HEAD % len(BODY))
        self.over.wait(2 * PAUSE)
        peer.sendall(BODY)
        return True

    def _cut(self, peer: socket.socket) -> bool:
        peer.sendall(HEAD % 1_000 + BODY)
        return False

    def _reset_body(self, peer: socket.socket) -> bool:
        peer.sendall(HEAD % 1_000 + BODY)
        self.over.wait(2 * PAUSE)  # what is sent is read before the reset throws it away
        return self._reset(peer)


def _head(peer: socket.socket) -> str:
    """Read a request without a body; something else is given as it comes."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = peer.recv(65536)
        head += piece
        if not piece or head.startswith(b"\x16"):  # a TLS handshake
            break
    return head.decode("latin-1") if b"\r\n\r\n" in head else " " * bool(head)


@contextmanager
def faulty() -> Iterator[Faulty]:
    """Serve faults."""
    server = Faulty()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
