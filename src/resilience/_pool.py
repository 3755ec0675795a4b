"""
Pool: the slots of one bulkhead, what was lost of them, and waking those who wait.

A call that was dropped unsettled is two things: a slot, which this pool takes back, and a call that
its entry has still to count. The second is put on `dropped`, without the entry's lock: it may be
another one than this pool's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from resilience._core.slots import Slots, Token, Waiter

if TYPE_CHECKING:
    from threading import RLock

__all__ = ["Pool"]


class Pool:
    """
    The steps on one bulkhead's slots, each under the lock for its own time only.

    Args:
        lock: Of the entry it belongs to.
        capacity: How many slots there are; `None`: no limit.
        max_waiting: How many may wait for one.
    """

    __slots__ = ("dropped", "lock", "lost", "slots")

    def __init__(self, lock: RLock, capacity: int | None, max_waiting: int) -> None:
        self.lock = lock
        self.lost: list[Token] = []
        self.dropped: list[Token] = []
        self.slots = Slots(capacity, max_waiting, self.lost)

    def take(self) -> Token | None:
        """Take a slot, reclaiming lost ones if there is none; `None`: full."""
        with self.lock:
            token = self.slots.take()
            if token is not None or not self.lost:
                return token
        self.assign()  # those who wait come first
        with self.lock:
            return self.slots.take()

    def put(self, token: Token) -> None:
        """Lay a slot back."""
        if self.slots.put(token):
            self.assign()

    def enqueue(self, waiter: Waiter) -> bool:
        """Enter the waiting room; false: it is full."""
        with self.lock:
            return self.slots.enqueue(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Leave the waiting room; a slot that was handed over goes to the next."""
        with self.lock:
            self.slots.leave(waiter)
        self.assign()

    def assign(self) -> None:
        """Serve those who wait with what is idle or was lost, and wake them."""
        again = True
        while again:
            again = False
            with self.lock:
                self._reclaim()
                served = self.slots.assign()
            for waiter in served:
                if waiter.wake is not None and not waiter.wake():
                    with self.lock:
                        self.slots.leave(waiter)
                    again = True

    def reclaim(self) -> None:
        """Take back what was lost."""
        if self.lost:
            self.assign()

    def resize(self, capacity: int | None, max_waiting: int) -> None:
        """Change the limits; `assign` must follow once the lock is released."""
        with self.lock:
            self.slots.resize(capacity, max_waiting)

    def forked(self) -> None:
        """Begin anew in a child process; the lock is held."""
        self.lost, self.dropped = [], []
        self.slots.lost = self.lost
        self.slots.forked()

    def _reclaim(self) -> None:
        for token in self.lost.copy():
            self.slots.reclaim(token)
            if token.lost is not None:  # not settled after all
                owner: Any = token.owner
                dropped: list[Token] = self.dropped if owner is None else owner.dropped
                token.lost = None
                dropped.append(token)
            with contextlib.suppress(ValueError):  # a step inside this one has taken it off
                self.lost.remove(token)
