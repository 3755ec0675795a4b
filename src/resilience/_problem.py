"""
What a server answers when it was not let to do its work: problem details, as RFC 9457 has them.

They say what a caller may know and do, and nothing of what stands behind the server: no name of a
dependency, no message of an error.
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Final, final

import attrs

from resilience._units import YEAR, number
from resilience._verdict import leaves
from resilience.errors import BulkheadFullError, DeadlineExceededError, RejectedError

__all__ = ["Problem", "problem"]

UNAVAILABLE: Final = 503
TIMED_OUT: Final = 504
CONTENT_TYPE: Final = "application/problem+json"

SOON: Final = 1
"""What `Retry-After` says of slots, which come free at any moment: the least that is no `now`."""

DETAILS: Final = {
    UNAVAILABLE: "The request was refused; try again later.",
    TIMED_OUT: "The time for the request ran out.",
}


def _body(status: int) -> bytes:
    title = HTTPStatus(status).phrase
    details = {"type": "about:blank", "title": title, "status": status, "detail": DETAILS[status]}
    return json.dumps(details).encode()


BODIES: Final = {status: _body(status) for status in DETAILS}


@final
@attrs.frozen
class Problem:
    """
    An answer to be given in place of the one that could not be made.

    Attributes:
        status: The number of the answer: 503 or 504.
        retry_after: Whole seconds, rounded up, for the header `Retry-After`; `None`: nobody knows.

    Example:
        >>> from resilience.wsgi import Problem
        >>> said = Problem(503, retry_after=3)
        >>> said.phrase, said.headers["Retry-After"], b"refused" in said.body
        ('Service Unavailable', '3', True)
    """

    status: int
    retry_after: int | None = None

    @property
    def phrase(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    @property
    def body(self) -> bytes:
        """The problem details, as JSON."""
        return BODIES[self.status]

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(self.body))}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers


def problem(error: BaseException) -> Problem | None:
    """
    Return what to answer to the caller of a request that ended with an error.

    A `DeadlineExceededError` is a 504, a `RejectedError` a 503. A group of exceptions is one of
    these if all of it is, and a 504 if any of it is.

    Args:
        error: What the request ended with. Raises nothing, whatever it is.

    Returns:
        The answer; `None`: the error is not about time or refusal, and somebody else's to answer.

    Example:
        >>> from resilience import CircuitOpenError
        >>> from resilience.wsgi import problem
        >>> answer = problem(CircuitOpenError("stock", retry_after=2.3))
        >>> answer.status, answer.headers["Retry-After"]
        (503, '3')
    """
    waits: list[int] = []
    late = False
    for each in leaves(error):
        if isinstance(each, DeadlineExceededError):
            late = True
        elif isinstance(each, RejectedError):
            waits.extend(_whole_seconds(each))
        else:
            return None
    return Problem(TIMED_OUT) if late else Problem(UNAVAILABLE, max(waits, default=None))


def _whole_seconds(refusal: RejectedError) -> list[int]:
    wait = number(refusal.retry_after)
    if wait is None or not math.isfinite(wait):
        return [SOON] if isinstance(refusal, BulkheadFullError) else []
    return [math.ceil(min(max(wait, 0), YEAR))]
