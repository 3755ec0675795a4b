"""What the testing kit is to a type checker; read by mypy and basedpyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from hypothesis.strategies import SearchStrategy

from resilience import Registry, Settings, command
from resilience.testing import (
    FakeClock,
    FaultyDependency,
    History,
    Step,
    assert_opens,
    chaos,
    fail,
    force,
    isolated_registry,
    recover,
)
from resilience.testing.machine import CommandMachine
from resilience.testing.strategies import histories, outcomes, settings

clock = FakeClock()
faults = chaos(error_rate=0.1)


@command("prices")
@faults
def price(sku: str) -> float:
    return 1.0


@faults
async def stock(sku: str) -> int:
    return 1


async def nap(seconds: float) -> str:
    return ""


class Client:
    @faults
    def get(self, sku: str) -> int:
        return 1


with isolated_registry(clock) as registry, assert_opens(price), force(price.command, "open"):
    assert_type(registry, Registry)
    assert_type(price("pen"), float)

assert_type(clock.run(nap, 1.0), str)
assert_type(clock.run(stock, "pen", backend="trio"), int)
assert_type(Client().get("pen"), int)
assert_type(History(fail(2), recover()).at(1), Step)
assert_type(histories(), SearchStrategy[History])
assert_type(outcomes(["fail"]), SearchStrategy[Step])
assert_type(settings(timeout=1), SearchStrategy[Settings])

price(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
force(price, "ajar")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
clock.run(nap, backend="curio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Prices(CommandMachine):
    at_most = 3
    backend = "trio"

    def build(self) -> Any:
        made = self.dependency("prices")
        assert_type(made, FaultyDependency)
        return made.acall
