"""Visitors, an outage, and what they saw of it."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator

import attrs
import httpx2

from examples.storefront.page import Page
from examples.storefront.stage import Stage

EVERY = 0.05
"""Seconds from one visitor to the next."""

SKUS = ("pen", "ink", "paper", "cap", "blotter")

WELL = {"prices": "well", "stock": "well", "recommendations": "well"}


@attrs.frozen
class Act:
    """Some seconds in which the services behave in one way."""

    title: str
    seconds: float
    behaviours: dict[str, str]


STORY = (
    Act("all is well", 4, WELL),
    Act("prices hang", 5, {**WELL, "prices": "hanging"}),
    Act(
        "prices hang, stock fails, recommendations are gone",
        5,
        {"prices": "hanging", "stock": "failing", "recommendations": "gone"},
    ),
    Act("all is well again", 7, WELL),
)


@attrs.frozen
class Visit:
    """One visit: what came back, `None` for no valid page, and after how many seconds."""

    status: int
    page: Page | None
    took: float


@attrs.frozen
class Scene:
    """What an act was like: its visits, and the circuits that were open at its end."""

    act: Act
    visits: list[Visit]
    not_closed: dict[str, str]
    live: int

    def slowest(self, percent: float) -> float:
        """Return how long the slowest visits took, but for so many percent."""
        times = sorted(visit.took for visit in self.visits)
        return times[min(int(len(times) * (100 - percent) / 100), len(times) - 1)]


async def play(
    stage: Stage, pace: float = 1.0, say: Callable[[Scene], object] = lambda _: None
) -> list[Scene]:
    """Play the story, and say each scene when it is over."""
    scenes = []
    skus = itertools.cycle(SKUS)
    async with httpx2.AsyncClient(base_url=stage.storefront.url, trust_env=False) as http:
        for act in STORY:
            await stage.tell(act.behaviours)
            scene = await perform(act, pace, http, skus)
            scenes.append(scene)
            say(scene)
    return scenes


async def perform(act: Act, pace: float, http: httpx2.AsyncClient, skus: Iterator[str]) -> Scene:
    """Send visitors for as long as an act lasts."""
    visits: list[Visit] = []
    end = time.monotonic() + act.seconds * pace
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < end:
            group.create_task(visit(http, next(skus), visits))
            await asyncio.sleep(EVERY)
    live = await http.get("/live")
    circuits = live.json()["circuits"]
    not_closed = {name: circuit["state"] for name, circuit in circuits.items()}
    return Scene(act, visits, not_closed, live.status_code)


async def visit(http: httpx2.AsyncClient, sku: str, visits: list[Visit]) -> None:
    """Make one visit."""
    began = time.monotonic()
    response = await http.get(f"/products/{sku}", headers={"X-Request-Timeout": "900"})
    page = None
    with contextlib.suppress(TypeError, ValueError):  # it is no page
        page = Page(**response.json())
    took = time.monotonic() - began
    visits.append(Visit(response.status_code, page if page and page.valid else None, took))
