"""
ASGI: requests that keep to their caller's time, and are refused when there are too many.

    app.add_middleware(Middleware, bulkhead=100, default_budget=10.0)

`Middleware` stands around any ASGI application, under asyncio and trio. `answer` is for frameworks
that turn exceptions into answers of their own before a middleware sees them, and `Health` is an
application that tells which circuits refuse calls.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, final

from resilience._default import default_registry
from resilience._intake import HEADERS, LONGEST, Intake
from resilience._problem import Problem, problem
from resilience.health import Checks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from resilience._bulkhead import Bulkhead
    from resilience._intake import Budget
    from resilience._registry import Registry
    from resilience._units import Duration

    App = Callable[[Any, Any, Any], Awaitable[None]]
    Send = Callable[[Any], Awaitable[None]]

__all__ = ["Health", "Middleware", "Problem", "answer", "problem"]

BODIES: Final = frozenset(
    {"http.response.body", "http.response.pathsend", "http.response.zerocopysend"}
)


@final
class Middleware:
    """
    A deadline and a slot for each request.

    - A request has the time that its caller has left, as its headers say, but at most `max_budget`;
      one that says nothing, or nothing sensible, has `default_budget`. When the time is over the
      application is cancelled and the answer is a 504. Time that was over before costs nothing.
    - A request for which there is no slot is answered with a 503 at once, unless the bulkhead lets
      it wait. A slot is held until the application returns, background tasks included.
    - A `RejectedError` or `DeadlineExceededError` that leaves the application becomes a 503 or 504
      with problem details, unless the response has begun: then it leaves the middleware too.
    - The deadline ends with the last byte of the response. Background tasks have their own time.
    - Only HTTP requests are touched. A websocket lasts as long as its conversation: open a
      `deadline` for each message.

    Args:
        app: The ASGI application.
        headers: Names of the headers that carry a budget: milliseconds, or the form of gRPC if it
            is `grpc-timeout`. Of several that a request brings the shortest counts; one that it
            brings twice does not.
        default_budget: Seconds for requests that bring none; `None`: as long as they like.
        max_budget: The most seconds that a request may ask for; `None`: a year.
        bulkhead: A `Bulkhead`, or how many requests may run at once; `None`: no limit.
        exempt: Paths that are let through as they are, with all that is below them: checks of
            health, which must not wait for a slot.
        clock: Gives integer nanoseconds.

    Raises:
        ConfigurationError: Any of it is wrong: all faults together.

    Example:
        >>> from resilience import remaining
        >>> from resilience.asgi import Middleware
        >>> async def site(scope, receive, send):
        ...     text = f"{remaining():.0f} s at most".encode()
        ...     await send({"type": "http.response.start", "status": 200, "headers": []})
        ...     await send({"type": "http.response.body", "body": text})
        >>> app = Middleware(site, default_budget=10.0, bulkhead=100, exempt="/live")
    """

    def __init__(
        self,
        app: App,
        *,
        headers: str | Sequence[str] = HEADERS,
        default_budget: Duration | None = None,
        max_budget: Duration | None = LONGEST,
        bulkhead: Bulkhead | int | None = None,
        exempt: str | Sequence[str] = (),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.app = app
        self._intake = Intake(
            headers=headers,
            default_budget=default_budget,
            max_budget=max_budget,
            bulkhead=bulkhead,
            exempt=exempt,
            clock=clock,
        )
        self._read = {header.name.lower().encode(): header.read for header in self._intake.headers}

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or self._intake.exempts(scope["path"]):
            await self.app(scope, receive, send)
            return
        length = self._intake.length(self._asked(scope["headers"]))
        response = _Response(send, None if length is None else self._intake.budget(length))
        try:
            await self._serve(scope, receive, response)
        except Exception as error:
            instead = None if response.started else problem(error)
            if instead is None:
                raise
            response.taken_over = True
            await _Answer(instead)(scope, receive, send)

    async def _serve(self, scope: Any, receive: Any, response: _Response) -> None:
        if response.budget is None:
            await self._in_slot(scope, receive, response.send)
            return
        with response.budget as deadline:
            deadline.check()
            await self._in_slot(scope, receive, response.send)

    async def _in_slot(self, scope: Any, receive: Any, send: Send) -> None:
        if self._intake.bulkhead is None:
            await self.app(scope, receive, send)
            return
        with await self._intake.bulkhead.aacquire():
            await self.app(scope, receive, send)

    def _asked(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[int | None]:
        found: dict[bytes, int | None] = {}
        for name, value in headers:
            read = self._read.get(name)
            if read is not None:
                # Said twice it is not said: nobody knows which one is meant.
                found[name] = None if name in found else read(value)
        return found.values()


class _Response:
    """What the application sends, and how far it has come."""

    __slots__ = ("_send", "budget", "started", "taken_over")

    def __init__(self, send: Send, budget: Budget | None) -> None:
        self._send = send
        self.budget = budget
        self.started = False
        self.taken_over = False

    async def send(self, message: Any) -> None:
        if self.taken_over:
            # By a task that the application has left behind: to it the connection is closed.
            raise ConnectionAbortedError("the request was answered in place of the application")
        kind = message["type"]
        if kind == "http.response.start":
            self.started = True
        await self._send(message)
        if self.budget is not None and kind in BODIES and not message.get("more_body"):
            self.budget.done()


async def answer(request: Any, error: Exception) -> Any:
    """
    Answer a refusal or the end of a deadline: an exception handler for Starlette and FastAPI.

    It is needed where the middleware stands around the whole application instead of being added to
    it, for then these frameworks have made a 500 of the error before the middleware sees it:

        app.add_exception_handler(RejectedError, answer)
        app.add_exception_handler(DeadlineExceededError, answer)

    Args:
        request: What the framework hands over; it is not looked at.
        error: What the request ended with.

    Returns:
        An ASGI application that sends the answer: what they take for a response.

    Raises:
        Exception: The error itself, if it is another one.

    Example:
        >>> import asyncio
        >>> from resilience import BulkheadFullError
        >>> from resilience.asgi import answer
        >>> async def main():
        ...     sent = []
        ...
        ...     async def send(message):
        ...         sent.append(message)
        ...
        ...     response = await answer(None, BulkheadFullError("stock"))
        ...     await response({"type": "http", "method": "GET"}, None, send)
        ...     return sent[0]["status"]
        >>> asyncio.run(main())
        503
    """
    del request
    instead = problem(error)
    if instead is None:
        raise error
    return _Answer(instead)


class _Answer:
    """The ASGI application that says one thing."""

    def __init__(self, said: Problem) -> None:
        self._said = said

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        del receive
        said = self._said
        await _say(scope, send, said.status, said.headers, said.body)


@final
class Health:
    """
    An ASGI application that tells which circuits refuse calls: see `resilience.health`.

    Args:
        registry: Whose circuits.
        critical: Names without which this program is not ready: while one of them refuses calls
            the answer is a 503. Without any, which is right for a check of liveness, it is always
            a 200.

    Raises:
        ConfigurationError: Any of it is wrong.

    Example:
        >>> from resilience.asgi import Health
        >>> ready = Health(critical="stock")  # add_route("/ready", ready), or mounted
    """

    def __init__(
        self, registry: Registry = default_registry, *, critical: str | Sequence[str] = ()
    ) -> None:
        self._checks = Checks(registry, critical)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer one request."""
        del receive
        if scope["type"] == "http":
            said = self._checks.report()
            await _say(scope, send, said.status, said.headers, said.body)


async def _say(scope: Any, send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    body = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": body})
