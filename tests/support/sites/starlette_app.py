"""What is asked of every framework, in Starlette: for any event loop."""

from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from resilience import CircuitOpenError, DeadlineExceededError, deadline, remaining
from resilience.asgi import Health, Middleware

done: list[str] = []
let_go = anyio.Event()


async def ok(request: Any) -> Any:
    return PlainTextResponse(str(remaining(default="for ever")))


async def refused(request: Any) -> Any:
    raise CircuitOpenError("stock", 2.01)


async def bug(request: Any) -> Any:
    raise ValueError("a mistake")


async def slow(request: Any) -> Any:
    await anyio.sleep(30)


async def own(request: Any) -> Any:
    try:
        with deadline(0.01):
            await anyio.sleep(30)
    except DeadlineExceededError:
        return PlainTextResponse("mine", 418)


async def stream(request: Any) -> Any:
    async def parts() -> Any:
        yield "part"
        await anyio.sleep(30)

    return StreamingResponse(parts())


async def background(request: Any) -> Any:
    async def work() -> None:
        await let_go.wait()
        done.append("done")

    return PlainTextResponse("later", background=BackgroundTask(work))


async def what_is_done(request: Any) -> Any:
    let_go.set()
    return PlainTextResponse(done[0] if done else "not yet")


class Waved(BaseHTTPMiddleware):
    """A middleware that runs the application in another task."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        return await call_next(request)


endpoints = {
    "/ok": ok,
    "/refused": refused,
    "/bug": bug,
    "/slow": slow,
    "/own": own,
    "/stream": stream,
    "/background": background,
    "/done": what_is_done,
}
app = Starlette(
    routes=[
        *(Route(path, endpoint) for path, endpoint in endpoints.items()),
        Route("/live", Health()),
    ]
)
app.add_middleware(Waved)
app.add_middleware(Middleware, bulkhead=6, exempt="/live")
