"""
Runtimes: where a subject runs, and how its calls are timed there.

A sample is made as `timeit` makes it: a loop of calls after some that do not count, the garbage
collected before and its collector off. Each sample has a subject and, where there is one, an event
loop of its own. Among many calls an async loop lets the event loop go round, so that timers which
were cancelled are swept as in a program that waits for something.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from threading import Barrier, Thread
from time import perf_counter_ns
from typing import Any, Protocol

import attrs
import trio

from benchmarks.subject import Subject

try:
    import uvloop
except ImportError:  # not for this platform
    uvloop = None

Make = Callable[[], Subject]

ROUND = 500
"""Calls after which an event loop goes round."""


class Runtime(Protocol):
    """A place where subjects are run."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        ...

    def check(self, make: Make) -> None:
        """Make a subject and call it once."""
        ...

    def sample(self, make: Make, seconds: float) -> float:
        """Make a subject, time its calls for so long, and return the nanoseconds of one."""
        ...


@attrs.frozen
class Sync:
    """The thread of the caller."""

    name: str = "sync"

    def check(self, make: Make) -> None:
        """Make a subject and call it once."""
        make().check()

    def sample(self, make: Make, seconds: float) -> float:
        """Time the calls of a subject."""
        subject = make()
        subject.check()
        number, spent = 8, 0
        while (spent := self.loop(subject, number)) < seconds * 1e9 / 4:
            number *= 2
        number = max(1, int(number * seconds * 1e9 / spent))
        with quiet():
            return self.loop(subject, number) / number

    def loop(self, subject: Subject, number: int) -> int:
        """Make so many calls and return how long they took."""
        call, raises = subject.call, subject.raises
        start = perf_counter_ns()
        if raises is None:
            for _ in repeat(None, number):
                call()
        else:
            for _ in repeat(None, number):
                try:
                    call()
                except raises:
                    pass
        return perf_counter_ns() - start


@attrs.frozen
class Threads(Sync):
    """Several threads that share the calls among them."""

    name: str = "threads"
    count: int = 8

    def loop(self, subject: Subject, number: int) -> int:
        """Make so many calls and return how long they took together."""
        ready = Barrier(self.count + 1)

        def share() -> None:
            ready.wait()
            super(Threads, self).loop(subject, number // self.count + 1)

        threads = [Thread(target=share) for _ in range(self.count)]
        for thread in threads:
            thread.start()
        ready.wait()
        start = perf_counter_ns()
        for thread in threads:
            thread.join()
        return perf_counter_ns() - start


@attrs.frozen
class Async:
    """
    A task on an event loop.

    Attributes:
        name: What it is called in the table.
        run: Runs a coroutine function on a new event loop.
        go_round: Lets the event loop go round once.
    """

    name: str
    run: Callable[[Callable[[], Awaitable[Any]]], Any]
    go_round: Callable[[], Awaitable[object]]

    def check(self, make: Make) -> None:
        """Make a subject and call it once."""

        async def check() -> None:
            await make().acheck()

        self.run(check)

    def sample(self, make: Make, seconds: float) -> float:
        """Time the calls of a subject."""

        async def sample() -> float:
            subject = make()
            await subject.acheck()
            number, spent = 8, 0
            while (spent := await self.loop(subject, number)) < seconds * 1e9 / 4:
                number *= 2
            number = max(1, int(number * seconds * 1e9 / spent))
            with quiet():
                return await self.loop(subject, number) / number

        each: float = self.run(sample)
        return each

    async def loop(self, subject: Subject, number: int) -> int:
        """Make so many calls and return how long they took."""
        call, raises, go_round = subject.call, subject.raises, self.go_round
        start = perf_counter_ns()
        for done in range(0, number, ROUND):
            calls = repeat(None, min(ROUND, number - done))
            if raises is None:
                for _ in calls:
                    await call()
            else:
                for _ in calls:
                    try:
                        await call()
                    except raises:
                        pass
            await go_round()
        return perf_counter_ns() - start


@contextmanager
def quiet() -> Iterator[None]:
    """Collect the garbage, and keep the collector off."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _asyncio(loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Any:
    def run(main: Callable[[], Any]) -> Any:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    return run


def _yield() -> Awaitable[None]:
    return asyncio.sleep(0)


RUNTIMES: dict[str, Runtime] = {
    "sync": Sync(),
    "asyncio": Async("asyncio", _asyncio(), _yield),
    "trio": Async("trio", trio.run, trio.lowlevel.checkpoint),
}
if uvloop is not None:
    RUNTIMES["uvloop"] = Async("uvloop", _asyncio(uvloop.new_event_loop), _yield)
