"""
WSGI: requests that keep to their caller's time, and are refused when there are too many.

    app.wsgi_app = Middleware(app.wsgi_app, bulkhead=8, default_budget=10.0)

`Middleware` stands around any WSGI application. `answer` is for frameworks that turn exceptions
into answers of their own before a middleware sees them, and `Health` is an application that tells
which circuits refuse calls.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, final

from resilience._default import default_registry
from resilience._intake import HEADERS, LONGEST, Intake
from resilience._problem import Problem, problem
from resilience.health import Checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from resilience._bulkhead import Bulkhead
    from resilience._deadline import Deadline
    from resilience._permit import Permit
    from resilience._registry import Registry
    from resilience._units import Duration

    App = Callable[[Any, Any], Iterable[bytes]]

__all__ = ["Health", "Middleware", "Problem", "answer", "problem"]


@final
class Middleware:
    """
    A deadline and a slot for each request.

    - A request has the time that its caller has left, as its headers say, but at most `max_budget`;
      one that says nothing, or nothing sensible, has `default_budget`. Nothing can cut off sync
      code: commands go by the deadline, and so does whoever asks `remaining()`. A response that
      began in time and is not at its end when the time is over is broken off between two chunks;
      one that begins late is given all the same. Time that was over before costs nothing.
    - A request for which there is no slot is answered with a 503 at once, unless the bulkhead lets
      it wait.
    - A `RejectedError` or `DeadlineExceededError` that leaves the application becomes a 503 or 504
      with problem details, unless the response has begun: then it leaves the middleware too.
    - Deadline and slot cover the body, as long as it is read, and its `close()`. Between two chunks
      the deadline binds nobody: what runs then is the server.

    Args:
        app: The WSGI application.
        headers: Names of the headers that carry a budget: milliseconds, or the form of gRPC if it
            is `grpc-timeout`. Of several that a request brings the shortest counts.
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
        >>> from resilience.wsgi import Middleware
        >>> def site(environ, start_response):
        ...     start_response("200 OK", [("Content-Type", "text/plain")])
        ...     return [f"{remaining():.0f} s at most".encode()]
        >>> app = Middleware(site, default_budget=10.0, bulkhead=8, exempt="/live")
        >>> b"".join(app({"PATH_INFO": "/"}, lambda status, headers: None))
        b'10 s at most'
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
        self._read = [
            ("HTTP_" + header.name.upper().replace("-", "_"), header.read)
            for header in self._intake.headers
        ]

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if self._intake.exempts(path):
            return self.app(environ, start_response)
        asked = (read(environ[key]) for key, read in self._read if key in environ)
        length = self._intake.length(asked)
        return _Response(self._intake, length, environ, start_response).open(self.app)


class _Response:
    """
    The body of a response, and all that lasts as long as it: its deadline and its slot.

    What the application has said of status and headers is kept back until there is a first chunk,
    so that until then another answer may take its place.
    """

    def __init__(
        self, intake: Intake, length: int | None, environ: Any, start_response: Any
    ) -> None:
        self._intake = intake
        self._length = length
        self._started: int | None = None
        self._deadline: Deadline | None = None
        self._environ = environ
        self._start_response = start_response
        self._head: tuple[str, Any] | None = None
        self._write: Any = None
        self._begun = False
        self._in_time = False
        self._source: Any = None
        self._items: Iterator[bytes] = iter(())
        self._permit: Permit | None = None
        self._settle: Callable[[], None] = _nothing

    def open(self, app: App) -> Self:
        """Call the application."""
        try:
            with self._step() as deadline:
                if deadline is not None:
                    deadline.check()
                if self._intake.bulkhead is not None:
                    self._permit = self._intake.bulkhead.acquire()
                    self._settle = self._permit.succeed
                self._source = app(self._environ, self._start)
                self._items = iter(self._source)
        except BaseException as error:
            if not self._answered(error):
                self.close()  # no server closes what it was not given
                raise
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            with self._step() as deadline:
                chunk = next(self._items, None)
                if self._in_time and deadline is not None and chunk is not None:
                    deadline.check()
                self._begins(deadline)
        except BaseException as error:
            if not self._answered(error):
                raise
            chunk = next(self._items, None)
        self._begin()
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Close what the application gave, and give the slot back."""
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                with self._step():
                    close()
        finally:
            self._settle()

    def _step(self) -> AbstractContextManager[Deadline | None]:
        """Return the deadline of what the application does next."""
        if self._length is None:
            return nullcontext()
        budget = self._intake.budget(self._length, self._started)
        self._deadline = budget.scope
        self._started = budget.scope.started
        return budget

    def _answered(self, error: BaseException) -> bool:
        """Settle how the request went, and answer in place of the application if that can be."""
        instead = problem(error)
        if self._permit is not None:
            ours = instead is not None or not isinstance(error, Exception)
            self._settle = self._permit.release if ours else self._permit.fail
        if instead is None or self._begun:
            return False
        self._head = f"{instead.status} {instead.phrase}", list(instead.headers.items())
        self._items = _body_of(self._environ, instead.body)
        return True

    # -- what the application says of its response

    def _start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        if self._begun:  # the server raises what is in `exc_info`
            return self._start_response(status, headers, exc_info)
        if self._head is not None and exc_info is None:
            raise AssertionError("start_response was called a second time, without exc_info")
        self._head = status, headers
        return self._write_now

    def _write_now(self, chunk: bytes) -> None:
        self._begins(self._deadline)
        self._begin()
        self._write(chunk)

    def _begins(self, deadline: Deadline | None) -> None:
        """Take note whether the response begins in time: if it does, it has to end in time."""
        if not self._begun:
            self._in_time = deadline is not None and not deadline.expired

    def _begin(self) -> None:
        """Hand status and headers to the server."""
        if not self._begun and self._head is not None:
            self._begun = True
            self._write = self._start_response(*self._head)


def answer(error: Exception) -> App:
    """
    Answer a refusal or the end of a deadline: an error handler for Flask.

    It is needed because Flask makes a 500 of an error before any middleware sees it:

        app.register_error_handler(RejectedError, answer)
        app.register_error_handler(DeadlineExceededError, answer)

    Args:
        error: What the request ended with.

    Returns:
        A WSGI application that gives the answer: one of the things Flask takes for a response.

    Raises:
        Exception: The error itself, if it is another one.

    Example:
        >>> from resilience import BulkheadFullError
        >>> from resilience.wsgi import answer
        >>> response = answer(BulkheadFullError("stock"))
        >>> body = response({}, lambda status, headers: print(status))
        503 Service Unavailable
    """
    instead = problem(error)
    if instead is None:
        raise error

    def say(environ: Any, start_response: Any) -> Iterable[bytes]:
        status = f"{instead.status} {instead.phrase}"
        start_response(status, list(instead.headers.items()))
        return _body_of(environ, instead.body)

    return say


@final
class Health:
    """
    A WSGI application that tells which circuits refuse calls: see `resilience.health`.

    Args:
        registry: Whose circuits.
        critical: Names without which this program is not ready: while one of them refuses calls
            the answer is a 503. Without any, which is right for a check of liveness, it is always
            a 200.

    Raises:
        ConfigurationError: Any of it is wrong.

    Example:
        >>> from resilience import Registry
        >>> from resilience.wsgi import Health
        >>> registry = Registry()
        >>> ready = Health(registry, critical="stock")
        >>> registry.command("stock").force_open()
        >>> body = ready({}, lambda status, headers: print(status))
        503 Service Unavailable
    """

    def __init__(
        self, registry: Registry = default_registry, *, critical: str | Sequence[str] = ()
    ) -> None:
        self._checks = Checks(registry, critical)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        said = self._checks.report()
        status = "200 OK" if said.status == HTTPStatus.OK else "503 Service Unavailable"
        start_response(status, list(said.headers.items()))
        return _body_of(environ, said.body)


def _body_of(environ: Any, body: bytes) -> Iterator[bytes]:
    return iter(() if environ.get("REQUEST_METHOD") == "HEAD" else (body,))


def _nothing() -> None: ...
