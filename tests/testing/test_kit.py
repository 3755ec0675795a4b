from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from resilience import testing
from resilience.testing import machine, strategies
from resilience.testing import prometheus as metrics

NAMES = [
    "ChaosError",
    "ChaosSnapshot",
    "DependencyError",
    "FakeClock",
    "FaultyDependency",
    "History",
    "Interrupted",
    "Kind",
    "Step",
    "assert_closes",
    "assert_nothing_held",
    "assert_opens",
    "cancel",
    "chaos",
    "fail",
    "force",
    "hang",
    "isolated_registry",
    "ok",
    "recover",
    "refuse",
    "slow",
]


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run some code in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


def test_the_public_names_are_these() -> None:
    """
    A change here is a change of the contract.
    """
    assert testing.__all__ == NAMES
    assert strategies.__all__ == ["histories", "outcomes", "settings"]
    assert machine.__all__ == ["CommandMachine"]
    assert metrics.__all__ == ["ChaosCollector"]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_object_shows_its_home_and_is_documented(name: str) -> None:
    """
    It says `resilience.testing.X`, and each public method and property of it has a docstring.
    """
    found = getattr(testing, name)
    assert found.__module__ == "resilience.testing"
    assert inspect.getdoc(found)
    if inspect.isclass(found):
        for attribute, value in vars(found).items():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{attribute}"


def test_the_core_imports_nothing_of_the_kit() -> None:
    """
    A program that is not tested pays nothing for it.
    """
    done = python(
        "import sys, resilience\n"
        "found = {'resilience.testing', 'hypothesis', 'pytest'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(found)) or None)"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_kit_works_without_its_extras() -> None:
    """
    hypothesis, pytest, prometheus_client, asyncio and trio are imported by those who need them.
    """
    done = python(
        "import sys, resilience.testing\n"
        "found = {'hypothesis', 'pytest', 'prometheus_client', 'trio'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(found)) or None)"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("missing", "module", "extra"),
    [
        ("hypothesis", "strategies", "testing"),
        ("hypothesis", "machine", "testing"),
        ("prometheus_client", "prometheus", "prometheus"),
    ],
)
def test_a_missing_extra_is_named(missing: str, module: str, extra: str) -> None:
    """
    The error says what to install.
    """
    done = python(
        f"import sys\nsys.modules['{missing}'] = None\nimport resilience.testing.{module}\n"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: resilience.testing.{'strategies' if extra == 'testing' else module} "
        f"needs {missing}: install python-resilience[{extra}]"
    )


def test_pytest_is_told_of_the_plugin() -> None:
    """
    By the entry point that it looks for.
    """
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"resilience": "resilience.testing.pytest_plugin"}
