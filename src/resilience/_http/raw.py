"""
Raw: the body of a urllib3 response, guarded. requests reads its bodies through one as well.

It stands in front of the response and is the response in everything else. A piece is what has
come, up to the size that was asked for: urllib3 by itself waits until it has as much as that, and a
server that drips could make it wait for as long as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from resilience._http.exchange import shorter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilience._http.exchange import Exchange

__all__ = ["Raw", "cut", "read_timeout"]

PIECE: Final = 65_536
"""Bytes of a piece, where nothing else is asked for."""


class Raw:
    """The body of a response, piece by piece, in front of the response itself."""

    def __init__(self, raw: Any, exchange: Exchange, timeout: float | None) -> None:
        self._raw = raw
        self._exchange = exchange
        self._timeout = timeout

    def __getattr__(self, name: str) -> Any:
        if name == "_raw":  # asked by what copies objects, before it is there
            raise AttributeError(name)
        return getattr(self._raw, name)

    def stream(self, amt: int | None = None, decode_content: Any = None) -> Iterator[bytes]:
        """Give the body in pieces of at most so many bytes."""
        try:
            yield from self._exchange.pieces(self._pieces(amt, decode_content))
        except GeneratorExit:  # its consumer may go on in another way
            raise
        except BaseException:
            self._raw.close()  # nobody can go on in the middle
            raise

    def read(self, amt: int | None = None, decode_content: Any = None, **options: Any) -> bytes:
        """Read so many bytes, or all of them."""
        if amt is None or amt < 0:
            return b"".join(self.stream(None, decode_content))
        return self._one(lambda: self._raw.read(amt, decode_content, **options), at_end=amt > 0)

    def read1(self, amt: int | None = None, decode_content: Any = None) -> bytes:
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

    def _pieces(self, amt: int | None, decode_content: Any) -> Iterator[bytes]:
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
            self._raw.close()
            if failed is error:
                raise
            raise failed from error
        exchange.paused()
        if not piece and at_end:
            exchange.ended()
        return piece

    def _shorten(self) -> None:
        """Let the socket wait for a piece as long as it may, and no longer."""
        connection = getattr(self._raw, "connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:  # it has none if the server closes the connection afterwards
            sock.settimeout(shorter(self._timeout, self._exchange.left()))


def read_timeout(timeout: Any) -> float | None:
    """Return how long the user lets each read wait, by a timeout in any of requests' forms."""
    if isinstance(timeout, tuple):
        _, timeout = cast("tuple[Any, Any]", timeout)
    # A Timeout of urllib3's does not tell before the connect, where it has a total.
    read: Any = getattr(timeout, "_read", timeout)
    return read if isinstance(read, (int, float)) and read > 0 else None


def cut(kind: Any, timeout: Any, left: int) -> Any:
    """Return a timeout of urllib3's, of that kind, that bounds the whole wait for the head."""
    if isinstance(timeout, kind):
        own: Any = timeout.clone()
    elif isinstance(timeout, tuple):
        connect, read = cast("tuple[Any, Any]", timeout)
        own = kind(connect=connect, read=read)
    else:
        own = kind(connect=timeout, read=timeout)
    # What the connect takes of it is taken from the wait for the head.
    own.total = shorter(own.total, left)
    return own
