"""
Keep a program standing when what it calls does not.

Circuit breakers, bulkheads, deadlines and fallbacks around calls to what is slow, fails, hangs and
comes back; for sync threads, asyncio and trio alike. Start with `command`.
"""

from resilience._answer import fallback
from resilience._breaker import CircuitBreaker
from resilience._bulkhead import Bulkhead
from resilience._command import Command
from resilience._core.outcome import Outcome, Override, State
from resilience._deadline import Deadline
from resilience._default import command, configure, default_registry
from resilience._keyed import Keyed
from resilience._listeners import CallRejected, CallTimedOut, FallbackCalled, StateChanged
from resilience._permit import Permit
from resilience._registry import Registry
from resilience._remaining import current_deadline, remaining
from resilience._scope import deadline
from resilience._snapshot import Latency, Snapshot, Window
from resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    RejectedError,
    ResilienceError,
)
from resilience.settings import Settings

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
