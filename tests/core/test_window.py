from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience import Settings
from resilience._core.window import RollingWindow
from tests.support.interrupt import interrupted, watched
from tests.support.model import WindowModel
from tests.support.whole import check_window

NANOS = 10**9
TEN_YEARS = 10 * 365 * 24 * 3600 * NANOS


def sums(window: RollingWindow) -> tuple[int, int, int]:
    """Return calls, errors and slow calls."""
    return window.calls, window.errors, window.slow


def filled(*, width: int = 10, size: int = 3, at: int = 0) -> RollingWindow:
    """A window with a call in each of its buckets, the first an error and the last slow."""
    window = RollingWindow(width, size, at)
    for bucket in range(size):
        window.add(at + bucket * width, error=bucket == 0, slow=bucket == size - 1)
    return window


@st.composite
def stories(draw: st.DrawFn) -> tuple[int, int, int, list[tuple[int | str, str]]]:
    """A window's shape, when it begins, and what happens to it."""
    width = draw(st.sampled_from([1, 2, 3, 7, 1000, NANOS]))
    size = draw(st.integers(1, 6))
    whole = width * size
    deltas = st.one_of(
        st.sampled_from(["edge", "before edge"]),
        st.integers(0, 2 * width),
        st.integers(-2 * whole, 2 * whole),
        st.sampled_from([whole - 1, whole, whole + 1, 10**9 * whole, 2**62, -(2**62), -TEN_YEARS]),
    )
    what = st.sampled_from(["success", "error", "slow", "slow error", "read", "clear"])
    start = draw(st.sampled_from([0, 1, width - 1, -5 * width - 1, 2**62]))
    return width, size, start, draw(st.lists(st.tuples(deltas, what), max_size=30))


@pytest.mark.promise("B1", "B2", "B3", "B4", "B5", "B7", "B8")
@settings(max_examples=250, deadline=None)
@given(story=stories())
@example(story=(7, 3, 6, [("edge", "error"), ("before edge", "slow"), (14, "read"), (-1, "error")]))
def test_a_window_holds_what_a_log_of_every_call_holds(
    story: tuple[int, int, int, list[tuple[int | str, str]]],
) -> None:
    """
    Whatever the clock does, the sums are those of the calls in the last buckets of a complete log.
    """
    width, size, now, steps = story
    window, log = RollingWindow(width, size, now), WindowModel(width, size, now)
    for delta, what in steps:
        if isinstance(delta, str):
            now = (now // width + 1) * width - (delta == "before edge")
        else:
            now += delta
        if what == "clear":
            window.clear(now)
            log.clear(now)
        elif what == "read":
            window.advance(now)
            log.show(now)
        else:
            window.add(now, error="error" in what, slow="slow" in what)
            log.add(now, error="error" in what, slow="slow" in what)
        assert sums(window) == log.sums
        check_window(window)


@pytest.mark.promise("B2")
@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_call_at_the_edge_belongs_to_the_new_bucket(size: int) -> None:
    """
    At the very edge a call is in the new bucket, a nanosecond before it in the old one.
    """
    window = RollingWindow(10, size, 0)
    window.add(9, error=True, slow=False)
    window.add(10, error=False, slow=True)

    window.advance(10 * size - 1)
    assert sums(window) == ((2, 1, 1) if size > 1 else (1, 0, 1))
    window.advance(10 * size)
    assert sums(window) == (1, 0, 1)
    window.advance(10 * size + 10)
    assert sums(window) == (0, 0, 0)


@pytest.mark.promise("B6")
def test_a_window_may_be_a_single_bucket() -> None:
    """
    A window of one bucket forgets everything at each edge.
    """
    window = RollingWindow(10, 1, 0)
    window.add(0, error=True, slow=True)
    window.add(9, error=False, slow=False)
    assert sums(window) == (2, 1, 1)

    window.add(10, error=False, slow=False)
    assert sums(window) == (1, 0, 0)


@pytest.mark.promise("B4")
@pytest.mark.parametrize(
    ("idle", "left"),
    [(9, 3), (10, 2), (29, 1), (30, 0), (31, 0), (30 * 10**9, 0)],
)
def test_calls_leave_bucket_by_bucket(idle: int, left: int) -> None:
    """
    After an idle time of the whole window it is empty; shortly before, the last bucket is there.
    """
    window = filled(width=10, size=3, at=0)
    window.advance(20 + idle)
    assert window.calls == left


@pytest.mark.promise("B4")
def test_the_cost_of_moving_on_does_not_depend_on_the_gap() -> None:
    """
    Moving on takes one pass over the ring at most: a longer gap costs no more than a full turn.
    """

    def cost(size: int, gap: int) -> int:
        window = filled(width=10, size=size)
        now = 10 * (size - 1) + gap
        return watched(lambda: window.advance(now), lambda _: None)

    turn = cost(100, 10 * 99)
    assert cost(100, 10 * 50) < turn
    assert cost(100, 10 * 100) == cost(100, 10**12) == cost(5, 10**12) < turn
    assert turn < 10 * 100


@pytest.mark.promise("B3")
@pytest.mark.parametrize("back", [1, 9, 10, 35, TEN_YEARS])
def test_a_clock_that_steps_back_brings_nothing_back(back: int) -> None:
    """
    What left the window stays away; a call at an earlier time counts once, in the newest bucket.
    """
    window = filled(width=10, size=3, at=0)
    window.advance(40)
    assert sums(window) == (1, 0, 1)

    window.advance(40 - back)
    assert sums(window) == (1, 0, 1)
    window.add(40 - back, error=True, slow=False)
    assert sums(window) == (2, 1, 1)
    window.advance(69)
    assert sums(window) == (1, 1, 0)
    window.advance(70)
    assert sums(window) == (0, 0, 0)


@pytest.mark.promise("B5")
def test_a_clock_far_ahead_and_back_again_is_survived() -> None:
    """
    A jump of 2^62 nanoseconds empties the window; calls after the way back are counted.
    """
    window = filled(width=10, size=3, at=0)
    window.advance(2**62)
    assert sums(window) == (0, 0, 0)

    window.add(25, error=True, slow=False)
    assert sums(window) == (1, 1, 0)
    window.advance(2**62 + 30)
    assert sums(window) == (0, 0, 0)


@pytest.mark.promise("B5")
@pytest.mark.parametrize("tick", [10**7, 10**7 + 9, 10**7 + 10, 10**7 + 99])
def test_ten_million_ticks_do_not_drift(tick: int) -> None:
    """
    After ten million ticks of 0.1 s a call is in exactly the bucket of its second.
    """
    rules = Settings(rolling_window=1, buckets=1).rules()
    tenth = NANOS // 10
    window = RollingWindow(rules.bucket_width, rules.buckets, 0)
    window.add(tick * tenth, error=False, slow=False)

    second = tick // 10
    window.advance((second + 1) * NANOS - 1)
    assert window.calls == 1
    window.advance((second + 1) * NANOS)
    assert window.calls == 0


@pytest.mark.promise("B6")
@given(
    rolling_window=st.floats(1e-9, 31_536_000),
    buckets=st.integers(1, 10_000),
)
@settings(max_examples=100, deadline=None)
@example(rolling_window=1e-9, buckets=10_000)
@example(rolling_window=10.0, buckets=3)
def test_a_width_that_does_not_divide_is_rounded_up(rolling_window: float, buckets: int) -> None:
    """
    The buckets together are never shorter than the window, and longer by less than one ns each.
    """
    rules = Settings(rolling_window=rolling_window, buckets=buckets).rules()
    whole = max(round(rolling_window * NANOS), 1)
    assert whole <= rules.bucket_width * rules.buckets < whole + buckets


def test_an_empty_window_has_its_size_and_nothing_in_it() -> None:
    """
    A new window is as many buckets as it was asked for, all of them empty.
    """
    window = RollingWindow(10, 4, 123)
    assert (window.size, sums(window), window.edge) == (4, (0, 0, 0), 130)


@pytest.mark.promise("B3", "B9")
@pytest.mark.parametrize("now", [0, 25, 1000])
def test_a_cleared_window_is_like_a_new_one(now: int) -> None:
    """
    Clearing forgets every call, and the window begins anew at that time.
    """
    window = filled(width=10, size=3, at=0)
    window.clear(now)
    assert sums(window) == (0, 0, 0)
    assert window.size == 3

    window.add(now, error=True, slow=False)
    window.advance(now // 10 * 10 + 29)
    assert sums(window) == (1, 1, 0)
    window.advance(now // 10 * 10 + 30)
    assert sums(window) == (0, 0, 0)


def contents(window: RollingWindow) -> list[object]:
    """Return everything that a window holds."""
    return [getattr(window, name) for name in RollingWindow.__slots__]


@pytest.mark.promise("B7", "B9")
@pytest.mark.parametrize("now", [25, 30, 45, 50, 10**12])
def test_an_interrupt_leaves_the_old_window_or_the_new_one(now: int) -> None:
    """
    Wherever an interrupt falls while buckets leave, the window is as before or as after.
    """
    before, after = filled(), filled()
    after.advance(now)
    seen = [contents(window) for window in interrupted(filled, lambda window: window.advance(now))]
    assert seen
    assert all(each in (contents(before), contents(after)) for each in seen)


@pytest.mark.promise("B7", "B9")
@pytest.mark.parametrize("now", [25, 30, 10**12])
def test_an_interrupt_leaves_sums_that_add_up(now: int) -> None:
    """
    Wherever an interrupt falls while a call is counted, the ring and the sums agree.
    """
    for window in interrupted(filled, lambda window: window.add(now, error=True, slow=True)):
        check_window(window)
    for window in interrupted(filled, lambda window: window.clear(now)):
        assert contents(window) in (contents(filled()), contents(RollingWindow(10, 3, now)))
