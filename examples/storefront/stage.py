"""The stage: the storefront and its three services, each a process, on free ports."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from examples.storefront.clients import NAMES

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds that a process may take until it can be called."""


class UnplayableError(Exception):
    """What keeps the story from being played, in one line."""


class Program:
    """One process that listens on a port of its own, alive until it is killed."""

    def __init__(self, *module: str, port: int) -> None:
        self._module = module
        self.port = port
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it is found while it lives."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """
        Start it, and wait until it can be called.

        Raises:
            UnplayableError: It ended, or took too long.
        """
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *self._module, "--port", str(self.port)),
            stdin=asyncio.subprocess.PIPE,
            cwd=ROOT,
            # Ctrl-C is for the one who plays; the others end when their input does.
            start_new_session=True,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while process.returncode is None:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                        writer.close()
                        return
                    await asyncio.sleep(0.05)
        raise UnplayableError(f"{self._module[0]} cannot be called on port {self.port}")

    async def tell(self, behaviour: str) -> None:
        """Say how it behaves from now on; `gone` kills it, anything else brings it back first."""
        if behaviour == "gone":
            await self.kill()
            return
        if self._process is None:
            await self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{behaviour}\n".encode())
        await self._process.stdin.drain()

    async def kill(self) -> None:
        """End the process, if there is one, and wait until it is gone."""
        if (process := self._process) is None:
            return
        self._process = None
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            process.kill()
        await process.wait()


class Stage:
    """What runs: the storefront's address, and the services by name."""

    def __init__(self) -> None:
        first, *others = free_ports(1 + len(NAMES))
        self.services = {
            name: Program("examples.storefront.upstream", name, port=port)
            for name, port in zip(NAMES, others, strict=True)
        }
        addresses = [
            part for name, each in self.services.items() for part in (f"--{name}", each.url)
        ]
        self.storefront = Program("examples.storefront.service", *addresses, port=first)

    async def tell(self, behaviours: dict[str, str]) -> None:
        """Say how each service behaves from now on."""
        for name, behaviour in behaviours.items():
            await self.services[name].tell(behaviour)


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Start everything, and end it all."""
    made = Stage()
    programs = (*made.services.values(), made.storefront)
    try:
        await asyncio.gather(*(program.start() for program in programs))
        yield made
    finally:
        for program in programs:
            await program.kill()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [each.getsockname()[1] for each in sockets]
