"""
What you need to test how your program fails.

- `FakeClock`: time for sync code, asyncio and trio that moves when a test says so.
- `isolated_registry`: a registry of the test's own; `assert_nothing_held`: nothing is left behind.
- `History` and `FaultyDependency`: a dependency that fails by a script.
- `chaos`: the same faults in staging.
- `assert_opens`, `assert_closes`, `force`: circuits in sentences.

Beside these names there are `resilience.testing.strategies` and `resilience.testing.machine`, which
need hypothesis (extra `testing`), `resilience.testing.prometheus`, which needs prometheus_client,
and a plugin that pytest finds by itself: `resilience.testing.pytest_plugin`.
"""

from resilience.testing._chaos import ChaosError, ChaosSnapshot, chaos
from resilience.testing._clock import FakeClock
from resilience.testing._dependency import DependencyError, FaultyDependency, Interrupted
from resilience.testing._held import assert_nothing_held
from resilience.testing._history import (
    History,
    Kind,
    Step,
    cancel,
    fail,
    hang,
    ok,
    recover,
    refuse,
    slow,
)
from resilience.testing._isolated import isolated_registry
from resilience.testing._sentences import assert_closes, assert_opens, force

__all__ = [
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
