"""The parts of the demo that judge and show it, without playing it."""

from io import StringIO
from pathlib import Path

import attrs
import pytest
from rich.console import Console

from examples.outage.arguments import asked
from examples.outage.inventory import GUARD
from examples.outage.screen import Screen, column
from examples.outage.service import BEHAVIOURS
from examples.outage.story import PHASES, Story
from examples.outage.timeline import Call, Span, Timeline, waits
from examples.outage.verdict import verdict
from resilience import State, StateChanged


def story(**changes: object) -> Story:
    """Return a story as the command line gives it."""
    return attrs.evolve(asked([]), **changes)


def change(old: State, new: State) -> StateChanged:
    """Return an event of the circuit."""
    snapshot = GUARD.snapshot()
    return StateChanged(name="inventory", old=old, new=new, reason="", snapshot=snapshot, at=0.0)


def outage(**changes: object) -> Timeline:
    """Return the record of a story that held: trouble from 1 to 3 s, the circuit open 2 to 4."""
    timeline = Timeline(
        ended=5.0,
        made=2,
        calls=[Call(0.5, 0.02, "success"), Call(2.5, 0.0001, "short_circuited")],
        phases=[(0.0, "healthy"), (1.0, "slow"), (3.0, "healthy")],
        changes=[
            (2.0, change(State.CLOSED, State.OPEN)),
            (4.0, change(State.OPEN, State.HALF_OPEN)),
            (4.0, change(State.HALF_OPEN, State.CLOSED)),
        ],
    )
    return attrs.evolve(timeline, **changes)


def broken(timeline: Timeline, *, counted: int = 2, trials_at_once: int = 2) -> list[str]:
    """Return the promises that were not kept."""
    checks = verdict(timeline, counted=counted, trials_at_once=trials_at_once, half_open_calls=2)
    return [check.promise for check in checks if not check.kept]


def test_a_story_that_held_keeps_every_promise():
    """Nothing is found wanting."""
    assert broken(outage()) == []


def test_a_circuit_that_never_opened_is_found():
    """It neither opened in the trouble nor closed after it."""
    never = outage(changes=[])

    assert broken(never) == ["opened during the outage", "closed after the recovery"]


def test_a_circuit_that_opened_before_the_trouble_is_found():
    """Opening counts only while there is trouble."""
    early = outage(phases=[(0.0, "healthy"), (2.5, "slow"), (3.0, "healthy")])

    assert broken(early) == ["opened during the outage"]


def test_a_circuit_that_is_open_at_the_end_is_found():
    """The last state is what counts."""
    assert broken(outage(changes=outage().changes[:1])) == ["closed after the recovery"]


def test_a_slow_answer_to_refused_calls_is_found():
    """Half of the refused calls have to be answered within five milliseconds."""
    refused = [Call(2.5, seconds, "short_circuited") for seconds in (0.001, 0.009)]

    assert broken(outage(calls=refused)) == []
    assert broken(outage(calls=refused[1:], made=1), counted=1) == [
        "refused calls answered in a median under 5 ms"
    ]


def test_no_refused_call_at_all_is_found():
    """An outage in which nobody was refused is not the story."""
    served = [Call(2.5, 0.01, "success")] * 2

    assert broken(outage(calls=served)) == ["refused calls answered in a median under 5 ms"]


@pytest.mark.parametrize("trials", [0, 3])
def test_too_many_trials_or_none_are_found(trials: int):
    """At least one call has to try whether the service is back, and no more than allowed."""
    assert broken(outage(), trials_at_once=trials) == ["at most 2 trial calls at once"]


@pytest.mark.parametrize("counted", [1, 3])
def test_a_call_that_is_lost_or_counted_twice_is_found(counted: int):
    """The library's outcomes have to sum to the calls made."""
    assert broken(outage(), counted=counted) == ["every call counted once"]


def test_the_timeline_knows_what_was_when():
    """Phases and states are spans without gaps; the outage is what lies between healthy phases."""
    timeline = outage()

    assert timeline.outage() == Span("outage", 1.0, 3.0)
    assert timeline.state_spans() == [
        Span("closed", 0.0, 2.0),
        Span("open", 2.0, 4.0),
        Span("half_open", 4.0, 4.0),
        Span("closed", 4.0, 5.0),
    ]


def test_calls_are_sorted_into_stretches_of_time():
    """A call belongs to the stretch it ended in; what ended later than the last is left out."""
    early, late = outage().calls

    assert outage().stretches(1.0, 3) == [[early], [], [late]]
    assert outage().stretches(1.0, 2) == [[early], []]


def test_waits_are_told_as_percentiles():
    """Median and 99th percentile; nothing of nothing."""
    calls = [Call(0.0, float(seconds), "success") for seconds in range(100)]

    assert waits(calls) == (50.0, 99.0)
    assert waits([]) is None


def test_a_column_is_as_high_as_its_calls():
    """Rounded as a whole, not outcome by outcome."""
    calls = [Call(0.0, 0.0, outcome) for outcome in ("success", "timeout", "failure")]

    assert [len([cell for cell in column(calls, per_cell) if cell]) for per_cell in (1, 2, 9)] == [
        3,
        2,
        0,
    ]


def test_the_screen_shows_state_rates_and_the_way_to_the_metrics():
    """Everything fits into eighty columns."""
    console = Console(width=80, record=True, file=StringIO())
    console.print(Screen(console, story(duration=5.0)).panel(outage(), GUARD.snapshot()))
    text = console.export_text()

    for words in ("healthy", "closed", "next trial", "short circuited", "5 of 5 s", "9321/metrics"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 80


def test_every_phase_can_be_played():
    """The service knows them all but one: it cannot refuse connections while it lives."""
    assert set(PHASES) - set(BEHAVIOURS) == {"refusing"}


def test_the_command_line_has_sensible_defaults():
    """Thirty seconds, two ports, one picture."""
    expected = Story(PHASES, 30.0, 8321, 9321, 8322, Path("build/outage.svg"), plain=False)

    assert asked([]) == expected


@pytest.mark.parametrize("option", ["--duration=1", "--duration=inf", "--port=0", "--port=x"])
def test_the_command_line_refuses_what_cannot_be(option: str, capsys: pytest.CaptureFixture[str]):
    """Before anything is started."""
    with pytest.raises(SystemExit):
        asked([option])

    assert option.partition("=")[0] in capsys.readouterr().err
