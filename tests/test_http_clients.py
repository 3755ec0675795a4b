"""Guarded HTTP clients: one command for each host, whatever the client and its colour."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import pytest
import trio

from resilience import (
    BulkheadFullError,
    CircuitOpenError,
    ConfigurationError,
    Registry,
    RejectedError,
    ResilienceError,
    Snapshot,
    State,
    deadline,
)
from resilience.testing import FakeClock
from tests.support.faulty import BODY, Faulty, faulty
from tests.support.web import KINDS, Kind, Web

Scenario = Callable[[Web], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[Faulty]:
    """A server that answers, or fails."""
    with faulty() as server:
        yield server


@pytest.fixture(params=KINDS.values(), ids=lambda kind: kind.name.replace(" ", "-"))
def kind(request: pytest.FixtureRequest) -> Kind:
    """A client."""
    found: Kind = request.param
    return found


def play(kind: Kind, scenario: Scenario, registry: Registry | None = None, **settings: Any) -> Any:
    """Play a scenario with a guarded client."""
    made = Registry() if registry is None else registry

    async def main() -> Any:
        async with kind.make(made, **settings) as web:
            return await scenario(web)

    return kind.run(main)


def only(registry: Registry) -> Snapshot:
    """How the only command of a registry stands."""
    (snapshot,) = registry.snapshot().values()
    return snapshot


def counted(registry: Registry) -> dict[str, int]:
    """The outcomes of the only command of a registry."""
    return {str(outcome): count for outcome, count in only(registry).totals.items() if count}


# -- slots and outcomes


@pytest.mark.promise("D2")
def test_the_slot_is_held_until_the_body_was_read(kind: Kind, server: Faulty) -> None:
    """A response keeps its slot until its body was read, and is judged then."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        page = await web.open(server.url("drip-body" if kind.name == "aiohttp" else "healthy"))
        assert only(registry).in_flight == 1
        assert counted(registry) == {}
        if kind.name == "aiohttp":  # all of a short body has come by itself
            await page.close()
        else:
            assert await page.read() == BODY
        assert only(registry).in_flight == 0
        assert counted(registry) == {"success": 1}
        await page.close()

    play(kind, scenario, registry)
    assert counted(registry) == {"success": 1}


def test_a_response_closed_early_is_judged_by_its_head(kind: Kind, server: Faulty) -> None:
    """Who closes a response before its end has had an answer; or a failure, if it was one."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        for path in ("drip-body", "error"):
            page = await web.open(server.url(path))
            await page.close()

    play(kind, scenario, registry)
    assert counted(registry) == {"success": 1, "failure": 1}
    assert only(registry).in_flight == 0


@pytest.mark.promise("C4")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_response_that_is_dropped_gives_its_slot_back(server: Faulty) -> None:
    """A response that nobody reads or closes gives its slot back when it is gone."""
    for name in ("httpx2", "httpx", "requests"):
        registry = Registry()

        async def scenario(web: Web, registry: Registry = registry) -> None:
            page = await web.open(server.url("drip-body"))
            assert only(registry).in_flight == 1
            del page
            gc.collect()
            assert only(registry).in_flight == 0

        play(KINDS[name], scenario, registry)
        assert counted(registry) == {"cancelled": 1}


def test_redirects_are_calls_of_their_own(kind: Kind, server: Faulty) -> None:
    """Each request on the way is one call of its host."""
    registry = Registry()
    options: dict[str, Any] = {"follow_redirects": True} if "httpx" in kind.name else {}

    assert play(kind, lambda web: web.fetch(server.url("moved"), **options), registry) == 200
    assert counted(registry) == {"success": 2}


def test_a_response_without_a_body_is_an_answer(kind: Kind, server: Faulty) -> None:
    """No content is content enough, and HEAD asks for none."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        assert await web.fetch(server.url("empty")) == 204
        assert await web.fetch(server.url("bare"), "HEAD") == 200

    play(kind, scenario, registry)
    assert counted(registry) == {"success": 2}
    assert only(registry).in_flight == 0


def test_a_connection_is_used_again(kind: Kind, server: Faulty) -> None:
    """Guarded bodies give their connections back."""
    before = server.accepted

    async def scenario(web: Web) -> None:
        for path in ("healthy", "chunked", "not-found", "healthy"):
            await web.fetch(server.url(path))

    play(kind, scenario)
    assert server.accepted == before + 1


# -- refusals


@pytest.mark.promise("A7", "A18")
def test_an_open_circuit_sends_nothing(kind: Kind, server: Faulty) -> None:
    """The error of an open circuit is ours and the client's, and nothing is sent."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        await web.fetch(server.url("error"))
        sent = len(server.requests)
        with pytest.raises(kind.error) as caught:
            await web.fetch(server.url("healthy"))
        assert len(server.requests) == sent
        assert isinstance(caught.value, (kind.module.CircuitOpenError, RejectedError))
        assert isinstance(caught.value, CircuitOpenError)
        assert caught.value.last_error == "status 500"
        assert caught.value.__cause__ is None

    play(kind, scenario, registry, volume_threshold=1)
    assert counted(registry) == {"failure": 1, "short_circuited": 1}


def test_a_full_bulkhead_sends_nothing(kind: Kind, server: Faulty) -> None:
    """The error of a full bulkhead is ours and the client's; a body still to be read counts."""

    async def scenario(web: Web) -> None:
        page = await web.open(server.url("drip-body"))
        sent = len(server.requests)
        with pytest.raises(kind.error) as caught:
            await web.fetch(server.url("healthy"))
        assert isinstance(caught.value, (BulkheadFullError, kind.module.BulkheadFullError))
        assert len(server.requests) == sent
        await page.close()
        assert await web.fetch(server.url("healthy")) == 200

    play(kind, scenario, max_concurrency=1)


def test_a_trial_closes_the_circuit_when_its_body_was_read(kind: Kind, server: Faulty) -> None:
    """The head of a trial's response closes nothing yet."""
    clock = FakeClock()
    registry = Registry(clock=clock)

    async def scenario(web: Web) -> None:
        await web.fetch(server.url("error"))
        assert only(registry).state is State.OPEN
        clock.advance(5)
        page = await web.open(server.url("drip-body"))
        assert only(registry).state is State.HALF_OPEN
        await page.close()
        assert only(registry).state is State.CLOSED

    play(kind, scenario, registry, volume_threshold=1, timeout=None)


@pytest.mark.promise("G9")
@pytest.mark.parametrize(
    ("path", "settings", "expected"),
    [
        ("busy", {}, 20),
        ("unavailable", {}, 20),
        ("unavailable", {"sleep_window_max": 7.0}, 7),
        ("unavailable", {"sleep_window": 1.0}, 10),
        ("error", {}, 5),
    ],
)
def test_retry_after_lengthens_the_sleep_window(
    kind: Kind, server: Faulty, path: str, settings: dict[str, Any], expected: float
) -> None:
    """`Retry-After` of 429 and 503 is heeded, up to a cap; that of other statuses is not."""
    registry = Registry(clock=FakeClock())

    async def scenario(web: Web) -> None:
        await web.fetch(server.url(path))
        assert only(registry).retry_after == expected

    play(kind, scenario, registry, **{"volume_threshold": 1, "timeout": None, **settings})


# -- cancellation


@pytest.mark.promise("F1", "A11")
@pytest.mark.parametrize("path", ["hang", "stall"])
@pytest.mark.parametrize("name", [kind.name for kind in KINDS.values() if kind.is_async])
def test_cancellation_is_no_verdict(name: str, path: str, server: Faulty) -> None:
    """A request whose task is cancelled says nothing about its host, and holds nothing."""
    kind = KINDS[name]
    registry = Registry()

    async def scenario(web: Web) -> None:
        url = server.url(path)
        arrived = functools.partial(server.reached, len(server.requests) + 1)
        if "trio" in name:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(web.fetch, url)
                await trio.to_thread.run_sync(arrived)
                nursery.cancel_scope.cancel()
            return
        task = asyncio.ensure_future(web.fetch(url))
        await asyncio.to_thread(arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(kind, scenario, registry)
    assert counted(registry) == {"cancelled": 1}
    assert only(registry).in_flight == 0


# -- deadlines travel


@pytest.mark.promise("E11")
def test_a_deadline_travels_in_a_header(kind: Kind, server: Faulty) -> None:
    """A request inside of a deadline says how much time it may take; outside it says nothing."""

    async def scenario(web: Web) -> None:
        await web.fetch(server.url("healthy"))
        assert server.header("X-Request-Timeout") is None
        with deadline(5.0):
            await web.fetch(server.url("healthy"))
        assert 0 < int(server.header("X-Request-Timeout") or "") <= 5000
        with deadline(50.0):
            await web.fetch(server.url("healthy"))
        assert 5000 < int(server.header("X-Request-Timeout") or "") <= 9000

    play(kind, scenario, timeout=9.0)


@pytest.mark.parametrize(("header", "unit"), [("grpc-timeout", "u"), ("X-Budget", "0")])
def test_the_header_has_another_name(kind: Kind, server: Faulty, header: str, unit: str) -> None:
    """The header is configurable, and spelt as its name demands."""

    async def scenario(web: Web) -> None:
        with deadline(5.0):
            await web.fetch(server.url("healthy"))
        value = server.header(header) or ""
        assert value[:-1].isdigit()
        assert value[-1] == unit or unit == "0"
        assert server.header("X-Request-Timeout") is None

    play(kind, scenario, header=header)


def test_no_header_is_sent_if_none_is_wanted(kind: Kind, server: Faulty) -> None:
    """Without a header the deadline is enforced here, and told to nobody."""

    async def scenario(web: Web) -> None:
        with deadline(5.0):
            await web.fetch(server.url("healthy"))
        assert server.header("X-Request-Timeout") is None

    play(kind, scenario, header=None)


@pytest.mark.promise("E9")
def test_a_shorter_timeout_of_the_clients_stays_its_own(kind: Kind, server: Faulty) -> None:
    """A client that gives up by its own timeout raises its own error, and that is a failure."""
    registry = Registry()
    limit: Any = aiohttp.ClientTimeout(total=0.05) if kind.name == "aiohttp" else 0.05

    async def scenario(web: Web) -> None:
        with pytest.raises((kind.timeout, TimeoutError)) as caught:
            await web.fetch(server.url("hang"), timeout=limit)
        assert not isinstance(caught.value, ResilienceError)

    play(kind, scenario, registry, timeout=9.0)
    assert counted(registry) == {"failure": 1}


def test_without_a_timeout_nothing_is_bounded(kind: Kind, server: Faulty) -> None:
    """A command without a timeout leaves the client its own, and tells nobody."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        await web.fetch(server.url("healthy"))
        assert server.header("X-Request-Timeout") is None
        with deadline(5.0):
            await web.fetch(server.url("chunked"))
        assert 0 < int(server.header("X-Request-Timeout") or "") <= 5000

    play(kind, scenario, registry, timeout=None)
    assert counted(registry) == {"success": 2}


# -- what can be changed


def test_methods_that_are_not_guarded_pass_by(kind: Kind, server: Faulty) -> None:
    """Only the methods that are named are calls of a command."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        await web.fetch(server.url("error"), "POST")
        assert len(registry) == 0
        await web.fetch(server.url("healthy"), "GET")

    play(kind, scenario, registry, methods=["get"])
    assert counted(registry) == {"success": 1}


def test_statuses_can_be_changed(kind: Kind, server: Faulty) -> None:
    """Which statuses are failures is the user's to say."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        for path in ("error", "not-found", "busy"):
            await web.fetch(server.url(path))

    play(kind, scenario, registry, statuses={404})
    assert counted(registry) == {"success": 2, "failure": 1}


def test_a_predicate_judges_the_head(kind: Kind, server: Faulty) -> None:
    """A predicate sees the client's own response, and wins over the statuses."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        for path in ("error", "healthy"):
            await web.fetch(server.url(path))

    def is_failure(response: Any) -> bool:
        return bool(response.headers.get("Content-Type") == "text/plain")

    play(kind, scenario, registry, is_failure=is_failure)
    assert counted(registry) == {"success": 1, "failure": 1}


@pytest.mark.promise("A15")
def test_a_predicate_that_raises_says_nothing(kind: Kind, server: Faulty) -> None:
    """Its error reaches the caller, the call is ignored, and the slot is back."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        with pytest.raises(ZeroDivisionError):
            await web.fetch(server.url("healthy"))
        assert await web.fetch(server.url("healthy"), "POST") == 200

    play(kind, scenario, registry, is_failure=lambda _: 1 / 0, methods=["GET"])
    assert counted(registry) == {"ignored": 1}
    assert only(registry).in_flight == 0


def test_exceptions_can_be_ignored(kind: Kind, server: Faulty) -> None:
    """Which exceptions are failures is the user's to say."""
    registry = Registry()

    async def scenario(web: Web) -> None:
        with pytest.raises(kind.base):
            await web.fetch(server.url("refuse"))

    play(kind, scenario, registry, ignore=Exception)
    assert counted(registry) == {"ignored": 1}


def test_hosts_have_a_command_each_or_share_one(kind: Kind, server: Faulty) -> None:
    """The name is a template, or one for all hosts."""
    keyed, shared = Registry(), Registry()

    async def scenario(web: Web) -> None:
        await web.fetch(server.url("healthy"))
        await web.fetch(server.url("healthy").replace("127.0.0.1", "localhost"))

    play(kind, scenario, keyed, name="web:{host}")
    play(kind, scenario, shared, name="web")
    port = server.address.partition(":")[2]
    assert sorted(keyed) == [f"web:127.0.0.1:{port}", f"web:localhost:{port}"]
    assert list(shared) == ["web"]


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": -1},
        {"no_such": 1},
        {"name": "web:{user}"},
        {"name": ""},
        {"max_hosts": 0},
        {"methods": "GET"},
        {"methods": [1]},
        {"statuses": "500"},
        {"statuses": 500},
        {"header": "two words"},
        {"header": "evil\r\nX: y"},
        {"handle": 5},
        {"is_failure": 5},
        {"registry": 5},
    ],
)
def test_wrong_settings_fail_at_construction(kind: Kind, settings: dict[str, Any]) -> None:
    """Whatever is wrong is told before the first request."""
    with pytest.raises(ConfigurationError):
        play(kind, lambda _: None, **{"registry": Registry(), **settings})  # type: ignore[arg-type]


def test_an_override_is_carried_out(kind: Kind, server: Faulty) -> None:
    """Forced open refuses, forced closed admits, and a shadow counts what it does not do."""
    registry = Registry()
    guard = registry.command("web", volume_threshold=1)

    async def scenario(web: Web) -> None:
        await web.fetch(server.url("error"))
        guard.force_closed()
        assert await web.fetch(server.url("healthy")) == 200
        guard.shadow()
        assert await web.fetch(server.url("healthy")) == 200
        guard.force_open()
        with pytest.raises(CircuitOpenError):
            await web.fetch(server.url("healthy"))

    play(kind, scenario, registry, name="web", volume_threshold=1)
    assert sum(only(registry).shadowed.values()) == 1
