"""
CPython without the global interpreter lock: eight threads at once, and every call counted.

    python -m proof unlocked --calls 1e7

The part is played by a Python without the lock, if this machine has one; otherwise it says that
there is none. The suite is played there by `make test-all`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

from proof.promises import ROOT
from proof.results import gil
from proof.sweep import pythons

THREADS = 8


def run(calls: int = 10**7) -> dict[str, Any]:
    """Make so many calls on a Python without the lock, if there is one."""
    if not gil():
        return here(calls)
    found = [python for _, python in pythons("t")]
    if not found:
        return {"Pythons without the GIL on this machine": 0}
    code = f"import json; from proof import unlocked; print(json.dumps(unlocked.here({calls})))"
    ended = subprocess.run(
        [found[0], "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not ended.returncode, ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def here(calls: int) -> dict[str, Any]:
    """Make so many calls on this Python, from eight threads; each must be counted, once."""
    from resilience import Registry

    registry = Registry()
    command = registry.command("db", timeout=None, max_concurrency=4, volume_threshold=10**9)
    told: list[dict[str, int]] = []

    def fail() -> None:
        raise ConnectionError

    def use() -> None:
        quick, failing = command(lambda: None), command(fail)
        own = {"success": 0, "failure": 0, "bulkhead_full": 0}
        for number in range(calls // THREADS):
            try:
                (failing if number % 10 == 0 else quick)()
                own["success"] += 1
            except ConnectionError:
                own["failure"] += 1
            except Exception:
                own["bulkhead_full"] += 1
        told.append(own)

    threads = [threading.Thread(target=use) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = command.snapshot()
    sums = {name: sum(own[name] for own in told) for name in told[0]}
    counted = {outcome.value: count for outcome, count in after.totals.items() if count}
    assert counted == {name: count for name, count in sums.items() if count}, (counted, sums)
    assert after.in_flight == 0
    return {"calls": sum(sums.values()), "threads": THREADS, "GIL": gil()} | sums


if __name__ == "__main__":
    sys.exit("play it with: python -m proof unlocked")
