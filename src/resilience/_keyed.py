"""Keyed: one command for each key, from a template, in bounded memory."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, final

from resilience._names import LONGEST, check_name
from resilience._units import is_integer, show
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from resilience._command import Command
    from resilience._registry import Registry

__all__ = ["Keyed"]

MARK: Final = "~"
"""Stands before the checksum of a key that was escaped or cut, and in no other."""

DIGEST: Final = 16
"""Characters of that checksum."""


@final
class Keyed:
    """
    What `registry.keyed(…)` makes: `hosts(host="a.example")` is that host's command.

    Keys come from outside, so any text will do: what cannot stand in a name is escaped, and a long
    one is cut. Several threads may ask at once, without a lock; the bound may then be passed for a
    moment by as many keys as there are threads.

    Example:
        >>> from resilience import Registry
        >>> registry = Registry()
        >>> tenants = registry.keyed("reports of {tenant}", max_size=100, max_concurrency=2)
        >>> tenants(tenant="acme").call(len, "abc")
        3
        >>> list(registry)
        ['reports of acme']
    """

    __module__ = "resilience"
    __slots__ = (
        "__weakref__",
        "_commands",
        "_every",
        "_fields",
        "_longest",
        "_marked",
        "_max_size",
        "_options",
        "_registry",
        "_rest",
        "_template",
    )

    def __init__(
        self, registry: Registry, template: str, max_size: int, options: dict[str, Any]
    ) -> None:
        if not is_integer(max_size) or max_size < 1:
            raise ConfigurationError(f"max_size must be an integer from 1 on, not {show(max_size)}")
        check_name(template)
        import string  # noqa: PLC0415 - few programs have keyed names

        try:
            parts = tuple(string.Formatter().parse(template))
        except ValueError:
            parts = ()
        fields = [field for _, field, _, _ in parts if field is not None]
        if not fields or not all(field.isidentifier() for field in fields):
            raise ConfigurationError(
                f"template must name its key in braces, as in 'http:{{host}}', not {show(template)}"
            )
        self._fields = frozenset(fields)
        # What stands between two fields must not stand in them, or two keys would have one name.
        between = [literal for literal, field, _, _ in parts[1:] if field is not None]
        self._marked = MARK + "".join(each for text in between for each in text)
        self._every = not all(between)
        # What is left of a name beside the template, shared by the fields.
        self._longest = min(200, (LONGEST - len(template)) // len(self._fields))
        if self._longest < 2 * DIGEST:
            raise ConfigurationError(f"template leaves no room for its fields: {show(template)}")
        self._rest: Command | None = None
        self._registry = registry
        self._template = template
        self._max_size = max_size
        self._options = options
        self._commands: OrderedDict[str, Command] = OrderedDict()

    def __call__(self, **key: object) -> Command:
        """
        Return the command of a key.

        Raises:
            ConfigurationError: The key has other fields than the template.
        """
        return self.of(self.name_of(key))

    def of(self, name: str) -> Command:
        """Return the command of a name that `name_of` gave."""
        found = self._commands.get(name)
        if found is None:
            while len(self._commands) >= self._max_size:
                if not self._make_room():
                    return self._others()
            found = self._commands.setdefault(name, self._make(name))
        try:  # noqa: SIM105 - suppress() takes longer than all the rest
            self._commands.move_to_end(name)
        except KeyError:  # another thread is making room
            pass
        return found

    def _make(self, name: str) -> Command:
        return self._registry.command(name, **self._options)

    def _others(self) -> Command:
        """Return the command that the keys share for which there is no room."""
        if self._rest is None:
            self._rest = self._make(self._template.format(**dict.fromkeys(self._fields, "other")))
        return self._rest

    def __len__(self) -> int:
        return len(self._commands)

    def name_of(self, key: dict[str, object]) -> str:
        """
        Return the name of a key.

        Raises:
            ConfigurationError: The key has other fields than the template.
        """
        if key.keys() != self._fields:
            wanted = ", ".join(sorted(self._fields))
            raise ConfigurationError(f"the key must be {wanted}, not {show(sorted(key))}")
        plain = {field: self._plain(str(value)) for field, value in key.items()}
        return self._template.format(**plain)

    def _plain(self, text: str) -> str:
        """Return a text that may stand in a name, and that is no other value's."""
        if (
            0 < len(text) <= self._longest
            and text.isprintable()
            and not self._every
            and not any(each in text for each in self._marked)
        ):
            return text
        escaped = text[: self._longest].encode("unicode_escape", "backslashreplace").decode("ascii")
        from hashlib import blake2s  # noqa: PLC0415 - few keys are as long or as strange

        check = blake2s(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST // 2).hexdigest()
        return f"{escaped[: self._longest - DIGEST - 1]}{MARK}{check}"

    def _make_room(self) -> bool:
        """Let the key go that was longest not asked for, is idle, and nobody else holds."""
        for name in tuple(self._commands.copy()):
            command = self._commands.get(name)
            if command is None or not command.idle:
                continue
            held = weakref.ref(command)
            del command
            self._commands.pop(name, None)
            survivor = held()
            if survivor is None:
                self._registry.let_go(name)
                return True
            self._commands.setdefault(name, survivor)
        return False
