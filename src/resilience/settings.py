"""
Settings: every default and every check, once.

A setting's default, its range and the words for its range stand in one line of `Settings`. The
documentation's tables, the error messages and `resilience_setting` are all read from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

import attrs

from resilience._core.circuit import Rules
from resilience._ranges import (
    TIME,
    UP,
    Range,
    a_count,
    a_flag,
    a_percent,
    a_share,
    a_time,
    ranged,
    some_times,
)
from resilience._units import YEAR, nanoseconds, show
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from decimal import Decimal

    from resilience._units import Duration

__all__ = ["Fields", "Settings"]


class Fields(TypedDict, total=False):
    """The settings by keyword, for type checkers; their meaning stands in `Settings`."""

    timeout: Duration | None
    max_concurrency: int | None
    volume_threshold: int
    sleep_window: Duration
    error_percent: float | Decimal
    rolling_window: Duration
    buckets: int
    half_open_calls: int
    half_open_successes: int | None
    slow_call_duration: Duration | None
    slow_call_percent: float | Decimal
    fair_share: float
    sleep_window_max: Duration | None
    sleep_window_jitter: float
    max_waiting: int
    max_wait: Duration | None
    fallback_max_concurrency: int | None
    count_rejections: bool
    latency_buckets: Iterable[Duration]


@attrs.frozen(kw_only=True, init=False)
class Settings:
    """
    How a command behaves: frozen, hashable, checked as a whole.

    Times are seconds as `float` or `timedelta`, in (0, 31,536,000]. Percents are exact decimals as
    written: `0.1` is one in a thousand.

    Attributes:
        timeout: Seconds a call may take; `None`: as long as it likes. Async code is cut off; for
            sync code see `command`. Of a stream it bounds the wait for each item.
        max_concurrency: Calls running at once; `None`: no limit; 0 refuses all.
        volume_threshold: Calls in the window before the circuit may open.
        sleep_window: Seconds the circuit stays open before a trial call.
        error_percent: The circuit opens at this share of errors or above, in percent.
        rolling_window: Seconds of statistics that count.
        buckets: How many steps the window moves on in; a step is rounded up to a nanosecond.
        half_open_calls: Trial calls at once.
        half_open_successes: Successes that close; `None`: as many as `half_open_calls`.
        slow_call_duration: Seconds from which on a call is slow, whatever its outcome; `None`:
            none is.
        slow_call_percent: The circuit opens at this share of slow calls or above, in percent.
        fair_share: Share of `timeout` after which a call that its caller's deadline cut off counts
            as a timeout.
        sleep_window_max: Each failed trial doubles the sleep window up to so many seconds; `None`:
            it stays as it is.
        sleep_window_jitter: Share of the sleep window added to it at random.
        max_waiting: Callers that may wait for a slot.
        max_wait: Longest wait for a slot, in seconds; `None`: as long as `timeout`.
        fallback_max_concurrency: Fallbacks running at once; `None`: no limit.
        count_rejections: Whether bulkhead rejections count as errors, as in Hystrix.
        latency_buckets: Bounds of the duration histogram, in seconds, increasing.
        given: The fields that were written out, as against left to their defaults.

    Raises:
        ConfigurationError: Naming each wrong field with its value and range, all faults together.

    Example:
        >>> from resilience import Settings
        >>> Settings(timeout=0.5, error_percent=25).sleep_window
        5.0
        >>> Settings(timeout=-1, buckets=0)
        Traceback (most recent call last):
            ...
        resilience.ConfigurationError: timeout must be a time in (0, 31,536,000] seconds or None, not -1
        buckets must be an integer from 1 to 10,000, not 0
    """  # noqa: E501 - the message is as long as that

    __module__ = "resilience"

    timeout: float | None = ranged(1.0, f"{TIME} or None", a_time)
    max_concurrency: int | None = ranged(10, f"an integer from 0 {UP} or None", a_count(0))
    volume_threshold: int = ranged(20, f"an integer from 1 {UP}", a_count(1))
    sleep_window: float = ranged(5.0, TIME, a_time)
    error_percent: float | Decimal = ranged(50, "a percentage in (0, 100]", a_percent)
    rolling_window: float = ranged(10.0, TIME, a_time)
    buckets: int = ranged(10, "an integer from 1 to 10,000", a_count(1, 10_000))
    half_open_calls: int = ranged(1, f"an integer from 1 {UP}", a_count(1))
    half_open_successes: int | None = ranged(None, f"an integer from 1 {UP} or None", a_count(1))
    slow_call_duration: float | None = ranged(None, f"{TIME} or None", a_time)
    slow_call_percent: float | Decimal = ranged(100, "a percentage in (0, 100]", a_percent)
    fair_share: float = ranged(0.25, "a number in [0, 1]", a_share)
    sleep_window_max: float | None = ranged(None, f"{TIME} or None", a_time)
    sleep_window_jitter: float = ranged(0, "a number in [0, 1]", a_share)
    max_waiting: int = ranged(0, f"an integer from 0 {UP}", a_count(0))
    max_wait: float | None = ranged(None, f"{TIME} or None", a_time)
    fallback_max_concurrency: int | None = ranged(
        None, f"an integer from 0 {UP} or None", a_count(0)
    )
    count_rejections: bool = ranged(default=False, words="True or False", read=a_flag)
    latency_buckets: tuple[float, ...] = ranged(
        (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
        f"1 to 100 increasing times in (0, {YEAR:,}] seconds",
        some_times,
    )
    given: frozenset[str] = attrs.field(init=False, eq=False, repr=False)

    def __init__(self, **fields: Unpack[Fields]) -> None:
        plain, faults = _read(dict(fields))
        wrong = fields.keys() - plain.keys()
        faults += _contradictions({**_DEFAULTS, **plain}, dict(fields), wrong)
        if faults:
            raise ConfigurationError(*faults)
        attrs_init: Any = getattr(self, "__attrs_init__")  # noqa: B009 - unknown to type checkers
        attrs_init(**plain)
        object.__setattr__(self, "given", frozenset(plain))

    def replace(self, **fields: Unpack[Fields]) -> Settings:
        """
        Return these settings with some fields changed.

        Args:
            **fields: The fields to change.

        Raises:
            ConfigurationError: A field is wrong.

        Example:
            >>> from resilience import Settings
            >>> Settings(timeout=0.5).replace(error_percent=25).timeout
            0.5
        """
        changed: dict[str, Any] = {**self.chosen(), **fields}
        return Settings(**changed)

    __replace__ = replace

    def chosen(self) -> dict[str, Any]:
        """
        Return the fields that were given, with their values.

        Example:
            >>> from resilience import Settings
            >>> Settings(timeout=0.5).chosen()
            {'timeout': 0.5}
        """
        return {name: getattr(self, name) for name in FIELDS if name in self.given}

    @classmethod
    def from_hystrix(cls, config: Mapping[str, Any]) -> Settings:
        """
        Read the settings of hystrix-go: its JSON names, milliseconds, and 0 for its default.

        `count_rejections` is set, since there a rejection is an error.

        Args:
            config: `timeout`, `max_concurrent_requests`, `request_volume_threshold`,
                `sleep_window` and `error_percent_threshold`, or some of them; times are integers
                of milliseconds.

        Raises:
            ConfigurationError: A key is unknown, or a value is no integer from 0 on or out of the
                range of its field.

        Example:
            >>> from resilience import Settings
            >>> Settings.from_hystrix({"timeout": 500, "error_percent_threshold": 0}).timeout
            0.5
        """
        if not isinstance(config, Mapping):
            raise ConfigurationError(f"a Hystrix configuration is a mapping, not {show(config)}")
        given: dict[str, Any] = dict(config)
        faults = [_unknown(key, _HYSTRIX) for key in given if key not in _HYSTRIX]
        fields: dict[str, Any] = {"count_rejections": True}
        amount_of = Range(f"an integer from 0 {UP}", a_count(0))
        for key, (name, default, scale) in _HYSTRIX.items():
            try:
                amount = amount_of(key, given.get(key, 0)) or default
                fields[name] = FIELDS[name](key, amount / scale if scale > 1 else amount)
            except ValueError as fault:
                faults.append(str(fault))
        if faults:
            raise ConfigurationError(*faults)
        return cls(**fields)

    @lru_cache(maxsize=1024)  # noqa: B019 - few of them differ
    def bounds(self) -> tuple[int, ...]:
        """Return the bounds of the latency buckets in nanoseconds."""
        return tuple(nanoseconds(bound) for bound in self.latency_buckets)

    def rules(self) -> Rules:
        """Return what the circuit goes by, in integers."""
        return _rules(self, *_written(self))


FIELDS: Final[dict[str, Range]] = {
    field.name: field.metadata["range"]
    for field in attrs.fields(Settings)
    if "range" in field.metadata
}

# hystrix-go's JSON name: ours, its default, and how many of its units make one of ours.
_HYSTRIX: Final = {
    "timeout": ("timeout", 1000, 1000),
    "max_concurrent_requests": ("max_concurrency", 10, 1),
    "request_volume_threshold": ("volume_threshold", 20, 1),
    "sleep_window": ("sleep_window", 5000, 1000),
    "error_percent_threshold": ("error_percent", 50, 1),
}


_DEFAULTS: Final = {field.name: field.default for field in attrs.fields(Settings)}


def read(fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Check settings by keyword and return them as plain values.

    Raises:
        ConfigurationError: All faults together, unknown names among them.
    """
    plain, faults = _read(fields)
    if faults:
        raise ConfigurationError(*faults)
    return plain


def _read(fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    plain: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in fields.items():
        if name not in FIELDS:
            faults.append(_unknown(name, FIELDS))
            continue
        try:
            plain[name] = FIELDS[name](name, value)
        except ValueError as fault:
            faults.append(str(fault))
    return plain, faults


def _contradictions(
    plain: Mapping[str, Any], fields: Mapping[str, Any], wrong: AbstractSet[str]
) -> list[str]:
    """Return the faults between fields, where each of them is right by itself."""
    shortest, longest = plain["sleep_window"], plain["sleep_window_max"]
    if longest is None or longest >= shortest or "sleep_window" in wrong:
        return []
    written = show(fields.get("sleep_window_max", longest))
    return [f"sleep_window_max must be at least sleep_window ({shortest:g}) or None, not {written}"]


def shared(settings: Settings) -> Settings:
    """Return the one of equal settings that many names share."""
    return _first(settings, settings.given, *_written(settings))


def _written(settings: Settings) -> tuple[str, str]:
    """Return what equal settings may differ in: 50 is 50.0, and a Decimal may be a float."""
    return repr(settings.error_percent), repr(settings.slow_call_percent)


@lru_cache(maxsize=1024)
def _first(settings: Settings, *_: object) -> Settings:
    return settings


@lru_cache(maxsize=1024)
def _rules(settings: Settings, *_: str) -> Rules:
    longest = settings.sleep_window_max
    return Rules(
        volume_threshold=settings.volume_threshold,
        error_ratio=_ratio(settings.error_percent),
        slow_ratio=_ratio(settings.slow_call_percent),
        sleep_window=nanoseconds(settings.sleep_window),
        sleep_window_max=None if longest is None else nanoseconds(longest),
        sleep_window_jitter=settings.sleep_window_jitter,
        half_open_calls=settings.half_open_calls,
        half_open_successes=settings.half_open_successes or settings.half_open_calls,
        bucket_width=-(-nanoseconds(settings.rolling_window) // settings.buckets),
        buckets=settings.buckets,
    )


def fields_of(settings: Settings | None, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return what a `settings` argument and fields by keyword give together; keywords win.

    What many names say alike is kept once, so it is not to be changed.
    """
    if settings is not None and not isinstance(settings, Settings):
        raise ConfigurationError(f"settings must be a Settings or None, not {show(settings)}")
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"fields must be a mapping or Settings, not {show(fields)}")
    given = {} if settings is None else settings.chosen()
    plain = {**given, **read(fields)}
    return _alike(tuple(plain), *plain.values())


@lru_cache(maxsize=1024, typed=True)  # 50 is not 50.0
def _alike(names: tuple[str, ...], *values: Any) -> Mapping[str, Any]:
    return dict(zip(names, values, strict=True))


def _unknown(name: object, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - nearly always for nothing

    near = get_close_matches(str(name)[:60], list(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
    return f"{show(name)} is no setting{hint}"


def _ratio(percent: float | Decimal) -> tuple[int, int]:
    if percent == (whole := int(percent)):
        shared = gcd(whole, 100)
        return whole // shared, 100 // shared
    from fractions import Fraction  # noqa: PLC0415 - nearly always for nothing

    # By way of its text: 0.1 is the tenth that was written, not the float nearest to it.
    return (Fraction(str(percent)) / 100).as_integer_ratio()
