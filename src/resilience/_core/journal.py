"""
The journal: successes of a closed circuit, written down without its lock.

While everyone passes, `Circuit.passing` is the journal of this generation: whoever read it may call
without asking, and until the time it says reports a quick success by appending its duration.
Whoever next takes the lock reads the journal first (`Circuit.read`).

That time is the end of the window's bucket, for all that a journal holds is counted in one; or long
ago, if the next success may open the circuit by bringing a window with errors to its volume. From
then on a success takes the lock and is recorded. The writer looks once more after writing: if the
time is over, or `passing` is no longer that journal, it takes the lock and reads it. A journal
outlives its generation in the hands of its writers; what is written there then is stale.
"""

from __future__ import annotations

from typing import Final

__all__ = ["AT_ONCE", "Journal", "taken"]

AT_ONCE: Final = -(1 << 100)
"""Before any time there is."""


class Journal(list[int]):
    """Durations of successes of one closed generation, in one bucket, that are not yet counted."""

    __slots__ = ("generation", "until")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.until = AT_ONCE
        """From then on a success is not to be written here, but recorded."""


def taken(notes: list[int]) -> list[int]:
    """
    Take what a list holds now, one by one: each is taken once.

    A slice would be of one size and of another list, if a collection that runs within it has a
    finalizer of ours take from the same list.
    """
    found: list[int] = []
    for _ in range(len(notes)):
        try:
            found.append(notes.pop(0))
        except IndexError:  # a step inside this one has taken the rest
            break
    return found
