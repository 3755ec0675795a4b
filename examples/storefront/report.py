"""What happened, in lines, and whether each promise was kept."""

from collections.abc import Iterator

from examples.storefront.play import Scene, Visit

LONGEST = 1.0
"""Seconds: a visitor gives 0.9."""

QUICK = 0.3
"""Seconds that half of all visitors wait at most while services are known to be sick."""

NEARLY_ALL = 98
"""Percent: whoever comes while the machine does something else has to wait for it."""


def heading() -> str:
    """Return the heading of the table."""
    return f"{'visitors':>8} {'valid pages':>12} {'half within':>12} {'slowest':>9}   not closed"


def lines(scene: Scene) -> Iterator[str]:
    """Yield the lines about one act."""
    valid = sum(visit.page is not None for visit in scene.visits)
    half, slowest = (f"{1000 * scene.slowest(percent):.0f} ms" for percent in (50, 0))
    states = ", ".join(f"{name} {state}" for name, state in scene.not_closed.items())
    yield f"-- {scene.act.title}"
    yield (f"{len(scene.visits):>8} {valid:>12} {half:>12} {slowest:>9}   {states or '-'}")


def verdict(scenes: list[Scene]) -> dict[str, bool]:
    """Return what was promised, and whether it was kept."""
    visits = [visit for scene in scenes for visit in scene.visits]
    *_, outage, recovered = scenes
    sick = {name for name, behaviour in outage.act.behaviours.items() if behaviour != "well"}
    valid = sum(visit.page is not None for visit in visits)
    in_time = sum(visit.took <= LONGEST for visit in visits)
    return {
        f"{NEARLY_ALL} % of all visitors had a valid page": _nearly_all(valid, visits),
        f"{NEARLY_ALL} % of them waited no longer than {LONGEST} s": _nearly_all(in_time, visits),
        f"half of them waited less than {QUICK} s in the outage": outage.slowest(50) < QUICK,
        "the circuit of each sick service opened": sick <= outage.not_closed.keys(),
        "all circuits closed again, by themselves": not recovered.not_closed,
        "the check of liveness never failed": all(scene.live == 200 for scene in scenes),
    }


def _nearly_all(count: int, visits: list[Visit]) -> bool:
    return 100 * count >= NEARLY_ALL * len(visits)
