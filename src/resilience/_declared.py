"""
Declared: what is said of one name's settings, by whom, and what follows.

Fields merge one by one. What `configure` says wins over what the code says, and that over the
defaults. Two places in the code must not contradict each other; the same place may change its mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilience.errors import ConfigurationError
from resilience.settings import Settings, shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Declared"]


class Declared:
    """The settings of one name and where they come from. Not thread-safe; the entry locks."""

    __slots__ = ("_said", "configured", "settings", "threaded")

    def __init__(self, configured: Mapping[str, Any]) -> None:
        self._said: tuple[tuple[str, Mapping[str, Any]], ...] = ()
        self.configured = configured
        self.settings = _merge((), configured)
        self.threaded = False
        """Whether its slots bound threads, and so must be counted."""

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
        others = tuple(each for each in self._said if each[0] != source or not source)
        faults = [
            f"{field} of {name!r} is {before[field]!r} already{_where(said)}, "
            f"and cannot be {value!r} as well"
            for field, value in fields.items()
            for said, before in others
            # Each command has a timeout of its own.
            if field != "timeout" and field in before and before[field] != value
        ]
        if faults:
            raise ConfigurationError(*dict.fromkeys(faults))
        # What was said without a source before is said again by each object that is made.
        said = tuple(each for each in others if each[0] or not each[1].items() <= fields.items())
        said += ((source, fields),)
        self.settings = _merge(said, self.configured)
        self._said = said

    def check(self, name: str | None, fields: Mapping[str, Any]) -> None:
        """Raise what `configure` would raise."""
        if self.threaded and "max_concurrency" in fields and fields["max_concurrency"] is None:
            raise ConfigurationError(
                f"max_concurrency of {name!r} must be an integer, not None: "
                "nothing else bounds its threads"
            )
        _merge(self._said, {**self.configured, **fields})

    def configure(self, fields: Mapping[str, Any]) -> None:
        """Change fields, over whatever the code says. Plain values, as `settings.read` returns."""
        configured = {**self.configured, **fields}
        self.settings = _merge(self._said, configured)
        self.configured = configured


def _merge(
    said: Iterable[tuple[str, Mapping[str, Any]]], configured: Mapping[str, Any]
) -> Settings:
    fields: dict[str, Any] = {}
    for _, each in said:
        fields.update(each)
    return shared(Settings(**{**fields, **configured}))


def _where(source: str) -> str:
    return f" ({source})" if source else ""
