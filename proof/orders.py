"""
Three threads in the ten situations that matter most, in every order that makes a difference.

    python -m proof orders                 with at most two switches where none is forced
    python -m proof orders --switches 1    with one

Where `threes` stops two threads before each of their lines, frontrun switches between all three in
front of any instruction that reads or writes what another one writes, or takes a lock, and leaves
out orders that come to the same as one that was played (dynamic partial order reduction). What is
to be seen afterwards has to be what some order of the steps gives, as there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from proof.promises import ROOT


def run(switches: int = 2, seconds: float = 300.0) -> dict[str, Any]:
    """
    Play each situation.

    Args:
        switches: How often a thread is stopped that could go on.
        seconds: After how long a situation is left, whether all its orders were played or not.
    """
    from proof.threes import SITUATIONS

    def played(name: str) -> dict[str, Any]:
        code = (
            "import json; from proof import orders; "
            f"print(json.dumps(orders.here({name!r}, {switches}, {seconds})))"
        )
        # frontrun's own command replaces the locks of `threading` before anything is imported.
        command = [sys.executable, "-m", "frontrun.cli", sys.executable, "-c", code]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{name}: {ended.stdout}{ended.stderr}"
        figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        return figures

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(SITUATIONS, pool.map(played, SITUATIONS), strict=True))
    return {
        "situations": len(found),
        "switches": switches,
        "played to the end": sum(each["ended"] for each in found.values()),
        "orders": sum(each["orders"] for each in found.values()),
        "violations": 0,
    }


def here(name: str, switches: int, seconds: float) -> dict[str, Any]:
    """Play one situation, in a process that frontrun has prepared."""
    import frontrun

    from proof import threes
    from resilience import _listeners, _registry, _results

    start, names = threes.SITUATIONS[name]
    allowed = threes.allowed(start, names)

    def world() -> threes.Crowd:
        # The locks that frontrun knows of: ours were imported by name.
        _results.RLock = _registry.RLock = _listeners.RLock = threading.RLock  # type: ignore[misc]
        _listeners.Lock = threading.Lock  # type: ignore[misc]
        crowd = threes.Crowd(start)
        crowd.answers = [None] * len(names)
        return crowd

    def worker(number: int) -> Callable[[threes.Crowd], None]:
        def work(crowd: threes.Crowd) -> None:
            crowd.answers[number] = threes.told(lambda: threes.DONE[names[number]](crowd))

        return work

    began = time.monotonic()
    result = frontrun.explore(
        setup=world,
        workers=[worker(number) for number in range(len(names))],
        invariant=lambda crowd: (*crowd.answers, crowd.seen()) in allowed,
        detect_io=False,
        preemption_bound=switches,
        total_timeout=seconds,
        trace_packages=["resilience", "resilience.*"],
    )
    assert result.property_holds, result.explanation
    return {"orders": result.num_explored, "ended": time.monotonic() - began < seconds}
