"""Policy: what the user of one client chose, and one command for each host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from typing import TYPE_CHECKING, Any, Final, cast

from resilience._budget_header import REQUEST_TIMEOUT, spelling
from resilience._default import registry_of
from resilience._http.exchange import Exchange
from resilience._http.retry_after import retry_after
from resilience._names import check_name
from resilience._units import show
from resilience._verdict import Failures, verdicts_of
from resilience.errors import ConfigurationError
from resilience.settings import Fields, Settings, fields_of

if TYPE_CHECKING:
    from resilience._http.errors import Kinds
    from resilience._registry import Registry

__all__ = ["FAILURES", "Options", "Policy"]

FAILURES: Final = frozenset({429, *range(500, 600)})
"""The statuses that are failures unless others are named."""

ASKS: Final = (429, 503)
"""The statuses whose `Retry-After` is heeded."""

LONGEST_HOST: Final = 300
"""Characters of a host, with its port, that is remembered: a longer one is none."""


class Options(Fields, total=False):
    """What every guarded client takes by keyword: the fields of `Settings`, and these."""

    name: str
    """The name of the commands: a template with `{host}`, or one name for all hosts."""
    max_hosts: int
    """How many hosts have a command of their own at most."""
    methods: Collection[str] | None
    """The methods that are guarded; `None`: all of them. Others pass by."""
    statuses: Container[int]
    """The statuses that are failures."""
    is_failure: Callable[[Any], bool] | None
    """Judges a response by its head, in place of `statuses`."""
    handle: Failures
    """The exceptions that are failures."""
    ignore: Failures
    """The exceptions that say nothing about the other side."""
    header: str | None
    """The header that carries the time that is left; `None`: none does."""


class Policy:
    """
    What one guarded client goes by.

    Args:
        kinds: The client's errors.
        registry: Where the commands are; `None`: the default one.
        options: As `Options` tells.
        opaque: Whether nothing of the user's runs inside of what sends, but the client's own code.

    Raises:
        ConfigurationError: An option is wrong.
    """

    __slots__ = (
        "_is_failure",
        "_keyed",
        "_kinds",
        "_methods",
        "_most",
        "_names",
        "_only",
        "_statuses",
        "header",
        "opaque",
        "write",
    )

    def __init__(
        self, kinds: Kinds, registry: Registry | None, options: Any, *, opaque: bool = False
    ) -> None:
        given = dict(options)
        name = given.pop("name", "http:{host}")
        max_hosts = given.pop("max_hosts", 1000)
        methods = given.pop("methods", None)
        statuses = given.pop("statuses", FAILURES)
        is_failure = given.pop("is_failure", None)
        header = given.pop("header", REQUEST_TIMEOUT)
        command = {
            "handle": given.pop("handle", Exception),
            "ignore": given.pop("ignore", kinds.misuse),
        }
        _check(name, methods, statuses, header)
        # Now, and not when the first request is sent.
        Settings(**fields_of(None, given))
        verdicts_of(**command, is_failure=is_failure)
        self._kinds = kinds
        self.opaque = opaque
        self._methods = None if methods is None else frozenset(each.upper() for each in methods)
        self._statuses = statuses
        self._is_failure: Callable[[Any], bool] | None = is_failure
        self.header: str | None = header
        self.write = None if header is None else spelling(header).write
        registry = registry_of(registry)
        self._keyed = self._only = None
        if name != name.format(host=""):
            self._keyed = registry.keyed(name, max_size=max_hosts, **command, **given)
        else:
            self._only = registry.command(name, **command, **given)
        self._names: dict[str, str] = {}
        self._most = max_hosts

    def exchange(self, method: str, host: str) -> Exchange | None:
        """Begin a request; `None`: requests by this method pass by."""
        if self._methods is not None and method not in self._methods:
            return None
        command = self._only
        if command is None:
            assert self._keyed is not None, "there is one or the other"
            command = self._keyed.of(self._names.get(host) or self._name_of(host))
        return Exchange(command.steps, self._kinds)

    def _name_of(self, host: str) -> str:
        """Return the name of a host's command, and remember it: it takes as long as a call."""
        assert self._keyed is not None, "asked where there is a template"
        name = self._keyed.name_of({"host": host})
        if len(host) <= LONGEST_HOST:
            if len(self._names) >= self._most:
                self._names.clear()
            self._names[host] = name
        return name

    def look(self, exchange: Exchange, status: int, response: Any) -> None:
        """Take note of the head of a response. Runs the user's predicate, which may raise."""
        if self._is_failure is None:
            failed = status in self._statuses
        else:
            try:
                failed = self._is_failure(response)
            except BaseException:
                exchange.ignored()
                raise
        if failed:
            headers = response.headers
            asked = headers.get("Retry-After") if status in ASKS else None
            exchange.failing(f"status {status}", retry_after(asked, headers.get("Date")))
        exchange.paused()

    def budget(self, exchange: Exchange, left: int | None) -> str | None:
        """Return what the header is to say; `None`: no deadline of the caller's is to travel."""
        if left is None or self.write is None or not exchange.bound:
            return None
        return self.write(left)


def host_and_port(host: str | None, port: int | None) -> str:
    """Return the key of a host; a port that is the scheme's own is `None`."""
    if host is None:
        return ""
    if ":" in host:
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"


def _check(name: object, methods: object, statuses: object, header: object) -> None:
    faults: list[str] = []
    try:
        check_name(name)
        str(name).format(host="")
    except ConfigurationError as error:
        faults.extend(error.faults)
    except (AttributeError, LookupError, ValueError):
        faults.append(f"name may hold '{{host}}' and no other field, not {show(name)}")
    if methods is not None and (isinstance(methods, str) or not _texts(methods)):
        faults.append(f"methods must be several methods or None, not {show(methods)}")
    if isinstance(statuses, str) or not hasattr(statuses, "__contains__"):
        faults.append(f"statuses must be a container of integers, not {show(statuses)}")
    if header is not None and not (isinstance(header, str) and _is_token(header)):
        faults.append(f"header must be the name of a header or None, not {show(header)}")
    if faults:
        raise ConfigurationError(*faults)


def _texts(values: object) -> bool:
    several = isinstance(values, Collection)
    return several and all(isinstance(each, str) for each in cast("Any", values))


def _is_token(text: str) -> bool:
    return text.isascii() and text.replace("-", "").replace("_", "").isalnum()
