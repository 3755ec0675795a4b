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
_NONE: Final[_Sums] = (0, 0, 0)
_Bad = dict[int, tuple[int, int]]
_NO_BAD: Final[_Bad] = {}


class RollingWindow:
    """A ring of buckets with running sums."""

    __slots__ = ("_bad", "_before", "_index", "_ring", "calls", "edge", "errors", "slow", "width")

    def __init__(self, width: int, size: int, now: int) -> None:
        self.width = width
        self._enter(now // width, [0] * size, _NO_BAD, _NONE)

    @property
    def size(self) -> int:
        """How many buckets the ring has."""
        return len(self._ring)

    def clear(self, now: int) -> None:
        """Forget every call."""
        self._enter(now // self.width, [0] * len(self._ring), _NO_BAD, _NONE)

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
        # The ring holds calls; few buckets have errors or slow calls, which stand in `bad`.
        ring, bad, before = self._ring.copy(), self._bad, self._before
        calls, errors, slow = self.calls, self.errors, self.slow
        last = self._index % size
        ring[last] = calls - before[0]
        if (errors, slow) != before[1:]:
            bad = {**bad, last: (errors - before[1], slow - before[2])}
        for entered in range(self._index + 1, index + 1):
            left = entered % size
            calls -= ring[left]
            ring[left] = 0
            if left in bad:
                errors -= bad[left][0]
                slow -= bad[left][1]
                bad = {slot: counts for slot, counts in bad.items() if slot != left}
        self._enter(index, ring, bad, (calls, errors, slow))

    def _enter(self, index: int, ring: list[int], bad: _Bad, sums: _Sums) -> None:
        # `_before` is the sums without the current bucket: that bucket's own counts are the
        # difference, so recording a call touches the sums alone. All of it changes in one
        # statement: an interrupt leaves the old window or the new one.
        edge = (index + 1) * self.width
        (
            self._ring, self._bad, self._before, self._index, self.edge,
            self.calls, self.errors, self.slow,
        ) = (ring, bad, sums, index, edge, *sums)  # fmt: skip
