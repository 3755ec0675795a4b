"""The default registry, and what goes there unless another one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

from resilience._registry import Registry
from resilience._units import show
from resilience._verdict import Failures
from resilience.errors import ConfigurationError
from resilience.settings import Fields, Settings, fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resilience._bulkhead import Bulkhead
    from resilience._command import Command, Isolation
    from resilience._entry import Entry

__all__ = ["command", "configure", "declared", "default_registry"]

default_registry = Registry()
"""The registry of everything that names none."""


@overload
def configure(name: str, settings: Settings | None = None, /, **fields: Unpack[Fields]) -> None: ...
@overload
def configure(name: Mapping[str, Mapping[str, Any] | Settings], /) -> None: ...
def configure(name: Any, settings: Settings | None = None, /, **fields: Any) -> None:
    """
    Change settings in `default_registry`: see `Registry.configure`.

    Args:
        name: A name; or names with their fields, all checked before any is changed.
        settings: What it gives is changed.
        **fields: Fields of `Settings`; they win over `settings`.

    Raises:
        ConfigurationError: A field is wrong; nothing was changed.

    Example:
        >>> from resilience import configure
        >>> configure("orders", timeout=0.5)
        >>> configure({"orders": {"error_percent": 25}})
    """
    default_registry.configure(name, settings, **fields)


def registry_of(registry: object) -> Registry:
    """
    Return the registry that a `registry` argument names.

    Raises:
        ConfigurationError: It is none.
    """
    if registry is None:
        return default_registry
    if not isinstance(registry, Registry):
        raise ConfigurationError(f"registry must be a Registry or None, not {show(registry)}")
    return registry


def declared(
    name: str | None,
    settings: Settings | None,
    fields: Mapping[str, Any],
    registry: Registry | None,
    source: str = "",
) -> Entry:
    """Return the entry of a name, with what a shell says of it added."""
    plain = fields_of(settings, fields)
    Settings(**plain)
    entry = registry_of(registry).entry(name)
    entry.declare(plain, source)
    return entry


def command(
    name: str,
    /,
    settings: Settings | None = None,
    *,
    fallback: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
    handle: Failures = Exception,
    ignore: Failures = (),
    is_failure: Callable[[Any], bool] | None = None,
    isolation: Isolation | None = None,
    bulkhead: Bulkhead | None = None,
    registry: Registry | None = None,
    **fields: Unpack[Fields],
) -> Command:
    """
    Make a command: circuit breaker, bulkhead, deadline and fallback around calls of one name.

    The order of one call: the circuit is asked; a slot is taken, or waited for; after a wait the
    circuit is asked again; `timeout` runs from there. A failed call is answered by the fallback,
    after it was settled. A block (`with command:`) has no value that a fallback could replace.

    What a `timeout` does depends on what it can do. Async code is cancelled. A sync function is
    cut off only if its own decorator has the keyword `timeout=`, or `isolation="thread"`: it then
    runs on a worker thread. Otherwise it stays in its caller's thread, where a timeout that was
    given some other way (in `settings`, by `configure`) only judges: a late call counts as a
    timeout and keeps its result. Of a generator it bounds the wait for each item.

    Args:
        name: What is called. Commands of one name share circuit, slots, metrics and settings.
        settings: How it behaves.
        fallback: What answers instead: `handler(error, *args, **kwargs)`, or several, tried in
            order.
        handle: Which exceptions are failures: a class, a tuple of them, or a predicate.
        ignore: Which exceptions say nothing about the dependency; wins over `handle`.
        is_failure: A predicate that finds failures among results.
        isolation: Where a sync function runs: `"thread"` on a worker, `"semaphore"` in its
            caller's thread; `None`: on a worker if `timeout` was given here by keyword.
        bulkhead: A `Bulkhead` that several names share.
        registry: Where the name belongs; `None`: `default_registry`.
        **fields: Fields of `Settings` by keyword; they win over `settings`.

    Raises:
        ConfigurationError: A setting is wrong: all faults together. That it contradicts another
            command of this name is told when a function is decorated, or at the first use.

    Example:
        >>> from resilience import command
        >>> def anonymous(error, user_id):
        ...     return {"id": user_id, "name": "?"}
        >>> @command("accounts", timeout=1.0, error_percent=50, fallback=anonymous)
        ... def get_user(user_id):
        ...     raise ConnectionError("refused")
        >>> get_user(7)
        {'id': 7, 'name': '?'}
        >>> get_user.command.snapshot().window.failures
        1
    """
    return registry_of(registry).command(
        name,
        settings,
        fallback=fallback,
        handle=handle,
        ignore=ignore,
        is_failure=is_failure,
        isolation=isolation,
        bulkhead=bulkhead,
        **fields,
    )


for _each in (command, configure):
    _each.__module__ = "resilience"
