"""The play: starts the service, lets the callers loose and leads the service through its phases."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator

import attrs
import httpx2
import uvicorn
from prometheus_client import CollectorRegistry, start_http_server

from examples.outage.inventory import GUARD, REGISTRY, Inventory
from examples.outage.process import ServiceProcess
from examples.outage.story import Story, UnplayableError
from examples.outage.timeline import Timeline
from examples.outage.traffic import Traffic
from resilience import Snapshot
from resilience.hystrix_stream import AsgiApp
from resilience.prometheus import ResilienceCollector

REFRESH = 0.125


Show = Callable[[Timeline, Snapshot], None]
"""Shows the present; called several times a second."""


@attrs.frozen
class Ending:
    """What is left when the story is over."""

    timeline: Timeline
    snapshot: Snapshot
    scrape: str
    trials_at_once: int


async def play(story: Story, show: Show) -> Ending:
    """
    Play a story from beginning to end.

    Raises:
        UnplayableError: A port is taken or the service does not start.
    """
    GUARD.configure(rolling_window=3.0 * story.scale, sleep_window=2.0 * story.scale)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(metrics(story.metrics_port))
        stack.enter_context(page(story.page_port))
        service = await stack.enter_async_context(ServiceProcess(story.port))
        # The deadline of the command is the only one, and the calls stay on this machine.
        http = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=service.url, timeout=None, trust_env=False)
        )
        await service.enter(story.phases[0])  # before the time begins: it takes a moment to start
        timeline = Timeline()
        inventory = Inventory(http)
        stack.callback(REGISTRY.subscribe(timeline.heard))
        await lead(story, service, Traffic(inventory, timeline), show)
        show(timeline, GUARD.snapshot())
        scrape = (await http.get(story.metrics_url)).text
        return Ending(timeline, GUARD.snapshot(), scrape, inventory.trials_at_once)


async def lead(story: Story, service: ServiceProcess, traffic: Traffic, show: Show) -> None:
    """Keep the traffic flowing and the show going while the service goes through its phases."""
    timeline = traffic.timeline
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.flow())
        watching = group.create_task(watch(timeline, show))
        for phase in story.phases:
            await service.enter(phase)
            timeline.entered(phase)
            await asyncio.sleep(story.duration / len(story.phases))
        timeline.finish()
        traffic.stop()
        watching.cancel()


async def watch(timeline: Timeline, show: Show) -> None:
    """Show the present again and again."""
    while True:
        show(timeline, GUARD.snapshot())
        await asyncio.sleep(REFRESH)


@contextlib.contextmanager
def metrics(port: int) -> Iterator[None]:
    """Offer the library's metrics to whoever asks, from a thread of their own."""
    registry = CollectorRegistry()
    registry.register(ResilienceCollector(REGISTRY))
    try:
        server, thread = start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise UnplayableError(f"port {port} cannot be used: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def page(port: int) -> Iterator[None]:
    """Offer the live page to whoever looks, from a thread of its own; a program may mount it."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UnplayableError(f"port {port} cannot be used: {reason}") from None
    app = AsgiApp(REGISTRY, interval=0.5)
    # A page that is still looked at keeps nobody waiting in the end.
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
