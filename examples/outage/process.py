"""The service seen from outside: a process that is started, told how to behave, and killed."""

import asyncio
import contextlib
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.outage.service import LISTENING
from examples.outage.story import UnplayableError

ROOT = Path(__file__).parents[2]


class ServiceProcess:
    """
    The service's process, alive from the first phase that needs it.

    A killed process closes its port, so its callers are really refused by the operating system.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where the service is found while it lives."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()

    async def enter(self, phase: str) -> None:
        """
        Begin a phase of the story: a behaviour of the service, or `refusing`.

        Raises:
            UnplayableError: The service could not be started.
        """
        if phase == "refusing":
            await self.kill()
            return
        process = self._process or await self._start()
        assert process.stdin is not None
        process.stdin.write(f"{phase}\n".encode())
        await process.stdin.drain()

    async def kill(self) -> None:
        """End the process, if there is one, and wait until it is gone."""
        if (process := self._process) is None:
            return
        self._process = None
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            process.kill()
        await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "examples.outage.service", "--port", str(self.port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            # Ctrl-C is for the demo alone; the service ends when its input does.
            start_new_session=True,
        )
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode().strip()
        if said != LISTENING:
            raise UnplayableError(said or "the service ended before it could be called")
        return process
