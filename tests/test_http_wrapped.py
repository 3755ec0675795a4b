"""What guarded clients send by: their own transport, or one of the user's."""

from __future__ import annotations

from typing import Any, NamedTuple

import httpx
import httpx2
import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter

import resilience.httpx
import resilience.httpx2
import resilience.requests
from resilience import Registry, remaining
from tests.support.runtime import Runtime

URL = "http://a.example/"
CLIENTS = pytest.mark.parametrize("client", [httpx, httpx2], ids=["httpx", "httpx2"])
SYNC = pytest.mark.parametrize("run", ["sync"], indirect=True)


class Colour(NamedTuple):
    """The classes of a client in the colour of a runtime."""

    guarded: Any
    own: Any
    base: Any
    client: Any


def coloured(run: Runtime, client: Any) -> Colour:
    """Return what a client has for a runtime."""
    guard = getattr(resilience, client.__name__)
    if run.is_async:
        classes = client.AsyncHTTPTransport, client.AsyncBaseTransport, client.AsyncClient
        return Colour(guard.AsyncTransport, *classes)
    return Colour(guard.Transport, client.HTTPTransport, client.BaseTransport, client.Client)


def asks(client: Any, base: Any) -> Any:
    """Return a transport that asks how much time there is: for the head, and for the body."""

    class Asks(base, client.SyncByteStream, client.AsyncByteStream):
        def __init__(self) -> None:
            self.left: list[float | None] = []
            self.closed = 0

        def handle_request(self, request: Any) -> Any:
            self.left.append(remaining())
            return client.Response(200, stream=self)

        async def handle_async_request(self, request: Any) -> Any:
            return self.handle_request(request)

        def __iter__(self) -> Any:
            self.left.append(remaining())
            yield b"x"

        async def __aiter__(self) -> Any:
            for piece in self:
                yield piece

        def close(self) -> None:
            self.closed += 1

        async def aclose(self) -> None:
            self.closed += 1

    return Asks()


@CLIENTS
@pytest.mark.parametrize("own", [False, True])
def test_what_the_user_sends_by_may_ask_how_much_time_is_left(
    run: Runtime, registry: Registry, client: Any, own: bool
) -> None:
    """The client's own transport was told, and asks nothing."""
    colour = coloured(run, client)
    user = asks(client, colour.base)
    sends = user
    if own:
        sends = colour.own(verify=False)
        sends.handle_request = user.handle_request
        sends.handle_async_request = user.handle_async_request
    guarded = colour.guarded(sends, registry=registry, timeout=2.0)
    request = client.Request("GET", URL, extensions={"timeout": {}})

    async def aread() -> None:
        response = await guarded.handle_async_request(request)
        assert [piece async for piece in response.stream] == [b"x"]

    def read() -> None:
        assert list(guarded.handle_request(request).stream) == [b"x"]

    run.call(aread if run.is_async else read)
    # Sync code is told for the head alone: nothing could cut it off.
    in_task: list[float | None] = [2, None] if own else [2, 2]
    assert user.left == (in_task if run.is_async else [None if own else 2, None])


@CLIENTS
def test_closing_closes_what_sends(run: Runtime, registry: Registry, client: Any) -> None:
    """A client that is closed leaves no connection open."""
    colour = coloured(run, client)
    sends = asks(client, colour.base)
    guarded = colour.guarded(sends, registry=registry)

    run.call(guarded.aclose if run.is_async else guarded.close)
    assert sends.closed == 1


@CLIENTS
def test_the_clients_own_transport_is_there_by_itself(
    run: Runtime, registry: Registry, client: Any
) -> None:
    """It says what it cannot do."""
    colour = coloured(run, client)
    web = colour.client(transport=colour.guarded(registry=registry))

    assert isinstance(run.raised(web.get, "gopher://a.example/"), client.UnsupportedProtocol)


# -- requests


class Notes(BaseAdapter):
    """An adapter that answers at once, and notes what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []
        self.closed = 0

    def send(self, *given: Any, **_: Any) -> Any:
        self.given.append((*given[1:], remaining()))
        response = requests.Response()
        response.status_code, response._content = 200, b""
        response.request, response.url = given[0], given[0].url
        return response

    def close(self) -> None:
        self.closed += 1


def prepared() -> requests.PreparedRequest:
    """Return a request."""
    return requests.Request("GET", URL).prepare()


@SYNC
def test_an_adapter_is_given_what_requests_gives(registry: Registry, run: Runtime) -> None:
    """What is not said is as requests has it, and a timeout stays what it is."""
    notes = Notes()
    adapter = resilience.requests.Adapter(notes, registry=registry, timeout=None)

    adapter.send(prepared())
    adapter.send(prepared(), stream=True, timeout=(1, 7), verify="ca.pem", cert="me.pem")
    assert notes.given == [
        (False, None, True, None, None, None),
        (True, (1, 7), "ca.pem", "me.pem", None, None),
    ]
    adapter.close()
    assert notes.closed == 1


@SYNC
def test_an_adapter_of_the_users_may_ask_how_much_time_is_left(
    registry: Registry, run: Runtime
) -> None:
    """That of requests was told, and asks nothing."""
    user, own = Notes(), HTTPAdapter()
    own.send = user.send  # type: ignore[method-assign]

    for sends in (user, own):
        resilience.requests.Adapter(sends, registry=registry, timeout=2.0).send(prepared())
    assert [left for *_, left in user.given] == [2, None]


@SYNC
def test_other_errors_of_requests_stay_as_they_were(registry: Registry, run: Runtime) -> None:
    """It is nobody's cause, and least of all its own."""
    error = requests.ConnectionError("refused")

    def refuses(*_: Any, **__: Any) -> Any:
        raise error

    own = HTTPAdapter()
    own.send = refuses  # type: ignore[method-assign]
    with pytest.raises(requests.ConnectionError) as caught:
        resilience.requests.Adapter(own, registry=registry).send(prepared())
    assert caught.value is error
    assert error.__cause__ is None


@SYNC
def test_a_timeout_of_requests_that_is_nearly_ours_is_ours(
    registry: Registry, run: Runtime
) -> None:
    """Its timer counts the connect as well: it may be early by a tenth."""
    error = requests.ReadTimeout("late")

    def late(*_: Any, **__: Any) -> Any:
        run.advance(0.9)
        raise error

    own = HTTPAdapter()
    own.send = late  # type: ignore[method-assign]
    guarded = resilience.requests.Adapter(own, registry=registry, timeout=1.0)
    with pytest.raises(resilience.requests.DeadlineExceededError) as caught:
        guarded.send(prepared())
    assert caught.value.__cause__ is error
    assert isinstance(caught.value.request, requests.PreparedRequest)
