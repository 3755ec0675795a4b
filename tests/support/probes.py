"""Small questions asked of every library alike: what the comparison in the README says of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import pickle
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
import circuitbreaker
import interlock
import nopanic
import pybreaker
import pyresilience

import resilience

RECOVERY = 0.02
"""Seconds after which an open circuit is to be tried again."""

LONG = 10 * RECOVERY

PATIENCE = 1.0
"""Seconds after which what has not happened is taken for not happening."""

_numbers = count()

Guard = Callable[[Callable[..., Any]], Callable[..., Any]]


@attrs.frozen
class Library:
    """A library, by what it takes to make a guard in it."""

    name: str
    refusal: type[Exception]
    circuit: Callable[[int, float], Guard]
    """A circuit that opens after so many failures, for so many seconds."""
    timed: Callable[[], Guard] | None = None
    """A bulkhead of one place around a limit of time."""


def _ours(fails: int, recovery: float) -> Guard:
    return resilience.CircuitBreaker(volume_threshold=fails, sleep_window=recovery, timeout=LONG)


def _interlock(fails: int, recovery: float) -> Guard:
    config = interlock.Config(
        minimum_number_of_calls=fails,
        wait_duration_in_open=recovery,
        permitted_calls_in_half_open=1,
    )
    return interlock.CircuitBreaker(name=f"probe-{next(_numbers)}", config=config)


def _nopanic(fails: int, recovery: float) -> Guard:
    return nopanic.circuit_breaker(min_calls=fails, reset_timeout=recovery)


def _pyresilience(fails: int, recovery: float) -> Guard:
    config = pyresilience.CircuitBreakerConfig(
        failure_threshold=fails,
        minimum_calls=fails,
        sliding_window_size=max(fails, 2),
        recovery_timeout=recovery,
        success_threshold=1,
    )
    return pyresilience.resilient(circuit_breaker=config)


def _pybreaker(fails: int, recovery: float) -> Guard:
    return pybreaker.CircuitBreaker(fail_max=fails, reset_timeout=recovery)


def _circuitbreaker(fails: int, recovery: float) -> Guard:
    return circuitbreaker.CircuitBreaker(failure_threshold=fails, recovery_timeout=recovery)


def _interlock_timed() -> Guard:
    return interlock.Pipeline.builder().bulkhead(1).timeout(RECOVERY).build()


def _nopanic_timed() -> Guard:
    return nopanic.compose(nopanic.bulkhead(1, max_wait=0), nopanic.timeout(RECOVERY))


def _pyresilience_timed() -> Guard:
    return pyresilience.resilient(
        bulkhead=pyresilience.BulkheadConfig(max_concurrent=1),
        timeout=pyresilience.TimeoutConfig(RECOVERY),
    )


def _ours_timed() -> Guard:
    registry = resilience.Registry()
    return registry.command("probe", timeout=RECOVERY, max_concurrency=1)


LIBRARIES = (
    Library("resilience", resilience.CircuitOpenError, _ours, _ours_timed),
    Library("interlock-cb", interlock.CircuitOpenError, _interlock, _interlock_timed),
    Library("nopanic", nopanic.CircuitOpen, _nopanic, _nopanic_timed),
    Library("pyresilience", pyresilience.CircuitOpenError, _pyresilience, _pyresilience_timed),
    Library("pybreaker", pybreaker.CircuitBreakerError, _pybreaker),
    Library("circuitbreaker", circuitbreaker.CircuitBreakerError, _circuitbreaker),
)


class BrokenError(Exception):
    """What the guarded function raises."""


def _work(step: Any) -> Any:
    if step is BrokenError:
        raise BrokenError
    return step() if callable(step) else step


def _fail(call: Callable[..., Any], library: Library, times: int = 1) -> None:
    for _ in range(times):
        with contextlib.suppress(BrokenError, library.refusal):
            call(BrokenError)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    latest = time.monotonic() + seconds
    while not condition() and time.monotonic() < latest:
        _pause(0.001)


def _refuses(call: Callable[..., Any], library: Library) -> bool:
    try:
        call("an answer")
    except library.refusal:
        return True
    return False


def opens_at_a_share(library: Library) -> bool:
    """Of calls of which every other one fails, does its circuit open?"""
    call = library.circuit(10, 60)(_work)
    for _ in range(20):
        with contextlib.suppress(library.refusal):
            call("an answer")
        _fail(call, library)
    return _refuses(call, library)


def limits_trials(library: Library) -> bool:
    """When ten callers come to a circuit that is to be tried again, does one get through?"""
    call = library.circuit(1, RECOVERY)(_work)
    _fail(call, library, 2)
    _pause(2 * RECOVERY)
    arrived: list[None] = []
    go = threading.Event()

    def trial() -> None:
        arrived.append(None)
        go.wait(10)

    def caller() -> None:
        with contextlib.suppress(library.refusal):
            call(trial)

    threads = [threading.Thread(target=caller, daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    _wait_for(lambda: len(arrived) + sum(not thread.is_alive() for thread in threads) == 10, LONG)
    at_once = len(arrived)
    go.set()
    for thread in threads:
        thread.join()
    return at_once == 1


def survives_a_hung_trial(library: Library) -> bool:
    """Is another trial made while the first one hangs?"""
    call = library.circuit(1, RECOVERY)(_work)
    _fail(call, library, 2)
    _pause(2 * RECOVERY)
    go, inside = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        go.wait(10)

    first = threading.Thread(target=call, args=(hang,), daemon=True)
    first.start()
    inside.wait(10)
    _pause(2 * LONG)
    admitted: list[None] = []

    def caller() -> None:
        with contextlib.suppress(library.refusal):
            call(lambda: admitted.append(None))

    second = threading.Thread(target=caller, daemon=True)
    second.start()
    second.join(PATIENCE)
    healed = bool(admitted)
    go.set()
    first.join()
    second.join()
    return healed


def ignores_late_results(library: Library) -> bool:
    """Does a call from before leave an open circuit open, when it succeeds at last?"""
    call = library.circuit(3, 60)(_work)
    go, inside = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        go.wait(10)

    old = threading.Thread(target=call, args=(slow,), daemon=True)
    old.start()
    inside.wait(10)
    _fail(call, library, 6)
    go.set()
    old.join()
    return _refuses(call, library)


def runs_calls_side_by_side(library: Library) -> bool:
    """Do two calls through one circuit run at the same time?"""
    call = library.circuit(10, 60)(_work)
    meet = threading.Barrier(2, timeout=PATIENCE)
    met: list[None] = []

    def both() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait()
            met.append(None)

    threads = [threading.Thread(target=call, args=(both,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(met) == 2


def gives_back_a_cancelled_trial(library: Library) -> bool:
    """After a cancelled trial, is the next call a trial again: alone, and decisive?"""

    async def work(step: Any) -> Any:
        if step is BrokenError:
            raise BrokenError
        if isinstance(step, asyncio.Event):
            step.set()
            await asyncio.sleep(60)
        return step

    async def main() -> bool:
        call = library.circuit(3, RECOVERY)(work)
        for _ in range(6):
            with contextlib.suppress(BrokenError, library.refusal):
                await call(BrokenError)
        await asyncio.sleep(2 * RECOVERY)
        inside = asyncio.Event()
        trial = asyncio.create_task(call(inside))
        await inside.wait()
        trial.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await trial
        # Were it closed, one failure would not open it; were it open, no call would be made.
        with contextlib.suppress(BrokenError):
            try:
                await call(BrokenError)
            except library.refusal:
                return False
        try:
            await call("an answer")
        except library.refusal:
            return True
        return False

    return asyncio.run(main())


def counts_abandoned_work(library: Library) -> bool:
    """With one place, and calls that time out and run on: does only one run?"""
    assert library.timed is not None
    call = library.timed()(_work)
    go, running = threading.Event(), []

    def hang() -> None:
        running.append(None)
        go.wait(10)

    for _ in range(3):
        with contextlib.suppress(Exception):
            call(hang)
    _wait_for(lambda: len(running) > 1, PATIENCE)
    alone = len(running) == 1
    go.set()
    return alone


def refuses_nonsense(library: Library) -> bool:
    """Is a recovery time of minus one second, or of no number, refused when it is given?"""
    for wrong in (-1.0, math.nan):
        with contextlib.suppress(Exception):
            library.circuit(3, wrong)(_work)
            return False
    return True


def can_be_pickled(library: Library) -> bool:
    """Does its refusal survive being sent to another process?"""
    call = library.circuit(1, 60)(_work)
    _fail(call, library, 2)
    try:
        call("an answer")
    except library.refusal as refused:
        try:
            return str(pickle.loads(pickle.dumps(refused))) == str(refused)
        except Exception:
            return False
    raise AssertionError(f"the circuit of {library.name} did not open")


PROBES: dict[str, Callable[[Library], bool]] = {
    "opens at a share of failures, not failures in a row": opens_at_a_share,
    "lets one trial through, not everybody": limits_trials,
    "a trial that hangs does not shut it for good": survives_a_hung_trial,
    "a late result of an old call moves nothing": ignores_late_results,
    "a cancelled trial is given back": gives_back_a_cancelled_trial,
    "calls run side by side": runs_calls_side_by_side,
    "the bulkhead counts threads that were left behind": counts_abandoned_work,
    "nonsense in settings is refused": refuses_nonsense,
    "refusals can be pickled": can_be_pickled,
}
