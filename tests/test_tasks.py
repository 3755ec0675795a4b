"""Tasks: which one runs here is found out without importing what runs it."""

from __future__ import annotations

import asyncio
import sys
import time
from types import ModuleType
from typing import Any

import pytest
import sniffio
import trio

from resilience import DeadlineExceededError, _tasks, deadline


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither library has been found yet."""
    monkeypatch.setattr(_tasks, "_running_loop", _tasks._find_asyncio)
    monkeypatch.setattr(_tasks, "_asyncio_task", _tasks._find_asyncio)
    monkeypatch.setattr(_tasks, "_announced", None)
    monkeypatch.setattr(_tasks, "_trio_task", _tasks._find_trio)


@pytest.mark.usefixtures("fresh")
def test_the_task_is_found_at_the_first_time() -> None:
    """
    Of asyncio and of trio, and again when it is known where to look.
    """

    async def of_asyncio() -> list[Any]:
        return [_tasks.current_task() is asyncio.current_task() for _ in range(2)]

    async def of_trio() -> list[Any]:
        return [_tasks.current_task() is trio.lowlevel.current_task() for _ in range(2)]

    assert trio.run(of_trio) == asyncio.run(of_asyncio()) == [True, True]
    assert _tasks.current_task() is None


@pytest.mark.usefixtures("fresh")
def test_what_was_found_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    To ask for the task costs no more than asking the two libraries.
    """
    trio.run(trio.sleep, 0)  # it has its name written from now on
    assert _tasks.current_task() is None
    monkeypatch.setattr(_tasks, "_modules", {})
    assert (_tasks._running_loop, _tasks._asyncio_task, _tasks._announced) == (
        asyncio._get_running_loop,
        asyncio.current_task,
        sniffio.thread_local,
    )


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("there", [[], ["_get_running_loop"], ["current_task"]])
def test_asyncio_runs_nothing_while_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, there: list[str]
) -> None:
    """
    Another thread may be in the middle of that: not all of it is there, and it is asked later.
    """
    half = ModuleType("asyncio")
    for name in there:
        setattr(half, name, getattr(asyncio, name))
    monkeypatch.setattr(_tasks, "_modules", {"asyncio": half})
    assert _tasks.current_task() is None
    monkeypatch.setattr(_tasks, "_modules", sys.modules)

    async def main() -> bool:
        return _tasks.current_task() is asyncio.current_task()

    assert asyncio.run(main())


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("missing", ["trio", "asyncio", "sniffio"])
def test_what_is_not_imported_is_not_asked(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """
    It runs no task, and so it stays: nothing is imported to find that out.
    """
    monkeypatch.delitem(sys.modules, missing)
    assert _tasks.current_task() is None
    assert not _tasks.in_event_loop()
    assert not _tasks.is_cancellation(ConnectionError())
    assert missing not in sys.modules


def test_a_guest_of_asyncio_is_a_task_of_trio() -> None:
    """
    In guest mode trio runs in callbacks of asyncio, which are no tasks: its deadlines cut off.
    """

    async def guest() -> None:
        with pytest.raises(DeadlineExceededError), deadline(0.01):
            await trio.sleep(5)

    async def host() -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=ended.set_result,
        )
        (await ended).unwrap()

    begun = time.monotonic()
    asyncio.run(host())
    assert time.monotonic() - begun < 5
