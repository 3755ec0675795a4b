"""A circuit beside its model: whatever happens to both, they cannot be told apart."""

from __future__ import annotations

import pytest

from proof import machine


@pytest.mark.promise(
    "A1",
    "A2",
    "A3",
    "A4",
    "A5",
    "A6",
    "A7",
    "A8",
    "A9",
    "A11",
    "A12",
    "A14",
    "A18",
    "B3",
    "B5",
    "C2",
    "C3",
    "C8",
)
def test_a_circuit_does_what_its_model_does() -> None:
    """
    Through any story of calls, trials, late results and operators, circuit and model are alike.
    """
    assert machine.play(20_000, 0).steps >= 20_000
