"""The examples of docs/how-to/client-timeouts.md whose clients have limits of another kind."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo, timeout_from_conninfo

from resilience import Command, DeadlineExceededError, Registry, deadline
from tests.support.loopback import BUDGET, over_soon, silent
from tests.support.page import page
from tests.support.runtime import FakeClock
from tests.support.threads import PATIENCE

clients: Any = page("how-to/client-timeouts.md")


# -- psycopg


@pytest.mark.parametrize(
    ("given", "taken"), [(0, 130), (0.9, 130), (1, 2), (2.9, 2), (3.1, 3), (-1, 130)]
)
def test_psycopg_has_whole_seconds(given: float, taken: int) -> None:
    """
    Two at least, and none at all is more than two minutes.
    """
    assert timeout_from_conninfo({"connect_timeout": given}) == taken


@pytest.mark.parametrize(("left", "given"), [(0.5, 2), (2.5, 2), (7.9, 7)])
def test_psycopg_connects_within_whole_seconds(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, left: float, given: int
) -> None:
    """
    What is left is rounded down, and up where psycopg would take it for none.
    """
    monkeypatch.setattr(psycopg, "connect", make_conninfo)
    with deadline(left, clock=clock):
        assert clients.connect("dbname=x") == f"dbname=x connect_timeout={given}"


def test_a_command_bounds_what_psycopg_cannot() -> None:
    """
    Its caller has an answer in time; the thread ends with the connection.
    """
    ended = threading.Event()

    def connect(conninfo: str) -> None:
        try:
            clients.connect(conninfo)
        finally:
            ended.set()

    call = Command("postgres", registry=Registry(), timeout=BUDGET).call
    with silent() as server:
        with over_soon(), pytest.raises(DeadlineExceededError):
            call(connect, server.conninfo)
        assert not ended.is_set()
    assert ended.wait(PATIENCE)


class Connection:
    """A connection that takes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def transaction(self) -> Any:
        return nullcontext()

    def execute(self, sql: str, parameters: Any) -> Any:
        self.told.append((sql, *parameters))
        return self

    def fetchall(self) -> list[Any]:
        return self.told


@pytest.mark.parametrize(("left", "told"), [(2.5, "2500"), (0.0019, "1"), (0.000001, "1")])
def test_postgres_is_told_a_limit_and_never_none(clock: FakeClock, left: float, told: str) -> None:
    """
    Milliseconds for the statements of one transaction; 0 would be no limit.
    """
    with deadline(left, clock=clock):
        first, second = clients.query(Connection(), "select %s", 7)
    assert first == ("select set_config('statement_timeout', %s, true)", told)
    assert second == ("select %s", 7)


# -- sqlite3


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A database that another connection has locked."""
    path = tmp_path / "locked.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("create table t (x)")
        holder.execute("begin exclusive")
        yield path


def test_sqlite_waits_for_a_lock_for_the_time_that_is_left(locked: Path) -> None:
    """
    Another connection holds the lock: the write ends with the budget, or is not tried.
    """
    with deadline(BUDGET), over_soon():
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            clients.write(locked, "insert into t values (?)", 1)
    with deadline(0), pytest.raises(DeadlineExceededError):
        clients.write(locked, "insert into t values (?)", 1)


def test_sqlite_writes_when_nobody_holds_the_lock(tmp_path: Path) -> None:
    """
    The example does what it is for.
    """
    path = tmp_path / "free.db"
    with deadline(PATIENCE):
        clients.write(path, "create table t (x)")
        assert clients.write(path, "insert into t values (?)", 1) == 1


@pytest.mark.parametrize(("left", "told"), [(2.5, 2500), (0.0019, 1), (0.0001, 0)])
def test_sqlite_counts_in_milliseconds(clock: FakeClock, left: float, told: int) -> None:
    """
    A fraction is cut off, in the call and in the pragma; 0 is not to wait at all.
    """
    asked = "pragma busy_timeout"
    with closing(sqlite3.connect(":memory:", timeout=left)) as connection:
        assert connection.execute(asked).fetchone() == (told,)
    with closing(sqlite3.connect(":memory:")) as connection, deadline(left, clock=clock):
        clients.wait_for_locks(connection)
        assert connection.execute(asked).fetchone() == (told,)


def test_a_query_of_sqlite_goes_by_the_deadline() -> None:
    """
    It is interrupted when the budget is used up, and left alone without one.
    """
    count = (
        "with recursive n (x) as (select 1 union all select x + 1 from n limit ?)"
        " select count(*) from n"
    )
    with closing(sqlite3.connect(":memory:")) as connection:
        clients.go_by_deadlines(connection)
        assert connection.execute(count, [100_000]).fetchone() == (100_000,)
        with deadline(BUDGET), over_soon():
            with pytest.raises(sqlite3.OperationalError, match="interrupted"):
                connection.execute(count, [-1])


# -- subprocess


def test_a_child_process_is_killed_when_no_time_is_left() -> None:
    """
    It is waited for as long as the budget lasts; without any it is not started.
    """
    python = (sys.executable, "-S", "-c")
    assert clients.convert(*python, "print(7)").strip() == b"7"
    for budget in (BUDGET, 0):
        ends = over_soon() if budget else nullcontext()
        with deadline(budget), ends:
            with pytest.raises(subprocess.TimeoutExpired if budget else DeadlineExceededError):
                clients.convert(*python, "import threading; threading.Event().wait()")
