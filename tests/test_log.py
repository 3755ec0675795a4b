"""The library's own log lines: few, and never in a storm."""

from __future__ import annotations

import contextvars
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from resilience import CircuitBreaker, Command, ConfigurationError, Registry, State, _log
from resilience._core.transitions import Event, Transition
from tests.support.runtime import FakeClock, Runtime
from tests.support.threads import Caller

LOGGER = logging.getLogger("resilience")
OPENED = "circuit 'db' went from closed to open: 1 of 1 calls failed, the limit is 50 %"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the library logs, as if it had not said anything yet."""
    monkeypatch.setattr(_log, "_last", {})
    caplog.set_level(logging.DEBUG, logger="resilience")
    return caplog


class Handler(logging.Handler):
    """Does with each record what a test likes."""

    def __init__(self, does: Any) -> None:
        super().__init__()
        self.does = does

    def emit(self, record: logging.LogRecord) -> None:
        self.does(record)


@pytest.fixture
def handle(said: Any) -> Iterator[Any]:
    """Handle the library's records by a function of the test."""
    added: list[Handler] = []

    def handle(does: Any) -> None:
        added.append(Handler(does))
        LOGGER.addHandler(added[-1])

    yield handle
    for each in added:
        LOGGER.removeHandler(each)


def make(registry: Registry, **fields: Any) -> Command:
    """A command that one failure opens."""
    return Command("db", registry=registry, volume_threshold=1, sleep_window=5, **fields)


def fail(guard: Any) -> None:
    """Let a call of it fail."""
    guard.acquire().fail(OSError("secret of the caller's"))


def flap(guard: Any, times: int) -> None:
    """Open and close a circuit so many times: two moves each."""
    for _ in range(times):
        fail(guard)
        guard.reset()


def tell(moves: _log.Moves, second: int) -> None:
    """Let a circuit open at a second of its clock."""
    moves.tell(Transition(State.CLOSED, State.OPEN, Event.TRIPPED, "no", second * 10**9))


def messages(said: Any) -> list[str]:
    """What was logged, in words."""
    return [record.getMessage() for record in said.records]


# -- moves of circuits


def test_each_move_has_a_line_with_its_reason(run: Runtime, registry: Registry, said: Any) -> None:
    """
    An opening is a warning, what follows is information, and all of it says why.
    """
    guarded = make(registry)(run.body(raises=OSError("no")))
    run.raised(guarded)
    run.advance(5)
    run.raised(guarded)
    run.advance(5)
    guarded.__wrapped__.body.raises = None
    run.call(guarded)
    assert [(record.levelname, record.getMessage()) for record in said.records] == [
        ("WARNING", OPENED),
        ("INFO", "circuit 'db' went from open to half_open: the sleep window is over"),
        ("WARNING", "circuit 'db' went from half_open to open: a trial failed"),
        ("INFO", "circuit 'db' went from open to half_open: the sleep window is over"),
        ("INFO", "circuit 'db' went from half_open to closed: 1 trial succeeded"),
    ]
    assert {record.name for record in said.records} == {"resilience"}


def test_the_closed_path_says_nothing(run: Runtime, registry: Registry, said: Any) -> None:
    """
    Successes, failures below the limit, refusals and fallbacks have no line.
    """
    cmd = Command("db", registry=registry, max_concurrency=1, fallback=run.coloured(lambda e: 1))
    fine, wrong = cmd(run.body()), cmd(run.body(raises=OSError("no")))
    for _ in range(100):
        run.call(fine)
    run.call(wrong)
    with cmd.acquire():
        run.call(fine)
    assert said.records == []


def test_what_callers_passed_is_in_no_line(registry: Registry, clock: FakeClock, said: Any) -> None:
    """
    The error that opened a circuit may say anything: its words are in the snapshot, not in the log.
    """
    cmd = make(registry)
    fail(cmd)
    assert "secret" in str(cmd.snapshot().last_error)
    assert "secret" not in said.text


def test_a_circuit_without_a_name_has_lines_too(clock: FakeClock, said: Any) -> None:
    """
    What is private is as broken as anything else.
    """
    fail(CircuitBreaker(volume_threshold=1))
    assert messages(said) == [OPENED.replace("circuit 'db'", "an unnamed circuit")]


def test_control_characters_are_escaped(said: Any) -> None:
    """
    Whatever a name or a reason holds, its line is one line, and steers no terminal.
    """
    hostile = "a\nb\x1b[2J\u2028\ud800"
    move = Transition(State.CLOSED, State.OPEN, Event.TRIPPED, hostile, 0)
    _log.Moves(hostile).tell(move)
    escaped = r"a\nb\x1b[2J\u2028\ud800"
    assert messages(said) == [f"circuit '{escaped}' went from closed to open: {escaped}"]


# -- storms


def test_a_storm_has_ten_lines_a_minute(registry: Registry, clock: FakeClock, said: Any) -> None:
    """
    However often a circuit moves, ten lines a minute say so; the next one tells what was left out.
    """
    cmd = make(registry)
    flap(cmd, 500)
    assert len(said.records) == 10
    clock.advance(60)
    said.clear()
    flap(cmd, 500)
    assert len(said.records) == 10
    assert messages(said)[0] == f"{OPENED} (lines left out before: 990)"
    assert messages(said)[1] == "circuit 'db' went from open to closed: reset"
    clock.advance(60)
    said.clear()
    fail(cmd)
    assert messages(said) == [f"{OPENED} (lines left out before: 990)"]


def test_a_storm_of_one_name_costs_another_no_line(
    registry: Registry, clock: FakeClock, said: Any
) -> None:
    """
    Each name has its own ten lines.
    """
    flap(make(registry), 100)
    fail(Command("other", registry=registry, volume_threshold=1))
    assert messages(said)[-1] == OPENED.replace("db", "other")


def test_lines_that_nobody_wants_do_not_count(
    registry: Registry, clock: FakeClock, said: Any
) -> None:
    """
    Where information is off, ten warnings a minute are left, and nothing else was left out.
    """
    said.set_level(logging.WARNING, logger="resilience")
    flap(make(registry), 10)
    assert messages(said) == [OPENED] * 10
    clock.advance(60)
    flap(make(registry), 1)
    assert messages(said)[-1] == OPENED


def test_what_was_left_out_is_told_although_the_storm_is_over(
    registry: Registry, clock: FakeClock, said: Any
) -> None:
    """
    The first snapshot after the minute tells it, such as a scrape: once, and not before.
    """
    cmd = make(registry)
    flap(cmd, 100)
    said.clear()
    clock.advance(59)
    registry.snapshot()
    assert said.records == []
    clock.advance(1)
    registry.snapshot()
    registry.snapshot()
    assert messages(said) == [
        "circuit 'db' has stopped moving so often (lines left out before: 190)"
    ]


def test_a_clock_that_is_put_back_silences_nobody_for_long(said: Any) -> None:
    """
    A minute is a minute from the time that the clock was put back to, and ten lines are ten.
    """
    moves = _log.Moves("db")

    for second in (10**9, *range(100, 130)):
        tell(moves, second)
    assert len(said.records) == 10
    tell(moves, 160)
    assert messages(said)[-1].endswith("no (lines left out before: 21)")


def test_a_clock_may_begin_with_zero(said: Any) -> None:
    """
    Ten lines are ten within its first minute, too.
    """
    moves = _log.Moves("db")
    for second in range(20):
        tell(moves, second)
    assert len(said.records) == 10


@pytest.mark.parametrize("left_out", [0, 1])
def test_only_a_line_that_was_left_out_is_owed(
    registry: Registry, clock: FakeClock, said: Any, left_out: int
) -> None:
    """
    A circuit that had its ten lines is not said to have stopped; one with a line more is.
    """
    cmd = make(registry)
    flap(cmd, 5)
    if left_out:
        fail(cmd)
    clock.advance(60)
    said.clear()
    registry.snapshot()
    owed = "circuit 'db' has stopped moving so often (lines left out before: 1)"
    assert messages(said) == [owed] * left_out


def test_what_a_move_has_told_meanwhile_is_not_told_again(said: Any) -> None:
    """
    Between the question whether lines are owed and their telling, another thread may tell them.
    """
    moves = _log.Moves("db")
    for _ in range(11):
        tell(moves, 0)
    assert moves.owe(60 * 10**9)
    tell(moves, 60)
    said.clear()
    moves.catch_up(60 * 10**9)
    assert said.records == []


# -- handlers that misbehave


def test_a_handler_that_raises_changes_nothing(
    run: Runtime, registry: Registry, handle: Any
) -> None:
    """
    Outcome, state and what listeners hear are as without it.
    """
    heard: list[object] = []

    def broken(record: logging.LogRecord) -> None:
        raise RuntimeError("the disk is full")

    def raising(event: object) -> None:
        heard.append(event)
        raise ValueError("broken listener")

    handle(broken)
    registry.subscribe(raising)
    cmd = make(registry)
    guarded = cmd(run.body(raises=OSError("no")))
    assert isinstance(run.raised(guarded), OSError)
    run.advance(5)
    guarded.__wrapped__.body.raises = None
    run.call(guarded)
    assert cmd.state is State.CLOSED
    assert len(heard) == 3


def test_a_handler_may_use_what_it_logs_about(
    registry: Registry, clock: FakeClock, handle: Any
) -> None:
    """
    It moves circuits itself, and the lines about that come after its own, without recursion.
    """
    cmd = make(registry)
    depth = most = 0
    lines: list[str] = []

    def reset(record: logging.LogRecord) -> None:
        nonlocal depth, most
        depth += 1
        most = max(most, depth)
        lines.append(record.getMessage())
        if len(lines) < 8:
            cmd.reset()
            fail(cmd)
        depth -= 1

    handle(reset)
    fail(cmd)
    assert most == 1
    assert cmd.state is State.OPEN
    assert len(lines) == 10
    assert lines[0] == OPENED


def test_no_lock_is_held_while_a_line_is_written(
    registry: Registry, clock: FakeClock, handle: Any
) -> None:
    """
    A handler that waits for another thread, which uses the same command, waits for no ever.
    """
    cmd = make(registry)
    states: list[Any] = []
    handle(lambda record: states.append(Caller(lambda: cmd.snapshot().state).outcome()))
    fail(cmd)
    assert states == [State.OPEN]


def test_a_program_without_logging_pays_for_it_when_a_circuit_opens() -> None:
    """
    Neither the import, nor calls, nor what is information only imports `logging`; opening does.

    Where nobody has configured it, the warning stands on the standard error, as of any library.
    """
    script = """
import sys
from resilience import CircuitBreaker

class Blocked:
    def find_spec(self, name, path, target=None):
        if name == "logging":
            print("logging is imported", flush=True)

sys.modules.pop("logging", None)
sys.meta_path.insert(0, Blocked())
breaker = CircuitBreaker("db", volume_threshold=1)
breaker.acquire().succeed()
breaker.reset()
print("closed", flush=True)
breaker.acquire().fail()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.splitlines() == ["closed", "logging is imported"]
    assert done.stderr == f"{OPENED}\n"


def test_information_alone_imports_no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where nobody has imported it, nobody can have asked for information; a warning is for all.
    """
    wanted: list[str] = []

    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            wanted.append(name)
            raise ModuleNotFoundError(name)

    monkeypatch.delitem(sys.modules, "logging")
    monkeypatch.setattr(sys, "meta_path", [Missing()])
    moves = _log.Moves("db")
    moves.tell(Transition(State.OPEN, State.CLOSED, Event.RESET, "reset", 0))
    assert wanted == []
    tell(moves, 0)
    assert wanted == ["logging"]


# -- warnings of misuse


@pytest.mark.promise("M5")
def test_a_topic_is_told_once_a_minute(
    said: Any, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """
    In a minute one warning of a topic is logged, whatever its words; other topics are their own.
    """
    monkeypatch.setattr(time, "monotonic_ns", clock)
    for second in range(121):
        _log.warn("topic", "at %d", second)
        clock.advance(1)
    _log.warn("another", "now")
    left_out = " (lines left out before: 59)"
    assert messages(said) == ["at 0", f"at 60{left_out}", f"at 120{left_out}", "now"]
    assert {record.name for record in said.records} == {"resilience"}


def test_an_error_is_told_with_its_traceback(said: Any) -> None:
    """
    Where a warning is about an error, the record carries it.
    """
    error = OSError("no")
    _log.warn("topic", "a listener raised", error=error)
    (record,) = said.records
    assert record.exc_info[1] is error


def test_what_is_kept_of_topics_is_bounded(
    said: Any, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """
    Topics are names, of which there may be any number: a thousand of them are remembered.
    """
    monkeypatch.setattr(time, "monotonic_ns", clock)
    for number in (*range(1000), *range(1000)):
        _log.warn(f"topic {number}", "told")
    assert len(said.records) == 1000
    _log.warn("one more", "told")
    assert len(said.records) == 1001
    assert len(_log._last) <= 1000


@pytest.mark.promise("M5")
@pytest.mark.parametrize("character", ["\n", "\r", "\x00", "\x1b", "\x85", "\u2028", "\u202e"])
def test_a_warning_is_one_line_whatever_the_name(said: Any, character: str) -> None:
    """
    A name that could break a line, or colour it, is refused; so a warning about it is one line.
    """
    with pytest.raises(ConfigurationError):
        CircuitBreaker(f"db{character}", registry=Registry())
    breaker = CircuitBreaker("a ' name \" of \\ any % kind", registry=Registry())
    for _ in range(2):
        contextvars.copy_context().run(breaker.__enter__)
    breaker.__exit__(None, None, None)
    for record in said.records:
        assert record.getMessage().isprintable()
    assert len(said.records) == 1
