"""The built package, as users install it."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import installed

EXAMPLES = re.findall(
    r"^```python\n(.*?)^```$",
    (installed.ROOT / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


def run(python: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run some code as a user would: isolated from this checkout."""
    return subprocess.run(
        [python, "-I", "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="session", params=["wheel", "sdist"])
def python(
    request: pytest.FixtureRequest,
    built: tuple[Path, Path],
    new_python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A Python with the wheel, and one with what the sdist makes of itself."""
    if request.param == "wheel":
        return new_python
    folder = tmp_path_factory.mktemp("from-sdist")
    return installed.install(installed.wheel_of(built[0], folder), folder / "venv")


def test_an_installed_package_runs_the_examples_of_the_readme(python: Path, tmp_path: Path) -> None:
    """
    Installed into an empty environment, the package runs each example of the README.
    """
    assert EXAMPLES
    for example in sorted(EXAMPLES, key=needs_an_extra):
        if needs_an_extra(example):
            installed.add(python.parents[1], "prometheus")
        done = run(python, example, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr  # a circuit that opens says so there


def needs_an_extra(example: str) -> bool:
    """Whether an example is about an optional dependency."""
    return "resilience.prometheus" in example


def test_an_installed_package_is_typed(python: Path, tmp_path: Path) -> None:
    """
    The package says that it is typed, and that it lies where it was installed.
    """
    code = (
        "from importlib.resources import files; import resilience; "
        "assert (files(resilience) / 'py.typed').is_file(); print(resilience.__file__)"
    )
    done = run(python, code, tmp_path)
    assert done.stderr == ""
    assert str(python.parents[1]) in done.stdout


def test_a_wheel_holds_the_package_alone(built: tuple[Path, Path]) -> None:
    """
    Nothing but the package and its metadata is put into site-packages.
    """
    names = zipfile.ZipFile(built[1]).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "resilience",
        "python_resilience",
    }


def test_an_sdist_holds_what_is_needed_to_test_it(built: tuple[Path, Path]) -> None:
    """
    Whoever has the sdist has tests, documentation and examples, and nothing that was only made.
    """
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "Makefile", "conftest.py", "docs/index.md", "mkdocs.yml"} <= names
    made = ("site/", ".venv", "dist/", ".git/")
    assert not [name for name in names if name.startswith(made) or "__pycache__" in name]
