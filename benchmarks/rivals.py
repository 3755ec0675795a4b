"""How the others guard a function, each as its documentation tells to."""

from collections.abc import Callable
from datetime import timedelta
from inspect import iscoroutinefunction
from itertools import count
from typing import Any

import aiobreaker
import circuitbreaker
import hyx.bulkhead
import hyx.circuitbreaker
import hyx.circuitbreaker.exceptions
import hyx.fallback
import hyx.timeout
import interlock
import nopanic
import purgatory
import purgatory.domain.model
import pybreaker
import pyresilience
import tenacity

from benchmarks.library import ALL, ASYNCIO, LONG, NEVER, PLACES, SYNC, TIMEOUT, Fn, Library
from benchmarks.work import aanswer, answer

_numbers = count()

# -- a circuit alone


def _circuitbreaker(fn: Fn, /, *, opens: bool) -> Fn:
    breaker = circuitbreaker.CircuitBreaker(
        failure_threshold=None if opens else NEVER, recovery_timeout=LONG
    )
    guarded: Fn = breaker(fn)
    return guarded


def _pybreaker(fn: Fn, /, *, opens: bool) -> Fn:
    return pybreaker.CircuitBreaker(fail_max=5 if opens else NEVER, reset_timeout=LONG)(fn)


def _aiobreaker(fn: Fn, /, *, opens: bool) -> Fn:
    # It opens at a time of day in UTC that it compares with the local one: two days are enough.
    breaker = aiobreaker.CircuitBreaker(5 if opens else NEVER, timedelta(days=2))
    guarded: Fn = breaker(fn)
    return guarded


def _purgatory(fn: Fn, /, *, opens: bool) -> Fn:
    factory: Any = purgatory.SyncCircuitBreakerFactory
    if iscoroutinefunction(fn):
        factory = purgatory.AsyncCircuitBreakerFactory
    guarded: Fn = factory(default_threshold=5 if opens else NEVER, default_ttl=LONG)("breaker")(fn)
    return guarded


def _tenacity(fn: Fn, /, *, opens: bool) -> Fn:  # noqa: ARG001 - it has no circuit
    return tenacity.retry(stop=tenacity.stop_after_attempt(1), reraise=True)(fn)


# -- hyx: async only


def _hyx_breaker(fn: Fn, /, *, opens: bool) -> Fn:
    breaker = hyx.circuitbreaker.consecutive_breaker(
        failure_threshold=5 if opens else NEVER, recovery_time_secs=LONG
    )
    return breaker(fn)


def _hyx_command(fn: Fn, /, *, opens: bool) -> Fn:
    guarded = _hyx_breaker(hyx.bulkhead.bulkhead(PLACES, PLACES)(fn), opens=opens)
    return hyx.fallback.fallback(aanswer)(guarded)


def _hyx_timed(fn: Fn, /, *, opens: bool) -> Fn:
    return _hyx_command(hyx.timeout.timeout(TIMEOUT)(fn), opens=opens)


# -- pyresilience


def _pyresilience(**parts: Any) -> Callable[..., Fn]:
    def guard(fn: Fn, /, *, opens: bool) -> Fn:
        circuit = pyresilience.CircuitBreakerConfig(
            failure_threshold=5 if opens else NEVER, recovery_timeout=LONG
        )
        return pyresilience.resilient(circuit_breaker=circuit, **parts)(fn)

    return guard


_pyresilience_parts = {
    "fallback": pyresilience.FallbackConfig(handler=answer),
    "bulkhead": pyresilience.BulkheadConfig(max_concurrent=PLACES),
}

# -- nopanic


def _nopanic(*inner: Callable[[], Any], alone: bool = False) -> Callable[..., Fn]:
    def guard(fn: Fn, /, *, opens: bool) -> Fn:
        circuit = nopanic.circuit_breaker(min_calls=5 if opens else NEVER, reset_timeout=LONG)
        if alone:
            return circuit(fn)
        parts = (part() for part in inner)
        return nopanic.compose(nopanic.fallback(answer), circuit, *parts)(fn)

    return guard


def _nopanic_bulkhead() -> nopanic.bulkhead:
    return nopanic.bulkhead(PLACES, max_wait=0)


def _nopanic_timeout() -> nopanic.timeout:
    return nopanic.timeout(TIMEOUT)


# -- interlock


def _interlock_circuit(*, opens: bool) -> interlock.CircuitBreaker:
    config = interlock.Config(
        minimum_number_of_calls=10 if opens else NEVER, wait_duration_in_open=LONG
    )
    return interlock.CircuitBreaker(name=f"breaker-{next(_numbers)}", config=config)


def _interlock_breaker(fn: Fn, /, *, opens: bool) -> Fn:
    return _interlock_circuit(opens=opens)(fn)


def _interlock_pipeline(*, opens: bool) -> interlock.PipelineBuilder:
    pipeline = interlock.Pipeline.builder().fallback(answer)
    return pipeline.circuit_breaker(_interlock_circuit(opens=opens)).bulkhead(PLACES)


def _interlock_command(fn: Fn, /, *, opens: bool) -> Fn:
    return _interlock_pipeline(opens=opens).build()(fn)


def _interlock_timed(fn: Fn, /, *, opens: bool) -> Fn:
    return _interlock_pipeline(opens=opens).timeout(TIMEOUT).build()(fn)


RIVALS = (
    Library(
        "circuitbreaker",
        circuitbreaker.CircuitBreakerError,
        {"breaker": (_circuitbreaker, ALL)},
        "is a circuit alone",
    ),
    Library(
        "pybreaker",
        pybreaker.CircuitBreakerError,
        {"breaker": (_pybreaker, SYNC)},
        "is a circuit alone, for sync functions and Tornado",
    ),
    Library(
        "aiobreaker",
        aiobreaker.CircuitBreakerError,
        {"breaker": (_aiobreaker, ALL)},
        "is a circuit alone",
    ),
    Library(
        "purgatory",
        purgatory.domain.model.OpenedState,
        {"breaker": (_purgatory, ALL)},
        "is a circuit alone",
    ),
    Library(
        "hyx",
        hyx.circuitbreaker.exceptions.BreakerFailing,
        {
            "breaker": (_hyx_breaker, ALL - SYNC),
            "command": (_hyx_command, ASYNCIO),
            "timed": (_hyx_timed, ASYNCIO),
        },
        "guards coroutine functions alone, and needs asyncio for more than the circuit",
    ),
    Library(
        "pyresilience",
        pyresilience.CircuitOpenError,
        {
            "breaker": (_pyresilience(), ALL),
            "command": (_pyresilience(**_pyresilience_parts), SYNC | ASYNCIO),
            "timed": (
                _pyresilience(**_pyresilience_parts, timeout=pyresilience.TimeoutConfig(TIMEOUT)),
                SYNC | ASYNCIO,
            ),
        },
        "needs asyncio for more than the circuit",
    ),
    Library(
        "nopanic",
        nopanic.CircuitOpen,
        {
            "breaker": (_nopanic(alone=True), ALL),
            "command": (_nopanic(_nopanic_bulkhead), ALL),
            "timed": (_nopanic(_nopanic_bulkhead, _nopanic_timeout), ALL),
        },
    ),
    Library(
        "interlock-cb",
        interlock.CircuitOpenError,
        {
            "breaker": (_interlock_breaker, ALL),
            "command": (_interlock_command, SYNC | ASYNCIO),
            "timed": (_interlock_timed, SYNC | ASYNCIO),
        },
        "needs asyncio for more than the circuit",
    ),
    Library(
        "tenacity",
        None,
        {"breaker": (_tenacity, ALL)},
        "has no circuit: measured is a retry that makes one attempt",
    ),
)
