"""Span events: what happened to a call, on the span that is current where it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import get_current_span

from resilience import CallRejected, CallTimedOut, StateChanged
from resilience._names import plain

if TYPE_CHECKING:
    from resilience._events import Event

__all__ = ["add_event"]


def add_event(event: Event) -> None:
    """Add an event to the current span, if there is one that is recorded."""
    span = get_current_span()
    if span.is_recording():
        span.add_event(*_described(event))


def _described(event: Event) -> tuple[str, dict[str, Any]]:
    attributes: dict[str, Any] = {"resilience.name": plain(event.name or "")}
    if isinstance(event, StateChanged):
        what = "transition"
        attributes["resilience.state"] = event.new.value
        attributes["resilience.old_state"] = event.old.value
    else:
        attributes["resilience.state"] = event.state.value
        if isinstance(event, CallTimedOut):
            what = "timeout"
            attributes["resilience.elapsed"] = event.elapsed
        else:
            what = "rejection" if isinstance(event, CallRejected) else "fallback"
            attributes["resilience.outcome"] = str(event.outcome)
    attributes["resilience.reason"] = plain(event.reason)
    return f"resilience.{what}", attributes
