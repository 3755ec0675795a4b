"""
RollingWindow: how many calls, errors and slow calls there were of late.

Rules:

- Time is cut into buckets of `width` nanoseconds: bucket `i` covers `[i*width, (i+1)*width)`.
  At `now` in bucket `i` the window is the buckets `i-size+1 … i`.
- `calls`, `errors` and `slow` are the sums over the window as of the latest time it was shown;
  they are kept up to date as buckets leave, so reading them is never a scan.
- The window's time is the latest `now` it has seen. A `now` before the current bucket (a clock
  that stepped back, a thread that read the clock and was overtaken) counts in the current one:
  nothing that left comes back.
- Moving on costs at most one pass over the ring, however long nothing happened.

Not thread-safe; the shell locks.
"""

from __future__ import annotations

from typing import Final

__all__ = ["RollingWindow"]

_Sums = tuple[int, int, int]
_EMPTY: Final[_Sums] = (0, 0, 0)


class RollingWindow:
    """A ring of buckets with running sums."""

    __slots__ = ("_before", "_index", "_ring", "calls", "edge", "errors", "slow", "width")

    def __init__(self, width: int, size: int, now: int) -> None:
        self.width = width
        self._enter(now // width, [_EMPTY] * size, _EMPTY)

    @property
    def size(self) -> int:
        """How many buckets the ring has."""
        return len(self._ring)

    def clear(self, now: int) -> None:
        """Forget every call."""
        self._enter(now // self.width, [_EMPTY] * len(self._ring), _EMPTY)

    def add(self, now: int, *, error: bool, slow: bool) -> None:
        """Count one call."""
        if now >= self.edge:
            self.advance(now)
        self.calls += 1
        if error:
            self.errors += 1
        if slow:
            self.slow += 1

    def advance(self, now: int) -> None:
        """Let the buckets leave whose time is over at `now`."""
        index = now // self.width
        passed = index - self._index
        size = len(self._ring)
        if passed <= 0:
            return
        if passed >= size:
            self.clear(now)
            return
        ring = self._ring.copy()
        sums = self.calls, self.errors, self.slow
        ring[self._index % size] = _minus(sums, self._before)
        for entered in range(self._index + 1, index + 1):
            left = entered % size
            sums = _minus(sums, ring[left])
            ring[left] = _EMPTY
        self._enter(index, ring, sums)

    def _enter(self, index: int, ring: list[_Sums], sums: _Sums) -> None:
        # `_before` is the sums without the current bucket: that bucket's own counts are the
        # difference, so recording a call touches the sums alone. All of it changes in one
        # statement: an interrupt leaves the old window or the new one.
        edge = (index + 1) * self.width
        (self._ring, self._before, self._index, self.edge, self.calls, self.errors, self.slow) = (
            ring, sums, index, edge, *sums
        )  # fmt: skip


def _minus(sums: _Sums, part: _Sums) -> _Sums:
    return sums[0] - part[0], sums[1] - part[1], sums[2] - part[2]
