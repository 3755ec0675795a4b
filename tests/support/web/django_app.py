"""The same in Django, served by WSGI and by ASGI: a middleware of its own answers for errors."""

import threading
from collections.abc import Iterator
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from resilience import CircuitOpenError, DeadlineExceededError, deadline, remaining
from resilience.asgi import Middleware as AsgiMiddleware
from resilience.health import health
from resilience.wsgi import Middleware, problem


class Refusals:
    """Answers refusals and the ends of deadlines, of which Django would make a 500."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def process_exception(self, request: Any, error: Exception) -> Any:
        said = problem(error)
        if said is not None:
            return HttpResponse(said.body, status=said.status, headers=said.headers)
        return None


def wait() -> None:
    """Wait as a client does: no longer than there is time."""
    while True:
        threading.Event().wait(min(remaining(default=30.0), 0.01))


def ok(request: Any) -> Any:
    return HttpResponse(str(remaining(default="for ever")))


def refused(request: Any) -> Any:
    raise CircuitOpenError("stock", 2.01)


def bug(request: Any) -> Any:
    raise ValueError("a mistake")


def slow(request: Any) -> Any:
    wait()


def own(request: Any) -> Any:
    try:
        with deadline(0.01):
            wait()
    except DeadlineExceededError:
        return HttpResponse("mine", status=418)


def stream(request: Any) -> Any:
    def parts() -> Iterator[str]:
        yield "part"
        wait()

    return StreamingHttpResponse(parts())


def live(request: Any) -> Any:
    return JsonResponse(health().as_dict())


urlpatterns = [path(view.__name__, view) for view in (ok, refused, bug, slow, own, stream, live)]
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=[f"{__name__}.Refusals"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="none",
)
django.setup()
app = Middleware(get_wsgi_application(), bulkhead=2, exempt="/live")
asgi_app = AsgiMiddleware(get_asgi_application(), bulkhead=2, exempt="/live")
