"""
Blocks: `with` and `async with` around statements, on one object that everyone shares.

The object cannot keep the admission of each `with` in itself, so a block is found again by its
context: the innermost one of this guard that was entered there. A block left in another context
than it was entered in (a request-scoped dependency, a fixture) is recognised while it is the only
one open; one that cannot be told apart is given back without a verdict.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from resilience import _log
from resilience._verdict import CANCELLED

if TYPE_CHECKING:
    from resilience._core.slots import Token
    from resilience._guard import Guard

__all__ = ["aenter_block", "enter_block", "leave_block"]


class _Block:
    """One block: its guard and its admission."""

    __slots__ = ("guard", "left", "token")

    def __init__(self, guard: Guard, token: Token) -> None:
        self.guard = guard
        self.token = token
        self.left = False


_entered: ContextVar[tuple[_Block, ...]] = ContextVar("resilience_blocks", default=())
_open: dict[int, _Block] = {}


def enter_block(guard: Guard) -> None:
    """Be admitted."""
    _push(guard, guard.enter(guard.loose))


async def aenter_block(guard: Guard) -> None:
    """Be admitted, in a task."""
    _push(guard, await guard.aenter(guard.plan))


def _push(guard: Guard, token: Token) -> None:
    if token.scope is not None:
        guard.enforce(token)
    block = _Block(guard, token)
    _open[id(block)] = block
    # What was left elsewhere is still in the tuple of the context it was entered in.
    _entered.set((*(each for each in _entered.get() if not each.left), block))


def leave_block(guard: Guard, error: BaseException | None) -> None:
    """Settle the block of a guard that ends here."""
    block, known = _find(guard)
    if block is None:
        return
    if not known:
        guard.finish_as(block.token, CANCELLED)
        name = guard.entry.name
        _log.warn(
            f"block {name!r}",
            "a block of %r was left where it was not entered, and could not be told from "
            "others: it was given back without a verdict (use `with ….acquire()`)",
            name,
        )
    elif error is None:
        guard.finish(block.token)
    else:
        failure = guard.fail(block.token, error)
        if failure.error is not error:
            raise failure.error from error


def _find(guard: Guard) -> tuple[_Block | None, bool]:
    """Claim the block that ends here; false: it is only one of those it could be."""
    here = _entered.get()
    for block in reversed(here):
        if _claim(block, guard):
            _entered.set(tuple(each for each in here if each is not block))
            return block, True
    others = [block for block in tuple(_open.values()) if block.guard is guard]
    for block in others:
        if _claim(block, guard):
            return block, len(others) == 1
    return None, False


def _claim(block: _Block, guard: Guard) -> bool:
    if block.guard is not guard or _open.pop(id(block), None) is None:  # left already
        return False
    block.left = True
    return True
