"""
Declared: what is said of one name's settings, by whom, and what follows.

Fields merge one by one. What `configure` says wins over what the code says, and that over the
defaults. Two places in the code must not contradict each other; the same place may change its mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilience.errors import ConfigurationError
from resilience.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Declared"]


class Declared:
    """The settings of one name and where they come from. Not thread-safe; the entry locks."""

    __slots__ = ("_said", "configured", "settings")

    def __init__(self, configured: Mapping[str, Any]) -> None:
        self._said: dict[str, tuple[Any, str]] = {}
        self.configured = dict(configured)
        self.settings = Settings(**self.configured)

    def declare(self, name: str | None, fields: Mapping[str, Any], source: str) -> None:
        """
        Add what a decorator or constructor says.

        Args:
            name: Whose settings these are, for the error.
            fields: Plain values, as `settings.read` returns them.
            source: Who says so: `module.qualname` of the decorated function, or nothing. The same
                one again (a notebook cell, a reload) replaces what it said before.

        Raises:
            ConfigurationError: Another source gave a field another value.
        """
        others = {
            field: (value, said)
            for field, (value, said) in self._said.items()
            if said != source or not source
        }
        faults = [
            f"{field} of {name!r} is {others[field][0]!r} already{_where(others[field][1])}, "
            f"and cannot be {value!r} as well"
            for field, value in fields.items()
            # Each command has a timeout of its own.
            if field != "timeout" and field in others and others[field][0] != value
        ]
        if faults:
            raise ConfigurationError(*faults)
        said = others | {field: (value, source) for field, value in fields.items()}
        self.settings = _merge(said, self.configured)
        self._said = said

    def check(self, fields: Mapping[str, Any]) -> None:
        """Raise what `configure` would raise."""
        _merge(self._said, {**self.configured, **fields})

    def configure(self, fields: Mapping[str, Any]) -> None:
        """Change fields, over whatever the code says. Plain values, as `settings.read` returns."""
        configured = {**self.configured, **fields}
        self.settings = _merge(self._said, configured)
        self.configured = configured


def _merge(said: Mapping[str, tuple[Any, str]], configured: Mapping[str, Any]) -> Settings:
    return Settings(**{**{field: value for field, (value, _) in said.items()}, **configured})


def _where(source: str) -> str:
    return f" ({source})" if source else ""
