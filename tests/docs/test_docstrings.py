"""What a public docstring has to say: the meaning, units and ranges, errors raised, an example."""

from __future__ import annotations

import enum
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import attrs
import pytest

DOCS = Path(__file__).parents[2] / "docs"

MODULES = [
    "resilience",
    "resilience.aiohttp",
    "resilience.asgi",
    "resilience.health",
    "resilience.httpx",
    "resilience.httpx2",
    "resilience.hystrix_stream",
    "resilience.opentelemetry",
    "resilience.prometheus",
    "resilience.requests",
    "resilience.testing",
    "resilience.testing.machine",
    "resilience.testing.prometheus",
    "resilience.testing.strategies",
    "resilience.wsgi",
]

NUMBERS = re.compile(r"\b(int|float|Duration|Decimal)\b")
UNITS = re.compile(
    r"\bseconds?\b|\bshare\b|\bpercent|\bhow (many|long)\b|\bcalls\b|\binteger\b|\bnanoseconds\b"
    r"|\bfrom \d|\bnumber of\b|\blongest\b|\bsuccesses\b|\bcallers\b|\bfallbacks\b|\bresults\b"
    r"|\bnumber\b|\bthreads\b|\bslots\b|\bbuckets?\b",
    re.IGNORECASE,
)


class Documented(NamedTuple):
    """Something public, and where its example may stand."""

    path: str
    found: Any
    owner: Any

    @property
    def text(self) -> str:
        """Its docstring."""
        return inspect.getdoc(self.found) or ""

    @property
    def examples(self) -> str:
        """The example lines that may show it: its own, and those of its class."""
        texts = (self.text, inspect.getdoc(self.owner) or "")
        lines = "\n".join(texts).splitlines()
        return "\n".join(line for line in lines if line.lstrip().startswith((">>>", "...")))


def public() -> Iterator[Documented]:
    """Every public name, with the public methods and properties of the classes."""
    for name in MODULES:
        module = import_module(name)
        for each in module.__all__:
            found = getattr(module, each)
            yield Documented(f"{name}.{each}", found, found)
            if inspect.isclass(found):
                yield from _members(f"{name}.{each}", found)


def _members(path: str, kind: type) -> Iterator[Documented]:
    ours = [each for each in kind.__mro__ if each.__module__.startswith("resilience")]
    for name in sorted({name for each in ours for name in vars(each)}):
        if name.startswith(("_", "guard_")) or name in SEAMS.get(kind.__name__, ()):
            continue
        value = inspect.getattr_static(kind, name)
        plain = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if inspect.isfunction(plain) or isinstance(plain, property):
            yield Documented(f"{path}.{name}", plain, kind)


SEAMS = tomllib.loads((DOCS / "seams.toml").read_text(encoding="utf-8"))

NAMES = list(public())


def _callable(found: Any) -> Any:
    """What is called by that name, or `None`: the constructor of a class, a function."""
    if isinstance(found, property):
        return None
    if inspect.isclass(found):
        made_by_hand = not (
            issubclass(found, (enum.Enum, BaseException)) or "Attributes:" in (found.__doc__ or "")
        )
        return found if made_by_hand and "Args:" in (found.__doc__ or "") else None
    return found if inspect.isroutine(found) else None


def _parameters(found: Any) -> list[inspect.Parameter]:
    given = inspect.signature(found).parameters.values()
    return [each for each in given if each.name not in ("self", "cls")]


def _section(text: str, title: str) -> dict[str, str]:
    """The entries of a section of a docstring, by name."""
    match = re.search(rf"^{title}:\n((?:[ \t]+.*\n?|\n)+)", text, re.MULTILINE)
    entries: dict[str, str] = {}
    for line in match[1].splitlines() if match else ():
        head = re.match(r"    (\*{0,2}\w+)(?: \(.*?\))?: (.*)", line)
        if head and not line.startswith("     "):
            name = head[1].lstrip("*")
            entries[name] = head[2]
        elif entries:
            entries[name] += " " + line.strip()
    return entries


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.path)
def test_it_says_what_it_means(name: Documented) -> None:
    """
    The first line of a public docstring is a sentence.
    """
    first = name.text.partition("\n\n")[0]
    assert re.search(r"[.:]$", first), f"{name.path}: {first!r}"


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.path)
def test_it_explains_each_argument(name: Documented) -> None:
    """
    Each parameter is named in it; a number's unit or range is said.
    """
    called = _callable(name.found)
    if called is None:
        return
    explained = {**_section(name.text, "Args"), **_section(name.text, "Attributes")}
    for parameter in _parameters(called):
        told = explained.get(parameter.name) or (f"`{parameter.name}`" in name.text and name.text)
        assert told, f"{name.path} says nothing of {parameter.name}"
        if NUMBERS.search(str(parameter.annotation)):
            assert UNITS.search(told), f"{name.path}: of what is {parameter.name}? {told!r}"


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.path)
def test_it_explains_each_attribute(name: Documented) -> None:
    """
    Each field of a record is explained; a number's unit or range is said.
    """
    if not (inspect.isclass(name.found) and attrs.has(name.found)):
        return
    explained = _section(name.text, "Attributes")
    for field in attrs.fields(name.found):
        assert field.name in explained, f"{name.path} says nothing of {field.name}"
        if NUMBERS.search(str(field.type)):
            told = explained[field.name]
            assert UNITS.search(told), f"{name.path}: of what is {field.name}? {told!r}"


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.path)
def test_it_says_what_is_raised(name: Documented) -> None:
    """
    Whatever takes an argument says which errors it raises, or that it raises none.
    """
    called = _callable(name.found)
    if called is None or not _parameters(called):
        return
    assert _section(name.text, "Raises") or "Raises nothing" in name.text, name.path


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.path)
def test_it_is_shown_in_an_example(name: Documented) -> None:
    """
    An example shows it: its own, or that of its class.
    """
    own = name.path.rpartition(".")[2]
    if not (inspect.isclass(name.found) or isinstance(name.found, property | FunctionType)):
        return  # an object: its class shows what it is good for
    shown = "" if name.found is name.owner and inspect.isclass(name.found) else own
    assert name.examples, f"no example shows {name.path}"
    assert re.search(rf"\b{shown}\b", name.examples), f"no example shows {name.path}"
