"""
Slots: how many calls run at once, and who waits.

Rules:

- A slot is a Token. `capacity` tokens may exist; idle ones lie in `free`, and a call runs with one
  taken from there. So the number of calls that run is a fact about objects, not a count that
  could drift: `in_flight == issued - len(free)`.
- Taking an idle token and laying it back are each one operation on a list, atomic by itself:
  `grab` and `put` need no lock. Whatever else there is to do (somebody waits, the capacity has
  shrunk below what runs) is announced in `attention`, before it is looked after: `grab` then takes
  nothing, and whoever has laid a token back calls `assign`.
- A token that dies while taken (its call was torn down by an interrupt before it could lay it
  back) puts itself on `lost`; whoever finds the slots full calls `reclaim`. A collection may run
  its finalizer before that of the coroutine which lays it back, or after: both come to the same.
- Waiters are served in the order they came, and no newcomer passes them. `assign` hands idle
  tokens over and returns whom to wake.
- A waiter that leaves after it was served hands its token on.
- After a fork the child has new lists, and tokens from before return to the old ones: they are
  void without anyone checking.

But for `grab` and `put`, not thread-safe; the shell locks.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["VOID", "Slots", "Token", "Waiter"]


VOID: Final = -1
"""The generation of a token that stands for no call that is still to be counted."""


class Token:
    """
    One admission: the slot it holds, if any, and what its result will be judged by.

    It is settled exactly once, by the shell that took it. Dropped instead, it says so.
    """

    __slots__ = (
        "__weakref__",
        "abandoned",
        "generation",
        "home",
        "journal",
        "lost",
        "owner",
        "plan",
        "pool",
        "scope",
        "started",
        "trial",
    )

    def __init__(self, home: list[Token] | None, lost: list[Token] | None) -> None:
        self.home = home
        self.pool: list[Token] | None = None
        self.generation = VOID
        self.journal: Any = None
        self.started = 0
        self.abandoned: list[None] | None = None
        # What the shells attach: the machine knows nothing of it.
        self.trial: Any = None
        self.scope: Any = None
        self.plan: Any = None
        self.owner: Any = None
        # Last: what is interrupted before this says nothing when it is dropped.
        self.lost = lost

    def holds(self, scope: object) -> bool:
        """Whether the call is inside of that scope, and has not been torn down."""
        return self.scope is scope

    def __del__(self) -> None:
        # Runs wherever the last reference goes, in the middle of a step of ours if a collection
        # falls there: changes to lists, one call each, are all that is safe.
        lost = getattr(self, "lost", None)  # not there yet if making it was interrupted
        if lost is None:
            return
        home = self.home
        self.pool, self.home, self.scope = home, None, None
        if home is not None and self in home:
            # A collection found it in a cycle, with a coroutine that has laid it back just now. It
            # could not report itself a second time, so it is replaced, and counts for nothing.
            home.remove(self)
            self.lost = None
        lost.append(self)


class Waiter:
    """One caller in the waiting room; `wake` is the shell's way to reach it."""

    __slots__ = ("left", "token", "wake")

    def __init__(self) -> None:
        self.token: Token | None = None
        self.wake: Any = None
        self.left = False


class Slots:
    """The tokens of one bulkhead and the queue for them."""

    __slots__ = ("attention", "capacity", "free", "issued", "lost", "max_waiting", "waiters")

    def __init__(self, capacity: int | None, max_waiting: int, lost: list[Token]) -> None:
        self.capacity = capacity
        self.max_waiting = max_waiting
        self.attention = False
        self.free: list[Token] = []
        self.lost = lost
        self.issued = 0
        self.waiters: list[Waiter] = []

    @property
    def in_flight(self) -> int:
        """How many tokens are taken."""
        return self.issued - len(self.free)

    # -- without the lock

    def grab(self) -> Token | None:
        """Take an idle token if there is one and nothing wants attention."""
        if self.attention or not self.free:
            return None
        try:
            return self.free.pop()
        except IndexError:  # another thread was quicker
            return None

    def put(self, token: Token) -> bool:
        """Lay a token back; true: `assign` must follow."""
        if token.home is not None:
            token.home.append(token)
        return self.attention

    # -- with the lock

    def take(self) -> Token | None:
        """Take an idle token, or make one while there may be more; `None`: full."""
        self._shrink()
        if self.waiters:
            return None
        return self._next()

    def _next(self) -> Token | None:
        try:
            return self.free.pop()
        except IndexError:
            pass
        if self.capacity is not None and self.issued >= self.capacity:
            return None
        # From the moment it is counted, a token that is dropped says so.
        token = Token(self.free, None)
        self.issued, token.lost = self.issued + 1, self.lost
        if self._over():  # a step inside this one has made the last
            self.attention = True
        return token

    def enqueue(self, waiter: Waiter) -> bool:
        """Enter the waiting room; false: it is full. `assign` must follow, and once `leave`."""
        if len(self.waiters) >= self.max_waiting:
            return False
        self.waiters.append(waiter)
        self.attention = True
        return True

    def assign(self) -> list[Waiter]:
        """Give what is idle to those who wait longest; returns whom to wake."""
        served: list[Waiter] = []
        self._shrink()
        for waiter in self.waiters.copy():
            token = self._next() if waiter.token is None else waiter.token
            if token is None:
                break
            # A step inside this one may have served it meanwhile, and it may have left.
            if waiter.token is None:
                waiter.token = token
            elif waiter.token is not token:
                self.put(token)
            if self._off(waiter):
                served.append(waiter)
            if waiter.left:
                self.leave(waiter)
        self.attention = bool(self.waiters) or self._over()
        return served

    def _off(self, waiter: Waiter) -> bool:
        try:
            self.waiters.remove(waiter)
        except ValueError:
            return False
        return True

    def leave(self, waiter: Waiter) -> None:
        """Leave the waiting room, served or not. `assign` must follow."""
        waiter.left = True
        self._off(waiter)
        if waiter.token is not None:
            token, waiter.token = waiter.token, None
            self.put(token)

    def reclaim(self, token: Token) -> None:
        """Strike a lost token off; a second time it does nothing. `assign` must follow."""
        self.issued, token.pool = self.issued - (token.pool is self.free), None

    def resize(self, capacity: int | None, max_waiting: int) -> None:
        """Change the limits; what runs goes on. `assign` must follow."""
        self.capacity = capacity
        self.max_waiting = max_waiting
        self.attention = True

    def forked(self) -> None:
        """Begin anew in a child process: nothing runs, nobody waits."""
        self.attention = False
        self.free = []
        self.issued = 0
        self.waiters = []

    def _over(self) -> bool:
        return self.capacity is not None and self.issued > self.capacity

    def _shrink(self) -> None:
        while self._over():
            try:
                token = self.free.pop()
            except IndexError:
                return
            token.lost, self.issued = None, self.issued - 1
