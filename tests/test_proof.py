"""
The parts of the proof, played small.

Each is played in a process of its own, as `make proof` does: nothing measures its coverage there,
and no fixture or plugin stands between the library and what is done to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def played(part: str, play: str = "run", **arguments: Any) -> dict[str, Any]:
    """Play a part; return its figures."""
    call = f"{part}.{play}(**{arguments!r})"
    code = f"import json; from proof import {part}; print(json.dumps({call}))"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


@pytest.mark.promise("A1", "A2", "A3", "A5", "A9", "A13", "B1", "B3")
def test_hypothesis_finds_no_story_that_tells_circuit_and_model_apart() -> None:
    """
    In 200,000 events circuit and model do the same, and every event has met every state.
    """
    figures = played("machine", steps=200_000, seeds=1)
    assert figures["events, seed 1"] >= 200_000
    assert figures["divergences"] == 0


@pytest.mark.timeout(300)
@pytest.mark.promise("A1", "A2", "A3", "A5", "A9", "A13", "B1", "B3", "B5", "B7")
def test_chance_finds_no_story_that_tells_circuit_and_model_apart() -> None:
    """
    In a million random events circuit and model do the same.
    """
    figures = played("driver", steps=1_000_000)
    assert figures["events"] == 1_000_000
    assert figures["divergences"] == 0


@pytest.mark.timeout(300)
@pytest.mark.promise("C1", "C6", "D1", "D2", "D6", "F1", "F8", "A11")
def test_no_slot_and_no_trial_is_lost_by_cancelled_calls() -> None:
    """
    After 20,000 calls on each event loop, cancelled at random, all slots are there, and no trial.

    A counter inside the function never sees more than may be there, and nobody is left waiting.
    """
    figures = played("cancels", calls=20_000)
    for loop in ("asyncio", "trio"):
        assert figures[f"calls, {loop}"] >= 20_000
        assert figures[f"cancelled, {loop}"] > 6_000
        assert figures[f"trials, {loop}"] > 100


@pytest.mark.promise("C1", "C4", "D2", "F1", "I10")
def test_nothing_is_held_after_a_signal() -> None:
    """
    Wherever a signal strikes in a sync call, no slot, no trial and no lock is held after it.
    """
    figures = played("signals", interrupts=2_000)
    assert figures["in the library, decorated"] > 200
    assert figures["in the library, acquire"] > 200


@pytest.mark.promise("C1", "C2", "C6", "F1", "F6")
def test_nothing_is_held_after_an_exception_at_any_suspension() -> None:
    """
    Whatever is thrown in at whatever suspension of an async call, nothing is held after it.

    What is no `Exception` leaves as the very same object.
    """
    assert played("sweep", "at_suspensions")["thrown at suspensions"] > 700


@pytest.mark.timeout(300)
@pytest.mark.promise("C1", "C4", "F1", "I10")
def test_nothing_is_held_after_an_exception_at_any_line() -> None:
    """
    Whatever is raised in front of whatever line of a sync call, nothing is held after it.
    """
    assert played("sweep", "at_lines", kinds=1)["thrown at lines"] > 20_000


@pytest.mark.promise("J4", "K1", "K2", "E4")
def test_hostile_values_and_names_meet_typed_errors_alone() -> None:
    """
    Of 50,000 values some are taken and work, and the others are refused by a typed error.
    """
    figures = played("fuzz", values=50_000)
    assert figures["taken"] > 5_000
    assert figures["refused"] > 5_000
    assert figures["names scraped"] > 100


@pytest.mark.promise("I5", "I7")
def test_nobody_hangs_or_speaks_after_a_fork_or_at_an_exit() -> None:
    """
    Fifty times a busy process forks or ends: nobody hangs, and nothing is said on stderr.
    """
    figures = played("forks", times=50)
    assert figures["forks"] + figures["exits"] >= 50
    assert figures["bytes on stderr"] == 0


@pytest.mark.timeout(180)
@pytest.mark.promise("D7", "I4", "I8", "J2")
def test_some_time_of_threads_asyncio_and_trio_leaves_nothing_behind() -> None:
    """
    After ten seconds of calls from everywhere to one registry nothing has grown.

    No thread, task or descriptor is left, and each call was counted once.
    """
    figures = played("soak", seconds=10)
    assert figures["calls"] > 1_000


@pytest.mark.timeout(180)
@pytest.mark.promise("I1", "A9", "A13", "B9", "D1")
def test_two_threads_do_what_some_order_of_their_steps_does() -> None:
    """
    Wherever one operation is stopped while another runs, they equal one order of their steps.

    Every pair of them is played, from five states of the circuit.
    """
    figures = played("schedules", share=60)
    assert figures["pairs"] == 225
    assert figures["schedules"] > 1000


@pytest.mark.timeout(180)
@pytest.mark.promise("I1", "A9", "A11", "C2", "D1", "D6")
def test_three_threads_do_what_some_order_of_their_steps_does() -> None:
    """
    Wherever two of three threads are stopped, they equal one order of their steps.

    Ten situations are played, with the threads in every order.
    """
    figures = played("threes", share=60)
    assert figures["situations"] == 10
    assert figures["schedules"] > 100


def test_mistakes_in_changed_lines_are_noticed() -> None:
    """
    In each line of the core that differs from the last commit, a mistake fails some test.
    """
    assert played("mutation", seconds=20.0, changed=1)["survivors without"] == 0


@pytest.mark.promise("I2")
def test_calls_from_eight_threads_are_all_counted() -> None:
    """
    What eight threads have seen of their own calls is what was counted, with the GIL or without.
    """
    assert played("unlocked", "here", calls=40_000)["calls"] == 40_000
