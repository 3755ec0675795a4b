from __future__ import annotations

import copy
import enum
import inspect
import math
import pickle
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import ConfigurationError, Settings
from resilience.settings import FIELDS, Fields, fields_of, read

YEAR = 31_536_000
MOST = 2**31 - 1

DEFAULTS: dict[str, Any] = {
    "timeout": 1.0,
    "max_concurrency": 10,
    "volume_threshold": 20,
    "sleep_window": 5.0,
    "error_percent": 50,
    "rolling_window": 10.0,
    "buckets": 10,
    "half_open_calls": 1,
    "half_open_successes": None,
    "slow_call_duration": None,
    "slow_call_percent": 100,
    "fair_share": 0.25,
    "sleep_window_max": None,
    "sleep_window_jitter": 0,
    "max_waiting": 0,
    "max_wait": None,
    "fallback_max_concurrency": None,
    "count_rejections": False,
    "latency_buckets": (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
        *(1.0, 2.5, 5.0, 7.5, 10.0),
    ),
}

TIMES = (
    *("timeout", "sleep_window", "rolling_window", "slow_call_duration"),
    *("sleep_window_max", "max_wait"),
)
COUNTS = {
    "max_concurrency": (0, MOST),
    "volume_threshold": (1, MOST),
    "buckets": (1, 10_000),
    "half_open_calls": (1, MOST),
    "half_open_successes": (1, MOST),
    "max_waiting": (0, MOST),
    "fallback_max_concurrency": (0, MOST),
}
PERCENTS = ("error_percent", "slow_call_percent")
SHARES = ("fair_share", "sleep_window_jitter")
OPTIONAL = {
    *("timeout", "max_concurrency", "half_open_successes", "slow_call_duration"),
    *("sleep_window_max", "max_wait", "fallback_max_concurrency"),
}


class Odd:
    """A value of a type that no setting has."""

    def __repr__(self) -> str:
        return "<odd>"


WRONG_EVERYWHERE: dict[str, Any] = {
    "a text": "5",
    "bytes": b"5",
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "-1": -1,
    "-0.5": -0.5,
    "1e308": 1e308,
    "a huge integer": 10**400,
    "a decimal NaN": Decimal("NaN"),
    "a signalling NaN": Decimal("sNaN"),
    "a decimal infinity": Decimal("Infinity"),
    "a huge decimal": Decimal("1e400"),
    "a complex number": 1 + 0j,
    "an object": Odd(),
    "a negative time": timedelta(seconds=-1),
    "no time": timedelta(0),
    "the longest time": timedelta.max,
    "a list of itself": [[1.0]],
}

WRONG_KINDS: dict[str, dict[str, Any]] = {
    "time": {"0": 0, "0.0": 0.0, "more than a year": YEAR + 1, "True": True, "a tuple": (1.0,)},
    "count": {
        "1.0": 1.0,
        "a decimal": Decimal(1),
        "True": True,
        "one more than most": MOST + 1,
        "a time": timedelta(seconds=1),
    },
    "percent": {
        "0": 0,
        "0.0": 0.0,
        "100.1": 100.1,
        "101": 101,
        "-0": -0.0,
        "True": True,
        "a time": timedelta(seconds=50),
        "a tiny decimal": Decimal("1e-400"),
    },
    "share": {"1.01": 1.01, "2": 2, "False": False, "a time": timedelta(seconds=1)},
    "flag": {"0": 0, "1": 1, "a word": "yes"},
    "times": {
        "nothing": (),
        "equal bounds": (1.0, 1.0),
        "falling bounds": (2.0, 1.0),
        "a zero among them": (0.0, 1.0),
        "a bool among them": (True,),
        "a NaN among them": (1.0, math.nan),
        "a text among them": (1.0, "2"),
        "too many": tuple(range(1, 102)),
        "True": True,
        "a time": timedelta(seconds=1),
        "1": 1,
    },
}

KIND_OF = {
    **dict.fromkeys(TIMES, "time"),
    **dict.fromkeys(COUNTS, "count"),
    **dict.fromkeys(PERCENTS, "percent"),
    **dict.fromkeys(SHARES, "share"),
    "count_rejections": "flag",
    "latency_buckets": "times",
}

WRONG = {
    f"{field}: {what}": (field, value)
    for field, kind in KIND_OF.items()
    for what, value in (WRONG_EVERYWHERE | WRONG_KINDS[kind]).items()
} | {f"{field}: None": (field, None) for field in KIND_OF if field not in OPTIONAL}


def shown(value: object) -> str:
    """How a message shows a value: by its repr, of which 60 characters are enough."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


# -- what is refused


@pytest.mark.promise("K1", "K2")
@pytest.mark.parametrize(("field", "value"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_refused_by_field_value_and_range(field: str, value: object) -> None:
    """
    The error names the field, the values it takes, and the one it was given.
    """
    fields: Any = {field: value}
    with pytest.raises(ConfigurationError) as caught:
        Settings(**fields)
    words = FIELDS[field].words
    assert caught.value.faults == (f"{field} must be {words}, not {shown(value)}",)
    assert str(caught.value) == caught.value.faults[0]
    assert isinstance(caught.value, ValueError)


@pytest.mark.promise("K1")
def test_all_faults_are_reported_together() -> None:
    """
    Each wrong field has a line of its own, in the order they were given, unknown ones among them.
    """
    fields: Any = {**dict.fromkeys(FIELDS, Odd()), "tiemout": 1}
    with pytest.raises(ConfigurationError) as caught:
        Settings(**fields)
    assert [fault.split()[0] for fault in caught.value.faults] == [*FIELDS, "'tiemout'"]
    assert str(caught.value).splitlines() == list(caught.value.faults)


@pytest.mark.promise("K1", "K2")
def test_a_rule_across_fields_is_reported_with_the_other_faults() -> None:
    """
    That the longest sleep window is shorter than the shortest is said beside what else is wrong.
    """
    with pytest.raises(ConfigurationError) as caught:
        Settings(buckets=0, sleep_window=10, sleep_window_max=9)
    assert caught.value.faults == (
        "buckets must be an integer from 1 to 10,000, not 0",
        "sleep_window_max must be at least sleep_window (10) or None, not 9",
    )


@pytest.mark.promise("K2")
def test_the_longest_sleep_window_is_no_shorter_than_the_shortest() -> None:
    """
    Equal is enough; a default counts like a value that was given.
    """
    assert Settings(sleep_window=7, sleep_window_max=7).sleep_window_max == 7
    with pytest.raises(ConfigurationError, match=r"at least sleep_window \(5\) or None, not 4.5"):
        Settings(sleep_window_max=4.5)


@pytest.mark.promise("K1")
def test_nothing_is_compared_with_a_wrong_value() -> None:
    """
    A wrong sleep window is one fault, whatever the longest one is.
    """
    with pytest.raises(ConfigurationError) as caught:
        Settings(sleep_window=-1, sleep_window_max=2)
    assert len(caught.value.faults) == 1


def test_a_misspelt_field_is_shown_the_right_one() -> None:
    """
    An unknown name is answered with the nearest one, or with all of them.
    """
    fields: Any = {"max_concurency": 5, "x": 1}
    with pytest.raises(ConfigurationError) as caught:
        Settings(**fields)
    near, far = caught.value.faults
    assert near == "'max_concurency' is no setting; did you mean max_concurrency?"
    assert far == f"'x' is no setting; there are {', '.join(FIELDS)}"


@pytest.mark.promise("K5")
def test_a_name_that_is_no_text_is_unknown() -> None:
    """
    What comes from a mapping may have keys of any type.
    """
    with pytest.raises(ConfigurationError, match=r"^7 is no setting"):
        read({7: 1})  # type: ignore[dict-item]


def test_a_value_that_cannot_be_shown_is_described() -> None:
    """
    A broken repr, or an integer too long for one, does not replace the error.
    """

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    fields: Any = {"timeout": Broken(), "buckets": 10**5000}
    with pytest.raises(ConfigurationError) as caught:
        Settings(**fields)
    assert [fault.rpartition(", not ")[2] for fault in caught.value.faults] == ["a Broken", "a int"]


def test_settings_are_given_by_keyword_alone() -> None:
    """
    There is no order of settings to remember.
    """
    with pytest.raises(TypeError):
        Settings(1.0)  # type: ignore[misc]


# -- what is taken


@pytest.mark.promise("K2")
@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (5, 5.0),
        (7.5, 7.5),
        (YEAR, float(YEAR)),
        (Decimal("6.25"), 6.25),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (timedelta(days=365), float(YEAR)),
    ],
    ids=str,
)
def test_a_time_is_seconds_or_a_timedelta(field: str, value: Any, plain: float) -> None:
    """
    Whatever a time was written as, the setting is plain seconds.
    """
    fields: Any = {field: value}
    taken = getattr(Settings(**fields), field)
    assert taken == plain
    assert type(taken) is float


@pytest.mark.parametrize("field", [time for time in TIMES if time != "sleep_window_max"])
def test_a_time_may_be_as_short_as_one_likes(field: str) -> None:
    """
    There is no shortest time but zero, which is none.
    """
    fields: Any = {field: 5e-324}
    assert getattr(Settings(**fields), field) == 5e-324


@pytest.mark.promise("K2")
@pytest.mark.parametrize("field", COUNTS)
def test_a_count_takes_both_ends_of_its_range(field: str) -> None:
    """
    The least and the most that the message names are taken, one beyond either is not.
    """
    for value in COUNTS[field]:
        taken = getattr(Settings(**{field: value}), field)  # type: ignore[arg-type]
        assert taken == value
    for value in (COUNTS[field][0] - 1, COUNTS[field][1] + 1):
        with pytest.raises(ConfigurationError, match=f"^{field} must be an integer from"):
            Settings(**{field: value})  # type: ignore[arg-type]


@pytest.mark.promise("K2")
@pytest.mark.parametrize("field", PERCENTS)
@pytest.mark.parametrize("value", [1e-300, 0.1, 50, 100, 100.0, Decimal("33.3333")], ids=str)
def test_a_percentage_is_kept_as_it_was_written(field: str, value: Any) -> None:
    """
    Percents stay what they were, so that nothing of them is rounded.
    """
    fields: Any = {field: value}
    assert getattr(Settings(**fields), field) == value


@pytest.mark.promise("K2")
@pytest.mark.parametrize("field", SHARES)
@pytest.mark.parametrize("value", [0, 0.0, 0.5, 1, Decimal("0.25")], ids=str)
def test_a_share_takes_both_of_its_ends(field: str, value: Any) -> None:
    """
    Nothing and all of it are shares too.
    """
    fields: Any = {field: value}
    taken = getattr(Settings(**fields), field)
    assert taken == float(value)
    assert type(taken) is float


@pytest.mark.parametrize("field", sorted(OPTIONAL))
def test_none_is_taken_where_the_range_says_so(field: str) -> None:
    """
    `None` is a value of its own, not a missing one.
    """
    taken = Settings(**{field: None})  # type: ignore[arg-type]
    assert getattr(taken, field) is None
    assert taken.given == {field}
    assert FIELDS[field].words.endswith(" or None")


def test_histogram_bounds_may_be_any_iterable_of_times() -> None:
    """
    Bounds are read once, and what they were read from may change afterwards.
    """

    def bounds() -> Iterator[float | timedelta]:
        yield timedelta(milliseconds=1)
        yield 2

    source = [0.001, 2.0]
    fields: Any = {"latency_buckets": source}
    taken = Settings(**fields)
    source.append(3.0)
    assert taken.latency_buckets == Settings(latency_buckets=bounds()).latency_buckets
    assert taken.latency_buckets == (0.001, 2.0)
    assert len(Settings(latency_buckets=range(1, 101)).latency_buckets) == 100


# -- what they are


def test_every_default_is_the_documented_one() -> None:
    """
    Settings of which nothing was given are the defaults, and these are in range.
    """
    plain = attrs.asdict(Settings())
    plain.pop("given")
    assert plain == DEFAULTS
    assert Settings(**DEFAULTS) == Settings()


@pytest.mark.promise("K5")
def test_fields_by_keyword_are_those_of_the_settings() -> None:
    """
    Type checkers, checks and the class itself know the same fields.
    """
    fields = [field.name for field in attrs.fields(Settings) if field.name != "given"]
    assert list(Fields.__annotations__) == fields == list(FIELDS) == list(DEFAULTS)


def test_every_field_is_described() -> None:
    """
    The docstring says something of each field, in the order of the class.
    """
    text = inspect.getdoc(Settings) or ""
    section = text.partition("Attributes:\n")[2].partition("\n\n")[0]
    lines = [line[4:] for line in section.splitlines() if not line.startswith(" " * 5)]
    described = dict(line.split(": ", 1) for line in lines)
    assert list(described) == [field.name for field in attrs.fields(Settings)]
    assert all(described.values())


@pytest.mark.promise("K3")
def test_settings_do_not_change() -> None:
    """
    A field can be neither set nor deleted, and none can be added.
    """
    plain: Any = Settings()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        plain.timeout = 2.0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del plain.timeout
    with pytest.raises(AttributeError):
        plain.other = 1


@pytest.mark.promise("K3")
def test_equal_settings_are_one_key() -> None:
    """
    What counts is the values, not how they were written nor whether they were.
    """
    settings = Settings(timeout=timedelta(seconds=1), error_percent=Decimal(50))
    assert settings == Settings()
    assert hash(settings) == hash(Settings())
    assert settings != Settings(timeout=2)
    assert "given" not in repr(settings)
    assert "timeout=1.0" in repr(settings)


def test_what_was_given_is_remembered() -> None:
    """
    A default that was written out is given; `chosen` returns the given fields with their values.
    """
    settings = Settings(volume_threshold=20, timeout=timedelta(seconds=2))
    assert settings.given == {"timeout", "volume_threshold"}
    assert settings.chosen() == {"timeout": 2.0, "volume_threshold": 20}
    assert Settings().given == frozenset()


def test_replaced_settings_keep_what_was_given() -> None:
    """
    `replace` and `copy.replace` change some fields, check them, and leave defaults defaults.
    """
    settings = Settings(timeout=2, buckets=5)
    other = settings.replace(timeout=3, max_wait=1)
    assert other == Settings(timeout=3, buckets=5, max_wait=1)
    assert other.given == {"timeout", "buckets", "max_wait"}
    assert settings.timeout == 2

    replace = getattr(copy, "replace", lambda old, **changes: old.__replace__(**changes))
    assert replace(settings, timeout=3).given == {"timeout", "buckets"}
    with pytest.raises(ConfigurationError):
        settings.replace(timeout=0)


def test_evolved_settings_are_replaced_ones() -> None:
    """
    What works with other attrs classes works with this one.
    """
    settings = Settings(timeout=2, buckets=5)
    assert attrs.evolve(settings, timeout=3) == settings.replace(timeout=3)
    with pytest.raises(ConfigurationError):
        attrs.evolve(settings, timeout=0)


@pytest.mark.promise("I6", "K5")
def test_settings_travel() -> None:
    """
    Copied or pickled, settings are the same and know what was given.
    """
    settings = Settings(timeout=2, error_percent=Decimal("0.1"), latency_buckets=[1, 2])
    for other in (
        copy.copy(settings),
        copy.deepcopy(settings),
        pickle.loads(pickle.dumps(settings)),
    ):
        assert other == settings
        assert other.given == settings.given


# -- what the circuit goes by


@pytest.mark.promise("K2")
def test_rules_are_integers() -> None:
    """
    Times become nanoseconds and percents exact ratios; successes default to the trials at once.
    """
    rules = Settings(
        volume_threshold=7,
        error_percent=0.1,
        slow_call_percent=Decimal("33.3"),
        sleep_window=0.5,
        sleep_window_max=timedelta(minutes=1),
        sleep_window_jitter=0.25,
        half_open_calls=3,
        rolling_window=1,
        buckets=3,
    ).rules()
    assert rules._asdict() == {
        "volume_threshold": 7,
        "error_ratio": (1, 1000),
        "slow_ratio": (333, 1000),
        "sleep_window": 500_000_000,
        "sleep_window_max": 60_000_000_000,
        "sleep_window_jitter": 0.25,
        "half_open_calls": 3,
        "half_open_successes": 3,
        "bucket_width": 333_333_334,
        "buckets": 3,
    }
    assert Settings(half_open_calls=3, half_open_successes=1).rules().half_open_successes == 1
    assert Settings().rules().sleep_window_max is None


@settings(max_examples=200, deadline=None)
@given(percent=st.floats(0, 100, exclude_min=True) | st.decimals("0.0001", 100, places=4))
def test_every_percentage_has_an_exact_ratio(percent: float | Decimal) -> None:
    """
    The ratio is the decimal that stands in the code, divided by a hundred.
    """
    part, whole = Settings(error_percent=percent).rules().error_ratio
    assert 0 < part <= whole
    assert Fraction(str(percent)) == Fraction(100 * part, whole)


class Level(float, enum.Enum):
    """Percentages with names."""

    HALF = 50.0


class Strict(int, enum.Enum):
    """Percentages with names, as integers."""

    FIFTH = 20


@pytest.mark.parametrize(("level", "ratio"), [(Level.HALF, (1, 2)), (Strict.FIFTH, (1, 5))])
def test_a_number_that_prints_as_something_else_is_a_number(
    level: Any, ratio: tuple[int, int]
) -> None:
    """
    A member of an enumeration of numbers means its value.
    """
    assert Settings(error_percent=level).rules().error_ratio == ratio


# -- reading them


def test_what_many_say_alike_is_kept_as_each_has_written_it() -> None:
    """
    37 is equal to 37.0, and not the same.
    """
    for written in (37.0, 37, Decimal(37)):
        (kept,) = fields_of(None, {"error_percent": written}).values()
        assert (kept, type(kept)) == (written, type(written))


def test_settings_and_keywords_come_together() -> None:
    """
    Keywords win over a `Settings` beside them; what is its default is not given.
    """
    both = fields_of(Settings(timeout=2, buckets=5), {"timeout": timedelta(seconds=3)})
    assert both == {"timeout": 3.0, "buckets": 5}
    assert fields_of(None, {}) == {}


@pytest.mark.parametrize("wrong", [{"timeout": 1}, 1, "fast"], ids=str)
def test_settings_that_are_none_are_refused(wrong: Any) -> None:
    """
    Where a `Settings` is expected nothing else will do.
    """
    with pytest.raises(ConfigurationError, match=r"^settings must be a Settings or None, not "):
        fields_of(wrong, {})


def test_fields_that_are_no_mapping_are_refused() -> None:
    """
    Fields have names.
    """
    with pytest.raises(ConfigurationError, match=r"^fields must be a mapping or Settings, not \[1"):
        fields_of(None, [1])  # type: ignore[arg-type]


# -- from Hystrix


def test_hystrix_settings_are_read_by_their_names_and_in_milliseconds() -> None:
    """
    Each JSON name of hystrix-go stands for a field, and rejections count as errors.
    """
    settings = Settings.from_hystrix(
        {
            "timeout": 250,
            "max_concurrent_requests": 7,
            "request_volume_threshold": 8,
            "sleep_window": 1500,
            "error_percent_threshold": 25,
        }
    )
    assert settings == Settings(
        timeout=0.25,
        max_concurrency=7,
        volume_threshold=8,
        sleep_window=1.5,
        error_percent=25,
        count_rejections=True,
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {
            "timeout": 0,
            "max_concurrent_requests": 0,
            "request_volume_threshold": 0,
            "sleep_window": 0,
            "error_percent_threshold": 0,
        },
    ],
    ids=["missing", "zero"],
)
def test_zero_is_the_default_of_hystrix(config: dict[str, int]) -> None:
    """
    A value that is missing or 0 is the default it has there, and counts as given.
    """
    settings = Settings.from_hystrix(config)
    assert settings.chosen() == {
        "timeout": 1.0,
        "max_concurrency": 10,
        "volume_threshold": 20,
        "sleep_window": 5.0,
        "error_percent": 50,
        "count_rejections": True,
    }


@pytest.mark.promise("K1", "K5")
def test_hystrix_faults_are_reported_together() -> None:
    """
    Unknown names, wrong types and values out of range are one error, by the names of there.
    """
    config = {
        "timeout": -5,
        "max_concurrent_requests": True,
        "request_volume_threshold": 2.5,
        "sleep_window": "5s",
        "error_percent_threshold": 400,
        "max_concurent_requests": 5,
        "retries": 3,
    }
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_hystrix(config)
    faults = {fault.split()[0].strip("'"): fault for fault in caught.value.faults}
    assert set(faults) == set(config)
    for name in ("timeout", "max_concurrent_requests", "request_volume_threshold", "sleep_window"):
        assert faults[name].startswith(f"{name} must be an integer from 0")
        assert faults[name].endswith(f", not {config[name]!r}")
    assert faults["error_percent_threshold"].endswith("not 400")
    assert faults["max_concurent_requests"].endswith("did you mean max_concurrent_requests?")
    assert "there are timeout, max_concurrent_requests" in faults["retries"]


@pytest.mark.parametrize("config", [None, 3, [("timeout", 1)], "timeout"], ids=str)
def test_what_is_no_mapping_is_no_hystrix_configuration(config: Any) -> None:
    """
    A list or a text from a JSON file is refused like any other wrong value.
    """
    with pytest.raises(ConfigurationError, match="mapping"):
        Settings.from_hystrix(config)
