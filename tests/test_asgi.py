"""The ASGI middleware without a server: every rule, under asyncio and trio, in virtual time."""

from __future__ import annotations

import json
from contextvars import copy_context
from typing import Any

import anyio
import pytest

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    RejectedError,
    current_deadline,
    deadline,
    remaining,
)
from resilience._deadline import Deadline
from resilience._intake import Budget
from resilience.asgi import Middleware, answer
from resilience.testing import FakeClock
from tests.support.runtime import AsyncRuntime

START = {"type": "http.response.start", "status": 200, "headers": []}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
END = {"type": "http.response.body", "body": b"end"}


class Exchange:
    """One request, and what was sent in answer to it."""

    def __init__(self, app: Any, headers: Any = (), **scope: Any) -> None:
        self.app = app
        raw = [(name.encode(), value) for name, value in dict(headers).items()]
        self.scope = {"type": "http", "method": "GET", "path": "/", "headers": raw, **scope}
        self.sent: list[Any] = []

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def play(self) -> Exchange:
        await self.app(self.scope, None, self.send)
        return self

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An application that says how much time there is."""
    await send(START)
    left = remaining(default=None)
    await send({**END, "body": b"for ever" if left is None else f"{left:g}".encode()})


def raises(error: BaseException) -> Any:
    """Return an application that fails."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    return app


def sleeps(task: AsyncRuntime, seconds: float) -> Any:
    """Return an application that answers after a while."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await task.sleep(seconds)
        await send(START)
        await send(END)

    return app


def played(task: AsyncRuntime, app: Any, headers: Any = (), /, **options: Any) -> Exchange:
    """Play one request through the middleware."""
    middleware = Middleware(app, clock=task.clock, **options)
    return task.call(Exchange(middleware, headers).play)


# -- how much time there is


@pytest.mark.promise("M2")
@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, b"for ever"),
        ({"x-request-timeout": b"2500"}, b"2.5"),
        ({"grpc-timeout": b"250m"}, b"0.25"),
        ({"x-request-timeout": b"2500", "grpc-timeout": b"1S"}, b"1"),
        ({"x-request-timeout": b"90000"}, b"60"),
        ({"x-request-timeout": b"99999999999999999999"}, b"for ever"),
        ({"x-request-timeout": b"-1"}, b"for ever"),
        ({"x-request-timeout": b"1e400", "grpc-timeout": b"1S"}, b"1"),
        ({"x-request-timeout": b"1,2"}, b"for ever"),
    ],
)
def test_a_request_has_the_time_its_headers_say(
    task: AsyncRuntime, headers: Any, said: Any
) -> None:
    """The shortest of its budgets counts, at most the maximum; garbage is as good as nothing."""
    assert played(task, hello, headers).body == said


@pytest.mark.promise("M1")
def test_a_header_that_comes_twice_is_ignored(task: AsyncRuntime) -> None:
    """Nobody knows which one is meant."""
    exchange = Exchange(Middleware(hello, default_budget=7, clock=task.clock))
    exchange.scope["headers"] = [(b"x-request-timeout", b"1000"), (b"x-request-timeout", b"2000")]
    assert task.call(exchange.play).body == b"7"


@pytest.mark.promise("M2")
def test_the_default_is_for_requests_that_say_nothing(task: AsyncRuntime) -> None:
    """A request may ask for more than the default, up to the maximum."""
    options = {"default_budget": 1.5, "max_budget": 4}
    assert played(task, hello, **options).body == b"1.5"
    assert played(task, hello, {"x-request-timeout": b"3000"}, **options).body == b"3"
    assert played(task, hello, {"x-request-timeout": b"9000"}, **options).body == b"4"


def test_without_a_maximum_a_request_has_what_it_asks_for(task: AsyncRuntime) -> None:
    """A maximum of `None` is a year."""
    headers = {"x-request-timeout": b"9000000"}
    assert played(task, hello, headers, max_budget=None).body == b"9000"


def test_the_headers_can_be_others(task: AsyncRuntime) -> None:
    """Headers that were not named are not read."""
    headers = {"x-budget": b"3000", "x-request-timeout": b"1000"}
    assert played(task, hello, headers, headers="X-Budget").body == b"3"
    assert played(task, hello, headers, headers=()).body == b"for ever"


def test_the_deadline_is_left_with_the_request(task: AsyncRuntime) -> None:
    """What the task does next is not bound by it."""

    async def twice() -> Any:
        await Exchange(Middleware(hello, default_budget=1, clock=task.clock)).play()
        return current_deadline()

    assert task.call(twice) is None


# -- what becomes of errors


def test_late_is_a_gateway_timeout_at_the_time(task: AsyncRuntime) -> None:
    """The application is cancelled when its time is over, and the answer is a 504."""
    began = task.clock()
    late = played(task, sleeps(task, 60), {"x-request-timeout": b"500"})
    assert task.clock() - began == pytest.approx(500_000_000, abs=10)
    assert late.status == 504
    assert late.headers[b"content-type"] == b"application/problem+json"
    assert json.loads(late.body) == {
        "type": "about:blank",
        "title": "Gateway Timeout",
        "status": 504,
        "detail": "The time for the request ran out.",
    }
    assert b"retry-after" not in late.headers


def test_without_a_budget_nothing_is_asked_of_the_time(task: AsyncRuntime) -> None:
    """A request that may take as long as it likes is served, whatever binds its server."""

    async def late() -> Exchange:
        with deadline(1, clock=FakeClock()) as outer:
            outer._clock.advance(2)  # a clock of its own: nobody is cut off
            return await Exchange(Middleware(say, clock=task.clock)).play()

    async def say(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(END)

    assert task.call(late).body == b"end"


def test_no_time_is_no_time_without_a_slot_too(task: AsyncRuntime) -> None:
    """The application is not called where no bulkhead would have asked either."""
    late = played(task, raises(AssertionError("called")), {"x-request-timeout": b"0"})
    assert late.status == 504


@pytest.mark.promise("M2")
def test_time_that_was_over_before_costs_nothing(task: AsyncRuntime) -> None:
    """The application is not called, and no slot is taken."""
    bulkhead = Bulkhead(1)
    app = raises(AssertionError("called"))
    late = played(task, app, {"x-request-timeout": b"0"}, bulkhead=bulkhead)
    assert late.status == 504
    assert sum(bulkhead.snapshot().totals.values()) == bulkhead.snapshot().totals["expired"]


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (CircuitOpenError("stock", 2.01, last_error="secret"), 503, b"3"),
        (CircuitOpenError("stock", 5.0), 503, b"5"),
        (CircuitOpenError("stock", 0.0), 503, b"0"),
        (CircuitOpenError("stock"), 503, None),
        (RejectedError("stock", float("inf")), 503, None),
        (RejectedError("stock", float("nan")), 503, None),
        (RejectedError("stock", -1.0), 503, b"0"),
        (RejectedError("stock", 1e300), 503, b"31536000"),
        (BulkheadFullError("stock"), 503, b"1"),
        (DeadlineExceededError("stock"), 504, None),
        (ExceptionGroup("", [RejectedError("a", 1.5), RejectedError("b", 0.5)]), 503, b"2"),
        (ExceptionGroup("", [RejectedError("a", 1.5), DeadlineExceededError("b")]), 504, None),
    ],
)
def test_our_errors_become_answers(
    task: AsyncRuntime, error: Exception, status: int, retry_after: bytes | None
) -> None:
    """A refusal is a 503 with whole seconds, rounded up; nothing of the error is told."""
    said = played(task, raises(error))
    assert (said.status, said.headers.get(b"retry-after")) == (status, retry_after)
    assert int(said.headers[b"content-length"]) == len(said.body)
    assert b"stock" not in said.body
    assert b"secret" not in said.body


@pytest.mark.parametrize(
    "error",
    [ValueError(), TimeoutError(), ExceptionGroup("", [RejectedError(), ValueError()])],
    ids=repr,
)
def test_other_errors_pass_through(task: AsyncRuntime, error: Exception) -> None:
    """What is not about time or refusal is the server's, as it always was."""
    exchange = Exchange(Middleware(raises(error), default_budget=1, bulkhead=1, clock=task.clock))
    assert task.raised(exchange.play) is error
    assert exchange.sent == []


def test_what_the_application_answers_itself_is_its_own(task: AsyncRuntime) -> None:
    """A handler that catches our errors keeps working."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            with deadline(0.1, clock=task.clock):
                await task.sleep(5)
        except DeadlineExceededError:
            await send({**START, "status": 418})
            await send(END)

    assert played(task, app, default_budget=1).status == 418


@pytest.mark.parametrize("error", [RejectedError("stock", 1.0), None], ids=["refused", "late"])
def test_a_response_that_has_begun_is_not_answered_again(task: AsyncRuntime, error: Any) -> None:
    """The error leaves, and the server breaks the connection off."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(PART)
        if error is not None:
            raise error
        await task.sleep(5)

    exchange = Exchange(Middleware(app, default_budget=1, clock=task.clock))
    raised = task.raised(exchange.play)
    assert raised is error if error is not None else isinstance(raised, DeadlineExceededError)
    assert exchange.sent == [START, PART]


@pytest.mark.parametrize(
    ("said", "answered"), [(START, False), ({"type": "http.response.early_hint"}, True)]
)
def test_a_response_begins_with_its_head(task: AsyncRuntime, said: Any, answered: bool) -> None:
    """Status and headers can be said once; what comes before them is no beginning."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(said)
        raise RejectedError

    exchange = Exchange(Middleware(app, clock=task.clock))
    assert (task.raised(exchange.play) is None) is answered
    assert [each.get("status") for each in exchange.sent[1:]] == ([503, None] if answered else [])


def test_what_the_application_left_behind_cannot_send_any_more(task: AsyncRuntime) -> None:
    """Once it was answered in its place, the connection is closed to it."""
    left: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        left.append(send)
        raise RejectedError

    said = played(task, app)
    assert isinstance(task.raised(left[0], START), OSError)
    assert (said.status, len(said.sent)) == (503, 2)


def test_an_answer_to_head_has_no_body(task: AsyncRuntime) -> None:
    """Its headers are those of the body it would have."""
    exchange = Exchange(Middleware(raises(RejectedError())), method="HEAD")
    said = task.call(exchange.play)
    assert (said.status, said.body) == (503, b"")
    assert int(said.headers[b"content-length"]) > 0


# -- what comes after the response


@pytest.mark.parametrize("kind", ["body", "pathsend", "zerocopysend"])
def test_background_tasks_have_their_own_time(task: AsyncRuntime, kind: str) -> None:
    """The deadline ends with the last byte: what follows is neither cut off nor refused."""
    left: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": f"http.response.{kind}"})
        await task.sleep(5)
        left.append(remaining(default="as long as it likes"))

    played(task, app, default_budget=1)
    assert left == ["as long as it likes"]


def test_what_a_response_has_started_goes_on_after_it(task: AsyncRuntime) -> None:
    """What carries the deadline of a request that was answered in time is bound by nothing."""
    inside: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inside.append(current_deadline())
        await send(START)
        await send(END)
        await task.sleep(5)

    played(task, app, default_budget=1)
    assert [each.remaining for each in inside] == [float("inf")]


def test_what_a_response_has_left_running_is_not_cut_off(task: AsyncRuntime) -> None:
    """A task that was cut off with the request goes on for as long as it likes once it is over."""
    ended: list[float] = []

    async def works() -> None:
        with deadline(float("inf")):
            await task.sleep(5)
        ended.append(task.clock.time())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(works)
            await task.sleep(0.5)
            await send(START)
            await send(END)

    before = task.clock.time()
    played(task, app, default_budget=1)
    assert ended == [pytest.approx(before + 5, abs=0.001)]


def test_an_answer_given_too_late_wins_no_time(task: AsyncRuntime) -> None:
    """What is sent by an application that was cut off already takes nothing back."""
    inside: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await task.sleep(5)
        finally:
            await send(START)
            await send(END)
            budget = current_deadline()
            inside.append(None if budget is None else budget.expired)

    with pytest.raises(DeadlineExceededError):
        played(task, app, default_budget=1)
    assert inside == [True]


def test_an_inner_middleware_gives_the_time_back_to_the_outer_one(task: AsyncRuntime) -> None:
    """Each of two applications has its own budget, and both end with the response."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(END)
        await task.sleep(20)

    inner = Middleware(app, default_budget=10, clock=task.clock)
    assert played(task, inner, default_budget=5).body == b"end"


def test_late_in_the_last_byte_is_late(task: AsyncRuntime) -> None:
    """A consumer that does not take the last byte in time cuts the response off."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(END)

    exchange = Exchange(Middleware(app, default_budget=1, clock=task.clock))

    async def send(message: Any) -> None:
        exchange.sent.append(message)
        if message is END:
            await task.sleep(5)

    exchange.send = send
    assert isinstance(task.raised(exchange.play), DeadlineExceededError)


# -- slots


def test_a_full_bulkhead_refuses_at_once(task: AsyncRuntime) -> None:
    """What has no slot is a 503, and the slot is free again when its holder is done."""
    within: list[Exchange] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            within.append(await Exchange(middleware, path="/other").play())
        await hello(scope, receive, send)

    middleware = Middleware(app, bulkhead=1, default_budget=5, clock=task.clock)
    outer = task.call(Exchange(middleware).play)
    assert (within[0].status, within[0].headers[b"retry-after"]) == (503, b"1")
    assert outer.status == 200
    assert task.call(Exchange(middleware, path="/other").play).status == 200


def test_a_bulkhead_may_let_requests_wait_as_long_as_they_have_time(task: AsyncRuntime) -> None:
    """Waiting for a slot is part of the budget."""
    bulkhead = Bulkhead(1, max_waiting=1)

    async def held() -> Exchange:
        with bulkhead.acquire():
            app = Middleware(hello, bulkhead=bulkhead, default_budget=1, clock=task.clock)
            return await Exchange(app).play()

    began = task.clock()
    assert task.call(held).status == 504
    assert task.clock() - began == pytest.approx(1_000_000_000, abs=10)


@pytest.mark.parametrize("error", [ValueError(), RejectedError(), KeyboardInterrupt()], ids=repr)
def test_a_slot_comes_back_whatever_happens(task: AsyncRuntime, error: BaseException) -> None:
    """An application that fails holds nothing."""
    bulkhead = Bulkhead(1)
    middleware = Middleware(raises(error), bulkhead=bulkhead, default_budget=1, clock=task.clock)
    task.raised(Exchange(middleware).play)
    assert bulkhead.in_flight == 0


# -- what is let through


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_other_connections_are_not_touched(task: AsyncRuntime, kind: str) -> None:
    """A websocket and the lifespan get the very `receive` and `send`, and no deadline."""
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.extend((*given, current_deadline()))

    middleware = Middleware(app, default_budget=1, bulkhead=0)
    scope = {"type": kind}
    task.call(middleware, scope, task.call, task.raised)
    assert seen == [scope, task.call, task.raised, None]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/live", 200), ("/live/", 200), ("/live/db", 200), ("/lively", 503), ("/", 503)],
)
def test_exempt_paths_need_no_slot(task: AsyncRuntime, path: str, status: int) -> None:
    """Checks of health are answered when nothing else is."""
    middleware = Middleware(hello, bulkhead=0, exempt=("/live", "/ready/"))
    assert task.call(Exchange(middleware, path=path).play).status == status


# -- handlers and arguments


def test_the_exception_handler_answers_our_errors(task: AsyncRuntime) -> None:
    """It gives what Starlette takes for a response, and raises what is not ours."""

    async def handled(error: Exception) -> Exchange:
        return await Exchange(await answer(None, error)).play()

    assert task.call(handled, RejectedError("stock", 1.2)).headers[b"retry-after"] == b"2"
    error = ConfigurationError("x")
    assert task.raised(handled, error) is error


def test_all_that_is_wrong_is_told_together() -> None:
    """Each fault names the argument."""
    with pytest.raises(ConfigurationError) as caught:
        Middleware(
            hello,
            headers=("X-A", 5),
            exempt="",
            default_budget=0,
            max_budget=float("inf"),
        )
    assert [fault.split()[0] for fault in caught.value.faults] == [
        "headers",
        "exempt",
        "default_budget",
        "max_budget",
    ]


@pytest.mark.parametrize("bulkhead", [-1, True, 1.5, "5"])
def test_a_bulkhead_is_one_or_a_number(bulkhead: Any) -> None:
    """Whatever is no limit of concurrency is refused at construction."""
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        Middleware(hello, bulkhead=bulkhead)


def test_the_default_is_not_more_than_the_maximum() -> None:
    """Two arguments that contradict each other are refused."""
    with pytest.raises(ConfigurationError, match="default_budget must not be more than max_budget"):
        Middleware(hello, default_budget=61)
    Middleware(hello, default_budget=60)


def test_a_budget_whose_entering_is_interrupted_is_left() -> None:
    """Nothing goes on being bound by it."""

    class Scope:
        left = False

        def start(self) -> None:
            raise KeyboardInterrupt

        def leave(self) -> None:
            self.left = True

    scope = Scope()
    with pytest.raises(KeyboardInterrupt), Budget(scope):
        pass
    assert scope.left


def test_a_budget_that_ran_out_leaves_no_time_to_what_it_has_started() -> None:
    """Only an answer in time sets free what goes on after it."""
    clock = FakeClock()
    with Budget(Deadline(clock, 1_000_000_000, None)):
        left_behind = copy_context()
        clock.advance(2)
    with pytest.raises(DeadlineExceededError):
        left_behind.run(remaining)
