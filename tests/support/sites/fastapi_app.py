"""The same in FastAPI, with the middleware around the whole application: handlers are needed."""

import threading
from typing import Any

import anyio
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from resilience import (
    CircuitOpenError,
    DeadlineExceededError,
    RejectedError,
    deadline,
    remaining,
)
from resilience.asgi import Health, Middleware, answer

done: list[str] = []
let_go = anyio.Event()
inner = FastAPI(routes=[Route("/live", Health())])
inner.add_exception_handler(RejectedError, answer)
inner.add_exception_handler(DeadlineExceededError, answer)


@inner.get("/ok", response_class=PlainTextResponse)
def ok() -> str:
    return str(remaining(default="for ever"))


@inner.get("/refused")
def refused() -> None:
    raise CircuitOpenError("stock", 2.01)


@inner.get("/bug")
def bug() -> None:
    raise ValueError("a mistake")


@inner.get("/slow")
def slow() -> None:
    while True:  # on a thread: it asks how much time is left, as a client would
        threading.Event().wait(min(remaining(default=30.0), 0.01))


@inner.get("/own", response_class=PlainTextResponse)
async def own() -> Any:
    try:
        with deadline(0.01):
            await anyio.sleep(30)
    except DeadlineExceededError:
        return PlainTextResponse("mine", 418)


@inner.get("/stream")
async def stream() -> Any:
    async def parts() -> Any:
        yield "part"
        await anyio.sleep(30)

    return StreamingResponse(parts())


@inner.get("/background", response_class=PlainTextResponse)
async def background(tasks: BackgroundTasks) -> str:
    async def work() -> None:
        await let_go.wait()
        done.append("done")

    tasks.add_task(work)
    return "later"


@inner.get("/done", response_class=PlainTextResponse)
async def what_is_done() -> str:
    let_go.set()
    return done[0] if done else "not yet"


app = Middleware(inner, bulkhead=6, exempt="/live")
