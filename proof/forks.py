"""
Forks while threads are at work, and exits with calls in flight.

    python -m proof forks --times 1000

Half of the times a process under load forks, and the child uses everything and ends; half of
the times an interpreter ends while threads and tasks are in the middle of calls. Nobody may hang,
and nothing may be written on stderr.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from proof.promises import ROOT

PATIENCE = 60.0
# Python 3.12 warns of every fork of a process with threads, which is what is played here.
QUIET = ("-W", "ignore:This process:DeprecationWarning")
FORKS = 25
"""How often one process forks."""

UNHEARD = """
import logging
logging.getLogger("resilience").addHandler(logging.NullHandler())  # circuits open, on purpose
"""

LOAD = """
import asyncio, os, signal, sys, threading, traceback
from resilience import *

sys.setswitchinterval(1e-5)
plain = command("db", timeout=None, max_concurrency=None, sleep_window=0.0001)
threaded = command("threaded", timeout=5.0, max_concurrency=20)
breaker = CircuitBreaker("cache", sleep_window=0.0001)
bulkhead = Bulkhead(4, name="pool", max_waiting=2, max_wait=0.001)
answering = command("answer", timeout=None, fallback=lambda _: 0, fallback_max_concurrency=1)
hosts = default_registry.keyed("host:{name}", timeout=None)
default_registry.subscribe(lambda event: None)

def work():
    return 0

def fail():
    raise ConnectionError

async def answer():
    return "answer"

working = threaded(work)

def use(number):
    for guard in (plain, breaker, bulkhead, answering, hosts(name=number % 7)):
        for fn in (work, fail):
            try:
                guard(fn)()
            except (RejectedError, ConnectionError):
                pass
        guard.snapshot()
    try:
        working()
    except RejectedError:
        pass
    default_registry.snapshot()

def load(number):
    while True:
        number += 1
        use(number)

for number in range(4):
    threading.Thread(target=load, args=(number,), daemon=True).start()
"""

FORKING = (
    LOAD
    + """
def child():
    for guard in (plain, breaker):
        guard.reset()
        assert guard(work)() == 0
    use(1)
    assert working() == 0
    with bulkhead:
        assert bulkhead.in_flight == 1
    assert sum(plain.snapshot().totals.values()) <= 10
    assert asyncio.run(threaded.acall(answer)) == "answer"

for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.alarm(10)  # a child that hangs is killed
            child()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"a child ended with {status}"
os._exit(0)
"""
)

EXITING = (
    LOAD
    + """
ways = int(sys.argv[1])
held = threading.Event()

def hang():
    held.wait()

def hang_in(guard):
    try:
        guard(hang)()
    except RejectedError:  # the load has opened its circuit
        pass

for guard in (threaded, plain, breaker):
    threading.Thread(target=hang_in, args=(guard,), daemon=True).start()

async def main():
    async def one(guard):
        try:
            async with guard:
                await asyncio.sleep(60)
        except RejectedError:
            pass
    tasks = [asyncio.create_task(one(guard)) for guard in (plain, breaker)]
    await asyncio.sleep(0.001)
    if ways & 1:
        raise SystemExit(7)

if ways & 2:
    asyncio.run(main())
held_on = []
for take in (plain.acquire, breaker.acquire, bulkhead.acquire, bulkhead.__enter__):
    try:
        held_on.append(take())
    except RejectedError:
        pass
stream = plain(lambda: (yield 1))
if ways & 4:
    raise SystemExit(7)
sys.exit(7)
"""
)


def run(times: int = 1000) -> dict[str, Any]:
    """Fork and exit so many times together."""
    exits = times // 2
    forks = -(-(times - exits) // FORKS)
    with ThreadPoolExecutor(2) as pool:
        played = [pool.submit(ended, FORKING, FORKS, 0) for _ in range(forks)]
        played += [pool.submit(ended, EXITING, number % 8, 7) for number in range(exits)]
        told = collected(each.result() for each in played)
    return {"forks": forks * FORKS, "exits": exits, "hangs": 0, "bytes on stderr": told}


def collected(told: Iterable[str]) -> int:
    """Raise if anything was said."""
    said = [text for text in told if text]
    assert not said, f"{len(said)} processes said something: {said[0]}"
    return 0


def ended(code: str, argument: int, status: int) -> str:
    """Run a process to its end; return what it said on stderr."""
    try:
        process = subprocess.run(
            [sys.executable, *QUIET, "-c", UNHEARD + code, str(argument)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError("a process hangs") from None
    if process.returncode != status and not process.stderr:
        return f"it ended with {process.returncode}, not {status}"
    return process.stderr
