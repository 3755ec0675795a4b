from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import resilience.testing as kit
from resilience import ConfigurationError
from resilience.testing import (
    History,
    cancel,
    fail,
    hang,
    ok,
    recover,
    refuse,
    slow,
)

STORY = History(ok(3), slow(2, takes=0.5), fail(), hang(0.25), refuse(1), cancel(1), recover())


def test_a_history_can_be_pasted_back_into_a_test() -> None:
    """
    Its repr is what makes it.
    """
    text = (
        "History(ok(3), slow(2, takes=0.5), fail(1), hang(0.25), refuse(1), cancel(1), recover())"
    )
    assert repr(STORY) == text
    assert eval(text, vars(kit)) == STORY
    assert hash(eval(text, vars(kit))) == hash(STORY)


def test_a_history_tells_what_holds_when() -> None:
    """
    A step begins where the one before it ends, and the last holds for ever.
    """
    moments = (0, 2.999, 3, 4.999, 5, 6, 6.25, 7.25, 8.25, 1e9)
    assert [STORY.at(seconds).kind for seconds in moments] == [
        "ok", "ok", "slow", "slow", "fail", "hang", "refuse", "cancel", "recover", "recover",
    ]  # fmt: skip
    assert STORY.recovers_at == 8.25
    assert History(fail(2)).at(99) == fail(2)
    assert History(fail(2)).recovers_at is None
    assert History(recover()).recovers_at == 0.0


def test_a_step_lasts_a_second_unless_it_is_told_otherwise() -> None:
    """
    And a slow answer takes two.
    """
    steps = [step() for step in (ok, slow, fail, hang, refuse, cancel)]
    assert str(steps) == "[ok(1), slow(1, takes=2), fail(1), hang(1), refuse(1), cancel(1)]"


def test_a_step_takes_a_timedelta_as_well() -> None:
    """
    Seconds are a number or a `timedelta`.
    """
    assert ok(timedelta(minutes=1)) == ok(60)
    assert ok(timedelta(days=365)).lasts == 31_536_000  # the longest there is


@pytest.mark.parametrize("step", [ok, slow, fail, hang, refuse, cancel])
@pytest.mark.parametrize("lasts", [0, -1, float("inf"), True, "1", None])
def test_a_step_of_no_length_is_refused(step: Any, lasts: Any) -> None:
    """
    The message names the field, its range and the value.
    """
    with pytest.raises(ConfigurationError) as caught:
        step(lasts)
    assert str(caught.value) == f"lasts must be a time in (0, 31,536,000] seconds, not {lasts!r}"


def test_a_slow_answer_takes_some_time() -> None:
    """
    Nothing is slow in no time.
    """
    with pytest.raises(ConfigurationError, match=r"takes must be a time in \(0, .*, not 0"):
        slow(1, takes=0)


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ((), "steps must be 1 or more, not 0"),
        (([ok()],), r"steps must be those of ok\(\), .*, not \[ok\(1\)\]"),
        ((recover(), fail(2)), r"recover\(\) must be the last step, not followed by fail\(2\)"),
    ],
)
def test_a_wrong_history_is_refused(steps: Any, fault: str) -> None:
    """
    A history is steps, one at least, with nothing after the end.
    """
    with pytest.raises(ConfigurationError, match=fault):
        History(*steps)
