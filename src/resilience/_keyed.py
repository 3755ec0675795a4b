"""Keyed: one command for each key, from a template, in bounded memory."""

from __future__ import annotations

import contextlib
import string
import weakref
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, final

from resilience._names import check_name
from resilience._units import is_integer, show
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from resilience._command import Command
    from resilience._registry import Registry

__all__ = ["Keyed"]

LONGEST_KEY = 200


@final
class Keyed:
    """
    What `registry.keyed(…)` makes: `hosts(host="a.example")` is that host's command.

    Keys come from outside, so any text will do: what cannot stand in a name is escaped, and a long
    one is cut. Several threads may ask at once, without a lock; the bound may then be passed for a
    moment by as many keys as there are threads.
    """

    __module__ = "resilience"
    __slots__ = (
        "__weakref__",
        "_commands",
        "_fields",
        "_max_size",
        "_options",
        "_registry",
        "_template",
    )

    def __init__(
        self, registry: Registry, template: str, max_size: int, options: dict[str, Any]
    ) -> None:
        if not is_integer(max_size) or max_size < 1:
            raise ConfigurationError(f"max_size must be an integer from 1 on, not {show(max_size)}")
        check_name(template)
        self._fields = frozenset(
            field for _, field, _, _ in string.Formatter().parse(template) if field is not None
        )
        if not self._fields or not all(field.isidentifier() for field in self._fields):
            raise ConfigurationError(
                f"template must name its key in braces, as in 'http:{{host}}', not {show(template)}"
            )
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
        if key.keys() != self._fields:
            wanted = ", ".join(sorted(self._fields))
            raise ConfigurationError(f"the key must be {wanted}, not {show(sorted(key))}")
        name = self._name(key)
        found = self._commands.get(name)
        if found is None:
            while len(self._commands) >= self._max_size:
                if not self._make_room():
                    name = self._name(dict.fromkeys(self._fields, "other"))
                    break
            made = self._registry.command(name, **self._options)
            found = self._commands.setdefault(name, made)
        with contextlib.suppress(KeyError):  # another thread is making room
            self._commands.move_to_end(name)
        return found

    def __len__(self) -> int:
        return len(self._commands)

    def _name(self, key: dict[str, object]) -> str:
        return self._template.format(**{field: _plain(value) for field, value in key.items()})

    def _make_room(self) -> bool:
        """Let the key go that was longest not asked for, is idle, and nobody else holds."""
        for name, command in self._commands.copy().items():
            if not command.idle:
                continue
            held = weakref.ref(command)
            self._commands.pop(name, None)
            del command
            survivor = held()
            if survivor is None:
                self._registry.remove(name)
                return True
            self._commands.setdefault(name, survivor)
        return False


def _plain(value: object) -> str:
    text = str(value)
    if len(text) <= LONGEST_KEY and text.isprintable() and text:
        return text
    escaped = text[:LONGEST_KEY].encode("unicode_escape", "backslashreplace").decode("ascii")
    return f"{escaped[:LONGEST_KEY]}~{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"
