"""The bodies of aiohttp, wait by wait: a response is played in virtual time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import yarl
from aiohttp.base_protocol import BaseProtocol

import resilience.aiohttp
from resilience import Registry
from resilience._chain import current
from tests.support.runtime import AsyncRuntime

pytestmark = pytest.mark.parametrize("task", ["asyncio"], indirect=True)
Does = Callable[[Any], Awaitable[Any]]


class Request:
    """Stands for a request of aiohttp."""

    method = "GET"

    def __init__(self, url: str) -> None:
        self.url = yarl.URL(url)
        self.headers: dict[str, str] = {}


class Connected(BaseProtocol):
    """Stands for what a body comes from."""

    connected = True


class Response:
    """Stands for a response of aiohttp, and for its connection: its pieces come one by one."""

    def __init__(self, *waits: float, error: Exception | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.connection = self
        self.content: Any = aiohttp.StreamReader(Connected(loop), 2**16, loop=loop)
        self.reader = self.content
        self.given_back: Callable[[], None] = lambda: None
        self.closed = 0
        self.coming = loop.create_task(self.come(waits, error))

    def add_callback(self, callback: Callable[[], None]) -> None:
        self.given_back = callback

    def close(self) -> None:
        self.closed += 1

    async def come(self, waits: tuple[float, ...], error: Exception | None) -> None:
        for wait in waits[:-1]:
            await asyncio.sleep(wait)
            self.reader.feed_data(b"x")
        await asyncio.sleep(waits[-1])
        if error is None:
            self.reader.feed_eof()
        else:
            self.reader.set_exception(error)
        self.given_back()


def played(
    task: AsyncRuntime,
    registry: Registry,
    does: Does,
    *waits: float,
    error: Exception | None = None,
    **settings: Any,
) -> Any:
    """Ask for a page, and do something with its response."""
    guard: Any = resilience.aiohttp.middleware(
        registry=registry, **{"timeout": 1.0, "name": "web", **settings}
    )

    async def main() -> Any:
        response = Response(*waits, error=error)

        async def handler(_: Request) -> Response:
            return response

        try:
            return await does(await guard(Request("http://a.example/"), handler))
        finally:
            response.coming.cancel()
            assert settings.get("is_failure") is None or response.closed == 1

    return task.call(main)


def counted(registry: Registry) -> dict[str, int]:
    """The outcomes of the only command, which holds nothing any more."""
    snapshot = registry.snapshot()["web"]
    assert snapshot.in_flight == 0
    return {str(outcome): count for outcome, count in snapshot.totals.items() if count}


def took(registry: Registry) -> float:
    """How long its calls have taken, in seconds."""
    return sum(latency.sum for latency in registry.snapshot()["web"].latency.values())


@pytest.mark.parametrize("size", [(), (-1,), (-5,)], ids=str)
def test_a_body_may_take_longer_than_the_timeout(
    task: AsyncRuntime, registry: Registry, size: tuple[int, ...]
) -> None:
    """Where all of it is asked for, the wait for each piece is one."""

    async def does(response: Any) -> bytes:
        body: bytes = await response.content.read(*size)
        assert current.get() is None, "a scope was left behind"
        return body

    assert played(task, registry, does, 0.8, 0.8, 0.8, 0.8) == b"xxx"
    assert counted(registry) == {"success": 1}
    assert took(registry) == pytest.approx(3.2)


def test_a_piece_that_does_not_come_is_cut_off(task: AsyncRuntime, registry: Registry) -> None:
    """The error is ours and aiohttp's, and leaves at the timeout."""

    async def does(response: Any) -> None:
        with pytest.raises(resilience.aiohttp.DeadlineExceededError):
            await response.content.read()

    played(task, registry, does, 0.5, 5.0, 0.0)
    assert counted(registry) == {"timeout": 1}
    assert took(registry) == pytest.approx(1.5)


def test_an_error_before_the_head_leaves_as_it_was(task: AsyncRuntime, registry: Registry) -> None:
    """It is nobody's cause, and least of all its own."""
    error = aiohttp.ClientConnectionError("refused")
    guard: Any = resilience.aiohttp.middleware(registry=registry, name="web")

    async def refuses(_: Any) -> None:
        raise error

    assert task.raised(guard, Request("http://a.example/"), refuses) is error
    assert error.__cause__ is None
    assert counted(registry) == {"failure": 1}


def test_a_read_of_nothing_waits_for_nothing(task: AsyncRuntime, registry: Registry) -> None:
    """And the rest is still there."""

    async def does(response: Any) -> list[bytes]:
        return [await response.content.read(size) for size in (0, 1, 5, -1)]

    assert played(task, registry, does, 0.5, 0.5, 0.5) == [b"", b"x", b"x", b""]
    assert counted(registry) == {"success": 1}


def test_a_body_that_breaks_is_told_to_whoever_waits(
    task: AsyncRuntime, registry: Registry
) -> None:
    """The error is the one of the connection, as it was, and the wait for it counts."""
    error = aiohttp.ClientPayloadError("cut")

    async def does(response: Any) -> None:
        with pytest.raises(aiohttp.ClientError) as caught:
            await response.content.read()
        assert caught.value is error

    played(task, registry, does, 0.5, 0.5, error=error)
    assert error.__cause__ is None
    assert counted(registry) == {"failure": 1}
    assert took(registry) == pytest.approx(1.0)


def test_a_body_that_came_by_itself_took_no_wait(task: AsyncRuntime, registry: Registry) -> None:
    """It is judged when the connection goes back, and read all the same."""

    async def does(response: Any) -> bytes:
        await asyncio.sleep(5)
        assert counted(registry) == {"success": 1}
        return await response.content.read()

    assert played(task, registry, does, 0.8, 0.8) == b"x"
    assert took(registry) == 0


def test_who_closes_a_response_has_had_an_answer(task: AsyncRuntime, registry: Registry) -> None:
    """What aiohttp tells whoever reads on is still told to them."""
    error = aiohttp.ClientConnectionError("Connection closed")

    async def does(response: Any) -> None:
        response.content.set_exception(error)
        response.given_back()
        with pytest.raises(aiohttp.ClientConnectionError) as caught:
            await response.content.read()
        assert caught.value is error

    played(task, registry, does, 0.8, 0.8)
    assert counted(registry) == {"success": 1}


def test_a_response_is_closed_if_its_predicate_raises(
    task: AsyncRuntime, registry: Registry
) -> None:
    """Nobody else has it."""

    async def does(_: Any) -> None:
        raise AssertionError("given a response")

    with pytest.raises(ZeroDivisionError):
        played(task, registry, does, 0.0, is_failure=lambda _: 1 / 0)
    assert counted(registry) == {"ignored": 1}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.example/", "http:a.example"),
        ("http://a.example:80/", "http:a.example"),
        ("https://a.example:443/", "http:a.example"),
        ("https://a.example:80/", "http:a.example:80"),
        ("http://[::1]:8080/", "http:[::1]:8080"),
    ],
)
def test_a_host_has_one_name(task: AsyncRuntime, registry: Registry, url: str, name: str) -> None:
    """A port that is the scheme's own is not named."""
    guard: Any = resilience.aiohttp.middleware(registry=registry)

    async def refuses(_: Any) -> None:
        raise aiohttp.ClientConnectionError

    assert isinstance(task.raised(guard, Request(url), refuses), aiohttp.ClientConnectionError)
    assert list(registry) == [name]


def test_what_copies_a_body_gets_one(task: AsyncRuntime, registry: Registry) -> None:
    """It is the reader in everything else."""

    async def does(response: Any) -> bytes:
        twin = copy.copy(response.content)
        assert twin.at_eof() is False
        return await twin.read()

    assert played(task, registry, does, 0.5, 0.5) == b"x"
