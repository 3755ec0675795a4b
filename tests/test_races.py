"""
The deadline and the caller, who both cancel: which of them wins, wherever it runs.

Each race of the matrix is played in virtual time, and compared with a law that is written from the
rules: who is heard by a block, and who has asked by the time it is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from docs import races
from resilience import State
from tests.support.race import LENGTH, PAUSE, By, Does, End, Nest, Race, When
from tests.support.track import Track, runtimes

ROADS = [(name, by) for name in runtimes() for by in By if (name, by) != ("trio", By.TASK)]


@pytest.fixture(params=ROADS, ids=lambda road: f"{road[0]}-{road[1].name.lower()}")
def road(request: pytest.FixtureRequest) -> tuple[str, By]:
    """A runtime, and what its callers cancel with."""
    name, by = request.param
    return name, by


@pytest.fixture
def by(road: tuple[str, By]) -> By:
    """What the caller cancels with."""
    return road[1]


@pytest.fixture
def track(road: tuple[str, By]) -> Iterator[Track]:
    """Where deadlines of ours are raced."""
    runtime = runtimes()[road[0]]()
    yield Track(runtime)
    runtime.close()


# -- the law


class Signal(NamedTuple):
    """Who cancels: from when on, and how."""

    at: float
    level: bool
    """A level stands, and waits for a shield to end; an edge strikes once, shield or not."""


def law(race: Race, *, in_trio: bool) -> End:
    """
    Say how a race has to end.

    A deadline of asyncio's is an edge, as `task.cancel()` is; all scopes are levels. The caller
    wins who has asked before the block was left, or in the same tick. In asyncio a scope has to
    have struck the task, for it leaves alone one that is being woken already.
    """
    clock = Signal(0, level=in_trio)
    caller = Signal(race.when.value, level=race.by is By.SCOPE)
    struck: list[set[Signal]] = []

    def wait(since: float, ticks: float, *, shield: bool = False) -> tuple[float, bool]:
        """Say when a wait ends, and whether it was interrupted."""
        spent = {signal for signals in struck for signal in signals if not signal.level}
        heard = {clock, caller} - spent
        heard = {signal for signal in heard if not (shield and signal.level)}
        when = min((max(signal.at, since) for signal in heard), default=since + ticks)
        if when > since + ticks or not heard:
            return since + ticks, False
        tick = round(when)
        struck.append({s for s in heard if s.at <= (when if s.level else tick + 0.5)})
        return when, True

    shielded = race.does in {Does.SHIELDED, Does.SHIELDED_TO_THE_END}
    now, hit = wait(-LENGTH, LENGTH + PAUSE if shielded else 100 * LENGTH, shield=shielded)
    if race.does is Does.SHIELDED and not hit:
        now, hit = wait(now, 0)
    if race.does in {Does.CLEANS_UP, Does.CLEANS_UP_SHIELDED}:
        now, _ = wait(now, PAUSE, shield=race.does is Does.CLEANS_UP_SHIELDED)

    asked = race.when is not When.NEVER and round(caller.at) <= round(now)
    if caller.level and not in_trio:
        asked = any(caller in signals for signals in struck)
    wins = hit and asked
    return End(
        left="cancelled" if wins else "deadline" if hit else "value",
        whose=race.nest.lengths.index(min(race.nest.lengths)) if hit and not wins else None,
        tick=round(now),
        seen=len(struck),
        same=True,
        cancelling=int(wins and not in_trio),
        later=race.when is not When.NEVER and not wins,
    )


# -- the matrix


@pytest.mark.promise("F1", "F3", "F4", "E1", "E9")
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("does", Does)
def test_a_race_ends_as_the_law_says(track: Track, by: By, when: When, does: Does) -> None:
    """
    Whatever is nested in what, the caller wins in the tick of the deadline and before it.

    What leaves is the cancellation that the block saw, or the error of the scope whose time it was;
    no cancellation of the caller's is lost, and none of ours is left over.
    """
    races = [Race(when, by, does, nest) for nest in Nest]
    expected = {race.nest: law(race, in_trio=track.in_trio) for race in races}
    assert {race.nest: track.play(race) for race in races} == expected


@pytest.mark.promise("E9", "F3", "F4")
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("does", Does)
def test_a_race_ends_as_with_the_limits_of_the_runtime(
    track: Track, by: By, when: When, does: Does
) -> None:
    """
    With `asyncio.timeout`, or `trio.fail_after`, in the place of each deadline it ends the same.
    """
    native = Track(track.runtime, native=True)
    for nest in Nest:
        race = Race(when, by, does, nest)
        theirs = native.play(race)
        if track.in_trio:  # its errors do not tell what caused them
            theirs = theirs._replace(same=True)
        assert track.play(race) == theirs, nest.value[0]


@pytest.mark.promise("F1", "A11", "C1", "D2")
@pytest.mark.parametrize("nest", [nest for nest in Nest if nest.has_command])
def test_a_command_gives_everything_back(track: Track, by: By, nest: Nest) -> None:
    """
    However the race of a trial ends, its slot is free, and the trial is failed, passed or free too.
    """
    for when in When:
        for does in Does:
            race = Race(when, by, does, nest)
            left = track.play(race).left
            after = track.command.snapshot()
            assert (after.in_flight, after.waiting, after.abandoned) == (0, 0, 0), race
            assert sum(after.totals.values()) == 2, race
            late = nest is Nest.COMMAND_FIRST
            answered = State.OPEN if late else State.CLOSED
            states = {"cancelled": State.HALF_OPEN, "deadline": State.OPEN, "value": answered}
            assert track.command.state is states[left], race
            if left == "cancelled":
                assert after.totals["cancelled"] == after.trials["released"] == 1, race
                track.command.acquire().succeed()
                assert track.command.state is State.CLOSED, race


# -- the table in the documentation


def test_the_loops_of_asyncio_agree() -> None:
    """
    Uvloop and eager tasks have no column of their own: theirs would be that of asyncio.
    """
    asyncio, *others = [kind for name, kind in runtimes().items() if name != "trio"]
    assert [races.column(kind, by) for kind in others for by in By] == [
        races.column(asyncio, by) for _ in others for by in By
    ]


def test_the_page_shows_how_races_end() -> None:
    """
    The table of the page is the one that its script makes of the races.
    """
    assert races.PART.is_current(), "mend it with: python -m docs.races"
