"""A handler that serves the waiting in the middle of their being served."""

from __future__ import annotations

from collections.abc import Callable

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


def meddling(monkeypatch: pytest.MonkeyPatch, meddle: Callable[[], object]) -> None:
    """Have something done while the next token is made."""

    class Meddling(Token):
        def __init__(self, home: list[Token], lost: list[Token] | None) -> None:
            super().__init__(home, lost)
            monkeypatch.undo()
            meddle()

    monkeypatch.setattr("resilience._core.slots.Token", Meddling)


@pytest.mark.promise("D1", "D9", "I10")
def test_one_slot_too_many_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where a step inside takes the last slot, the one that was being made goes once it is back.
    """
    room = Slots(1, 0, [])
    inner: list[Token | None] = []
    meddling(monkeypatch, lambda: inner.append(room.take()))
    outer = room.take()
    assert outer is not None
    assert inner[0] is not None
    assert room.attention
    assert room.put(outer)
    room.assign()
    assert (room.issued, room.in_flight, room.attention) == (1, 1, False)


@pytest.mark.promise("D6", "I10")
def test_who_left_while_being_served_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The slot of a waiter that left meanwhile is idle again.
    """
    room = Slots(1, 1, [])
    waiter = Waiter()
    room.enqueue(waiter)
    meddling(monkeypatch, lambda: room.leave(waiter))
    assert room.assign() == []
    assert waiter.token is None
    assert (room.issued, len(room.free), len(room.waiters)) == (1, 1, 0)
