"""Calls of functions that run on a worker thread, so that their callers get away in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilience._calls import refuse
from resilience._units import FOR_EVER
from resilience._worker import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience._core.slots import Token
    from resilience._deadline import Deadline
    from resilience._fallback import Fallbacks
    from resilience._guard import Guard
    from resilience._worker import Workers

    Fn = Callable[..., Any]

__all__ = ["function_on_thread"]


def function_on_thread(guard: Guard, fn: Fn, fallbacks: Fallbacks | None, workers: Workers) -> Fn:
    """Guard a function that runs on a worker thread, so that its caller gets away in time."""

    def call(*args: Any, **kwargs: Any) -> Any:
        plan = guard.plan
        token = guard.quick_enter(plan)
        if token is None and (refusal := guard.refuse()) is not None:
            try:
                if fallbacks is None:
                    raise refusal
                return refuse(refusal, fallbacks, args, kwargs)
            finally:
                del refusal  # its traceback leads to this frame
        try:
            if token is None:
                token = guard.enter(plan)
            scope = token.scope
            strand = None if scope is None else scope.strand
            result = _on_thread(guard, workers, token, Job(fn, args, kwargs, strand))
        except BaseException as error:  # noqa: BLE001 - judged, and raised again or answered
            failure = guard.fail(token, error)
            try:
                if failure.fallback and fallbacks is not None:
                    return fallbacks.call(failure.error, args, kwargs)
                if failure.error is error:
                    raise
                raise failure.error from error
            finally:
                del failure
        if not guard.quick_leave(token):
            guard.finish(token, result)
        return result

    return call


def _on_thread(guard: Guard, workers: Workers, token: Token, job: Job) -> Any:
    """Run a job and wait for it no longer than the scope of the call lasts."""
    scope: Deadline | None = None if guard.entry.shadowed else token.scope
    bound = None if scope is None else scope.first()
    # Read before the worker is woken: from there to the wait, the two get in each other's way.
    longest = FOR_EVER if bound is None else bound.longest
    try:
        workers.start(job)
        in_time = job.wait(longest)
    except BaseException:
        if not job.unstarted:
            _abandon(guard, token, job)
        raise
    if not in_time and bound is not None and _abandon(guard, token, job):
        raise bound.error()
    return job.result()


def _abandon(guard: Guard, token: Token, job: Job) -> bool:
    """Leave a job behind with the slot of its call; false if it has ended."""
    entry = guard.entry

    def ended(job: Job) -> None:
        entry.abandoned.discard(job)
        guard.worker_ended(token)

    # Marked before the worker may see it: from the claim on, the slot is the worker's.
    entry.abandon(job)
    token.abandoned = [None]
    if job.abandon(ended):
        return True
    token.abandoned = None
    entry.abandoned.discard(job)
    return False
