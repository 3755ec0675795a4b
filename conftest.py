"""Every example in README, docs and docstrings is a test."""

from __future__ import annotations

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.parsers.rest import DocTestParser

pytest_plugins = ["pytester"]

pages = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"])
docstrings = Sybil(
    parsers=[DocTestParser()],
    patterns=["*.py"],
    document_types={".py": PythonDocStringDocument},
    path="src",
)

pytest_collect_file = (pages + docstrings).pytest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the examples of one page back into their order, after all tests were shuffled."""
    places = [index for index, item in enumerate(items) if isinstance(item, SybilItem)]
    examples = sorted(
        (items[index] for index in places), key=lambda item: (str(item.path), item.example.start)
    )
    for index, example in zip(places, examples, strict=True):
        items[index] = example
