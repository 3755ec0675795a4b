"""
The example of a shared budget, played over real sockets and so in real time.

Two allowances keep a busy machine from failing what is right: where nothing is to run out the
budget is long, and what is to end with the budget may do so a second late, beside the 30 seconds
that it would take otherwise.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from examples.budget.play import Result, play
from examples.budget.scenes import ALL_WELL, DAWDLING, HANGING, SERVICES, Scene
from examples.budget.service import work
from resilience import DeadlineExceededError, deadline

ROOT = Path(__file__).parents[1]
LATE = 1.0

# Runs the example as `python -m` does, but heeds Ctrl-C even where it is ignored, and without the
# package that the first argument names.
PROGRAM = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.modules[sys.argv.pop(1)] = None
runpy.run_module("examples.budget", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def healthy() -> Result:
    """Where all is well; nothing may run out, however busy the machine."""
    return play(attrs.evolve(ALL_WELL, budget=10.0))


@pytest.fixture(scope="module")
def hanging() -> Result:
    """Where the supplier hangs: longer than a fair share of its timeout, by more than 0.5 s."""
    return play(attrs.evolve(HANGING, budget=0.9))


@pytest.fixture(scope="module")
def dawdling() -> Result:
    """Where the supplier has less than a fair share; a busy machine leaves it less still."""
    return play(DAWDLING)


@pytest.fixture(params=["healthy", "hanging", "dawdling"])
def result(request: pytest.FixtureRequest) -> Result:
    """Each of them."""
    return request.getfixturevalue(request.param)


def counted(result: Result, name: str) -> dict[str, int]:
    """Return the calls of a command by outcome, without those that did not occur."""
    totals = result.snapshots[name].totals
    return {str(outcome.value): count for outcome, count in totals.items() if count}


def test_what_is_left_shrinks_from_level_to_level(result: Result):
    """Each service has less than the one before, and no client is given more than is left."""
    for answer in result.answers:
        assert answer.visits[0].left <= result.scene.budget
        for outer, inner in itertools.pairwise(answer.visits):
            assert outer.left > outer.given > inner.left > 0


def test_both_routes_reach_every_service(healthy: Result):
    """The sync one by way of threads, to which the deadline is carried; the async one on none."""
    assert [answer.route for answer in healthy.answers] == ["sync", "async"]
    for answer in healthy.answers:
        assert tuple(visit.service for visit in answer.visits) == SERVICES
        threads = {visit.thread for visit in answer.visits}
        assert ("event loop" in threads) == (answer.route == "async")


def test_a_healthy_request_is_answered(healthy: Result):
    """Every level comes to its end, and every call counts as a success."""
    assert [answer.status for answer in healthy.answers] == [200, 200]
    assert all(visit.answered for answer in healthy.answers for visit in answer.visits)
    assert {name: counted(healthy, name) for name in healthy.snapshots} == {
        name: {"success": 2} for name in SERVICES[1:]
    }


def test_a_hanging_service_is_cut_off_with_the_budget(hanging: Result):
    """The caller has a 504 when the budget ends, and each call counts as a timeout."""
    for answer in hanging.answers:
        assert answer.status == 504
        assert 0 <= answer.took - hanging.scene.budget < LATE
        assert tuple(visit.service for visit in answer.visits) == SERVICES
    assert {name: counted(hanging, name) for name in hanging.snapshots} == {
        name: {"timeout": 2} for name in SERVICES[1:]
    }


def test_a_call_that_had_no_fair_share_counts_as_expired(dawdling: Result):
    """A supplier that was given little time is not blamed for the warehouse."""
    assert [answer.status for answer in dawdling.answers] == [504, 504]
    assert set(counted(dawdling, "supplier")) == {"expired"}
    assert dawdling.snapshots["supplier"].window.calls == 0


def test_nothing_outlives_the_budget(result: Result):
    """Neither a route nor a slot nor a thread: all of them end with their request."""
    for answer in result.answers:
        start = answer.visits[0].began
        for visit in answer.visits:
            assert visit.ended is not None
            assert visit.ended - start < result.scene.budget + LATE
    for snapshot in result.snapshots.values():
        assert snapshot.in_flight == snapshot.waiting == snapshot.abandoned == 0


def test_sync_work_ends_with_the_deadline():
    """It asks, and goes no further once there is nothing left."""
    with deadline(0.0), pytest.raises(DeadlineExceededError):
        work(30.0)


def test_a_scene_names_who_is_slow():
    """All others work as long as ever."""
    scene = Scene("", slow={"supplier": 30.0})

    assert scene.takes("supplier") == 30.0
    assert scene.takes("inventory") == ALL_WELL.takes("supplier") < scene.budget / len(SERVICES)


# -- the program


@contextlib.contextmanager
def program(*options: str, missing: str = "nothing") -> Iterator[subprocess.Popen[str]]:
    """Start the program as its users do, with options of Python."""
    with subprocess.Popen(
        [sys.executable, *options, "-c", PROGRAM, missing],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_program_shows_every_scene():
    """One table of the way and one of the counts for each; no socket is left open."""
    with program("-W", "error::ResourceWarning") as playing:
        output, errors = playing.communicate()

    assert (playing.returncode, errors) == (0, "")
    assert output.count("with a budget of 500 ms") == output.count("counted for") == 3
    for service in SERVICES:
        assert f"└ {service}" in output


@pytest.mark.parametrize("package", ["httpx2", "rich", "starlette", "uvicorn"])
def test_a_missing_package_is_told_in_one_line(package: str):
    """The line says how to get it."""
    with program(missing=package) as playing:
        output, errors = playing.communicate()

    assert (playing.returncode, output) == (2, "")
    assert errors == f"The example needs {package}, which `make budget` installs.\n"


def test_an_interrupt_is_told_in_one_line():
    """Ctrl-C stops the services, wherever it comes, and leaves no traceback."""
    with program() as playing:
        assert "All is well" in playing.stdout.readline() + playing.stdout.readline()
        playing.send_signal(signal.SIGINT)
        _, errors = playing.communicate()

    assert playing.returncode == 130
    assert errors == "Interrupted; nothing is left running.\n"
