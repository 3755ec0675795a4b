"""A handler that serves the waiting in the middle of their being served."""

from __future__ import annotations

import pytest

from resilience._core.slots import Slots, Token, Waiter


@pytest.mark.promise("D5", "D6", "I10")
def test_whom_a_step_inside_has_served_is_served_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The slot that was meant for a waiter who has one already goes to the next, or lies idle.
    """
    room = Slots(3, 2, [])
    first, second = Waiter(), Waiter()
    room.enqueue(first)
    room.enqueue(second)
    within: list[Waiter] = []

    class Meddling(Token):
        def __init__(self, home: list[Token], lost: list[Token] | None) -> None:
            super().__init__(home, lost)
            monkeypatch.undo()
            within.extend(room.assign())

    monkeypatch.setattr("resilience._core.slots.Token", Meddling)
    served = room.assign()
    assert within == [first, second]
    assert served == []
    assert first.token is not None
    assert second.token is not None
    assert first.token is not second.token
    assert (room.issued, len(room.free), len(room.waiters)) == (3, 1, 0)
