"""The WSGI middleware without a server, but as strict as one: every rule."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from resilience import (
    Bulkhead,
    ConfigurationError,
    DeadlineExceededError,
    RejectedError,
    command,
    current_deadline,
    deadline,
    remaining,
)
from resilience.testing import FakeClock
from resilience.wsgi import Middleware, Problem, answer

PLAIN = [("Content-Type", "text/plain")]


class Exchange:
    """One request, served as PEP 3333 says, and checked by the validator on both sides."""

    def __init__(self, app: Any, headers: Any = (), **environ: Any) -> None:
        self.app = validator(app)
        self.environ: dict[str, Any] = {
            "wsgi.input": io.BytesIO(),
            "QUERY_STRING": "",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            **environ,
        }
        setup_testing_defaults(self.environ)
        for name, value in dict(headers).items():
            self.environ["HTTP_" + name.upper().replace("-", "_")] = value
        self.head: tuple[str, dict[str, str]] | None = None
        self.chunks: list[bytes] = []

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        if self.chunks and exc_info is not None:
            raise exc_info[1]
        assert self.head is None or exc_info is not None
        self.head = status, dict(headers)
        return self.chunks.append

    def play(self) -> Exchange:
        body = self.app(self.environ, self.start_response)
        try:
            for chunk in body:
                assert self.head is not None
                self.chunks.append(chunk)
                self.between()
        finally:
            body.close()
        return self

    def between(self) -> None:
        """What the server does between two chunks."""
        assert current_deadline() is None

    @property
    def status(self) -> int:
        return int(self.head[0].split()[0])

    @property
    def headers(self) -> dict[str, str]:
        return self.head[1]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


def hello(environ: Any, start_response: Any) -> list[bytes]:
    """An application that says how much time there is."""
    left = remaining(default=None)
    start_response("200 OK", PLAIN)
    return [b"for ever" if left is None else f"{left:g}".encode()]


def raises(error: BaseException) -> Any:
    """Return an application that fails after it has said how all is well."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        raise error

    return app


class Streaming:
    """An application that takes its time over three chunks, and notes what is left at each."""

    def __init__(self, clock: FakeClock, *pauses: float, bulkhead: Bulkhead | None = None) -> None:
        self.clock = clock
        self.pauses = pauses
        self.bulkhead = bulkhead
        self.left: list[float | None] = []
        self.held: list[int] = []
        self.closed = False

    def note(self) -> None:
        bound = current_deadline()
        self.left.append(None if bound is None else bound.remaining)
        if self.bulkhead is not None:
            self.held.append(self.bulkhead.in_flight)

    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        try:
            for pause in self.pauses:
                self.clock.advance(pause)
                self.note()
                yield b"chunk "
        finally:
            self.note()
            self.closed = True


def played(app: Any, headers: Any = (), /, clock: Any = None, **options: Any) -> Exchange:
    """Play one request through the middleware."""
    return Exchange(Middleware(app, clock=clock or FakeClock(), **options), headers).play()


# -- how much time there is


@pytest.mark.promise("M1", "M2")
@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, b"for ever"),
        ({"X-Request-Timeout": "2500"}, b"2.5"),
        ({"grpc-timeout": "250m"}, b"0.25"),
        ({"X-Request-Timeout": "2500", "grpc-timeout": "1S"}, b"1"),
        ({"X-Request-Timeout": "90000"}, b"60"),
        ({"X-Request-Timeout": "1000,1000"}, b"for ever"),
        ({"X-Request-Timeout": "\xb2"}, b"for ever"),
        ({"X-Request-Timeout": "NaN"}, b"for ever"),
    ],
)
def test_a_request_has_the_time_its_headers_say(headers: Any, said: bytes) -> None:
    """The shortest of its budgets counts, at most the maximum; garbage is as good as nothing."""
    assert played(hello, headers).body == said


def test_the_default_is_for_requests_that_say_nothing() -> None:
    """A request may ask for more than the default."""
    assert played(hello, default_budget=1.5).body == b"1.5"
    assert played(hello, {"X-Request-Timeout": "3000"}, default_budget=1.5).body == b"3"


def test_the_headers_can_be_others() -> None:
    """Headers that were not named are not read."""
    headers = {"X-Budget": "3000", "X-Request-Timeout": "1000"}
    assert played(hello, headers, headers="X-Budget").body == b"3"


# -- what becomes of errors


@pytest.mark.parametrize("bulkhead", [None, 1])
def test_time_that_was_over_before_costs_nothing(bulkhead: int | None) -> None:
    """The application is not called, and the answer is a 504 with problem details."""
    late = played(raises(AssertionError("called")), {"X-Request-Timeout": "0"}, bulkhead=bulkhead)
    assert (late.status, late.headers["Content-Type"]) == (504, "application/problem+json")
    assert json.loads(late.body)["status"] == 504


def test_what_asks_for_the_time_left_is_answered_for() -> None:
    """Sync code that notices that it is late has a 504 made of it."""
    clock = FakeClock()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        clock.advance(2)
        return [str(remaining()).encode()]

    assert played(app, clock=clock, default_budget=1).status == 504


def test_a_refusal_is_answered() -> None:
    """What the application had said of its response is forgotten."""
    said = played(raises(RejectedError("stock", 2.01)))
    assert (said.status, said.headers["Retry-After"]) == (503, "3")
    assert int(said.headers["Content-Length"]) == len(said.body)
    assert b"stock" not in said.body


def test_a_refusal_before_the_first_chunk_is_answered() -> None:
    """A generator that fails before it gives anything has not begun its response."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        raise RejectedError
        yield b""

    assert played(app).status == 503


def test_an_answer_to_head_has_no_body() -> None:
    """Its headers are those of the body it would have."""
    said = Exchange(Middleware(raises(RejectedError())), REQUEST_METHOD="HEAD").play()
    assert (said.status, said.body) == (503, b"")
    assert int(said.headers["Content-Length"]) > 0


@pytest.mark.parametrize("error", [ValueError(), TimeoutError(), KeyboardInterrupt()], ids=repr)
def test_other_errors_pass_through(error: BaseException) -> None:
    """What is not about time or refusal is the server's, as it always was; the slot is back."""
    bulkhead = Bulkhead(1)
    with pytest.raises(type(error)) as caught:
        played(raises(error), bulkhead=bulkhead, default_budget=1)
    assert caught.value is error
    assert bulkhead.in_flight == 0


@pytest.mark.parametrize("error", [ValueError(), RejectedError()], ids=repr)
def test_a_response_that_has_begun_is_not_answered_again(error: Exception) -> None:
    """The error leaves, and the server breaks the connection off."""
    bulkhead = Bulkhead(1)

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"chunk"
        raise error

    exchange = Exchange(Middleware(app, bulkhead=bulkhead))
    with pytest.raises(type(error)):
        exchange.play()
    assert (exchange.status, exchange.body) == (200, b"chunk")
    assert bulkhead.in_flight == 0


def test_an_application_may_change_its_mind_until_the_first_chunk() -> None:
    """`exc_info` replaces the head before, and raises after it."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        for status in ("500 Oh", "501 Oh no"):
            try:
                raise ValueError(status)
            except ValueError as error:
                start_response(status, PLAIN, (type(error), error, error.__traceback__))
            yield b"chunk"

    exchange = Exchange(Middleware(app))
    with pytest.raises(ValueError, match="501"):
        exchange.play()
    assert (exchange.status, exchange.body) == (500, b"chunk")


def test_start_response_is_called_once() -> None:
    """A second call without `exc_info` is a mistake of the application's."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        start_response("200 OK", PLAIN)
        return []

    with pytest.raises(AssertionError, match="a second time"):
        played(app)


def test_the_write_callable_begins_the_response() -> None:
    """What an old application writes is sent at once."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)(b"written ")
        return [b"returned"]

    assert played(app, bulkhead=1).body == b"written returned"


def test_what_begins_by_being_written_is_broken_off_too() -> None:
    """A response that began in time ends with its time, however it began."""
    clock = FakeClock()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", PLAIN)
        for _ in range(3):
            write(b"written ")
            yield b"chunk "
            clock.advance(2)

    exchange = Exchange(Middleware(app, clock=clock, default_budget=3))
    with pytest.raises(DeadlineExceededError):
        exchange.play()
    assert exchange.body == b"written chunk written chunk written "


def test_an_empty_body_has_a_head_too() -> None:
    """Status and headers are handed over at the end at the latest."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    assert played(app).status == 204


# -- bodies


def test_deadline_and_slot_cover_the_body_and_its_closing() -> None:
    """All of one response has one budget, and binds nobody between two chunks."""
    clock, bulkhead = FakeClock(), Bulkhead(1)
    app = Streaming(clock, 1, 1, 1, bulkhead=bulkhead)
    exchange = played(app, clock=clock, bulkhead=bulkhead, default_budget=10)
    assert exchange.body == b"chunk " * 3
    assert app.left == pytest.approx([9, 8, 7, 7])
    assert app.held == [1, 1, 1, 1]
    assert (app.closed, bulkhead.in_flight) == (True, 0)


@pytest.mark.parametrize(("pauses", "given"), [((0, 2, 2, 2), 2), ((2, 2, 2), 1)])
def test_a_stream_that_began_in_time_is_broken_off(pauses: tuple[int, ...], given: int) -> None:
    """Nobody waits for the rest; its clean-up runs."""
    clock, bulkhead = FakeClock(), Bulkhead(1)
    app = Streaming(clock, *pauses)
    middleware = Middleware(app, clock=clock, bulkhead=bulkhead, default_budget=3)
    exchange = Exchange(middleware)
    with pytest.raises(DeadlineExceededError):
        exchange.play()
    assert exchange.body == b"chunk " * given
    assert (app.closed, bulkhead.in_flight) == (True, 0)


def test_what_began_late_is_given_all_the_same() -> None:
    """A result that comes late is a result, of however many chunks."""
    clock = FakeClock()
    app = Streaming(clock, 5, 0, 0)
    assert played(app, clock=clock, default_budget=3).body == b"chunk " * 3


def test_the_end_of_a_stream_may_be_late() -> None:
    """All of it was given in time; that the end is late hurts nobody."""
    clock = FakeClock()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"all"
        clock.advance(5)

    assert played(app, clock=clock, default_budget=3).body == b"all"


def test_a_command_inside_goes_by_the_deadline() -> None:
    """It is refused once the time of the request is over."""
    clock = FakeClock()
    called = command("wsgi_inside", isolation="semaphore")(lambda: b"called")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        first = called()
        clock.advance(2)
        return [first, called()]

    assert played(app, clock=clock, default_budget=1).status == 504


def test_a_body_that_nobody_closes_gives_its_slot_back() -> None:
    """A server that drops a response frees its slot all the same."""
    bulkhead = Bulkhead(1)
    middleware = Middleware(hello, bulkhead=bulkhead)
    middleware({}, lambda status, headers: None)
    gc.collect()
    assert bulkhead.in_flight == 0


def test_a_response_without_a_budget_is_never_broken_off() -> None:
    """Whatever binds those who called the middleware: it is not for it to say."""
    clock = FakeClock()
    with deadline(3, clock=clock):
        body = Middleware(Streaming(clock, 0, 2, 2, 2))({}, lambda status, headers: None)
        assert b"".join(body) == b"chunk " * 4


# -- slots


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "success"),
        (ValueError(), "failure"),
        (RejectedError(), "cancelled"),
        (DeadlineExceededError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
    ],
    ids=repr,
)
def test_a_slot_is_told_how_its_request_ended(error: BaseException | None, outcome: str) -> None:
    """An answer, an error of the application's, or neither: a refusal is somebody else's."""
    bulkhead = Bulkhead(1)
    with suppress(ValueError, KeyboardInterrupt):
        played(hello if error is None else raises(error), bulkhead=bulkhead)
    assert {str(each): count for each, count in bulkhead.snapshot().totals.items() if count} == {
        outcome: 1
    }


def test_a_full_bulkhead_refuses_at_once() -> None:
    """What has no slot is a 503, and the slot is free again when its holder is done."""
    within: list[Exchange] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/":
            within.append(Exchange(middleware, PATH_INFO="/other").play())
        return hello(environ, start_response)

    middleware = Middleware(app, bulkhead=1)
    outer = Exchange(middleware).play()
    assert (within[0].status, within[0].headers["Retry-After"]) == (503, "1")
    assert outer.status == 200
    assert Exchange(middleware, PATH_INFO="/other").play().status == 200


@pytest.mark.parametrize(
    ("script", "path", "status"),
    [("", "/live", 200), ("/api", "/live", 200), ("", "/live/db", 200), ("", "/other", 503)],
)
def test_exempt_paths_need_no_slot(script: str, path: str, status: int) -> None:
    """Checks of health are answered when nothing else is."""
    middleware = Middleware(hello, bulkhead=0, exempt=["/live", "/api/live"])
    assert Exchange(middleware, SCRIPT_NAME=script, PATH_INFO=path).play().status == status


# -- handlers and arguments


def test_the_error_handler_answers_our_errors() -> None:
    """It gives what Flask takes for a response, and raises what is not ours."""
    said = Exchange(Middleware(answer(RejectedError("stock", 1.2)))).play()
    assert (said.status, said.headers["Retry-After"]) == (503, "2")
    with pytest.raises(ConfigurationError):
        answer(ConfigurationError("x"))


def test_what_is_wrong_is_told_at_construction() -> None:
    """The faults are those of the ASGI middleware."""
    with pytest.raises(ConfigurationError, match="max_budget must be a time"):
        Middleware(hello, max_budget=-1)


@pytest.mark.parametrize(
    ("status", "phrase"), [(503, "Service Unavailable"), (504, "Gateway Timeout")]
)
def test_a_problem_has_a_phrase(status: int, phrase: str) -> None:
    """The status line says in words what its number means."""
    assert Problem(status).phrase == phrase
