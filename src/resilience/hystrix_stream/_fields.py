"""
The events of the Hystrix stream: the fields of the Java implementation, in its order and its types.

They are written as text, for a dictionary that is encoded takes five times as long.

Times are whole milliseconds. Rolling counts are those of `Rolling`. Where the words differ:

- `name`, `group` and `threadPool` are all the name. Its bulkhead is its thread pool, of slots that
  are all there from the start; without a limit there is no pool. A bulkhead that several names
  share is shown with each.
- `isCircuitBreakerOpen` is what callers meet: true of a half-open circuit, as in Java; an override
  wins. In shadow mode the circuit refuses nobody, so it is shown closed and
  `propertyValue_circuitBreakerEnabled` is false.
- `requestCount`, `errorCount` and `errorPercentage` are of the window that the circuit decides by.
- `rollingCountBadRequests` are ignored calls. Calls that were cancelled, or cut off by their
  caller's deadline, are in no field: Java knows neither.
- `rollingCountFallbackMissing` are calls that failed or were refused without a fallback's being
  asked, and `rollingCountExceptionsThrown` those of them all that no fallback answered. A result
  that `is_failure` took for a failure is in both, although it was returned.
- Slots are a semaphore, so the isolation is always `SEMAPHORE` and refusals for want of one are
  `rollingCountSemaphoreRejected`, also where a worker thread runs the call.
- `latencyTotal` is `latencyExecute`: the time spent waiting for a slot is not measured.
- No limit is 2147483647, as Java has it; no timeout is 0.
- What does not exist here has a neutral value: collapsed requests, cached responses and emitted
  items 0, caches and request logs false, `propertyValue_executionIsolationThreadInterruptOnTimeout`
  false, `propertyValue_executionIsolationThreadPoolKeyOverride` null. `HystrixCollapser` events are
  never sent.
"""

from __future__ import annotations

import json
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Final

from resilience._core.outcome import Outcome, Override, State

if TYPE_CHECKING:
    from resilience._snapshot import Snapshot
    from resilience.hystrix_stream._rolling import Rolling
    from resilience.settings import Settings

__all__ = ["command_event", "pool_event"]

NO_LIMIT: Final = 2**31 - 1

LATENCY: Final = (
    '{"0":%d,"25":%d,"50":%d,"75":%d,"90":%d,"95":%d,"99":%d,"99.5":%d,"100":%d}'
)
"""The milliseconds of each of `PERCENTILES`, under the keys that Java has for them."""

TROUBLED: Final = (
    Outcome.FAILURE,
    Outcome.TIMEOUT,
    Outcome.SHORT_CIRCUITED,
    Outcome.BULKHEAD_FULL,
)
"""Calls for which Hystrix asks the fallback."""


def command_event(name: str, snapshot: Snapshot, rolling: Rolling, now: int) -> str:
    """
    Return the event of a command, as JSON.

    Args:
        name: Its name.
        snapshot: Everything about it.
        rolling: What happened to it within its rolling window.
        now: Milliseconds since 1970.
    """
    window, of, quoted = snapshot.window, rolling.of, json.dumps(name)
    succeeded, failed, rejected = rolling.fallbacks
    troubled = sum(map(of, TROUBLED))
    unanswered = max(0, troubled - succeeded) + of(Outcome.IGNORED)
    mean = round(1000 * rolling.mean)
    latency = LATENCY % tuple([round(1000 * duration) for duration in rolling.durations])
    return (
        f'{{"type":"HystrixCommand",'
        f'"name":{quoted},'
        f'"group":{quoted},'
        f'"currentTime":{now},'
        f'"isCircuitBreakerOpen":{_flag(_is_open(snapshot))},'
        f'"errorPercentage":{int(window.error_percent)},'
        f'"errorCount":{window.failures},'
        f'"requestCount":{window.calls},'
        f'"rollingCountBadRequests":{of(Outcome.IGNORED)},'
        f'"rollingCountCollapsedRequests":0,'
        f'"rollingCountEmit":0,'
        f'"rollingCountExceptionsThrown":{unanswered},'
        f'"rollingCountFailure":{of(Outcome.FAILURE)},'
        f'"rollingCountFallbackEmit":0,'
        f'"rollingCountFallbackFailure":{failed},'
        f'"rollingCountFallbackMissing":{max(0, troubled - succeeded - failed - rejected)},'
        f'"rollingCountFallbackRejection":{rejected},'
        f'"rollingCountFallbackSuccess":{succeeded},'
        f'"rollingCountResponsesFromCache":0,'
        f'"rollingCountSemaphoreRejected":{of(Outcome.BULKHEAD_FULL)},'
        f'"rollingCountShortCircuited":{of(Outcome.SHORT_CIRCUITED)},'
        f'"rollingCountSuccess":{of(Outcome.SUCCESS)},'
        f'"rollingCountThreadPoolRejected":0,'
        f'"rollingCountTimeout":{of(Outcome.TIMEOUT)},'
        f'"currentConcurrentExecutionCount":{snapshot.in_flight},'
        f'"rollingMaxConcurrentExecutionCount":{rolling.most_in_flight},'
        f'"latencyExecute_mean":{mean},'
        f'"latencyExecute":{latency},'
        f'"latencyTotal_mean":{mean},'
        f'"latencyTotal":{latency},'
        f"{_properties(snapshot.settings, snapshot.override, snapshot.max_concurrency)},"
        f'"reportingHosts":1,'
        f'"threadPool":{quoted}}}'
    )


def pool_event(name: str, snapshot: Snapshot, rolling: Rolling, now: int) -> str:
    """Return the event of a command's slots, as those of a thread pool; "" without a limit."""
    size = snapshot.max_concurrency
    if size is None:
        return ""
    settings = snapshot.settings
    completed = _started(tuple(snapshot.totals.values()))
    return (
        f'{{"type":"HystrixThreadPool",'
        f'"name":{json.dumps(name)},'
        f'"currentTime":{now},'
        f'"currentActiveCount":{snapshot.in_flight},'
        f'"currentCompletedTaskCount":{completed},'
        f'"currentCorePoolSize":{size},'
        f'"currentLargestPoolSize":{size},'
        f'"currentMaximumPoolSize":{size},'
        f'"currentPoolSize":{size},'
        f'"currentQueueSize":{snapshot.waiting},'
        f'"currentTaskCount":{completed + snapshot.in_flight + snapshot.waiting},'
        f'"rollingCountThreadsExecuted":{_started(rolling.outcomes)},'
        f'"rollingMaxActiveThreads":{rolling.most_in_flight},'
        f'"rollingCountCommandRejections":{rolling.of(Outcome.BULKHEAD_FULL)},'
        f'"propertyValue_queueSizeRejectionThreshold":{settings.max_waiting},'
        f'"propertyValue_metricsRollingStatisticalWindowInMilliseconds":'
        f"{_millis(settings.rolling_window)},"
        f'"reportingHosts":1}}'
    )


def _is_open(snapshot: Snapshot) -> bool:
    if snapshot.override is None:
        return snapshot.state is not State.CLOSED
    return snapshot.override is Override.OPEN


def _started(counts: tuple[int, ...]) -> int:
    """Return how many calls were not refused, of the counts of all outcomes by their place."""
    return sum(counts) - counts[Outcome.SHORT_CIRCUITED.place] - counts[Outcome.BULKHEAD_FULL.place]


def _millis(length: float | None) -> int:
    """Milliseconds of a setting: whole ones, and at least one of what is no zero."""
    return 0 if length is None else max(1, round(1000 * length))


def _limit(limit: int | None) -> int:
    return NO_LIMIT if limit is None else min(limit, NO_LIMIT)


def _flag(value: bool) -> str:  # noqa: FBT001 - it is the value itself
    return "true" if value else "false"


@lru_cache(maxsize=1024)
def _properties(
    settings: Settings, override: Override | None, max_concurrency: int | None
) -> str:
    timeout = _millis(settings.timeout)
    properties = {
        "circuitBreakerRequestVolumeThreshold": settings.volume_threshold,
        "circuitBreakerSleepWindowInMilliseconds": _millis(settings.sleep_window),
        "circuitBreakerErrorThresholdPercentage": ceil(settings.error_percent),
        "circuitBreakerForceOpen": override is Override.OPEN,
        "circuitBreakerForceClosed": override is Override.CLOSED,
        "circuitBreakerEnabled": override is not Override.SHADOW,
        "executionIsolationStrategy": "SEMAPHORE",
        "executionIsolationThreadTimeoutInMilliseconds": timeout,
        "executionTimeoutInMilliseconds": timeout,
        "executionIsolationThreadInterruptOnTimeout": False,
        "executionIsolationThreadPoolKeyOverride": None,
        "executionIsolationSemaphoreMaxConcurrentRequests": _limit(max_concurrency),
        "fallbackIsolationSemaphoreMaxConcurrentRequests": _limit(
            settings.fallback_max_concurrency
        ),
        "metricsRollingStatisticalWindowInMilliseconds": _millis(settings.rolling_window),
        "requestCacheEnabled": False,
        "requestLogEnabled": False,
    }
    named = {f"propertyValue_{key}": value for key, value in properties.items()}
    return json.dumps(named, separators=(",", ":"))[1:-1]
