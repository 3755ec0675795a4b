"""
The closed path: the way in and the way out that nearly every call takes.

No lock is taken but to read a journal that is full; whatever is out of the ordinary is handed to
the guard's own steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilience._admission import FULL
from resilience._chain import current
from resilience._guard import Guard

if TYPE_CHECKING:
    from resilience._core.journal import Journal
    from resilience._core.slots import Token
    from resilience._plan import Plan
    from resilience._pool import Pool

__all__ = ["QuickGuard"]


class QuickGuard(Guard):
    """A guard with circuit and slots, and the closed path through them."""

    __slots__ = ()
    pool: Pool

    def quick_enter(self, plan: Plan) -> Token | None:
        """
        Be admitted on the closed path.

        A token if everyone passes the circuit, a slot is idle and no caller has a deadline; `None`
        sends the call to `enter`.
        """
        entry = self.entry
        circuit = entry.circuit
        if circuit.passing is None or current.get() is not None:
            return None
        pool = self.pool
        token = pool.slots.grab()
        if token is None:
            return None
        # Now: whoever laid that slot back may have opened the circuit as well.
        journal = circuit.passing
        if journal is None:  # pyright: ignore[reportUnnecessaryComparison] - others change it
            self.put(token)
            return None
        if pool is not entry.own_pool:
            token.owner = entry  # it is another's slot, and must know whose call it is if lost
        token.journal = journal
        token.plan = plan
        token.started = entry.clock()
        if plan.scoped:
            self.enter_scope(token, plan.timeout, None)
        return token

    def quick_leave(self, token: Token) -> bool:
        """Write an ordinary success to the journal, and lay the slot back."""
        entry = self.entry
        now = entry.clock()
        scope = token.scope
        if scope is not None:
            scope.leave(None, now)
            token.scope = None
        duration = now - token.started
        journal: Journal | None = token.journal
        if journal is None or not 0 <= duration < token.plan.quick:
            return False
        if now < journal.until:
            journal.append(duration)
            token.journal = None
            if entry.circuit.passing is not journal or now >= journal.until:
                entry.read(journal, now)
            elif len(journal) >= FULL:
                entry.unload(journal, now)
        else:
            token.journal = None
            entry.succeed(journal, duration, now)
        if self.pool.slots.put(token):
            self.pool.assign()
        return True
