from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Outcome
from resilience._core.journal import taken
from resilience._core.tally import FALLBACKS, Histogram, Tally

BOUNDS = (10, 20, 50)


@pytest.mark.parametrize(
    ("duration", "bucket"),
    [(0, 0), (1, 0), (10, 0), (11, 1), (20, 1), (21, 2), (50, 2), (51, 3), (10**30, 3)],
)
def test_a_duration_counts_in_the_first_bucket_that_holds_it(duration: int, bucket: int) -> None:
    """
    A bucket's bound belongs to it; what is above all of them counts in one more bucket.
    """
    histogram = Histogram(BOUNDS)
    histogram.add(duration)
    assert histogram.counts == [int(index == bucket) for index in range(4)]
    assert histogram.total == duration


@pytest.mark.promise("B11")
@settings(max_examples=100, deadline=None)
@given(durations=st.lists(st.integers(0, 100) | st.sampled_from([0, 2**62, 10**300])))
def test_no_duration_spoils_a_later_one(durations: list[int]) -> None:
    """
    However long calls take, the counts are theirs and the sum is exact.
    """
    histogram = Histogram(BOUNDS)
    for duration in durations:
        histogram.add(duration)
    at_most = [sum(duration <= bound for duration in durations) for bound in BOUNDS]
    cumulated = [sum(histogram.counts[: index + 1]) for index in range(4)]
    assert cumulated == [*at_most, len(durations)]
    assert histogram.total == sum(durations)


@pytest.mark.promise("B7", "J2")
@settings(max_examples=100, deadline=None)
@given(calls=st.lists(st.tuples(st.sampled_from(Outcome), st.none() | st.integers(0, 100))))
def test_outcomes_add_up_to_the_calls(calls: list[tuple[Outcome, int | None]]) -> None:
    """
    Each call counts one outcome, and those with a duration one in the histogram of it.
    """
    tally = Tally(BOUNDS)
    for outcome, duration in calls:
        tally.count(outcome, duration)
    assert sum(tally.counts.values()) == len(calls)
    assert list(tally.counts) == list(Outcome)
    for outcome in Outcome:
        timed = [length for each, length in calls if each is outcome and length is not None]
        assert (outcome in tally.latency) == bool(timed)
        if timed:
            assert sum(tally.latency[outcome].counts) == len(timed)
            assert tally.latency[outcome].total == sum(timed)


def test_every_outcome_is_there_from_the_beginning() -> None:
    """
    A new tally shows a zero for each outcome, and no histogram.
    """
    tally = Tally(BOUNDS)
    assert tally.counts == {
        "success": 0,
        "failure": 0,
        "timeout": 0,
        "short_circuited": 0,
        "bulkhead_full": 0,
        "expired": 0,
        "ignored": 0,
        "cancelled": 0,
    }
    assert (tally.latency, tally.shadowed) == ({}, {})
    assert tally.fallbacks == {"success": 0, "failure": 0, "rejected": 0}
    assert (tally.slow, tally.stale) == (0, 0)


def test_other_bounds_begin_new_histograms() -> None:
    """
    Durations counted by other bounds are dropped, counts stay; the same bounds change nothing.
    """
    tally = Tally(BOUNDS)
    tally.count(Outcome.SUCCESS, 15)
    tally.rebound((10, 20, 50))
    assert tally.latency[Outcome.SUCCESS].counts == [0, 1, 0, 0]

    tally.rebound((5,))
    assert tally.latency == {}
    tally.count(Outcome.SUCCESS, 15)
    assert tally.latency[Outcome.SUCCESS].counts == [0, 1]
    assert tally.counts[Outcome.SUCCESS] == 2


def test_a_cleared_tally_keeps_its_bounds_alone() -> None:
    """
    A forked child counts from zero.
    """
    tally = Tally(BOUNDS)
    tally.count(Outcome.FAILURE, 15)
    tally.slow = tally.stale = 3
    tally.count_notes([FALLBACKS["success"]])
    tally.count_shadowed(Outcome.EXPIRED)
    tally.clear()
    assert tally.bounds == BOUNDS
    assert set(tally.counts.values()) == {0}
    assert (tally.latency, tally.shadowed) == ({}, {})
    assert tally.fallbacks == {"success": 0, "failure": 0, "rejected": 0}
    assert (tally.slow, tally.stale) == (0, 0)


class Drained(list[int]):
    """A list that a step inside of the taking empties."""

    def pop(self, *_: object) -> int:
        self.clear()
        return super().pop()


@pytest.mark.promise("I10")
def test_what_a_step_inside_has_counted_is_not_counted_again() -> None:
    """
    A signal handler or a finalizer may take the rest while it is being taken.
    """
    tally = Tally(BOUNDS)
    tally.count_notes(Drained([0, 0]))
    assert set(tally.counts.values()) == {0}
    assert taken(Drained([1, 2])) == []
