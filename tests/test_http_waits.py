"""
Guarded HTTP clients, wait by wait: for the head, for each piece of the body, and for its end.

httpx2 is played in virtual time, in sync code, asyncio and trio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

import anyio
import httpx2
import pytest

import resilience.httpx2
from resilience import DeadlineExceededError, Registry, State, deadline
from tests.support.runtime import AsyncRuntime, Runtime
from tests.support.scene import drive, play

URL = "http://a.example/"
OWN = {"connect": 7.0, "read": 7.0, "write": 7.0, "pool": 7.0}
SYNC = pytest.mark.parametrize("run", ["sync"], indirect=True)
Step = float | Callable[[], Awaitable[Any]]
"""A wait: seconds, or what happens meanwhile."""


class Played(
    httpx2.BaseTransport,
    httpx2.AsyncBaseTransport,
    httpx2.SyncByteStream,
    httpx2.AsyncByteStream,
):
    """A transport whose waits take their time; the last one is that for the end of the body."""

    def __init__(self, run: Runtime, head: Step, *body: Step, status: int = 200) -> None:
        self.run = run
        self.head = head
        self.body = body
        self.status = status
        self.timeouts: list[dict[str, Any]] = []
        self.closed = 0

    async def wait(self, step: Step) -> None:
        if callable(step):
            await step()
        elif self.run.is_async:
            await self.run.sleep(step)  # type: ignore[attr-defined]
        else:
            self.run.advance(step)

    async def respond(self, request: httpx2.Request) -> httpx2.Response:
        self.timeouts.append(dict(request.extensions["timeout"]))
        await self.wait(self.head)
        return httpx2.Response(self.status, stream=self)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return drive(self.respond(request))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self.respond(request)

    def __iter__(self) -> Iterator[bytes]:
        for step in self.body[:-1]:
            drive(self.wait(step))
            yield b"x"
        drive(self.wait(self.body[-1] if self.body else 0.0))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.body[:-1]:
            await self.wait(step)
            yield b"x"
        await self.wait(self.body[-1] if self.body else 0.0)

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1

    def fails(self, error: Exception, after: float) -> Step:
        """Return a wait that ends in an error."""

        async def step() -> None:
            await self.wait(after)
            raise error

        return step


def own(played: Played) -> Any:
    """Return what is played in the form of the client's own transport, whose timers are known."""
    is_async = played.run.is_async
    sends: Any = httpx2.AsyncHTTPTransport if is_async else httpx2.HTTPTransport
    sends = sends(verify=False)
    sends.handle_request = played.handle_request
    sends.handle_async_request = played.handle_async_request
    return sends


class Guarded:
    """A guarded client that sends by what is played."""

    def __init__(self, run: Runtime, registry: Registry, sends: Any, **settings: Any) -> None:
        client = resilience.httpx2
        kind: Any = client.AsyncTransport if run.is_async else client.Transport
        self.run = run
        self.registry = registry
        self.transport = kind(sends, registry=registry, **settings)

    async def get(self, each: Callable[[], None] = lambda: None, most: int = 99) -> bytes:
        """Ask for a page, and read so many pieces of it at most."""
        request = httpx2.Request("GET", URL, extensions={"timeout": dict(OWN)})
        pieces: list[bytes] = []

        def enough(piece: bytes) -> bool:
            pieces.append(piece)
            each()
            return len(pieces) == most

        if self.run.is_async:
            response = await self.transport.handle_async_request(request)
            async with aclosing(response):
                async for piece in response.stream:
                    if enough(piece):
                        break
        else:
            with closing(self.transport.handle_request(request)) as response:
                any(map(enough, response.stream))
        return b"".join(pieces)

    async def get_within(self, seconds: float) -> bytes:
        """Ask for a page, inside of a deadline."""
        with deadline(seconds, clock=self.run.clock):
            return await self.get()

    def begin(self, within: float | None = None) -> Any:
        """Ask for a page, at the outermost level of the runtime."""
        asked = self.get() if within is None else self.get_within(within)
        return asked if self.run.is_async else drive(asked)

    def counted(self) -> dict[str, int]:
        """The outcomes of the only command, which holds nothing any more."""
        (snapshot,) = self.registry.snapshot().values()
        assert snapshot.in_flight == 0
        return {str(outcome): count for outcome, count in snapshot.totals.items() if count}

    def took(self) -> float:
        """How long its calls have taken, in seconds."""
        (snapshot,) = self.registry.snapshot().values()
        return sum(latency.sum for latency in snapshot.latency.values())


# -- how long a response has taken


def test_the_wait_for_the_end_counts_as_well(run: Runtime, registry: Registry) -> None:
    """What comes after the last piece is a wait like the others, and the whole is their sum."""
    guarded = Guarded(run, registry, Played(run, 0.1, 0.2, 0.4), timeout=1.0)

    for _ in range(3):
        assert run.call(guarded.begin) == b"x"
    assert guarded.counted() == {"success": 3}
    assert guarded.took() == pytest.approx(2.1)


def test_an_end_that_comes_too_late_is_a_timeout(registry: Registry, run: Runtime) -> None:
    """All of the body was there, but nobody knew it in time."""
    guarded = Guarded(run, registry, Played(run, 0.0, 0.0, 1.0), timeout=1.0)

    error = run.raised(guarded.begin)
    assert isinstance(error, httpx2.TimeoutException) == run.is_async  # which can be cut off
    assert guarded.counted() == {"timeout": 1}
    assert guarded.took() == pytest.approx(1.0)


@SYNC
@pytest.mark.parametrize("waits", [(1.0,), (0.0, 1.0, 0.0)], ids=["head", "piece"])
def test_a_wait_as_long_as_the_timeout_is_late(
    run: Runtime, registry: Registry, waits: tuple[float, ...]
) -> None:
    """The timeout itself is the first moment that is too late."""
    guarded = Guarded(run, registry, Played(run, *waits), timeout=1.0)

    play(run, guarded.get)
    assert guarded.counted() == {"timeout": 1}


def test_waits_count_to_the_nanosecond(run: Runtime, registry: Registry) -> None:
    """A response that took no time took none, and each nanosecond is one."""
    guarded = Guarded(run, registry, Played(run, 0.0, 0.0, 0.0), timeout=1.0)
    run.call(guarded.begin)
    run.call(guarded.begin)
    assert guarded.took() == 0

    async def tick() -> None:
        run.clock.now += 1

    guarded = Guarded(run, registry, Played(run, tick, tick, tick), timeout=1.0)
    run.call(guarded.begin)
    assert guarded.took() == 3e-9


def test_a_clock_that_is_put_back_takes_nothing_off(run: Runtime, registry: Registry) -> None:
    """A wait that seems to end before it began took no time, and the others took theirs."""

    async def back() -> None:
        run.clock.set_back(10)

    guarded = Guarded(run, registry, Played(run, 0.5, back, 0.0), timeout=1.0)
    play(run, guarded.get)
    assert guarded.took() == pytest.approx(0.5)


@pytest.mark.parametrize("status", [200, 500])
def test_a_body_left_early_has_taken_what_was_waited_for(
    run: Runtime, registry: Registry, status: int
) -> None:
    """The consumer's time counts nowhere, whether the response is a failure or not."""
    guarded = Guarded(run, registry, Played(run, 0.1, 0.2, 0.4, status=status), timeout=1.0)

    for pause in (0.1, 0.1, 100):
        play(run, lambda pause=pause: guarded.get(lambda: run.clock.advance(pause), most=1))
    assert guarded.counted() == {"success" if status == 200 else "failure": 3}
    assert guarded.took() == pytest.approx(0.9)


def test_a_predicate_that_raises_says_how_long_the_head_took(
    run: Runtime, registry: Registry
) -> None:
    """The call is ignored, has still taken its time, and the response is closed."""
    played = Played(run, 0.5)
    guarded = Guarded(run, registry, played, timeout=1.0, is_failure=lambda _: 1 / 0)

    assert isinstance(run.raised(guarded.begin), ZeroDivisionError)
    assert guarded.counted() == {"ignored": 1}
    assert played.closed == 1
    assert guarded.took() == pytest.approx(0.5)


def test_there_is_nothing_after_the_end(task: AsyncRuntime, registry: Registry) -> None:
    """Who asks on is told so, and takes no more time."""
    guarded = Guarded(task, registry, Played(task, 0.1), timeout=1.0)

    async def twice() -> list[bytes]:
        request = httpx2.Request("GET", URL, extensions={"timeout": OWN})
        response = await guarded.transport.handle_async_request(request)
        pieces = aiter(response.stream)
        return [await anext(pieces, b"end") for _ in range(2)]

    assert task.call(twice) == [b"end", b"end"]
    assert guarded.counted() == {"success": 1}


# -- whose time was up


EARLY = pytest.mark.parametrize(("after", "ours"), [(0.9, True), (0.89, False)])
"""A timeout of the client's after so many seconds of one, and whether it is ours."""


def check_timeout(guarded: Guarded, *, ours: bool) -> None:
    """Ask for a page: the client times out, which is ours or its own."""
    error = guarded.run.raised(guarded.begin)
    assert isinstance(error, httpx2.TimeoutException)
    assert isinstance(error, DeadlineExceededError) is ours
    assert guarded.counted() == {"timeout" if ours else "failure": 1}


@EARLY
def test_a_timer_of_the_clients_may_be_early_by_a_tenth(
    run: Runtime, registry: Registry, after: float, ours: bool
) -> None:
    """What the client raises when the timeout it was given is nearly over is counted as ours."""
    played = Played(run, 0.5)
    played.body = (played.fails(httpx2.ReadTimeout("late"), after),)
    guarded = Guarded(run, registry, own(played), timeout=1.0)

    check_timeout(guarded, ours=ours)
    assert guarded.took() == pytest.approx(0.5 + after)


@EARLY
@SYNC
def test_its_timer_for_the_head_may_be_early_as_well(
    run: Runtime, registry: Registry, after: float, ours: bool
) -> None:
    """It may count the connect, too."""
    played = Played(run, 0.0)
    played.head = played.fails(httpx2.ReadTimeout("late"), after)
    check_timeout(Guarded(run, registry, own(played), timeout=1.0), ours=ours)


@pytest.mark.parametrize("where", ["head", "piece"])
def test_other_errors_of_the_clients_stay_its_own(
    run: Runtime, registry: Registry, where: str
) -> None:
    """A connection that breaks is no timeout, however late it is, and its error is as it was."""
    played = Played(run, 0.0)
    broken = httpx2.ReadError("broken")
    step = played.fails(broken, 0.95)
    played.head, played.body = (step, ()) if where == "head" else (0.0, (step,))

    assert run.raised(Guarded(run, registry, own(played), timeout=1.0).begin) is broken
    assert broken.__cause__ is None


@pytest.mark.parametrize(("after", "ours"), [(0.999, True), (0.9989, False)])
def test_within_a_deadline_a_timer_may_be_early_by_a_millisecond(
    run: Runtime, registry: Registry, after: float, ours: bool
) -> None:
    """By the resolution of its clock."""
    played = Played(run, 0.0)
    played.body = (played.fails(httpx2.ReadTimeout("late"), after),)
    guarded = Guarded(run, registry, own(played), timeout=1.0)

    error = run.raised(guarded.begin, 60.0)
    assert isinstance(error, httpx2.TimeoutException)
    assert isinstance(error, DeadlineExceededError) is ours


@SYNC
def test_an_error_of_ours_from_within_stays_what_it_is(run: Runtime, registry: Registry) -> None:
    """Where guards stand in each other, whose time was up first says so."""
    played = Played(run, 0.0)
    played.head = played.fails(httpx2.ReadTimeout("late"), 1.0)
    inner = Guarded(run, registry, played, name="inner", timeout=1.0)
    outer = Guarded(run, Registry(clock=run.clock), inner.transport, name="outer", timeout=1.0)

    error = run.raised(outer.begin)
    assert isinstance(error, resilience.httpx2.DeadlineExceededError)
    assert error.name == "inner"
    assert inner.counted() == outer.counted() == {"timeout": 1}


def test_what_is_put_over_a_command_binds_no_client(run: Runtime, registry: Registry) -> None:
    """A command in shadow leaves the client its own timeouts, and its errors as they are."""
    played = Played(run, 0.0)
    played.body = (played.fails(httpx2.ReadTimeout("late"), 1.0),)
    guarded = Guarded(run, registry, own(played), name="web", timeout=1.0)
    registry.command("web").shadow()

    error = run.raised(guarded.begin)
    assert type(error) is httpx2.ReadTimeout
    assert played.timeouts == [OWN]


# -- within other limits


def test_the_client_is_given_the_timeout(run: Runtime, registry: Registry) -> None:
    """Its own timeouts are cut to it, in every colour; without one they are left alone."""
    for timeout, given in ((3.0, dict.fromkeys(OWN, 3.0)), (None, OWN)):
        played = Played(run, 8.0 if timeout is None else 0.0)
        guarded = Guarded(run, registry, played, name=f"within {timeout}", timeout=timeout)
        run.call(guarded.begin)
        run.call(guarded.begin)
        assert played.timeouts == [given, given]


@pytest.mark.parametrize("waits", [(5.0,), (0.0, 5.0)], ids=["head", "piece"])
def test_a_task_is_cut_off_at_the_timeout(
    task: AsyncRuntime, registry: Registry, waits: tuple[float, ...]
) -> None:
    """Whatever the transport does, and whether it is the first request or not."""
    played = Played(task, 0.0)
    guarded = Guarded(task, registry, played, timeout=1.0)
    task.call(guarded.begin)

    played.head, played.body = waits[0], waits[1:]
    assert isinstance(task.raised(guarded.begin), resilience.httpx2.DeadlineExceededError)
    assert guarded.counted() == {"success": 1, "timeout": 1}
    assert guarded.took() == pytest.approx(1.0)


@pytest.mark.parametrize("waits", [(5.0,), (0.0, 5.0)], ids=["head", "piece"])
def test_a_longer_deadline_leaves_the_timeout_in_force(
    task: AsyncRuntime, registry: Registry, waits: tuple[float, ...]
) -> None:
    """Inside of a deadline that ends later a task is cut off by the timeout."""
    guarded = Guarded(task, registry, Played(task, *waits), timeout=1.0)

    error = task.raised(guarded.begin, 60.0)
    assert isinstance(error, resilience.httpx2.DeadlineExceededError)
    assert error.timeout == 1
    assert guarded.counted() == {"timeout": 1}
    assert guarded.took() == pytest.approx(1.0)


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_deadline_ends_the_wait_for_a_piece(
    run: Runtime, registry: Registry, timeout: float | None
) -> None:
    """Nobody begins to wait when the time is over, and whoever waits is cut off."""
    guarded = Guarded(run, registry, Played(run, 0.0, 1.0, 1.0, 1.0), timeout=timeout)

    error = run.raised(guarded.begin, 2.0)
    assert isinstance(error, DeadlineExceededError)
    assert guarded.counted() == {"expired": 1}
    assert guarded.took() == pytest.approx(2.0)


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_a_task_may_wait_for_a_slot(
    task: AsyncRuntime, registry: Registry, timeout: float | None
) -> None:
    """The timeout begins when there is one; without a timeout nothing is bounded."""
    played = Played(task, 0.8, 0.0)
    settings = {"max_concurrency": 1, "max_waiting": 1, "timeout": timeout}
    guarded = Guarded(task, registry, played, **settings)

    async def both() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(guarded.get)

    task.call(both)
    assert guarded.counted() == {"success": 2}
    assert guarded.took() == pytest.approx(1.6)
    given = OWN if timeout is None else dict.fromkeys(OWN, timeout)
    assert played.timeouts == [given, given]


def test_a_slot_is_given_back_once(run: Runtime, registry: Registry) -> None:
    """After any number of responses there are as many slots as before."""
    played = Played(run, 0.0)
    guarded = Guarded(run, registry, played, max_concurrency=1, timeout=1.0)
    for _ in range(3):
        run.call(guarded.begin)

    played.body = (guarded.get,)
    assert isinstance(run.raised(guarded.begin), resilience.httpx2.BulkheadFullError)
    assert len(played.timeouts) == 4


@SYNC
def test_two_that_end_a_response_at_once_end_it_once(run: Runtime, registry: Registry) -> None:
    """A response that is closed while another thread reads its end is judged by one of them."""
    guarded = Guarded(run, registry, Played(run, 0.0), name="web")
    request = httpx2.Request("GET", URL, extensions={"timeout": OWN})
    response = guarded.transport.handle_request(request)
    entry = registry.command("web").steps.entry
    lock = entry.lock

    class Overtaken:
        def __enter__(self) -> None:
            entry.lock = lock
            response.stream.close()
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    entry.lock = Overtaken()
    response.close()
    assert guarded.counted() == {"success": 1}


@pytest.mark.parametrize(("left", "sent"), [(0, 0), (1, 1)])
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_nothing_is_sent_if_being_let_in_took_all_the_time(
    run: Runtime, registry: Registry, left: int, sent: int, timeout: float | None
) -> None:
    """A listener that takes its time, or a wait for a slot, may leave nothing of a deadline."""
    played = Played(run, 0.0)
    settings = {"volume_threshold": 1, "sleep_window": 1.0, "timeout": timeout}
    guarded = Guarded(run, registry, played, name="web", **settings)
    registry.command("web", **settings).acquire().fail()
    run.advance(1.0)
    registry.subscribe(lambda _: setattr(run.clock, "now", run.clock.now + 2_000_000_000 - left))

    assert (run.raised(guarded.begin, 2.0) is None) is bool(sent)
    assert len(played.timeouts) == sent


# -- inside of a trial


@pytest.mark.parametrize("timeout", [None, 60.0])
@pytest.mark.parametrize("where", ["head", "piece"])
def test_what_a_trial_asks_itself_is_part_of_it(
    run: Runtime, registry: Registry, where: str, timeout: float | None
) -> None:
    """While a trial waits, the requests it makes to the same host are let in."""
    played = Played(run, 0.0)
    settings = {"volume_threshold": 1, "sleep_window": 1.0, "timeout": timeout}
    guarded = Guarded(run, registry, played, name="web", **settings)
    command = registry.command("web", **settings)
    command.acquire().fail()
    run.advance(1.0)

    async def asks() -> None:
        played.head, played.body = 0.0, (0.0,)
        await guarded.get()

    played.head, played.body = (asks, (0.0,)) if where == "head" else (0.0, (asks,))
    run.call(guarded.begin)
    assert guarded.counted() == {"success": 2, "failure": 1}
    assert command.state is State.CLOSED
