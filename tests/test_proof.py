"""
The parts of the proof, played small, two at a time.

Each is played in a process of its own, as `make proof` does: nothing measures its coverage there,
and no fixture or plugin stands between the library and what is done to it. The mark of a test says
what is played for it.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from proof.mistakes import SOURCE, mistakes
from proof.mutation import reasons
from proof.parts import PARTS
from resilience import _results

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.timeout(900)  # the first test waits for parts of others as well

Figures = dict[str, Any]


def played(part: str, play: str = "run", **arguments: Any) -> Figures:
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
    figures: Figures = json.loads(ended.stdout.splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def parts(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Figures]]]:
    """What is played for the tests that were chosen."""
    marks = {item.name: item.get_closest_marker("plays") for item in request.session.items}
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(played, *mark.args, **mark.kwargs)
            for name, mark in marks.items()
            if mark is not None
        }


@pytest.fixture
def figures(request: pytest.FixtureRequest, parts: dict[str, Future[Figures]]) -> Figures:
    """What was found when the part of this test was played."""
    return parts[request.node.name].result()


@pytest.mark.promise("A1", "A2", "A3", "A5", "A9", "A13", "B1", "B3")
@pytest.mark.plays("machine", steps=200_000, seeds=1)
def test_hypothesis_finds_no_story_that_tells_circuit_and_model_apart(figures: Figures) -> None:
    """
    In 200,000 events circuit and model do the same, and every event has met every state.
    """
    assert figures["events, seed 1"] >= 200_000
    assert figures["divergences"] == 0


@pytest.mark.promise("A1", "A2", "A3", "A5", "A9", "A13", "B1", "B3", "B5", "B7")
@pytest.mark.plays("driver", steps=5_000_000)
def test_chance_finds_no_story_that_tells_circuit_and_model_apart(figures: Figures) -> None:
    """
    In five million random events circuit and model do the same.
    """
    assert figures["events"] == 5_000_000
    assert figures["divergences"] == 0


@pytest.mark.promise("C1", "C6", "D1", "D2", "D6", "F1", "F8", "A11")
@pytest.mark.plays("cancels", calls=100_000)
def test_no_slot_and_no_trial_is_lost_by_cancelled_calls(figures: Figures) -> None:
    """
    After 100,000 calls on each event loop, cancelled at random, all slots are there, and no trial.

    A counter inside the function never sees more than may be there, and nobody is left waiting.
    """
    for loop in ("asyncio", "trio"):
        assert figures[f"calls, {loop}"] >= 100_000
        assert figures[f"cancelled, {loop}"] > 30_000
        assert figures[f"trials, {loop}"] > 500


@pytest.mark.promise("C1", "C4", "D2", "F1", "I10")
@pytest.mark.plays("signals", interrupts=5_000)
def test_nothing_is_held_after_a_signal(figures: Figures) -> None:
    """
    Wherever a signal strikes in a sync call, no slot, no trial and no lock is held after it.
    """
    assert figures["in the library, decorated"] > 200
    assert figures["in the library, acquire"] > 200


@pytest.mark.promise("C1", "C2", "C6", "F1", "F6")
@pytest.mark.plays("sweep", "at_suspensions")
def test_nothing_is_held_after_an_exception_at_any_suspension(figures: Figures) -> None:
    """
    Whatever is thrown in at whatever suspension of an async call, nothing is held after it.

    What is no `Exception` leaves as the very same object.
    """
    assert figures["thrown at suspensions"] > 700


@pytest.mark.promise("C1", "C4", "F1", "I10")
@pytest.mark.plays("sweep", "at_lines")
def test_nothing_is_held_after_an_exception_at_any_line(figures: Figures) -> None:
    """
    Whatever is raised in front of whatever line of a sync call, nothing is held after it.
    """
    assert figures["thrown at lines"] > 200_000


@pytest.mark.promise("J4", "K1", "K2", "E4")
@pytest.mark.plays("fuzz", values=100_000)
def test_hostile_values_and_names_meet_typed_errors_alone(figures: Figures) -> None:
    """
    Of 100,000 values some are taken and work, and the others are refused by a typed error.
    """
    assert figures["taken"] > 5_000
    assert figures["refused"] > 5_000
    assert figures["names scraped"] > 100


@pytest.mark.promise("I5", "I7")
@pytest.mark.plays("forks", times=50)
def test_nobody_hangs_or_speaks_after_a_fork_or_at_an_exit(figures: Figures) -> None:
    """
    Fifty times a busy process forks or ends: nobody hangs, and nothing is said on stderr.
    """
    assert figures["forks"] + figures["exits"] >= 50
    assert figures["bytes on stderr"] == 0


@pytest.mark.promise("D7", "I4", "I8", "J2")
@pytest.mark.plays("soak", seconds=60)
def test_some_time_of_threads_asyncio_and_trio_leaves_nothing_behind(figures: Figures) -> None:
    """
    After a minute of calls from everywhere to one registry nothing has grown.

    No thread, task or descriptor is left, and each call was counted once.
    """
    assert figures["calls"] > 1_000


@pytest.mark.promise("I1", "A9", "A13", "B9", "D1")
@pytest.mark.plays("schedules", share=60)
def test_two_threads_do_what_some_order_of_their_steps_does(figures: Figures) -> None:
    """
    Wherever one operation is stopped while another runs, they equal one order of their steps.

    Every pair of them is played, from five states of the circuit.
    """
    assert figures["pairs"] == 225
    assert figures["schedules"] > 1000


@pytest.mark.promise("I1", "A9", "A11", "C2", "D1", "D6")
@pytest.mark.plays("threes", share=60)
def test_three_threads_do_what_some_order_of_their_steps_does(figures: Figures) -> None:
    """
    Wherever two of three threads are stopped, they equal one order of their steps.

    Ten situations are played, with the threads in every order.
    """
    assert figures["situations"] == 10
    assert figures["schedules"] > 100


@pytest.mark.plays("mutation", seconds=20.0, changed=1)
def test_mistakes_in_changed_lines_are_noticed(figures: Figures) -> None:
    """
    In each line of the core that differs from the last commit, a mistake fails some test.
    """
    assert figures["survivors without"] == 0


@pytest.mark.promise("I2")
@pytest.mark.plays("unlocked", "here", calls=40_000)
def test_calls_from_eight_threads_are_all_counted(figures: Figures) -> None:
    """
    What eight threads have seen of their own calls is what was counted, with the GIL or without.
    """
    assert figures["calls"] == 40_000


@pytest.mark.parametrize(
    ("mistake", "noticed"),
    [("__getattr__: return value -> return None", True), ("__dir__: return sorted(", False)],
)
def test_a_package_is_imported_with_its_mistake(mistake: str, noticed: bool) -> None:
    """
    Also where the package is installed, and pytest would import it for a plugin of its own.
    """
    code = f"""
from proof import mistakes, mutation
init = mistakes.mistakes(mistakes.SOURCE / "__init__.py")
name = next(each.name for each in init if {mistake!r} in each.name)
mutation.afresh(name, ["tests/test_public_api.py::test_a_public_object_shows_its_public_home"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == noticed, ended.stdout + ended.stderr


def test_to_ask_for_one_part_changes_nothing_for_another() -> None:
    """
    All parts are imported to list them. One of them gave the others a lock that interrupts keep.
    """
    for name in PARTS:
        importlib.import_module(f"proof.{name}")
    assert _results.RLock is threading.RLock


def test_every_survivor_that_is_listed_can_still_be_planted() -> None:
    """
    Why nobody notices a mistake is said of none that the code has no place for any more.
    """
    possible = {each.name for path in SOURCE.rglob("*.py") for each in mistakes(path)}
    assert not reasons().keys() - possible
