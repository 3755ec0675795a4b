from __future__ import annotations

import os
from typing import Any

import attrs
import pytest

from resilience import CircuitOpenError, Command, Outcome, Override, Registry, Window
from resilience.hystrix_stream._feed import NOTHING_NEW, PING, Feed
from resilience.hystrix_stream._rolling import MARKS, Past, Rolling, percentiles
from resilience.hystrix_stream._rows import COLUMNS, row
from resilience.testing import FakeClock
from tests.support.visitor import events


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves when it is told to."""
    return FakeClock()


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """Keep commands apart from those of other tests."""
    return Registry(clock=clock)


@pytest.fixture
def cmd(registry: Registry) -> Command:
    """Make a command that was called once."""
    cmd = registry.command("users", rolling_window=10.0)
    cmd.call(len, "abc")
    return cmd


def ok(rolling: Rolling) -> int:
    """Return how many calls succeeded."""
    return rolling.of(Outcome.SUCCESS)


def feed(registry: Registry, clock: FakeClock, *, max_commands: int = 1000) -> Feed:
    """Make what readers share."""
    return Feed(
        registry, interval=1.0, max_commands=max_commands, clock=clock, facts={"controls": False}
    )


def rows(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an event by their columns."""
    return [dict(zip(COLUMNS, values, strict=True)) for values in event["rows"]]


# -- the past


def test_it_begins_with_the_first_look(clock: FakeClock, cmd: Command) -> None:
    """What happened before anybody looked is not counted, and no rate is made up."""
    rolling = Past().look(cmd.snapshot())
    assert (rolling.span, ok(rolling), rolling.executed, rolling.mean) == (0, 0, 0, 0)
    assert set(rolling.durations) == set(rolling.rates) == {0}


@pytest.mark.parametrize("window", [0.5, 10.0, 3600.0, 31_536_000.0])
def test_it_is_bounded_however_long_the_window(
    registry: Registry, clock: FakeClock, window: float
) -> None:
    """A look a second keeps no more instants of a long window than of a short one."""
    cmd = registry.command("long", rolling_window=window)
    past = Past()
    for _ in range(5 * MARKS):
        clock.advance(max(1.0, window / 100))
        cmd.call(len, "abc")
        rolling = past.look(cmd.snapshot())
    assert len(past._marks) <= MARKS + 2
    assert rolling.span <= 1.05 * window + 1
    assert ok(rolling) == round(rolling.span / max(1.0, window / 100))


def test_a_pause_is_not_spread_over_the_window(clock: FakeClock, cmd: Command) -> None:
    """After a time in which nobody looked, what happened in it is not taken for the present."""
    past = Past()
    past.look(cmd.snapshot())
    for _ in range(100):
        clock.advance(36)
        cmd.call(len, "abc")
    rolling = past.look(cmd.snapshot())
    assert (rolling.span, ok(rolling)) == (0, 0)


@pytest.mark.parametrize(("pause", "span"), [(20.0, 20.0), (20.001, 0.0)])
def test_a_past_is_of_use_for_half_a_window_and_five_seconds_more(
    clock: FakeClock, cmd: Command, pause: float, span: float
) -> None:
    """Who comes back within them goes on with what was; later on it begins anew."""
    past = Past()
    past.look(cmd.snapshot())
    clock.advance(pause)
    assert past.look(cmd.snapshot()).span == span


def test_time_passes_for_the_idle_too(clock: FakeClock, cmd: Command) -> None:
    """Where nothing happens the span grows up to the window, and the counts stay."""
    past = Past()
    past.look(cmd.snapshot())
    cmd.call(len, "abc")
    found = []
    for _ in range(4):
        clock.advance(3)
        rolling = past.look(cmd.snapshot())
        found.append((rolling.span, ok(rolling), sum(rolling.rates)))
    assert found == [(3, 1, 1 / 3), (6, 1, 0), (9, 1, 0), (12, 1, 0)]


def test_rates_are_those_since_the_last_look(clock: FakeClock, cmd: Command) -> None:
    """However soon that is; of two looks at one instant the second knows of no rate."""
    past = Past()
    past.look(cmd.snapshot())
    found = []
    for pause in (0.5, 0, 2):
        clock.advance(pause)
        cmd.call(len, "abc")
        found.append(past.look(cmd.snapshot()).rates[Outcome.SUCCESS.place])
    assert found == [2, 0, 0.5]


def test_a_window_is_told_apart_by_its_sixtieths(clock: FakeClock, registry: Registry) -> None:
    """With a look at each of them, a call is counted for a window and no longer."""
    cmd = registry.command("users", rolling_window=60.0)
    past = Past()
    past.look(cmd.snapshot())
    counts = []
    for second in range(1, 62):
        clock.advance(1)
        if second == 1:
            cmd.call(len, "abc")
        counts.append(ok(past.look(cmd.snapshot())))
    assert counts == [1] * 60 + [0]


def test_a_short_pause_loses_nothing(clock: FakeClock, cmd: Command) -> None:
    """A reader that comes back soon finds the window as it left it."""
    past = Past()
    past.look(cmd.snapshot())
    clock.advance(4)
    cmd.call(len, "abc")
    rolling = past.look(cmd.snapshot())
    assert (rolling.span, ok(rolling), rolling.rates[Outcome.SUCCESS.place]) == (4, 1, 0.25)


def test_what_is_created_anew_begins_anew(
    registry: Registry, clock: FakeClock, cmd: Command
) -> None:
    """Totals that went back, or other buckets, make no negative counts."""
    past = Past()
    past.look(cmd.snapshot())
    clock.advance(1)
    registry.remove("users")
    registry.command("users").call(len, "abc")
    again = registry.get("users")
    cmd.call(len, "abc")
    assert again is not None
    assert (again.totals[Outcome.SUCCESS], cmd.snapshot().totals[Outcome.SUCCESS]) == (1, 2)
    past.look(cmd.snapshot())
    rolling = past.look(again)
    assert (rolling.span, ok(rolling)) == (0, 0)
    clock.advance(1)
    registry.configure("users", latency_buckets=(0.5, 1.0))
    registry.command("users").call(len, "abc")
    changed = registry.get("users")
    assert changed is not None
    assert past.look(changed).executed == 0


def test_most_in_flight_is_remembered_between_marks(clock: FakeClock, cmd: Command) -> None:
    """A peak counts for a whole window, also one of looks that follow quickly on another."""
    past = Past()
    past.look(cmd.snapshot())
    clock.advance(0.01)
    with cmd.acquire(), cmd.acquire():
        assert past.look(cmd.snapshot()).most_in_flight == 2
    clock.advance(9)
    assert past.look(cmd.snapshot()).most_in_flight == 2
    clock.advance(10)
    assert past.look(cmd.snapshot()).most_in_flight == 0


def test_percentiles_are_in_order_and_in_their_buckets() -> None:
    """Each percentile lies in the bucket that its call is in, in proportion."""
    found = percentiles((0, 100, 0, 100, 0), (1.0, 2.0, 3.0, 4.0))
    assert found == (1.0, 1.5, 2.0, 3.5, 3.8, 3.9, 3.98, 3.99, 4.0)
    assert percentiles((1,), (1.0,))[0] == 0.0


# -- the feed


def test_readers_share_a_look(clock: FakeClock, registry: Registry, cmd: Command) -> None:
    """Whoever asks within an interval is given the same look, and the very same bytes."""
    shared = feed(registry, clock)
    first = shared.hystrix()
    clock.advance(0.5)
    assert shared.hystrix() is first
    assert shared.look().version == 1
    clock.advance(0.5)
    assert shared.hystrix() is not first
    assert shared.look().version == 2


def test_a_reader_may_be_early_by_a_tenth(clock: FakeClock, registry: Registry) -> None:
    """Who has slept for an interval finds a new look, although sleep is not exact."""
    shared = feed(registry, clock)
    shared.look()
    clock.advance(0.89)
    assert shared.look().version == 1
    clock.advance(0.01)
    assert shared.look().version == 2


def test_new_pages_share_their_first_event(
    clock: FakeClock, registry: Registry, cmd: Command
) -> None:
    """What is sent to all who come within an interval is made once."""
    shared = feed(registry, clock)
    assert shared.page(None)[1] is shared.page(None)[1]


@pytest.mark.parametrize(("names", "is_long"), [(100, False), (101, True)])
def test_more_than_a_hundred_names_are_many(names: int, is_long: bool) -> None:
    """From the first look on, on a clock that begins with zero."""
    registry = Registry(clock=lambda: 0)
    for number in range(names):
        registry.command(f"c{number}")
    shared = Feed(registry, interval=1.0, max_commands=1000, clock=lambda: 0, facts={})
    assert shared.is_long is is_long


def test_nothing_is_read_while_nobody_looks(clock: FakeClock, registry: Registry) -> None:
    """An app that is asked for nothing has looked at nothing."""
    shared = feed(registry, clock)
    clock.advance(3600)
    assert shared._look is None
    assert shared.look().version == 1


def test_a_long_look_is_followed_by_a_long_rest(clock: FakeClock, registry: Registry) -> None:
    """Looking takes at most a twentieth of the time, however many names there are."""
    shared = feed(registry, clock)
    for number in range(200):
        registry.command(f"c{number}").call(len, "")
    assert shared.is_long
    ticking = shared._clock

    def slow() -> int:
        clock.advance(0.25)  # seconds that each half of the look takes
        return ticking()

    shared._clock = slow
    shared.look()
    shared._clock = ticking
    assert not shared.is_long
    clock.advance(4.7)
    assert shared.look().version == 1
    clock.advance(0.4)
    assert shared.look().version == 2


def test_without_a_command_it_pings(clock: FakeClock, registry: Registry) -> None:
    """An empty registry sends what Java sends: something, so that a dead client is found out."""
    shared = feed(registry, clock)
    assert shared.hystrix() == PING
    assert events(shared.page(None)[1])[0]["rows"] == []


def test_a_page_is_sent_what_changed(clock: FakeClock, registry: Registry, cmd: Command) -> None:
    """The first event has all and says what a row is; the next have rows that are new or gone."""
    shared = feed(registry, clock)
    idle = registry.command("idle")
    idle.call(len, "abc")
    version, event = shared.page(None)
    (first,) = events(event)
    assert first["columns"] == list(COLUMNS)
    assert first["controls"] is False
    assert [row["name"] for row in rows(first)] == ["idle", "users"]
    assert shared.page(version) == (version, NOTHING_NEW)
    for _ in range(11):
        clock.advance(1)
        version, event = shared.page(version)
    assert events(event)[0]["rows"] == []
    clock.advance(1)
    cmd.call(len, "abc")
    registry.remove("idle")
    version, event = shared.page(version)
    (change,) = events(event)
    assert "columns" not in change
    assert [row["name"] for row in rows(change)] == ["users"]
    assert change["gone"] == ["idle"]
    assert shared.page(version - 1)[1] is event


def test_a_page_that_missed_a_look_is_sent_all(
    clock: FakeClock, registry: Registry, cmd: Command
) -> None:
    """A change is no use to who has not seen what it changes."""
    shared = feed(registry, clock)
    version, _ = shared.page(None)
    for _ in range(2):
        clock.advance(1)
        shared.look()
    (event,) = events(shared.page(version)[1])
    assert event["columns"] == list(COLUMNS)


def test_a_row_says_what_an_operator_asks(
    clock: FakeClock, registry: Registry, cmd: Command
) -> None:
    """State, errors, rate, latency, slots, the last transition and why, and the next trial."""
    registry.configure("users", volume_threshold=3, max_concurrency=4, sleep_window=7)
    shared = feed(registry, clock)
    shared.look()
    clock.advance(2)
    for _ in range(2):
        cmd.acquire().fail(OSError("connection refused"))
    with pytest.raises(CircuitOpenError):
        cmd.acquire()
    clock.advance(2)
    (row,) = rows(events(shared.page(None)[1])[0])
    assert row == {
        "name": "users",
        "trouble": 5 * 11 + 6,
        "state": "open",
        "override": None,
        "calls": 3,
        "error_percent": 66.7,
        "opens_at": 50.0,
        "window": 10.0,
        "rate": 0.8,  # three calls in four seconds
        "answered": 0.0,
        "failed": 0.5,
        "refused": 0.2,
        "fallbacks": 0.0,
        "p50": row["p50"],
        "p90": row["p90"],
        "p99": row["p99"],
        "in_flight": 0,
        "limit": 4,
        "waiting": 0,
        "abandoned": 0,
        "moved_from": "closed",
        "moved_at": 1002.0,
        "reason": row["reason"],
        "retry_at": 1009.0,
        "last_error": "OSError: connection refused",
    }
    assert row["reason"].startswith("2 of 3 calls failed")
    assert 0 <= row["p50"] <= row["p90"] <= row["p99"]


def test_a_row_is_rounded_as_it_is_shown(clock: FakeClock, cmd: Command) -> None:
    """Counts and rates to a tenth, milliseconds too, instants to a hundredth of a second."""
    snapshot = attrs.evolve(
        cmd.snapshot(),
        at=20.333,
        retry_after=1.0,
        moved_at=12.345678,
        override=Override.SHADOW,
        window=Window(calls=3, failures=1, slow=0, error_percent=100 / 3),
    )
    rolling = Rolling(
        span=3.0,
        outcomes=(1, 2, 4, 8, 16, 32, 64, 128),
        fallbacks=(1, 2, 4),
        executed=1,
        mean=1.0,
        durations=(0.1, 0.2, 1.23456, 0.3, 2.34567, 0.4, 3.45678, 0.5, 0.6),
        most_in_flight=0,
        rates=(1.01, 2.02, 4.04, 8.08, 16.16, 32.32, 64.64, 128.28),
    )
    found = dict(zip(COLUMNS, row("users", snapshot, rolling), strict=True))
    expected = {
        "override": "shadow",
        "error_percent": 33.3,
        "rate": 85.0,
        "answered": 193.9,  # succeeded, ignored and cancelled
        "failed": 6.1,  # failed and timed out
        "refused": 56.6,  # short-circuited, bulkhead full and expired
        "fallbacks": 2.3,
        "p50": 1234.6,
        "p90": 2345.7,
        "p99": 3456.8,
        "moved_at": 12.35,
        "retry_at": 21.33,
    }
    assert {key: found[key] for key in expected} == expected
    idle = row("users", snapshot, rolling._replace(executed=0, span=0))
    unknown = dict(zip(COLUMNS, idle, strict=True))
    assert [unknown[key] for key in ("rate", "fallbacks", "p50", "p90", "p99")] == [
        None, 0.0, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(("failures", "trouble"), [(0, 0), (1, 22 + 1), (9, 22 + 9), (10, 22 + 10)])
def test_trouble_grows_by_each_tenth_of_errors(
    clock: FakeClock, registry: Registry, failures: int, trouble: int
) -> None:
    """Within one level, of which a name that fails has the second."""
    cmd = registry.command("users", volume_threshold=99)
    for number in range(10):
        permit = cmd.acquire()
        if number < failures:
            permit.fail(OSError())
        else:
            permit.succeed()
    (event,) = events(feed(registry, clock).page(None)[1])
    assert rows(event)[0]["trouble"] == trouble


def test_an_event_tells_its_instant_in_milliseconds(
    clock: FakeClock, registry: Registry, cmd: Command
) -> None:
    """On the registry's clock, as the instants of its rows."""
    clock.advance(0.123456)
    (event,) = events(feed(registry, clock).page(None)[1])
    assert event["now"] == 1000.123


def test_trouble_comes_first_and_the_rest_is_counted(clock: FakeClock, registry: Registry) -> None:
    """Open, half-open, full, errors, overrides, calm; of too many the calmest are left out."""

    def make(name: str, **fields: Any) -> Command:
        made = registry.command(name, **fields)
        made.call(len, "abc")
        return made

    def fail(made: Command, times: int = 1) -> None:
        for _ in range(times):
            made.acquire().fail(OSError())

    half = make("half-open", volume_threshold=2, sleep_window=1)
    fail(half)
    clock.advance(2)
    trial = half.acquire()
    make("calm")
    make("calmer")
    shadowed = make("shadowed")
    shadowed.shadow()
    failing = make("failing", volume_threshold=100)
    fail(failing)
    worse = make("failing more", volume_threshold=100)
    fail(worse, 9)
    full = make("full", max_concurrency=1)
    held = full.acquire()
    forced = make("forced")
    forced.force_open()
    opened = make("open", volume_threshold=2)
    fail(opened)
    shared = feed(registry, clock, max_commands=8)
    (event,) = events(shared.page(None)[1])
    assert [row["name"] for row in rows(event)] == [
        "open", "forced", "half-open", "full", "failing more", "failing", "shadowed", "calm",
    ]  # fmt: skip
    assert event["left_out"] == 1
    assert b": 1 more commands are left out\n\n" in shared.hystrix()
    trial.succeed()
    held.succeed()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to test without fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_looks_for_itself(clock: FakeClock, registry: Registry, cmd: Command) -> None:
    """A fork in the middle of a look leaves a child that can look."""
    shared = feed(registry, clock)
    shared.look()
    with shared._lock:
        child = os.fork()
        if not child:
            os._exit(shared.look().version)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    clock.advance(1)
    assert shared.look().version == 2
