"""Visitors of a web app: the bare protocols of ASGI and WSGI, driven by hand, in virtual time."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from math import inf
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import anyio
import attrs

from resilience.hystrix_stream._site import Site
from resilience.testing import FakeClock

OURS = {
    "content-type": "application/json",
    "x-resilience-control": "1",
    "sec-fetch-site": "same-origin",
}
"""What the page sends with a control."""


@attrs.define
class Visit:
    """What came back: each chunk of the body with the second, from the beginning, it came at."""

    status: int = 0
    headers: dict[str, str] = attrs.field(factory=dict)
    chunks: list[bytes] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)
    over: float = 0.0
    ended: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of all events."""
        return events(self.body)

    def of(self, name: str, kind: str = "HystrixCommand") -> dict[str, Any]:
        """Return the last event of a name."""
        return [e for e in self.events if (e["type"], e["name"]) == (kind, name)][-1]


def events(body: bytes) -> list[Any]:
    """Return the data of server-sent events, as a reader takes them apart."""
    lines = body.decode().split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


class AsgiVisitor:
    """Visits an app under one event loop after the other."""

    def __init__(self, app: Any, clock: FakeClock, backend: Any = "asyncio") -> None:
        self.app = app
        self.site: Site = app._site
        self.clock = clock
        self.backend = backend

    def get(self, path: str, **options: Any) -> Visit:
        return self.clock.run(lambda: self.visit("GET", path, **options), backend=self.backend)

    def head(self, path: str) -> Visit:
        return self.clock.run(lambda: self.visit("HEAD", path), backend=self.backend)

    def post(self, path: str, content: Any, **options: Any) -> Visit:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        options = {"headers": OURS, **options}
        return self.clock.run(
            lambda: self.visit("POST", path, body=body, **options), backend=self.backend
        )

    async def visit(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stays: float = inf,
        root: str = "",
        send_fails: int | None = None,
        **extra: Any,
    ) -> Visit:
        """
        Visit the app.

        Args:
            method: GET, ….
            path: With its query.
            headers: Those of the request.
            body: It comes in two parts.
            stays: Seconds after which the client goes away.
            root: Where the app is mounted.
            send_fails: After how many messages the server finds that the client has gone.
            **extra: What middleware has put into the scope.
        """
        visit, began = Visit(), self.clock.time()
        path, _, query = path.partition("?")
        given = {"host": "app.example", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": root + path,
            "root_path": root,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            **extra,
        }
        half = len(body) // 2
        inbox = [
            {"type": "http.request", "body": body[:half], "more_body": True},
            {"type": "http.request", "body": body[half:]},
        ]
        sent = 0

        async def receive() -> Any:
            if inbox:
                return inbox.pop(0)
            await anyio.sleep(stays)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal sent
            if sent == send_fails:
                raise OSError("gone")
            sent += 1
            if message["type"] == "http.response.start":
                assert not visit.status
                visit.status = message["status"]
                visit.headers = {k.decode(): v.decode() for k, v in message["headers"]}
                return
            assert message["type"] == "http.response.body"
            assert not visit.ended  # servers drop what comes after the end
            visit.ended = not message.get("more_body", False)
            visit.chunks.append(message["body"])
            visit.times.append(round(self.clock.time() - began, 3))

        await self.app(scope, receive, send)
        visit.over = round(self.clock.time() - began, 3)
        return visit


class WsgiVisitor:
    """Visits an app, under the eyes of the standard library's validator."""

    def __init__(self, app: Any, clock: FakeClock) -> None:
        app._pause = clock.sleep
        self.app = validator(app)
        self.site: Site = app._site
        self.clock = clock

    def get(self, path: str, **options: Any) -> Visit:
        return self.visit("GET", path, **options)

    def head(self, path: str) -> Visit:
        return self.visit("HEAD", path)

    def post(self, path: str, content: Any, **options: Any) -> Visit:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.visit("POST", path, body=body, **{"headers": OURS, **options})

    def visit(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stays: float = inf,
        root: str = "",
        **extra: Any,
    ) -> Visit:
        visit, began = Visit(), self.clock.time()
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        environ.update(
            REQUEST_METHOD=method, SCRIPT_NAME=root, PATH_INFO=path, QUERY_STRING=query,
            HTTP_HOST="app.example", **extra,
        )  # fmt: skip
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = extra.get("wsgi.input") or io.BytesIO(body)
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            visit.status = int(status[:3])
            visit.headers = dict(headers)
            return visit.chunks.append

        chunks = self.app(environ, start_response)
        try:
            for chunk in chunks:
                visit.chunks.append(chunk)
                visit.times.append(round(self.clock.time() - began, 3))
                if visit.times[-1] >= stays:
                    break
        finally:
            chunks.close()
        return visit
