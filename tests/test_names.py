"""What may be a name, and how a text is shown on one line."""

from __future__ import annotations

from typing import Any

import pytest

from resilience import ConfigurationError, Registry
from resilience._names import plain
from tests.support.runtime import FakeClock


class Loud(str):
    """A text that says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ("", "''"),
        ("two\nlines", r"'two\nlines'"),
        ("x" * 1001, f"'{'x' * 59}..."),
        (5, "5"),
        (len, '<built-in function len>; the name comes first, as in @command("name")'),
    ],
    ids=["empty", "lines", "long", "number", "function"],
)
def test_what_is_no_name_is_refused_in_words(
    registry: Registry, clock: FakeClock, wrong: Any, shown: str
) -> None:
    """
    The message shows it, and a bare `@command` is told what is missing.
    """
    with pytest.raises(ConfigurationError) as caught:
        registry.command(wrong)
    message = f"name must be 1 to 1,000 printable characters, not {shown}"
    assert str(caught.value) == message


def test_the_longest_name(registry: Registry, clock: FakeClock) -> None:
    """
    A thousand characters are a name.
    """
    assert registry.command("x" * 1000).name == "x" * 1000


@pytest.mark.parametrize(
    ("text", "line"), [("é 1", "é 1"), ("a\nb", r"a\nb"), ("é\n", r"\xe9\n"), (Loud("a"), "a")]
)
def test_a_text_is_shown_on_one_line(text: str, line: str) -> None:
    """
    As it is if it can be printed, escaped if not, and always as a plain `str`.
    """
    shown = plain(text)
    assert shown == line
    assert type(shown) is str
