"""The same in Flask: on threads, with error handlers."""

import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from resilience import (
    CircuitOpenError,
    DeadlineExceededError,
    RejectedError,
    deadline,
    remaining,
)
from resilience.wsgi import Health, Middleware, answer

app = Flask(__name__)
app.register_error_handler(RejectedError, answer)
app.register_error_handler(DeadlineExceededError, answer)


def wait() -> None:
    """Wait as a client does: no longer than there is time."""
    while True:
        threading.Event().wait(min(remaining(default=30.0), 0.01))


@app.get("/ok")
def ok() -> str:
    return str(remaining(default="for ever"))


@app.get("/refused")
def refused() -> str:
    raise CircuitOpenError("stock", 2.01)


@app.get("/bug")
def bug() -> str:
    raise ValueError("a mistake")


@app.get("/slow")
def slow() -> str:
    wait()
    return "never"


@app.get("/own")
def own() -> Any:
    try:
        with deadline(0.01):
            wait()
    except DeadlineExceededError:
        return "mine", 418


@app.get("/stream")
def stream() -> Any:
    def parts() -> Iterator[str]:
        yield "part"
        wait()

    return parts()


app.wsgi_app = Middleware(
    DispatcherMiddleware(app.wsgi_app, {"/live": Health()}), bulkhead=2, exempt="/live"
)
