"""Names: what may be one, and how any is shown."""

from __future__ import annotations

from typing import Final

from resilience._units import show
from resilience.errors import ConfigurationError

__all__ = ["LONGEST", "check_name", "plain"]

LONGEST: Final = 1000


def check_name(name: object) -> None:
    """
    Check a name.

    Raises:
        ConfigurationError: It is no text, empty, too long, or has characters that break a line.
    """
    if isinstance(name, str) and 0 < len(name) <= LONGEST and str.isprintable(name):
        return
    hint = '; the name comes first, as in @command("name")' if callable(name) else ""
    raise ConfigurationError(
        f"name must be 1 to {LONGEST:,} printable characters, not {show(name)}{hint}"
    )


def plain(text: str) -> str:
    """Return a text as one line can show it: what is not printable makes it escaped."""
    # str's own methods: a subclass may say anything of itself.
    if str.isprintable(text):
        return str.__str__(text)
    return str.encode(text, "unicode_escape").decode("ascii")
