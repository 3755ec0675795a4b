"""Deadlines without a command around them, and the hand-off to a worker."""

from collections.abc import Iterator
from typing import Any

from benchmarks.floors import ANYIO_TIMEOUT, TIMEOUTS
from benchmarks.library import TIMEOUT
from benchmarks.limits import limits
from benchmarks.row import Row, Timed
from benchmarks.runtimes import RUNTIMES
from benchmarks.subject import Subject
from benchmarks.work import RESULT, awork, work
from resilience import deadline
from resilience._worker import Job, Workers


def deadline_rows() -> Iterator[Row]:
    """Make a row for deadlines on each runtime, and one for the hand-off."""
    for name, runtime in RUNTIMES.items():
        key = f"deadline {name}"
        if name == "sync":
            title = "`with deadline(1)` around a call, cooperative, sync"
            others = []
        else:
            title = f"`with deadline(1)` around an await, {name}"
            others = [TIMEOUTS[name], ANYIO_TIMEOUT]
        contenders = [("resilience", _cooperative if name == "sync" else _enforced), *others]
        yield Row(key, title, [Timed(who, runtime, make) for who, make in contenders], limits(key))
    key = "hand-off sync"
    sides = ("resilience", _workers), TIMEOUTS["sync"]
    yield Row(
        key,
        "hand-off to a waiting thread and back, no command",
        [Timed(who, RUNTIMES["sync"], make) for who, make in sides],
        limits(key),
    )


def _cooperative() -> Subject:
    def call() -> int:
        with deadline(TIMEOUT):
            return work()

    return Subject(call, returns=RESULT)


def _enforced() -> Subject:
    async def call() -> int:
        with deadline(TIMEOUT):
            return await awork()

    return Subject(call, returns=RESULT)


def _workers() -> Subject:
    workers = Workers("hand-off")

    def call() -> Any:
        job = Job(work, (), {})
        workers.start(job)
        assert job.wait(TIMEOUT)
        return job.result()

    return Subject(call, returns=RESULT)
