"""Where races are run: a runtime in virtual time, with deadlines of ours or limits of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import trio

from resilience import DeadlineExceededError, Registry, State, deadline
from tests.support.race import HAIR, LENGTH, TICK, Block, By, End, Nest, Race, When
from tests.support.runtime import AsyncioRuntime, AsyncRuntime, EagerRuntime, TrioRuntime

Call = Callable[[], Awaitable[Any]]
Limit = Callable[[Call], Awaitable[Any]]


def runtimes() -> dict[str, type[AsyncRuntime]]:
    """What there is to play in, on this Python."""
    found: dict[str, type[AsyncRuntime]] = {"asyncio": AsyncioRuntime, "trio": TrioRuntime}
    if importlib.util.find_spec("uvloop"):
        from tests.support.virtual_uvloop import UvloopRuntime

        found["uvloop"] = UvloopRuntime
    if hasattr(asyncio, "eager_task_factory"):
        found["eager"] = EagerRuntime
    return found


class Track:
    """A runtime, and the limits that are raced in it: deadlines of ours, or the runtime's own."""

    def __init__(self, runtime: AsyncRuntime, *, native: bool = False) -> None:
        self.runtime = runtime
        self.native = native
        self.command: Any = None
        self.in_trio = isinstance(runtime, TrioRuntime)
        self._owners: dict[int, int] = {}

    def play(self, race: Race) -> End:
        """Run a race; where the nest has a command, as the trial of its circuit."""
        if race.nest.has_command and not self.native:
            self.command = self._on_trial(race.nest.lengths[-1])
        self._owners.clear()
        block = Block()
        limits = [self._limit(race.nest, number) for number in range(len(race.nest.lengths))]
        main = self._main_in_trio if self.in_trio else self._main
        ended: End = self.runtime.call(
            main, race, lambda: nested(limits, lambda: block.run(race.does)), block
        )
        return ended

    # -- the limits

    def _limit(self, nest: Nest, number: int) -> Limit:
        seconds = nest.lengths[number] * LENGTH * TICK
        if self.native:
            return self._native_limit(seconds, number)
        if nest.has_command and number == 1:
            return self._command_limit(number)

        async def limit(call: Call) -> Any:
            scope = None
            try:
                with deadline(seconds, clock=self.runtime.clock) as scope:
                    return await call()
            except DeadlineExceededError as error:
                if error.deadline is scope:
                    self._owners[id(error)] = number
                raise

        return limit

    def _command_limit(self, number: int) -> Limit:
        async def limit(call: Call) -> Any:
            try:
                return await self.command.acall(call)
            except DeadlineExceededError as error:
                if error.name == self.command.name:
                    self._owners[id(error)] = number
                raise

        return limit

    def _native_limit(self, seconds: float, number: int) -> Limit:
        async def limit(call: Call) -> Any:
            try:
                if self.in_trio:
                    with trio.fail_after(seconds):
                        return await call()
                else:
                    async with asyncio.timeout(seconds):
                        return await call()
            except (TimeoutError, trio.TooSlowError) as error:
                self._owners.setdefault(id(error), number)  # the block itself raises none
                raise

        return limit

    def _on_trial(self, length: int) -> Any:
        registry = Registry(clock=self.runtime.clock, random=lambda: 0.0)
        command = registry.command(
            "db", timeout=length * LENGTH * TICK, volume_threshold=1, sleep_window=1
        )
        command.acquire().fail()
        self.runtime.advance(1)
        assert command.state is State.OPEN
        return command

    # -- the race

    async def _main(self, race: Race, guarded: Call, block: Block) -> End:
        loop = asyncio.get_running_loop()
        zero = loop.time() + LENGTH * TICK
        if race.when.same_tick:
            loop.call_at(zero - 2 * HAIR * TICK, self.runtime.advance, 4 * HAIR * TICK)
        # A task of its own: an eager one begins here and now.
        task = asyncio.create_task(self._racing(race, guarded, block, zero))
        if race.by is By.TASK and race.when is not When.NEVER:
            loop.call_at(zero + race.when.value * TICK, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
        return self._end

    async def _main_in_trio(self, race: Race, guarded: Call, block: Block) -> End:
        zero = trio.current_time() + LENGTH * TICK

        async def jump() -> None:
            await trio.sleep_until(zero - 2 * HAIR * TICK)
            self.runtime.advance(4 * HAIR * TICK)

        async with trio.open_nursery() as nursery:
            if race.when.same_tick:
                nursery.start_soon(jump)
            await self._racing(race, guarded, block, zero)
        return self._end

    async def _racing(self, race: Race, guarded: Call, block: Block, zero: float) -> None:
        cancels: Any = contextlib.nullcontext()
        if race.by is By.SCOPE:
            cancels = anyio.CancelScope(deadline=zero + race.when.value * TICK)
        with cancels:
            try:
                await guarded()
            except anyio.get_cancelled_exc_class() as cancellation:
                self._tell("cancelled", cancellation, block, zero)
                raise
            except (TimeoutError, trio.TooSlowError) as error:
                self._tell("deadline", error, block, zero)
            else:
                self._tell("value", None, block, zero)
            try:
                await anyio.sleep(10 * TICK)
            except anyio.get_cancelled_exc_class():
                self._end = self._end._replace(later=True)
                raise

    def _tell(self, left: str, error: Any, block: Block, zero: float) -> None:
        last = block.seen[-1] if block.seen else None
        ticks = (anyio.current_time() - zero) / TICK
        # The number of the limit by the identity of its error: both live until the race is over.
        self._end = End(
            left,
            self._owners.get(id(error)),
            round(ticks),
            len(block.seen),
            last in (error, getattr(error, "__cause__", None)),
            min(self._cancelling(), 1),
            later=False,
        )

    def _cancelling(self) -> int:
        task = None if self.in_trio else asyncio.current_task()
        return 0 if task is None else task.cancelling()


async def nested(limits: Sequence[Limit], call: Call) -> Any:
    """Call within limits, the outermost first."""
    if not limits:
        return await call()
    return await limits[0](lambda: nested(limits[1:], call))
