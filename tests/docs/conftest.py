"""Fixtures of the tests of what users are given: pages and packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import installed


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel."""
    return installed.build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def new_python(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel installed, and what that needs, and nothing else."""
    return installed.install(built[1], tmp_path_factory.mktemp("user") / "venv")
