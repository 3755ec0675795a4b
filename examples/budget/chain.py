"""The four services, each behind a port of its own, in one thread beside the program."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import anyio
import uvicorn

from examples.budget.scenes import SERVICES, Scene
from examples.budget.service import Service
from examples.budget.visit import Visit
from resilience import Registry

TIMEOUT = 1.0
"""Seconds each command allows by itself: more than the budget, so it is the budget that ends."""


@contextlib.contextmanager
def chain(scene: Scene, registry: Registry, visits: list[Visit]) -> Iterator[str]:
    """Start the services of a scene, give the URL of the first, and stop them all at the end."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in SERVICES]
        urls = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
        services = [Service(name, scene.takes(name), scene.budget, visits) for name in SERVICES]
        for service, following, url in zip(services, SERVICES[1:], urls[1:], strict=False):
            service.guard = registry.command(following, timeout=TIMEOUT)
            service.next_url = url
        stack.enter_context(serving(services, listeners))
        yield urls[0]


@contextlib.contextmanager
def serving(services: list[Service], listeners: list[socket.socket]) -> Iterator[None]:
    """Serve each at its listener, all in one event loop, until the block is left."""
    servers = [
        uvicorn.Server(uvicorn.Config(service.app(), log_level="critical", lifespan="on"))
        for service in services
    ]

    async def serve() -> None:
        async with anyio.create_task_group() as group:
            for server, listener in zip(servers, listeners, strict=True):
                group.start_soon(server.serve, [listener])

    thread = threading.Thread(target=anyio.run, args=(serve,), name="event loop")
    try:
        thread.start()
        # A service that is still starting would cost the first request some of its budget.
        while thread.is_alive() and not all(server.started for server in servers):
            time.sleep(0.005)
        yield
    finally:
        for server in servers:
            server.should_exit = True
        if thread.ident is not None:  # it was started
            thread.join()
