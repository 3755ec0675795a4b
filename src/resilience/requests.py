"""
Guard every request of a requests session, with a command for each host.

    session.mount("http://", Adapter(timeout=1.0))

What is refused or runs out of time raises an error that is both ours and requests'. It needs the
extra `requests`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from resilience import errors
from resilience._default import default_registry
from resilience._http.errors import Both, kinds
from resilience._http.policy import Options, Policy, host_and_port
from resilience._http.raw import Raw, cut, read_timeout

if TYPE_CHECKING:
    from resilience._registry import Registry

__all__ = ["Adapter", "BulkheadFullError", "CircuitOpenError", "DeadlineExceededError"]


class CircuitOpenError(Both, errors.CircuitOpenError, requests.ConnectionError):
    """
    The circuit of the host is open: nothing was sent.

    Example:
        >>> import requests
        >>> import resilience.requests
        >>> error = resilience.requests.CircuitOpenError("http:a.example")
        >>> (
        ...     isinstance(error, resilience.CircuitOpenError),
        ...     isinstance(error, requests.ConnectionError),
        ... )
        (True, True)
    """

    request = response = None


class BulkheadFullError(Both, errors.BulkheadFullError, requests.ConnectionError):
    """
    Every slot of the host is taken: nothing was sent.

    Example:
        >>> import requests
        >>> import resilience.requests
        >>> error = resilience.requests.BulkheadFullError("http:a.example")
        >>> (
        ...     isinstance(error, resilience.BulkheadFullError),
        ...     isinstance(error, requests.ConnectionError),
        ... )
        (True, True)
    """

    request = response = None


class DeadlineExceededError(Both, errors.DeadlineExceededError, requests.Timeout):
    """
    Time ran out: that of the command, or of a deadline around it.

    Example:
        >>> import requests
        >>> import resilience.requests
        >>> error = resilience.requests.DeadlineExceededError("http:a.example")
        >>> isinstance(error, resilience.DeadlineExceededError), isinstance(error, requests.Timeout)
        (True, True)
    """

    request = response = None


_KINDS = kinds(
    CircuitOpenError,
    BulkheadFullError,
    DeadlineExceededError,
    timeouts=(requests.Timeout, urllib3.exceptions.TimeoutError),
    misuse=(ValueError, requests.exceptions.UnrewindableBodyError),
)
_PORTS = {"http": 80, "https": 443}


@final
class Adapter(BaseAdapter):
    """
    An adapter that sends by another one, each request as a call of its host's command.

    Connection errors, timeouts, 429 and 5xx are failures; other responses are answers. The slot is
    held until the body is read or closed, and the outcome is judged then. `timeout` bounds the wait
    for the head of the response, and then for each piece of its body.

    Args:
        wrapped: What sends; `None`: a `requests.adapters.HTTPAdapter`.
        registry: Where the commands are.
        **settings: The fields of `Settings`, and those of `Options`.

    Raises:
        ConfigurationError: A setting is wrong.

    Example:
        >>> import requests
        >>> from resilience import Registry
        >>> session = requests.Session()
        >>> session.mount("http://", Adapter(registry=Registry(), timeout=0.5))
        >>> session.close()
    """

    def __init__(
        self,
        wrapped: BaseAdapter | None = None,
        *,
        registry: Registry | None = default_registry,
        **settings: Unpack[Options],
    ) -> None:
        super().__init__()
        self._wrapped = HTTPAdapter() if wrapped is None else wrapped
        opaque = type(self._wrapped) is HTTPAdapter
        self._policy = Policy(_KINDS, registry, settings, opaque=opaque)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - as requests has it
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002 - as requests has it
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """
        Send a request.

        Raises:
            CircuitOpenError: The circuit of the host is open.
            BulkheadFullError: Every slot of the host is taken.
            DeadlineExceededError: Time ran out.
        """
        policy = self._policy
        exchange = policy.exchange(request.method or "", _host(request.url or ""))
        if exchange is None:
            return self._wrapped.send(request, stream, timeout, verify, cert, proxies)
        before = request.headers
        try:
            left = exchange.admit(opaque=policy.opaque)
            shorter = timeout if left is None else cut(urllib3.Timeout, timeout, left)
            budget = policy.budget(exchange, left)
            if budget is not None:
                request.headers = before.copy()
                request.headers[str(policy.header)] = budget
            response = self._wrapped.send(request, stream, shorter, verify, cert, proxies)
        except BaseException as error:
            failed = exchange.failed(error, request=request)
            if failed is error:
                raise
            raise failed from error
        finally:
            request.headers = before
        try:
            policy.look(exchange, response.status_code, response)
        except BaseException:
            response.close()
            raise
        if response.raw is None:  # it came with its body
            exchange.ended()
        else:
            response.raw = Raw(response.raw, exchange, read_timeout(timeout))
        return response

    def close(self) -> None:
        """Close the adapter that sends."""
        self._wrapped.close()


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # the adapter that sends will say so
        return ""
    own = port == _PORTS.get(parts.scheme.lower())
    return host_and_port(parts.hostname, None if own else port)
