"""Registry: which name is which entry, and who is told of what happens to them."""

from __future__ import annotations

import time
import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any, NoReturn, Unpack, final, overload

from resilience import _fork
from resilience._command import Command, Isolation
from resilience._core.outcome import State
from resilience._entry import Entry
from resilience._fallback import is_async
from resilience._listeners import Listeners
from resilience._names import check_name
from resilience._units import is_integer, show
from resilience.errors import ConfigurationError
from resilience.settings import Fields, Settings, fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from resilience._bulkhead import Bulkhead
    from resilience._events import Event
    from resilience._keyed import Keyed
    from resilience._snapshot import Snapshot
    from resilience._verdict import Failures

__all__ = ["Registry"]


def _draw() -> float:
    from random import random  # noqa: PLC0415 - only jitter needs it

    return random()  # noqa: S311 - it spreads load, and keeps no secret


@final
class Registry:
    """
    The names of a program: what has the same name in one registry is the same dependency.

    Args:
        clock: Gives integer nanoseconds, and never goes back.
        random: Gives a number in [0, 1), for the jitter of sleep windows.
        max_size: How many names are kept. Beyond that, idle closed ones that nothing else holds
            leave, oldest first; open, half-open or busy ones never. `None`: all are kept.

    Raises:
        ConfigurationError: The clock gives something else, or `max_size` is no integer from 1 on.

    Example:
        >>> from resilience import Registry
        >>> registry = Registry()
        >>> users = registry.command("users", timeout=0.5)
        >>> registry.snapshot()["users"].state
        <State.CLOSED: 'closed'>
    """

    __module__ = "resilience"
    __slots__ = (
        "__weakref__",
        "_clock",
        "_configured",
        "_entries",
        "_max_size",
        "_random",
        "listeners",
        "lock",
    )

    def __init__(
        self,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        random: Callable[[], float] = _draw,
        max_size: int | None = None,
    ) -> None:
        faults: list[str] = []
        given: Any = clock
        now = given() if callable(given) else given
        if not callable(given) or not is_integer(now):
            faults.append(f"clock must give integer nanoseconds, not {show(now)}")
        if not callable(random):
            faults.append(f"random must be a callable, not {show(random)}")
        if max_size is not None and not (is_integer(max_size) and max_size > 0):
            faults.append(f"max_size must be an integer from 1 on or None, not {show(max_size)}")
        if faults:
            raise ConfigurationError(*faults)
        self._clock = clock
        self._random = random
        self._max_size = max_size
        self._entries: dict[str, Entry] = {}
        self._configured: dict[str, dict[str, Any]] = {}
        self.listeners = Listeners()
        self.lock = RLock()
        _fork.remember(self)

    # -- commands

    def command(
        self,
        name: str,
        /,
        settings: Settings | None = None,
        *,
        fallback: Any = None,
        handle: Failures = Exception,
        ignore: Failures = (),
        is_failure: Callable[[Any], bool] | None = None,
        isolation: Isolation | None = None,
        bulkhead: Bulkhead | None = None,
        **fields: Unpack[Fields],
    ) -> Command:
        """
        Make a command of this registry: see `resilience.command`.

        Args:
            name: What is called.
            settings: How it behaves.
            fallback: What answers instead.
            handle: Which exceptions are failures.
            ignore: Which exceptions say nothing about the dependency.
            is_failure: A predicate that finds failures among results.
            isolation: Where a sync function runs.
            bulkhead: A `Bulkhead` that several names share.
            **fields: Fields of `Settings` by keyword; they win over `settings`.

        Raises:
            ConfigurationError: A setting is wrong.

        Example:
            >>> from resilience import Registry
            >>> registry = Registry()
            >>> registry.command("users", timeout=0.5).call(str.upper, "ada")
            'ADA'
        """
        return Command(
            name,
            settings,
            fallback=fallback,
            handle=handle,
            ignore=ignore,
            is_failure=is_failure,
            isolation=isolation,
            bulkhead=bulkhead,
            registry=self,
            **fields,
        )

    def keyed(self, template: str, *, max_size: int = 1000, **options: Any) -> Keyed:
        """
        Make a command for each key: one for each host, tenant or shard.

        Args:
            template: The name, with the key's fields in braces: `"http:{host}"`.
            max_size: How many keys have a command of their own, from 1 on; idle closed ones make
                room, beyond that the rest share one in which every field is `other`.
            **options: What `command` takes.

        Raises:
            ConfigurationError: The template names no key, or `max_size` is no such number.

        Example:
            >>> from resilience import Registry
            >>> hosts = Registry().keyed("http:{host}", timeout=0.5)
            >>> hosts(host="a.example").name
            'http:a.example'
        """
        from resilience._keyed import Keyed as Made  # noqa: PLC0415 - import quickly

        return Made(self, template, max_size, options)

    # -- settings

    @overload
    def configure(
        self, name: str, settings: Settings | None = None, /, **fields: Unpack[Fields]
    ) -> None: ...
    @overload
    def configure(self, name: Mapping[str, Mapping[str, Any] | Settings], /) -> None: ...
    def configure(self, name: Any, settings: Settings | None = None, /, **fields: Any) -> None:
        """
        Change settings by name, over whatever the code says; before or after the name exists.

        A live change keeps state and totals, resizes the bulkhead, and starts an empty window where
        the window's shape changed. A running call goes on by the settings it began with.

        Args:
            name: A name; or names with their fields, all checked before any is changed.
            settings: What it gives is changed.
            **fields: Fields of `Settings`; they win over `settings`.

        Raises:
            ConfigurationError: A field is wrong; nothing was changed.

        Example:
            >>> from resilience import Registry
            >>> registry = Registry()
            >>> users = registry.command("users", timeout=1.0)
            >>> registry.configure("users", timeout=0.5)
            >>> users.settings.timeout
            0.5
        """
        if isinstance(name, str):
            changes = {name: fields_of(settings, fields)}
        else:
            changes = _read_all(name)
            if settings is not None or fields:
                raise ConfigurationError("a mapping of names takes no further fields beside it")
        for each, plain in changes.items():
            check_name(each)
            Settings(**{**self._configured.get(each, {}), **plain})
            entry = self._entries.get(each)
            if entry is not None:
                entry.check(plain)
        with self.lock:
            for each, plain in changes.items():
                self._configured[each] = {**self._configured.get(each, {}), **plain}
        for each, plain in changes.items():
            entry = self._entries.get(each)
            if entry is not None:
                entry.configure(plain)

    # -- names

    def entry(self, name: str | None) -> Entry:
        """Return the entry of a name, made if need be; without a name, a private one."""
        if name is None:
            return Entry(None, clock=self._clock, random=self._random)
        check_name(name)
        found = self._entries.get(name)
        if found is not None:
            return found
        # Made outside the lock: no other lock is ever taken under it.
        made = Entry(
            name,
            clock=self._clock,
            random=self._random,
            listeners=self.listeners,
            configured=self._configured.get(name),
        )
        with self.lock:
            entry = self._entries.setdefault(name, made)
        late = self._configured.get(name, {})
        if dict(entry.configured) != late:  # configured while it was being made
            entry.configure(late)
        self._make_room(entry)
        return entry

    def get(self, name: str) -> Snapshot | None:
        """
        Return the snapshot of a name, or `None` if there is no such name.

        Args:
            name: The name. Raises nothing, whatever it is.

        Example:
            >>> from resilience import Registry
            >>> Registry().get("nobody") is None
            True
        """
        entry = self._entries.get(name)
        return None if entry is None else entry.snapshot()

    def remove(self, name: str) -> bool:
        """
        Forget a name; false if there was none.

        Its commands go on with a circuit of their own that is no longer exported; what takes the
        name next starts clean.

        Args:
            name: The name. Raises nothing, whatever it is.

        Example:
            >>> from resilience import Registry
            >>> registry = Registry()
            >>> users = registry.command("users")
            >>> registry.remove("users"), "users" in registry
            (True, False)
        """
        with self.lock:
            return self._entries.pop(name, None) is not None

    def holds(self, entry: Entry) -> bool:
        """Whether the name of an entry is still this entry's."""
        return entry.name is not None and self._entries.get(entry.name) is entry

    def unusual(self) -> Iterator[tuple[str, Entry]]:
        """Yield the names whose circuit is not closed, or is under an override."""
        for name, entry in self._entries.copy().items():
            circuit = entry.circuit
            if circuit.state is not State.CLOSED or circuit.override is not None:
                yield name, entry

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Registry cannot be pickled: its circuits belong to this process")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries.copy())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def snapshot(self) -> dict[str, Snapshot]:
        """
        Return the snapshots of all names, each taken at an instant of its own.

        Example:
            >>> from resilience import Registry
            >>> registry = Registry()
            >>> users = registry.command("users")
            >>> list(registry.snapshot())
            ['users']
        """
        return {name: entry.snapshot() for name, entry in self._entries.copy().items()}

    def _make_room(self, newest: Entry) -> None:
        """Let those go that are idle and that nobody else holds, oldest first."""
        if self._max_size is None or len(self._entries) <= self._max_size:
            return
        idle = [name for name in tuple(self._entries.copy()) if self._is_idle(name, newest)]
        for name in idle:
            if len(self._entries) <= self._max_size:
                return
            self.let_go(name)

    def let_go(self, name: str) -> None:
        """Let go of a name; it stays if somebody else holds it."""
        with self.lock:
            entry = self._entries.pop(name, None)
            if entry is None:
                return
            held = weakref.ref(entry)
            del entry
            survivor = held()
            if survivor is not None:
                self._entries[name] = survivor

    def _is_idle(self, name: str, newest: Entry) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry is not newest and entry.idle

    # -- events

    def subscribe(self, listener: Callable[[Event], object]) -> Callable[[], None]:
        """
        Call `listener` with each event, in order, outside every lock.

        It is called by the thread that caused the event, or one that causes others at that time,
        in a copy of the context (`contextvars`) of the call that caused it. A listener that raises
        is logged and changes nothing.

        Args:
            listener: Takes `StateChanged`, `CallRejected`, `CallTimedOut` and `FallbackCalled`.
                It is not awaited.

        Returns:
            What ends the subscription.

        Raises:
            ConfigurationError: It cannot be called.
            TypeError: It is async.

        Example:
            >>> from resilience import Registry
            >>> registry, seen = Registry(), []
            >>> unsubscribe = registry.subscribe(seen.append)
            >>> registry.command("users", volume_threshold=1).acquire().fail()
            >>> [str(event.new) for event in seen]
            ['open']
            >>> unsubscribe()
        """
        if not callable(listener):
            raise ConfigurationError(f"a listener must be a callable, not {show(listener)}")
        if is_async(listener):
            raise TypeError(f"a listener is not awaited, so {show(listener)} cannot be async")
        return self.listeners.subscribe(listener)

    def forked(self) -> None:
        """Begin anew in a child process."""
        self.listeners.forked()


def _read_all(changes: Any) -> dict[str, Mapping[str, Any]]:
    if not hasattr(changes, "items"):
        raise ConfigurationError(f"configure takes a name or a mapping, not {show(changes)}")
    plain: dict[str, Mapping[str, Any]] = {}
    faults: list[str] = []
    for name, fields in changes.items():
        try:
            check_name(name)
            plain[name] = (
                fields.chosen() if isinstance(fields, Settings) else fields_of(None, fields)
            )
        except ConfigurationError as error:
            faults.extend(f"{show(name)}: {fault}" for fault in error.faults)
    if faults:
        raise ConfigurationError(*faults)
    return plain
