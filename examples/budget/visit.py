"""What a request met at each service: notes for the tables, and no part of keeping a budget."""

import contextlib
import threading
import time
from collections.abc import Iterator

import attrs

from resilience import remaining


@attrs.define
class Visit:
    """
    One request at one service; times are in seconds.

    Attributes:
        service: Which one.
        route: `sync` or `async`.
        thread: Where the route ran.
        left: What was left of the budget when it was entered.
        began: When that was, on the monotonic clock.
        given: The timeout of the call of the next service; `None` if there was no call.
        ended: When it was left; `None` while it runs.
        answered: Whether it came to its end; false if it was cut off.
    """

    service: str
    route: str
    thread: str
    left: float
    began: float
    given: float | None = None
    ended: float | None = None
    answered: bool = False


@contextlib.contextmanager
def noted(visits: list[Visit], service: str, route: str) -> Iterator[Visit]:
    """Note a request, from its beginning to its end."""
    thread = threading.current_thread().name
    visit = Visit(service, route, thread, remaining(), time.monotonic())
    visits.append(visit)
    try:
        yield visit
        visit.answered = True
    finally:
        visit.ended = time.monotonic()
