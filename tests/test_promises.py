"""The promises, the tests that prove them, and the page that lists both."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import resilience
from proof import page, results
from proof.promises import PAGE, Promise, promises, proved

HOME = Path(resilience.__file__).parent

pytestmark = pytest.mark.timeout(180)  # all tests are collected once more, in another process


@pytest.fixture(scope="module")
def tests() -> dict[str, list[str]]:
    """The tests that name each promise."""
    return proved()


@pytest.fixture(scope="module")
def listed() -> list[Promise]:
    """The promises of the page."""
    return promises(PAGE.read_text(encoding="utf-8"))


def test_each_promise_has_a_test_or_says_why_not(
    listed: list[Promise], tests: dict[str, list[str]]
) -> None:
    """
    A promise is proved by a test that names it, or there is a reason why it cannot be yet.
    """
    assert len({promise.id for promise in listed}) == len(listed) >= 128
    assert [each.id for each in listed if (each.id in tests) == (each.reason is not None)] == []


def test_no_test_proves_what_is_not_promised(
    listed: list[Promise], tests: dict[str, list[str]]
) -> None:
    """
    Each id that a test names is one of the page.
    """
    assert tests.keys() - {promise.id for promise in listed} == set()


def test_the_page_shows_what_was_found(tests: dict[str, list[str]]) -> None:
    """
    The page on reliability has the figures that were kept, and the tests of now.
    """
    text = page.PAGE.read_text(encoding="utf-8")
    assert text == page.page(text, results.read(), tests), "mend it with: python -m proof page"


@pytest.mark.promise("M6")
def test_the_package_runs_nothing_that_it_is_sent() -> None:
    """
    No module unpickles, evaluates, runs a shell, or imports by a name it was given.
    """
    banned = re.compile(
        r"\b(eval|exec|(?<!re\.)compile|__import__|pickle|marshal|shelve|yaml|subprocess|system|popen)\b"
    )
    found: list[str] = []
    for path in sorted(HOME.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Call):
                names = [ast.unparse(node.func)]
                if names == ["import_module"] and not names_a_module(node.args[0]):
                    found.append(f"{path.name}: {ast.unparse(node)}")
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
            found += [f"{path.name}: {name}" for name in names if banned.search(name)]
    assert found == []


def names_a_module(name: ast.expr) -> bool:
    """Whether it is a literal, or one of the modules that the package lists under its own name."""
    if isinstance(name, ast.Constant):
        return True
    return ast.unparse(name) == "f'{__name__}.{_LATER[name]}'"
