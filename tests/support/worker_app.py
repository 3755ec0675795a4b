"""A program served by several workers, over WSGI and ASGI; an answer tells its process."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from resilience import command
from resilience.prometheus import start_multiprocess_writer

# One failure opens it, however many calls there were before.
users = command("users", volume_threshold=1, error_percent=0.01, sleep_window=3600, fallback=repr)
start_multiprocess_writer(float(os.environ["INTERVAL"]))


def answer(path: str) -> bytes:
    """Make a call, or show what all workers have counted."""
    if path == "/metrics":
        metrics = CollectorRegistry()
        MultiProcessCollector(metrics)
        return generate_latest(metrics)
    users.call({"/ok": dict, "/fail": {}.popitem}[path])
    return str(os.getpid()).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer as gunicorn asks."""
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer as uvicorn asks."""
    if scope["type"] != "http":
        return
    body = answer(scope["path"])
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})
