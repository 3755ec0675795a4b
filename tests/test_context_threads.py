"""
Where a deadline is seen only if it is taken along: in bare threads and in executors.

`copy_context().run` takes it. A context can be entered once at a time, so each call has a copy of
its own.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context

import pytest

from resilience import Deadline, current_deadline, deadline
from tests.support.threads import Caller

HANDED_ON = bool(getattr(sys.flags, "thread_inherit_context", 0))
"""Whether `Thread.start` hands on its caller's context: from Python 3.14 on it can."""


@pytest.mark.promise("E5")
def test_a_bare_thread_takes_a_deadline_along_only_in_a_copy_of_the_context() -> None:
    """
    `Thread` begins with an empty context, where Python does not hand it on.
    """
    with deadline(60) as scope:
        assert Caller(current_deadline).outcome() is (scope if HANDED_ON else None)
        assert Caller(copy_context().run, current_deadline).outcome() is scope


@pytest.mark.promise("E5")
def test_submit_takes_a_deadline_along_only_in_a_copy_of_the_context() -> None:
    """
    A copy for each call: those of one caller run side by side.
    """
    side_by_side = threading.Barrier(2)

    def work() -> Deadline | None:
        side_by_side.wait(20)
        return current_deadline()

    with ThreadPoolExecutor(2) as pool, deadline(60) as scope:
        bare = [pool.submit(work) for _ in range(2)]
        assert {each.result() for each in bare} == {scope if HANDED_ON else None}
        taken = [pool.submit(copy_context().run, work) for _ in range(2)]
        assert {each.result() for each in taken} == {scope}


@pytest.mark.promise("E5")
def test_map_takes_a_deadline_along_only_in_copies_of_the_context() -> None:
    """
    The context is taken once, and each item runs in a copy of its own.
    """
    side_by_side = threading.Barrier(2)

    def work(item: int) -> tuple[int, Deadline | None]:
        side_by_side.wait(20)
        return item, current_deadline()

    with ThreadPoolExecutor(2) as pool, deadline(60) as scope:
        bare = scope if HANDED_ON else None
        assert list(pool.map(work, (1, 2))) == [(1, bare), (2, bare)]
        context = copy_context()
        taken = pool.map(lambda item: context.copy().run(work, item), (1, 2))
        assert list(taken) == [(1, scope), (2, scope)]


@pytest.mark.promise("E5")
def test_run_in_executor_takes_a_deadline_along_only_in_a_copy_of_the_context() -> None:
    """
    Unlike `to_thread`, which is this with a copy of the context.
    """

    async def main() -> None:
        run = asyncio.get_running_loop().run_in_executor
        with deadline(60) as scope:
            bare = await run(None, current_deadline)
            assert bare is (scope if HANDED_ON else None)
            assert await run(None, copy_context().run, current_deadline) is scope

    asyncio.run(main())


@pytest.mark.promise("E5")
def test_one_copy_of_the_context_is_no_good_for_two_calls_at_once() -> None:
    """
    Python refuses to enter a context that another thread is inside of.
    """
    with deadline(60):
        context: Context = copy_context()

    def inside() -> None:
        with pytest.raises(RuntimeError, match="is already entered"):
            Caller(context.run, current_deadline).outcome()

    context.run(inside)
