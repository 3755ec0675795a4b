"""A scene, played: one request by each route, and what was seen and counted of it."""

import time
from collections.abc import Mapping

import attrs
import httpx2

from examples.budget.chain import chain
from examples.budget.scenes import Scene
from examples.budget.visit import Visit
from resilience import Registry, Snapshot

PATIENCE = 10.0
"""Seconds after which the program itself stops waiting; where budgets are kept it never does."""


@attrs.frozen
class Answer:
    """The answer to one request as its caller saw it, after how many seconds, and its visits."""

    route: str
    status: int
    took: float
    visits: list[Visit]


@attrs.frozen
class Result:
    """What a scene leaves behind: its answers, and the snapshots of its commands by name."""

    scene: Scene
    answers: list[Answer]
    snapshots: Mapping[str, Snapshot]


def play(scene: Scene) -> Result:
    """Play a scene by both routes, on services that are started for it and stopped after it."""
    registry = Registry()
    visits: list[Visit] = []
    with chain(scene, registry, visits) as url:
        answers = [ask(url, route, visits) for route in ("sync", "async")]
        wait_for_the_last(registry, visits)
    return Result(scene, answers, registry.snapshot())


def ask(url: str, route: str, visits: list[Visit]) -> Answer:
    """Make one request, as a caller who knows nothing of budgets."""
    with httpx2.Client(timeout=PATIENCE, trust_env=False) as http:
        began = time.monotonic()
        status = http.get(f"{url}/{route}").status_code
        took = time.monotonic() - began
    return Answer(route, status, took, [visit for visit in visits if visit.route == route])


def wait_for_the_last(registry: Registry, visits: list[Visit]) -> None:
    """Wait for those who end a moment after their callers; how long it was, the tables show."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (
        any(snapshot.in_flight for snapshot in registry.snapshot().values())
        or any(visit.ended is None for visit in visits)
    ):
        time.sleep(0.002)
