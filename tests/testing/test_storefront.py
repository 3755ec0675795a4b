from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from examples.storefront.bugs import EndlessBackOff, InvalidFallback, LeakedPermit
from examples.storefront.shop import AT_MOST, Shop
from resilience.testing.machine import CommandMachine

SOME = settings(
    max_examples=40, stateful_step_count=15, derandomize=True, database=None, deadline=None
)


class Pages(CommandMachine):
    arguments = st.tuples(st.sampled_from(("pen", "ink")))
    at_most = AT_MOST
    recovers_within = 15
    shop: type[Shop] = Shop

    def build(self) -> Any:
        price = self.dependency("prices", lambda sku: 9.5)
        stock = self.dependency("stock", lambda sku: 3)
        also_bought = self.dependency("recommendations", lambda sku: ["paper", "cap"])
        return self.shop(price.acall, stock.acall, also_bought.acall).page

    def answered(self, page: Any) -> None:
        assert page.valid, page

    def raised(self, error: Exception) -> None:
        raise error


def pages_of(kind: type[Shop], backend: str = "asyncio") -> type[CommandMachine]:
    """The machine for one kind of shop."""
    return type(f"{kind.__name__}Pages", (Pages,), {"shop": kind, "backend": backend})


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_visitor_always_gets_a_valid_page(backend: str) -> None:
    """
    Whatever the services do: the page is valid, nothing leaks, and they are asked again in time.
    """
    run_state_machine_as_test(pages_of(Shop, backend), settings=SOME)


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        (InvalidFallback, "None EUR"),
        (LeakedPermit, r"still held: \d+ slots? of 'recommendations'"),
        (EndlessBackOff, "15 s after the dependencies recovered: 'stock' "),
    ],
)
def test_each_seeded_bug_is_found(bug: type[Shop], found: str) -> None:
    """
    The histories that leave the right shop standing find each of its broken versions.
    """
    enough = settings(SOME, max_examples=2000, phases=[Phase.generate])
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(pages_of(bug), settings=enough)


def test_a_bug_is_told_as_a_short_story() -> None:
    """
    What is left of a long history is the failure that matters, and one call.
    """
    enough = settings(SOME, max_examples=500, phases=[Phase.generate, Phase.shrink])
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(pages_of(InvalidFallback), settings=enough)
    story = "\n".join(caught.value.__notes__)
    assert "(prices): History(fail(1), recover())" in story
    assert story.count("state.call") == 1
