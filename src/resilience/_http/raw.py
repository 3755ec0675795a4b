"""
Raw: the body of a urllib3 response, guarded. requests reads its bodies through one as well.

It stands in front of the response and is the response in everything else. A piece is what has come,
up to the size that was asked for: urllib3 by itself waits until it has as much as that, and a server
that drips could make it wait for as long as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from resilience._http.exchange import shorter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilience._http.exchange import Exchange

__all__ = ["Raw", "cut"]

PIECE: Final = 65_536
"""Bytes of a piece, where nothing else is asked for."""


class Raw:
    """The body of a response, piece by piece, in front of the response itself."""

    def __init__(self, raw: Any, exchange: Exchange) -> None:
        self._raw = raw
        self._exchange = exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """Give the body in pieces of at most so many bytes."""
        return self._exchange.pieces(self._pieces(amt, decode_content))

    def read(
        self, amt: int | None = None, decode_content: bool | None = None, **options: Any
    ) -> bytes:
        """Read so many bytes, or all of them."""
        if amt is None or amt < 0:
            return b"".join(self.stream(None, decode_content))
        return self._one(lambda: self._raw.read(amt, decode_content, **options), at_end=amt > 0)

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read what has come, up to so many bytes."""
        return self._one(lambda: self._raw.read1(amt, decode_content), at_end=amt != 0)

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as the buffer has room for, or fewer at the end."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for piece in self.stream(None, decode_content=True):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line + b"\n" for line in lines)
        if rest:
            yield rest

    def close(self) -> None:
        """Close the response; if it was not read to its end, it is judged by what was read."""
        try:
            self._raw.close()
        finally:
            self._exchange.ended()

    def release_conn(self) -> None:
        """Give the connection back."""
        try:
            self._raw.release_conn()
        finally:
            self._exchange.ended()

    def drain_conn(self) -> None:
        """Read what is left, and give the connection back."""
        try:
            self._raw.drain_conn()
        finally:
            self._exchange.ended()

    def _pieces(self, amt: int | None, decode_content: bool | None) -> Iterator[bytes]:
        raw, size = self._raw, amt or PIECE
        if not hasattr(raw, "read1"):  # urllib3 1, or what stands in for it
            yield from raw.stream(size, decode_content)
            return
        while True:
            self._shorten()
            piece = raw.read1(size, decode_content)
            if not piece:
                return
            yield piece

    def _one(self, read: Any, *, at_end: bool) -> bytes:
        """Read once, guarded; nothing means the end."""
        exchange = self._exchange
        try:
            exchange.resume()
            self._shorten()
            piece: bytes = read()
        except BaseException as error:
            failed = exchange.failed(error)
            if failed is error:
                raise
            raise failed from error
        exchange.paused()
        if not piece and at_end:
            exchange.ended()
        return piece

    def _shorten(self) -> None:
        """Let the socket wait no longer than a deadline of the caller's allows."""
        exchange = self._exchange
        if not exchange.bound:
            return
        connection = getattr(self._raw, "connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            sock.settimeout(shorter(sock.gettimeout(), exchange.left()))


def cut(kind: Any, timeout: Any, left: int) -> Any:
    """Return a timeout of urllib3's, of that kind, that bounds the whole wait for the head."""
    if isinstance(timeout, kind):
        own: Any = timeout.clone()
    elif isinstance(timeout, tuple):
        connect, read = timeout
        own = kind(connect=connect, read=read)
    else:
        own = kind(connect=timeout, read=timeout)
    # What the connect takes of it is taken from the wait for the head.
    own.total = shorter(own.total, left)
    return own


