from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import Phase, find, given
from hypothesis import strategies as st

from resilience import ConfigurationError, Registry, Settings
from resilience.settings import FIELDS
from resilience.testing import History, Step, cancel, fail, hang, ok, recover, refuse, slow
from resilience.testing.strategies import histories, outcomes, settings

KINDS = ["ok", "fail", "refuse", "slow", "hang", "cancel"]
STEPS = {
    "ok": ok(), "fail": fail(), "refuse": refuse(), "slow": slow(), "hang": hang(),
    "cancel": cancel(),
}  # fmt: skip

quick = hypothesis.settings(
    database=None, derandomize=True, deadline=None, phases=[Phase.generate, Phase.shrink]
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_shrinks_to_one_second_of_it(kind: str) -> None:
    """
    Whatever was drawn: what is left is the shortest way to write it.
    """
    found = find(outcomes(), lambda step: step.kind == kind, settings=quick)
    assert found == STEPS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_history_shrinks_to_the_step_that_matters(kind: str) -> None:
    """
    The story of a failure is the failure and the recovery.
    """
    found = find(
        histories(), lambda story: any(step.kind == kind for step in story.steps), settings=quick
    )
    assert found == History(STEPS[kind], recover())


def test_an_order_of_events_shrinks_to_these_events() -> None:
    """
    A failure that hides behind another one keeps both, and nothing else.
    """

    def fails_after_hanging(story: History) -> bool:
        kinds = [step.kind.value for step in story.steps]
        return "hang" in kinds and "fail" in kinds[kinds.index("hang") :]

    assert find(histories(), fails_after_hanging, settings=quick) == History(
        hang(1), fail(1), recover()
    )


def test_a_length_that_matters_shrinks_to_a_round_one() -> None:
    """
    As long as need be, in a number one would write.
    """
    found = find(
        histories(["fail"]),
        lambda story: story.recovers_at > 5,
        settings=quick,
    )
    assert found == History(fail(10), recover())


@given(histories(["ok", "hang"], min_steps=2, max_steps=3, recovers=False))
def test_a_history_has_what_was_asked_for(story: History) -> None:
    """
    Kinds, number of steps, and how it ends.
    """
    assert {step.kind.value for step in story.steps} <= {"ok", "hang"}
    assert 2 <= len(story.steps) <= 3
    assert story.recovers_at is None


@given(st.data())
def test_a_history_ends_well_unless_asked_otherwise(data: st.DataObject) -> None:
    """
    The last step is `recover()`, after six others at most.
    """
    story = data.draw(histories())
    assert story.steps[-1] == recover()
    assert len(story.steps) <= 7


@given(st.data())
def test_a_history_may_be_a_single_step(data: st.DataObject) -> None:
    """
    As many as were asked for, and no fewer.
    """
    story = data.draw(histories(min_steps=1, max_steps=1, recovers=False))
    assert len(story.steps) == 1


@pytest.mark.parametrize(("recovers", "least"), [(True, recover()), (False, ok())])
def test_a_history_has_at_least_one_step(recovers: bool, least: Step) -> None:
    """
    Which is `recover()` where it ends so.
    """
    found = find(histories(recovers=recovers), lambda _: True, settings=quick)
    assert found == History(least)


@given(settings())
def test_settings_are_valid_and_work(chosen: Settings) -> None:
    """
    Any of them makes a command.
    """
    assert Registry().command("users", chosen).settings.chosen().keys() >= chosen.given


@hypothesis.settings(max_examples=30)
@given(settings(sleep_window=100, timeout=0.5))
def test_fixed_fields_stay(chosen: Settings) -> None:
    """
    And the others fit them.
    """
    assert (chosen.sleep_window, chosen.timeout) == (100, 0.5)


@pytest.mark.parametrize(
    ("fixed", "drawn"),
    [
        ({"sleep_window": 100}, {"sleep_window_max": 100}),
        ({"sleep_window": 100}, {"sleep_window_max": 1000}),
        ({"sleep_window": 100}, {"sleep_window_max": None}),
        ({"sleep_window_max": 10}, {"sleep_window": 10}),
        ({"sleep_window_max": None}, {}),
    ],
)
def test_sleep_windows_that_fit_are_all_drawn(fixed: Any, drawn: Any) -> None:
    """
    Whichever of the two is fixed, the other one has what goes with it.
    """
    found = find(
        settings(**fixed),
        lambda chosen: drawn.items() <= chosen.chosen().items(),
        settings=hypothesis.settings(quick, max_examples=1000),
    )
    assert found.chosen() == fixed | drawn


@hypothesis.settings(max_examples=30)
@given(st.data())
def test_a_fixed_maximum_bounds_the_sleep_window(data: st.DataObject) -> None:
    """
    `sleep_window` is never longer than a `sleep_window_max` that is fixed.
    """
    chosen = data.draw(settings(sleep_window_max=10))
    assert chosen.sleep_window <= chosen.sleep_window_max == 10


def test_settings_may_be_fixed_altogether() -> None:
    """
    Then there is one.
    """
    fixed: dict[str, Any] = {name: getattr(Settings(), name) for name in FIELDS}
    assert find(settings(**fixed), lambda _: True, settings=quick) == Settings()


def test_settings_shrink_to_the_field_that_matters() -> None:
    """
    The others are at their defaults, and a failing test shows only what was chosen.
    """
    found = find(settings(), lambda chosen: chosen.max_concurrency == 3, settings=quick)
    assert found.chosen() == {"max_concurrency": 3}

    @quick
    @given(settings())
    def fails(chosen: Settings) -> None:
        assert chosen.max_concurrency != 3

    with pytest.raises(AssertionError) as caught:
        fails()
    assert "Settings(max_concurrency=3)" in "".join("\n".join(caught.value.__notes__).split())


@pytest.mark.parametrize(
    ("ask", "fault"),
    [
        (lambda: outcomes(["boil"]), "kinds must be of ok, fail, .*, not 'boil'"),
        (lambda: outcomes("recover"), "kinds must be of ok, fail, .*, not 'recover'"),
        (lambda: outcomes([]), "kinds must be at least one of ok, fail"),
        (lambda: histories(max_steps=0), "max_steps must be an integer from 1 on, not 0"),
        (lambda: histories(max_steps=True), "max_steps must be an integer from 1 on, not True"),
        (lambda: histories(min_steps=-1), "min_steps must be an integer from 0 on, not -1"),
        (
            lambda: histories(min_steps=4, max_steps=3),
            r"max_steps must be at least min_steps \(4\), not 3",
        ),
        (lambda: settings(timeout=-1), "timeout must be a time in"),
    ],
)
def test_a_wrong_argument_is_refused(ask: Any, fault: str) -> None:
    """
    When the strategy is asked for, not when it is drawn from.
    """
    with pytest.raises(ConfigurationError, match=fault):
        ask()
