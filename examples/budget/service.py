"""
A web service that keeps to a budget, and passes on what is left of it.

This is the file to read: the middleware opens the deadline, the routes ask what is left of it.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

import attrs
import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.budget.visit import Visit, noted
from resilience import Command, DeadlineExceededError, deadline, remaining


class Budget:
    """Middleware: a request has this long, or less where its caller says so; then it is a 504."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within its budget; whatever runs inside can ask what is left."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = float(Request(scope).query_params.get("budget", math.inf))
        try:
            with deadline(min(self.seconds, asked)):
                await self.app(scope, receive, send)
        except DeadlineExceededError as error:
            # Nothing was sent yet: an answer is made only once all that takes time is done.
            await PlainTextResponse(str(error), status_code=504)(scope, receive, send)


@attrs.define(eq=False)
class Service:
    """
    One of the four: it works for a while, then asks the next.

    Attributes:
        name: What it is called.
        takes: Seconds of its own work.
        budget: Seconds that a request may take here at most.
        visits: Where its requests are noted, for the tables.
        guard: The command around calls of the next service; `None`: there is none.
        next_url: Where the next service is.
    """

    name: str
    takes: float
    budget: float
    visits: list[Visit]
    guard: Command | None = None
    next_url: str = ""
    http: httpx2.Client = attrs.field(init=False)
    ahttp: httpx2.AsyncClient = attrs.field(init=False)

    def app(self) -> Starlette:
        """Return the web application."""
        return Starlette(
            routes=[Route("/sync", self.answer), Route("/async", self.aanswer)],
            middleware=[Middleware(Budget, seconds=self.budget)],
            lifespan=self.clients,
        )

    @contextlib.asynccontextmanager
    async def clients(self, _: Starlette) -> AsyncIterator[None]:
        """Keep both clients open as long as the application runs."""
        # No timeout here: each call is given its own.
        options = {"base_url": self.next_url, "timeout": None, "trust_env": False}
        with httpx2.Client(**options) as self.http:
            async with httpx2.AsyncClient(**options) as self.ahttp:
                yield

    # -- the sync route: Starlette runs it on a thread, and the deadline is carried there

    def answer(self, _: Request) -> Response:
        """Work, ask the next service, answer."""
        with noted(self.visits, self.name, "sync") as visit:
            work(self.takes)
            if self.guard is not None:
                self.guard.call(self.ask, visit)
        return PlainTextResponse(f"{self.name} agrees")

    def ask(self, visit: Visit) -> None:
        """Ask the next service, which has what is left."""
        left = visit.given = remaining()
        try:
            self.http.get("/sync", params={"budget": left}, timeout=left).raise_for_status()
        except httpx2.HTTPError:
            # The client, or the next service, may see the end of the budget a moment before the
            # command does, and tell of it in words of its own. If that is what it was, this raises
            # what it is: the caller's deadline, which is answered with a 504.
            remaining()
            raise

    # -- the async route, a task of the event loop

    async def aanswer(self, _: Request) -> Response:
        """Work, ask the next service, answer."""
        with noted(self.visits, self.name, "async") as visit:
            await asyncio.sleep(self.takes)
            if self.guard is not None:
                await self.guard.acall(self.aask, visit)
        return PlainTextResponse(f"{self.name} agrees")

    async def aask(self, visit: Visit) -> None:
        """Ask the next service, which has what is left."""
        left = visit.given = remaining()
        try:
            response = await self.ahttp.get("/async", params={"budget": left}, timeout=left)
            response.raise_for_status()
        except httpx2.HTTPError:
            remaining()  # as above
            raise


def work(seconds: float) -> None:
    """Take a while. Sync code cannot be cut off, so it asks: `remaining()` raises at the end."""
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        time.sleep(min(rest, remaining()))
