"""The parts of the evidence: what each of them shows, and how much `make test` plays of it."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """One module of this package."""

    what: str
    """What is shown, in a few words."""
    small: str
    """What `make test` plays."""
    full: str
    """What `make proof` plays."""


PARTS: dict[str, Part] = {}
