"""What the parts for servers take and give; read by mypy and basedpyright, never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, assert_type

from resilience import Bulkhead, RejectedError, asgi, wsgi
from resilience.health import Circuit, Health, health


async def asgi_app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None: ...


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return [b""]


def middleware() -> None:
    inner = asgi.Middleware(
        asgi_app,
        headers=["X-Budget"],
        default_budget=timedelta(seconds=1),
        max_budget=None,
        bulkhead=Bulkhead(5),
        exempt="/live",
    )
    asgi.Middleware(inner, bulkhead=5)  # it is an application itself
    wsgi.Middleware(wsgi.Middleware(wsgi_app, default_budget=1.5), headers="X-Budget", bulkhead=5)

    asgi.Middleware(asgi_app, bulkhead="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    asgi.Middleware(wsgi_app)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wsgi.Middleware(asgi_app)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def answers(error: RejectedError) -> None:
    said = asgi.problem(error)
    assert_type(said, asgi.Problem | None)
    if said is not None:
        assert_type(said.status, int)
        assert_type(said.headers, dict[str, str])
        assert_type(said.body, bytes)


def healths() -> None:
    found = health(critical=["stock"])
    assert_type(found, Health)
    assert_type(found.refusing, tuple[str, ...])
    assert_type(found.circuits, Mapping[str, Circuit])
    asgi.Middleware(asgi.Health())
    wsgi.Middleware(wsgi.Health(critical="stock"))
