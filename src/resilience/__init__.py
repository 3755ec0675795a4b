"""
Keep a program standing when what it calls does not.

Circuit breakers, bulkheads, deadlines and fallbacks around calls to what is slow, fails, hangs and
comes back; for sync threads, asyncio and trio alike. Start with `command`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from resilience._command import Command
from resilience._core.outcome import Outcome, Override, State
from resilience._default import command, configure, default_registry
from resilience._registry import Registry
from resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    RejectedError,
    ResilienceError,
)
from resilience.settings import Settings

if TYPE_CHECKING:
    from resilience._answer import fallback
    from resilience._breaker import CircuitBreaker
    from resilience._bulkhead import Bulkhead
    from resilience._deadline import Deadline
    from resilience._events import CallRejected, CallTimedOut, FallbackCalled, StateChanged
    from resilience._keyed import Keyed
    from resilience._permit import Permit
    from resilience._remaining import current_deadline, remaining
    from resilience._scope import deadline
    from resilience._snapshot import Latency, Snapshot, Window

__all__ = [
    "Bulkhead",
    "BulkheadFullError",
    "CallRejected",
    "CallTimedOut",
    "CircuitBreaker",
    "CircuitOpenError",
    "Command",
    "ConfigurationError",
    "Deadline",
    "DeadlineExceededError",
    "FallbackCalled",
    "Keyed",
    "Latency",
    "Outcome",
    "Override",
    "Permit",
    "Registry",
    "RejectedError",
    "ResilienceError",
    "Settings",
    "Snapshot",
    "State",
    "StateChanged",
    "Window",
    "command",
    "configure",
    "current_deadline",
    "deadline",
    "default_registry",
    "fallback",
    "remaining",
]

# Imported when they are asked for: a program uses a few of them, and starts more quickly so.
_LATER = {
    name: module
    for module, names in {
        "_answer": ("fallback",),
        "_breaker": ("CircuitBreaker",),
        "_bulkhead": ("Bulkhead",),
        "_deadline": ("Deadline",),
        "_events": ("CallRejected", "CallTimedOut", "FallbackCalled", "StateChanged"),
        "_keyed": ("Keyed",),
        "_permit": ("Permit",),
        "_remaining": ("current_deadline", "remaining"),
        "_scope": ("deadline",),
        "_snapshot": ("Latency", "Snapshot", "Window"),
    }.items()
    for name in names
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("_"))})
