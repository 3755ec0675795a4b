"""What operators load into their tools comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resilience.observability
from resilience.observability import FILES, read


@pytest.mark.parametrize("what", FILES)
def test_a_text_is_that_of_its_file(what: str) -> None:
    """
    Each can be read by its name, as it stands in the package.
    """
    folder = Path(resilience.observability.__file__).parent
    assert read(what) == (folder / FILES[what]).read_text(encoding="utf-8")


def test_the_texts_are_what_they_are_called() -> None:
    """
    Prometheus reads the rules, and Grafana the dashboard.
    """
    assert read("rules").startswith("# Recording and alert rules")
    assert json.loads(read("dashboard"))["title"]


def test_another_text_is_not_there() -> None:
    """
    The name that was asked for is told.
    """
    with pytest.raises(KeyError, match="poem"):
        read("poem")
