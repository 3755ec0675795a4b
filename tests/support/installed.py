"""The package as users get it: built, and installed into an environment that has nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NAME = "python-resilience"


def build(folder: Path) -> tuple[Path, Path]:
    """Build sdist and wheel from the sources, without the network; return their paths."""
    _run("-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", folder, at=ROOT)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def wheel_of(sdist: Path, folder: Path) -> Path:
    """Build the wheel that an sdist makes."""
    _pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, sdist)
    return next(folder.glob("*.whl"))


def install(wheel: Path, folder: Path) -> Path:
    """
    Install a wheel into a new environment, with what it says it needs; return its Python.

    The dependencies are copied from here, so that no index is asked and nothing else comes along.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    _pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    add(folder)
    return python


def add(folder: Path, extra: str = "") -> None:
    """Copy the dependencies of the package, or of an extra of it, into an environment."""
    site = next(folder.glob("lib/python*/site-packages"))
    for needed in _needed(distribution(NAME), extra, set()):
        for file in needed.files or ():
            here, there = Path(str(needed.locate_file(file))), site / file
            if ".." not in file.parts and here.suffix != ".pyc" and here.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here, there)


def _needed(of: Distribution, extra: str, seen: set[str]) -> Iterator[Distribution]:
    for line in of.requires or ():
        requirement = Requirement(line)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if wanted and requirement.name not in seen:
            seen.add(requirement.name)
            found = distribution(requirement.name)
            yield found
            yield from _needed(found, "", seen)


def _pip(*args: str | Path) -> None:
    _run("-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input", *args, at=None)


def _run(*args: str | Path, at: Path | None) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, args)], cwd=at, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
