"""Helpers that make a test read as a sentence: what a circuit does, and what it is made to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from resilience._circuit_shell import CircuitShell
from resilience._core.outcome import Override, State
from resilience._units import show
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["assert_closes", "assert_opens", "force"]


@contextmanager
def assert_opens(guard: CircuitShell | Callable[..., Any]) -> Generator[None]:
    """
    Assert that a circuit opens in the block, whatever it does afterwards.

    Args:
        guard: A `Command`, a `CircuitBreaker`, or a function that a command decorates.

    Raises:
        AssertionError: It did not; tells what the circuit has to say.
        ConfigurationError: `guard` has no circuit.

    Example:
        >>> from resilience import CircuitBreaker
        >>> from resilience.testing import assert_opens
        >>> breaker = CircuitBreaker(volume_threshold=2)
        >>> with assert_opens(breaker):
        ...     breaker.acquire().fail()
        ...     breaker.acquire().fail()
    """
    circuit = _circuit(guard)
    before = _moves(circuit, State.OPEN)
    yield
    if _moves(circuit, State.OPEN) == before:
        raise AssertionError(f"the circuit did not open: {circuit.explain()}")


@contextmanager
def assert_closes(guard: CircuitShell | Callable[..., Any]) -> Generator[None]:
    """
    Assert that a circuit closes in the block, and is closed at its end.

    Args:
        guard: A `Command`, a `CircuitBreaker`, or a function that a command decorates.

    Raises:
        AssertionError: It did not, or is no longer closed; tells what the circuit has to say.
        ConfigurationError: `guard` has no circuit.

    Example:
        >>> from resilience import CircuitBreaker, Registry
        >>> from resilience.testing import FakeClock, assert_closes
        >>> clock = FakeClock()
        >>> breaker = CircuitBreaker("b", volume_threshold=1, registry=Registry(clock=clock))
        >>> breaker.acquire().fail()
        >>> with assert_closes(breaker):
        ...     clock.advance(5)
        ...     breaker.acquire().succeed()
    """
    circuit = _circuit(guard)
    before = _moves(circuit, State.CLOSED)
    yield
    if _moves(circuit, State.CLOSED) == before or circuit.state is not State.CLOSED:
        raise AssertionError(f"the circuit did not close: {circuit.explain()}")


@contextmanager
def force(
    guard: CircuitShell | Callable[..., Any], override: Literal["open", "closed", "shadow"]
) -> Generator[None]:
    """
    Put an override over a circuit for a block; afterwards the one before it is back.

    Args:
        guard: A `Command`, a `CircuitBreaker`, or a function that a command decorates.
        override: `"open"` refuses every call, `"closed"` lets every call pass the circuit,
            `"shadow"` carries no decision out.

    Raises:
        ConfigurationError: `guard` has no circuit, or `override` is something else.

    Example:
        >>> from resilience import Registry
        >>> from resilience.testing import force
        >>> command = Registry().command("teas", fallback=lambda error: "water")
        >>> tea = command(lambda: "tea")
        >>> with force(tea, "open"):
        ...     tea()
        'water'
        >>> tea()
        'tea'
    """
    circuit = _circuit(guard)
    if override not in tuple(Override):
        raise ConfigurationError(
            f"override must be 'open', 'closed' or 'shadow', not {show(override)}"
        )
    before = circuit.override
    ORDERS[Override(override)](circuit)
    try:
        yield
    finally:
        ORDERS[before](circuit)


ORDERS: Final = {
    Override.OPEN: CircuitShell.force_open,
    Override.CLOSED: CircuitShell.force_closed,
    Override.SHADOW: CircuitShell.shadow,
    None: CircuitShell.clear_override,
}
"""How an operator gets there."""


def _circuit(guard: Any) -> CircuitShell:
    found = getattr(guard, "command", guard)
    if isinstance(found, CircuitShell):
        return found
    raise ConfigurationError(
        f"guard must be a Command, a CircuitBreaker or a function that a command decorates, "
        f"not {show(guard)}"
    )


def _moves(circuit: CircuitShell, to: State) -> int:
    """Return how often the circuit has gone into a state."""
    transitions = circuit.snapshot().transitions
    return sum(count for (_, new), count in transitions.items() if new is to)


for _each in (assert_opens, assert_closes, force):
    _each.__module__ = "resilience.testing"
