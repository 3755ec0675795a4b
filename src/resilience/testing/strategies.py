"""
Hypothesis strategies: any settings, any outcome, any history. Needs hypothesis (extra `testing`).

What they find shrinks to the shortest story that shows it, in whole seconds where that will do:

    >>> from hypothesis import find
    >>> from resilience.testing.strategies import histories
    >>> find(histories(), lambda story: any(step.kind == "hang" for step in story.steps))
    History(hang(1), recover())
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from resilience._units import YEAR, is_integer, show
from resilience.errors import ConfigurationError
from resilience.settings import FIELDS, Settings
from resilience.testing._history import (
    History,
    Kind,
    Step,
    cancel,
    fail,
    hang,
    ok,
    recover,
    refuse,
    slow,
)

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "resilience.testing.strategies needs hypothesis: install python-resilience[testing]",
        name=error.name,
        path=error.path,
    ) from error

__all__ = ["histories", "outcomes", "settings"]

# The first of each is what an example shrinks to.
_TIMES: Final = (1, 0.5, 2, 5, 0.1, 10, 60)
_SPANS: Final = (1, 0.5, 2, 5, 10, 30, 60, 300)
_LONGER: Final = (60, 120, 600)
_COUNTS: Final = (1, 2, 3, 5, 10, 20, 100)
_PERCENTS: Final = (50, 1, 10, 25, 75, 100, 0.1)
_SHARES: Final = (0, 1, 0.5, 0.25, 0.1)

_FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "timeout": (*_TIMES, None),
    "max_concurrency": (*_COUNTS, 0, None),
    "volume_threshold": _COUNTS,
    "sleep_window": _TIMES,
    "error_percent": _PERCENTS,
    "rolling_window": _TIMES,
    "buckets": _COUNTS,
    "half_open_calls": (1, 2, 3, 10),
    "half_open_successes": (1, 2, 3, 10, None),
    "slow_call_duration": (*_TIMES, None),
    "slow_call_percent": _PERCENTS,
    "fair_share": _SHARES,
    "sleep_window_max": (*_LONGER, None),
    "sleep_window_jitter": _SHARES,
    "max_waiting": (0, *_COUNTS),
    "max_wait": (*_TIMES, None),
    "fallback_max_concurrency": (*_COUNTS, 0, None),
    "count_rejections": (False, True),
    "latency_buckets": ((1,), (0.1, 1), (0.01, 0.1, 1, 10)),
}

_LEFT_OUT: Final = object()

_KINDS: Final = (Kind.OK, Kind.FAIL, Kind.REFUSE, Kind.SLOW, Kind.HANG, Kind.CANCEL)
_STEPS: Final[dict[Kind, st.SearchStrategy[Step]]] = {
    Kind.OK: st.builds(ok, st.sampled_from(_SPANS)),
    Kind.FAIL: st.builds(fail, st.sampled_from(_SPANS)),
    Kind.REFUSE: st.builds(refuse, st.sampled_from(_SPANS)),
    Kind.SLOW: st.builds(
        slow, st.sampled_from(_SPANS), takes=st.sampled_from((2, 0.1, 0.5, 1, 5, 30))
    ),
    Kind.HANG: st.builds(hang, st.sampled_from(_SPANS)),
    Kind.CANCEL: st.builds(cancel, st.sampled_from(_SPANS)),
}


def settings(**fixed: Any) -> st.SearchStrategy[Settings]:
    """
    Return a strategy for valid settings of the sizes that programs use.

    Shrinks to as few fields as matter, and those to plain values; the others are left out.

    Args:
        **fixed: Fields of `Settings` that are always as given here.

    Raises:
        ConfigurationError: What is fixed is out of its range.

    Example:
        >>> from hypothesis import given
        >>> from resilience import Registry
        >>> from resilience.testing.strategies import settings
        >>> @given(settings(max_concurrency=1))
        ... def test_one_call_is_admitted_whatever_the_rest_says(chosen):
        ...     Registry().command("orders", chosen).acquire().succeed()
        >>> test_one_call_is_admitted_whatever_the_rest_says()
    """
    given = Settings(**fixed).chosen()
    values = dict(_FIELDS)
    longest = given.get("sleep_window_max")
    if "sleep_window" in given:
        shortest = given["sleep_window"]
        values["sleep_window_max"] = (shortest, min(10 * shortest, YEAR), None)
    elif longest is not None:
        values["sleep_window"] = tuple(length for length in _TIMES if length <= longest)
    return _settings(given, {name: values[name] for name in FIELDS if name not in given})


@st.composite
def _settings(
    draw: st.DrawFn, given: dict[str, Any], values: dict[str, tuple[Any, ...]]
) -> Settings:
    """Draw settings; each field that is not given shrinks to being left out."""
    chosen = {name: draw(st.sampled_from((_LEFT_OUT, *some))) for name, some in values.items()}
    fields = given | {name: value for name, value in chosen.items() if value is not _LEFT_OUT}
    # Drawn, not made: so it is shown with the fields it was made of, and no others.
    return draw(st.builds(Settings, **{name: st.just(value) for name, value in fields.items()}))


def outcomes(kinds: Collection[str] = _KINDS) -> st.SearchStrategy[Step]:
    """
    Return a strategy for what becomes of calls for some time: one step of a history.

    Shrinks towards `ok(1)`, then `fail(1)`.

    Args:
        kinds: Which there may be: of ok, fail, refuse, slow, hang and cancel, at least one.

    Raises:
        ConfigurationError: One of `kinds` is something else, or there is none.

    Example:
        >>> from hypothesis import find
        >>> from resilience.testing.strategies import outcomes
        >>> find(outcomes(), lambda step: step.takes > 0)
        slow(1, takes=2)
    """
    return st.sampled_from(_read(kinds)).flatmap(_STEPS.__getitem__)


def histories(
    kinds: Collection[str] = _KINDS,
    *,
    min_steps: int = 0,
    max_steps: int = 6,
    recovers: bool = True,
) -> st.SearchStrategy[History]:
    """
    Return a strategy for histories of a dependency.

    Shrinks to few steps, and those to `ok(1)`, `fail(1)` and the like.

    Args:
        kinds: Which steps there may be: of ok, fail, refuse, slow, hang and cancel, at least one.
        min_steps: How many there must be besides `recover()`, from 0 on; one is needed without it.
        max_steps: How many there may be besides `recover()`, from `min_steps` and 1 on.
        recovers: Whether `recover()` is the last; otherwise it is one of the others, and holds.

    Raises:
        ConfigurationError: One of `kinds` is something else, or `min_steps` or `max_steps` is no
            such integer.

    Example:
        >>> from hypothesis import given
        >>> from resilience.testing.strategies import histories
        >>> @given(histories(["fail", "refuse"], max_steps=3))
        ... def test_it_ends_well(history):
        ...     assert history.at(history.recovers_at).kind == "recover"
        >>> test_it_ends_well()
    """
    step = outcomes(kinds)
    faults: list[str] = []
    if not (is_integer(min_steps) and min_steps >= 0):
        faults.append(f"min_steps must be an integer from 0 on, not {show(min_steps)}")
    if not (is_integer(max_steps) and max_steps >= 1):
        faults.append(f"max_steps must be an integer from 1 on, not {show(max_steps)}")
    if not faults and max_steps < min_steps:
        faults.append(f"max_steps must be at least min_steps ({min_steps}), not {max_steps}")
    if faults:
        raise ConfigurationError(*faults)
    end = (recover(),) if recovers else ()
    fewest = max(min_steps, 1 - len(end))
    return st.lists(step, min_size=fewest, max_size=max_steps).map(
        lambda steps: History(*steps, *end)
    )


def _read(kinds: Collection[str]) -> list[Kind]:
    """Return the kinds in the order in which examples shrink."""
    words = ", ".join(_KINDS)
    given = {kinds} if isinstance(kinds, str) else set(kinds)
    faults = [f"kinds must be of {words}, not {show(kind)}" for kind in given - set(_KINDS)]
    if not given:
        faults.append(f"kinds must be at least one of {words}")
    if faults:
        raise ConfigurationError(*sorted(faults))
    return [kind for kind in _KINDS if kind in given]
