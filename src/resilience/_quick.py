"""
The closed path: the way in and the way out that nearly every call takes.

Everything it needs stands in local names of two closures; whatever is out of the ordinary is handed
to the guard's own steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilience._deadline import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.circuit import Journal
    from resilience._core.slots import Token
    from resilience._guard import Guard
    from resilience._pool import Pool

__all__ = ["FULL", "quick_steps"]

FULL: Final = 16
"""Successes after which a journal is read by its writer."""


def quick_steps(guard: Guard) -> tuple[Callable[[], Token | None], Callable[[Token], bool]]:
    """
    Return the way in and the way out of a call on the closed path.

    In: a token if everyone passes the circuit, a slot is idle and no caller has a deadline; `None`
    sends the call to `enter`. Out: true if the call was an ordinary success, and is written to the
    journal; false sends it to `finish`. No lock is taken but to read a journal that is full.
    """
    if guard.pool is None or not guard.circuit:
        return lambda: None, lambda _: False
    return _way_in(guard, guard.pool), _way_out(guard, guard.pool)


def _way_in(guard: Guard, pool: Pool) -> Callable[[], Token | None]:
    entry = guard.entry
    circuit, clock, deadline, grab = entry.circuit, entry.clock, current.get, pool.slots.grab
    # A token of another name's bulkhead must know whose call it is, should it be lost.
    owner = None if pool is entry.own_pool else entry

    def enter() -> Token | None:
        journal = circuit.passing
        if journal is None or deadline() is not None:
            return None
        token = grab()
        if token is None:
            return None
        plan = guard.plan
        token.owner = owner
        token.journal = journal
        token.plan = plan
        token.started = clock()
        if plan.scoped:
            guard.enter_scope(token, plan.timeout, None)
        return token

    return enter


def _way_out(guard: Guard, pool: Pool) -> Callable[[Token], bool]:
    entry = guard.entry
    circuit, clock, read = entry.circuit, entry.clock, entry.read
    put, assign = pool.slots.put, pool.assign

    def leave(token: Token) -> bool:
        now = clock()
        scope = token.scope
        if scope is not None:
            scope.leave(None, now)
            token.scope = None
        duration = now - token.started
        journal: Journal | None = token.journal
        if journal is None or not 0 <= duration < token.plan.quick:
            return False
        journal.append((now, duration))
        token.journal = None
        if len(journal) >= FULL or circuit.passing is not journal:
            read(journal)
        if put(token):
            assign()
        return True

    return leave
