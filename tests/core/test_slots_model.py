"""Slots beside a model of them, while several threads take turns between any two of their steps."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from resilience._core.slots import Slots, Token, Waiter
from tests.support.whole import check_slots

capacities = st.none() | st.integers(0, 4)
rooms = st.integers(0, 3)
picks = st.integers(0, 3)


class SlotsMachine(RuleBasedStateMachine):
    """
    The model is three lists: who runs, who waits, and who was served but does not know yet.

    A thread that has to call `assign` may be stopped before it does; `owed` is how many there are.
    """

    @initialize(capacity=capacities, max_waiting=rooms)
    def begin(self, capacity: int | None, max_waiting: int) -> None:
        self.slots = Slots(capacity, max_waiting, [])
        self.running: list[Token] = []
        self.waiting: list[Waiter] = []
        self.served: list[Waiter] = []
        self.before_fork: list[Token] = []
        self.dropped = 0
        self.owed = 0
        self.limit = capacity
        """What runs may be as many as the capacity, or as there were when that shrank."""

    @property
    def taken(self) -> int:
        return len(self.running) + len(self.served) + self.dropped

    @property
    def full(self) -> bool:
        return self.slots.capacity is not None and self.taken >= self.slots.capacity

    def started(self, token: Token) -> None:
        assert not self.waiting, "a newcomer passed those who wait"
        assert token not in self.running
        self.running.append(token)

    # -- steps of callers

    @rule()
    def a_call_grabs(self) -> None:
        attention, was_full = self.slots.attention, self.full
        token = self.slots.grab()
        if token is not None:
            assert not attention
            assert not was_full
            self.started(token)

    @rule()
    def a_call_takes(self) -> None:
        was_full = self.full
        token = self.slots.take()
        assert (token is None) == (was_full or bool(self.waiting))
        if token is not None:
            self.started(token)

    @rule()
    def a_call_enters_the_waiting_room(self) -> None:
        waiter = Waiter()
        entered = self.slots.enqueue(waiter)
        assert entered == (len(self.waiting) < self.slots.max_waiting)
        if entered:
            self.waiting.append(waiter)
            self.owed += 1

    @precondition(lambda self: self.running)
    @rule(pick=picks)
    def a_call_ends(self, pick: int) -> None:
        token = self.running.pop(pick % len(self.running))
        if self.slots.put(token):
            self.owed += 1
        else:
            assert not self.waiting or self.owed, "nobody will wake those who wait"

    @precondition(lambda self: self.owed)
    @rule()
    def a_thread_assigns(self) -> None:
        served = self.slots.assign()
        assert served == self.waiting[: len(served)]
        assert all(waiter.token is not None for waiter in served)
        del self.waiting[: len(served)]
        self.served += served
        self.owed -= 1

    @precondition(lambda self: self.served)
    @rule(pick=picks)
    def a_waiter_wakes_up(self, pick: int) -> None:
        waiter = self.served.pop(pick % len(self.served))
        token, waiter.token = waiter.token, None
        assert token is not None
        self.running.append(token)
        self.slots.leave(waiter)
        self.owed += 1

    @precondition(lambda self: self.served or self.waiting)
    @rule(pick=picks)
    def a_waiter_gives_up(self, pick: int) -> None:
        here = [*self.waiting, *self.served]
        waiter = here[pick % len(here)]
        (self.waiting if waiter in self.waiting else self.served).remove(waiter)
        self.slots.leave(waiter)
        self.slots.leave(waiter)
        self.owed += 1
        assert waiter.token is None

    @precondition(lambda self: self.running)
    @rule(pick=picks)
    def a_call_is_torn_down(self, pick: int) -> None:
        self.running.pop(pick % len(self.running))
        self.dropped += 1
        assert len(self.slots.lost) == self.dropped

    @precondition(lambda self: self.dropped)
    @rule()
    def somebody_reclaims(self) -> None:
        token = self.slots.lost.pop()
        token.lost = None
        self.slots.reclaim(token)
        self.slots.reclaim(token)
        self.dropped -= 1
        self.owed += 1

    @rule(capacity=capacities, max_waiting=rooms)
    def an_operator_resizes(self, capacity: int | None, max_waiting: int) -> None:
        running = len(self.running)
        self.slots.resize(capacity, max_waiting)
        self.owed += 1
        assert len(self.running) == running

    @rule()
    def the_process_forks(self) -> None:
        self.before_fork += self.running
        self.before_fork += [waiter.token for waiter in self.served if waiter.token is not None]
        self.running, self.waiting, self.served = [], [], []
        self.dropped = self.owed = 0
        self.slots.lost = []
        self.slots.forked()
        assert not self.slots.attention

    @precondition(lambda self: self.before_fork)
    @rule()
    def a_call_of_before_the_fork_ends(self) -> None:
        token = self.before_fork.pop()
        before = self.slots.in_flight, len(self.slots.free)
        self.slots.put(token)
        assert (self.slots.in_flight, len(self.slots.free)) == before

    # -- what holds

    @invariant()
    def the_taken_are_those_that_run(self) -> None:
        assert self.slots.in_flight == self.taken
        assert list(self.slots.waiters) == self.waiting
        check_slots(self.slots)

    @invariant()
    def no_more_run_than_may(self) -> None:
        if self.slots.capacity is None:
            return
        over = self.taken - self.slots.capacity
        assert over <= 0 or self.slots.attention, "more may not begin until that many have ended"

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        assert self.owed or not self.waiting or self.full

    def teardown(self) -> None:
        """When everyone has gone home all slots are there, and nobody is left waiting."""
        if not hasattr(self, "slots"):
            return
        while self.running or self.served or self.waiting or self.dropped or self.owed:
            if self.owed:
                self.a_thread_assigns()
            elif self.dropped:
                self.somebody_reclaims()
            elif self.served:
                self.a_waiter_wakes_up(0)
            elif self.running:
                self.a_call_ends(0)
            else:
                assert self.slots.capacity == 0
                self.a_waiter_gives_up(0)
        assert self.slots.in_flight == 0
        capacity = 9 if self.slots.capacity is None else self.slots.capacity
        tokens = [self.slots.take() for _ in range(capacity)]
        assert None not in tokens
        assert self.slots.capacity is None or self.slots.take() is None


@pytest.mark.promise("C2", "C4", "C6", "D1", "D2", "D3", "D4", "D5", "D6", "D9", "D10")
def test_slots_do_what_their_model_does() -> None:
    """
    Through any story of calls, waiters, lost tokens and operators, slots and model are alike.
    """
    run_state_machine_as_test(
        SlotsMachine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )
