from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable

import pytest

from resilience._core.slots import VOID, Slots, Token, Waiter
from tests.support.interrupt import interrupted, watched
from tests.support.whole import check_slots


def slots(capacity: int | None, max_waiting: int = 0) -> Slots:
    """Make slots whose lost tokens are found on `lost`."""
    return Slots(capacity, max_waiting, [])


def taken(slots: Slots, count: int) -> list[Token]:
    """Take so many tokens, which must be there."""
    tokens = [slots.take() for _ in range(count)]
    assert all(token is not None for token in tokens)
    return [token for token in tokens if token is not None]


def queued(slots: Slots) -> Waiter:
    """Enter the waiting room, in which there must be room."""
    waiter = Waiter()
    assert slots.enqueue(waiter)
    assert waiter not in slots.assign()
    return waiter


def claim(waiter: Waiter) -> Token:
    """Take what a waiter was given."""
    token, waiter.token = waiter.token, None
    assert token is not None
    return token


def tidy(slots: Slots) -> None:
    """Strike off what was lost and serve whom that helps, as whoever finds the slots full does."""
    while slots.lost:
        token = slots.lost.pop()
        token.lost = None
        slots.reclaim(token)
    slots.assign()


class Snatched(list[Token]):
    """Looks as if something lay in it, until one reaches for it."""

    def __bool__(self) -> bool:
        return True


# -- examples


@pytest.mark.promise("D1")
def test_no_more_run_than_the_capacity() -> None:
    """
    The call that would be one too many gets nothing; a token laid back makes room.
    """
    room = slots(2)
    first, _ = taken(room, 2)
    assert room.take() is None
    assert room.grab() is None
    assert room.put(first) is False
    assert room.take() is first
    assert room.in_flight == 2


def test_an_idle_token_is_grabbed_without_making_one() -> None:
    """
    `grab` takes what lies idle, and makes nothing.
    """
    room = slots(2)
    assert room.grab() is None
    (token,) = taken(room, 1)
    room.put(token)
    assert room.grab() is token
    assert room.grab() is None
    assert (room.in_flight, room.issued) == (1, 1)


def test_a_token_that_is_snatched_away_is_not_there() -> None:
    """
    Another thread may take the last idle token first: `grab` finds none, `take` makes a new one.
    """
    room = slots(1)
    room.free = Snatched()
    assert room.grab() is None
    assert room.take() is not None
    assert room.take() is None


def test_a_capacity_that_shrinks_while_a_token_is_snatched_away_is_survived() -> None:
    """
    Idle tokens that another thread takes at that very moment are not there to be struck off.
    """
    room = slots(2)
    tokens = taken(room, 2)
    room.free = Snatched()
    room.resize(1, 0)
    assert room.assign() == []
    assert room.attention
    assert tokens


@pytest.mark.promise("D10")
def test_a_capacity_of_zero_refuses_everyone() -> None:
    """
    With no slots there is nothing to take, and waiting helps only when there are some.
    """
    room = slots(0, max_waiting=1)
    assert room.take() is None
    waiter = queued(room)
    room.resize(1, 1)
    assert room.assign() == [waiter]


def test_no_capacity_is_no_limit() -> None:
    """
    `None` lets everyone run, and still counts them.
    """
    room = slots(None)
    tokens = taken(room, 1000)
    assert room.in_flight == 1000
    room.resize(2, 0)
    for token in tokens:
        if room.put(token):
            room.assign()
    assert (room.in_flight, len(taken(room, 2)), room.take()) == (0, 2, None)


@pytest.mark.promise("D3")
def test_the_waiting_room_has_an_end() -> None:
    """
    Who finds it full is turned away; who leaves makes room.
    """
    room = slots(1, max_waiting=2)
    held = taken(room, 1)
    first, _ = queued(room), queued(room)
    assert not room.enqueue(Waiter())
    room.leave(first)
    room.assign()
    queued(room)
    assert len(held) + len(room.waiters) == 3


def test_without_a_waiting_room_nobody_waits() -> None:
    """
    `max_waiting=0` turns everyone away.
    """
    room = slots(1)
    assert not room.enqueue(Waiter())
    assert not room.waiters


@pytest.mark.promise("D5")
def test_who_came_first_is_served_first() -> None:
    """
    Waiters get tokens in the order they came, and no newcomer passes them.
    """
    room = slots(2, max_waiting=5)
    tokens = taken(room, 2)
    waiters = [queued(room) for _ in range(3)]
    for token in tokens:
        assert room.put(token)
    assert room.grab() is None
    assert room.take() is None
    assert room.assign() == waiters[:2]
    assert [waiter.token for waiter in waiters] == [tokens[1], tokens[0], None]


@pytest.mark.promise("D6")
def test_a_token_wakes_one_waiter() -> None:
    """
    One token laid back is one waiter to wake; the next keeps waiting.
    """
    room = slots(1, max_waiting=2)
    (token,) = taken(room, 1)
    first, second = queued(room), queued(room)
    assert room.put(token)
    assert room.assign() == [first]
    assert room.assign() == []
    assert room.put(claim(first))
    assert room.assign() == [second]
    assert room.put(claim(second)) is False


@pytest.mark.promise("D4", "D6", "C6")
def test_who_leaves_after_being_served_hands_on() -> None:
    """
    A waiter that was given a token and leaves without it passes it to the next in line.
    """
    room = slots(1, max_waiting=2)
    (token,) = taken(room, 1)
    first, second = queued(room), queued(room)
    room.put(token)
    room.assign()
    room.leave(first)
    assert room.assign() == [second]
    assert (first.token, second.token) == (None, token)
    assert room.in_flight == 1


@pytest.mark.promise("D4", "D6")
def test_who_has_left_is_never_served() -> None:
    """
    A waiter that gave up gets nothing, and leaving twice is as good as once.
    """
    room = slots(1, max_waiting=2)
    (token,) = taken(room, 1)
    first, second = queued(room), queued(room)
    room.leave(first)
    room.leave(first)
    room.put(token)
    assert room.assign() == [second]
    claim(second)
    room.leave(second)
    room.leave(second)
    assert (first.token, room.in_flight) == (None, 1)


def test_leaving_a_room_where_nobody_ever_waited_does_nothing() -> None:
    """
    A waiter of before a fork leaves a room that has forgotten it.
    """
    room = slots(1, max_waiting=1)
    held = taken(room, 1)
    waiter = queued(room)
    room.forked()
    room.leave(waiter)
    assert (room.in_flight, room.waiters, len(held)) == (0, [], 1)


@pytest.mark.promise("D9")
def test_growth_serves_those_who_wait() -> None:
    """
    A higher capacity gives tokens to as many waiters as it has room for.
    """
    room = slots(1, max_waiting=5)
    held = taken(room, 1)
    waiters = [queued(room) for _ in range(3)]
    room.resize(3, 5)
    assert room.assign() == waiters[:2]
    assert (room.in_flight, len(held)) == (3, 1)


@pytest.mark.promise("D9")
def test_a_smaller_capacity_kills_nothing_that_runs() -> None:
    """
    What runs goes on; what is laid back is struck off until the capacity is met.
    """
    room = slots(3)
    tokens = taken(room, 3)
    room.resize(1, 0)
    assert room.assign() == []
    assert (room.in_flight, room.attention) == (3, True)
    for token, left in zip(tokens, (2, 1, 0), strict=True):
        assert room.put(token) is (left > 0)
        assert room.grab() is None or left == 0
        if left:
            room.assign()
            assert room.take() is None
            assert room.in_flight == left


@pytest.mark.promise("D9")
def test_a_smaller_capacity_strikes_idle_tokens_off() -> None:
    """
    Idle tokens above the capacity go, without anyone reporting them lost.
    """
    room = slots(3)
    for token in taken(room, 3):
        room.put(token)
    del token
    room.resize(1, 0)
    assert room.grab() is None
    kept = room.take()
    assert kept is not None
    assert (room.take(), room.issued, room.lost) == (None, 1, [])


def test_a_smaller_waiting_room_keeps_those_who_wait() -> None:
    """
    Who waits already goes on waiting; nobody else may enter until there is room.
    """
    room = slots(1, max_waiting=2)
    (token,) = taken(room, 1)
    first, _ = queued(room), queued(room)
    room.resize(1, 1)
    room.assign()
    assert not room.enqueue(Waiter())
    room.put(token)
    assert room.assign() == [first]
    assert not room.enqueue(Waiter())


@pytest.mark.promise("C4", "D2")
def test_a_token_that_is_dropped_says_so() -> None:
    """
    A token that dies while taken is found on `lost`; striking it off makes room again.
    """
    room = slots(1)
    taken(room, 1)
    assert room.take() is None
    (token,) = room.lost
    room.reclaim(token)
    room.reclaim(token)
    assert (room.in_flight, room.issued) == (0, 0)
    assert len(taken(room, 1)) == 1


@pytest.mark.promise("C5")
def test_a_token_lost_in_a_cycle_is_found_by_the_collector() -> None:
    """
    Torn down with the frames that held it, a token reports itself when these are collected.
    """
    room = slots(1)
    (token,) = taken(room, 1)
    token.scope = [token]
    del token
    assert room.lost == []
    gc.collect()
    assert len(room.lost) == 1


@pytest.mark.promise("C4", "C5", "D2")
@pytest.mark.parametrize("holder_first", [True, False])
def test_a_token_laid_back_by_a_finalizer_is_not_there_twice(holder_first: bool) -> None:
    """
    A collection may find a token together with what lays it back, in either order.
    """

    class Holder:
        """Lays its token back when it dies, as a coroutine that is thrown away does."""

        token: Token

        def __del__(self) -> None:
            room.put(self.token)

    room = slots(1)
    if holder_first:
        holder = Holder()
        (holder.token,) = taken(room, 1)
    else:
        (token,) = taken(room, 1)
        holder = Holder()
        holder.token = token
        del token
    holder.token.scope = holder
    del holder
    gc.collect()
    tidy(room)
    assert room.in_flight == 0
    tokens = taken(room, 1)
    assert room.take() is None
    gc.collect()
    assert (room.in_flight, len(tokens), room.lost) == (1, 1, [])


def test_a_token_that_holds_no_slot_frees_none() -> None:
    """
    A token without a home is laid back nowhere, and striking it off changes nothing.
    """
    room = slots(1)
    stray = Token(None, None)
    assert room.put(stray) is False
    room.reclaim(stray)
    assert (room.in_flight, room.free) == (0, [])


def test_a_new_token_is_of_no_call_yet() -> None:
    """
    A token says nothing of a call until a shell has attached it, but says when it is dropped.
    """
    lost: list[Token] = []
    token = Token(None, lost)
    assert (token.generation, token.started, token.abandoned, token.trial) == (VOID, 0, None, None)
    del token
    assert len(lost) == 1


@pytest.mark.promise("C4")
def test_a_token_laid_back_before_its_finalizer_ran_counts_for_nothing() -> None:
    """
    Found idle by its finalizer it is struck off and replaced; nobody has to settle it.
    """
    room = slots(1)
    (token,) = taken(room, 1)
    room.put(token)
    token.__del__()  # as a collection does that has found it in a cycle with what laid it back
    assert room.free == []
    assert (room.lost, token.lost) == ([token], None)
    room.reclaim(token)
    assert (room.in_flight, room.issued) == (0, 0)


def test_a_forked_child_begins_with_all_its_slots() -> None:
    """
    Nothing runs and nobody waits in the child; tokens of the parent return to nowhere.
    """
    room = slots(2, max_waiting=1)
    before = taken(room, 2)
    queued(room)
    room.forked()
    assert (room.in_flight, len(room.waiters), room.attention) == (0, 0, False)

    now = taken(room, 2)
    assert room.put(before[0]) is False
    room.reclaim(before[1])
    assert room.take() is None
    assert room.in_flight == len(now)


# -- interrupts


def idle() -> Slots:
    """Two slots, both idle."""
    room = slots(2, max_waiting=2)
    for token in taken(room, 2):
        room.put(token)
    return room


def waited_for() -> Slots:
    """One slot taken, one idle, and two waiters who do not know of it yet."""
    room = slots(2, max_waiting=2)
    held, back = taken(room, 2)
    first, last = Waiter(), Waiter()
    room.enqueue(first)
    room.enqueue(last)
    last.wake = held  # and so runs on for as long as that one waits
    room.put(back)
    return room


STEPS = {
    "grab": (idle, lambda room: room.grab()),
    "take": (idle, lambda room: room.take()),
    "take a new one": (lambda: slots(2, 2), lambda room: room.take()),
    "enqueue": (lambda: slots(0, 2), lambda room: room.enqueue(Waiter())),
    "assign": (waited_for, lambda room: room.assign()),
    "leave": (waited_for, lambda room: room.leave(room.waiters[0])),
    "shrink": (idle, lambda room: (room.resize(1, 2), room.assign())),
    "grow": (waited_for, lambda room: (room.resize(9, 2), room.assign())),
}


@pytest.mark.promise("D2", "D6")
@pytest.mark.parametrize(("build", "step"), STEPS.values(), ids=STEPS.keys())
def test_an_interrupt_loses_no_slot(
    build: Callable[[], Slots], step: Callable[[Slots], object]
) -> None:
    """
    Whatever an interrupt tears down, the slot of it comes back and nobody waits in vain.
    """
    for room in interrupted(build, step):
        room.resize(3, 2)
        while room.waiters:
            room.leave(room.waiters[0])
        tidy(room)
        check_slots(room)
        assert (room.in_flight, room.issued) == (0, len(room.free))
        tokens = taken(room, 3)
        assert room.take() is None
        del tokens


@pytest.mark.promise("D2", "D5")
def test_an_interrupted_assign_serves_nobody_twice() -> None:
    """
    Taken up again, it gives the first in line one slot and goes on with the next.
    """
    queue: list[Waiter] = []

    def build() -> Slots:
        room = waited_for()
        queue[:] = room.waiters
        return room

    for room in interrupted(build, lambda room: room.assign()):
        room.assign()
        first, second = queue
        room.leave(second)
        tidy(room)
        assert room.in_flight == 2, "that of the first in line, and the one that was taken before"
        assert room.put(claim(first)) is False
        assert room.in_flight == 1


@pytest.mark.promise("C1", "C5")
def test_a_token_whose_making_was_interrupted_says_nothing() -> None:
    """
    A half-made token on `lost` would break whoever takes it back.
    """
    lost: list[Token] = []
    lines = watched(lambda: Token(None, lost), lambda _: None)
    lost.clear()

    for at in range(1, lines + 1):

        def interrupt(number: int, at: int = at) -> None:
            if number == at:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            watched(lambda: Token(None, lost), interrupt)
        gc.collect()
        assert all(hasattr(token, name) for token in lost for name in Token.__slots__)
