"""What one would write by hand: no guard at all, or a limit of time alone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import anyio
import trio

from benchmarks.library import TIMEOUT
from benchmarks.runtimes import Make
from benchmarks.subject import Subject
from benchmarks.work import RESULT, awork, work


async def _asyncio() -> int:
    async with asyncio.timeout(TIMEOUT):
        return await awork()


async def _trio() -> int:
    with trio.move_on_after(TIMEOUT):
        return await awork()


async def _anyio() -> int:
    with anyio.fail_after(TIMEOUT):
        return await awork()


def _pool() -> Subject:
    executor = ThreadPoolExecutor()
    return Subject(lambda: executor.submit(work).result(), returns=RESULT)


ASYNCIO_TIMEOUT = ("asyncio.timeout", lambda: Subject(_asyncio, returns=RESULT))
ANYIO_TIMEOUT = ("anyio.fail_after", lambda: Subject(_anyio, returns=RESULT))

UNGUARDED: tuple[str, Make] = ("unguarded", lambda: Subject(work, returns=RESULT))
AUNGUARDED: tuple[str, Make] = ("unguarded", lambda: Subject(awork, returns=RESULT))

TIMEOUTS: dict[str, tuple[str, Make]] = {
    "sync": ("ThreadPoolExecutor", _pool),
    "asyncio": ASYNCIO_TIMEOUT,
    "uvloop": ASYNCIO_TIMEOUT,
    "trio": ("trio.move_on_after", lambda: Subject(_trio, returns=RESULT)),
}
"""What limits the time of a call, by runtime."""
