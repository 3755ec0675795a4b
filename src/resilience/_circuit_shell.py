"""CircuitShell: what everything with a circuit shows and lets an operator do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilience._core.outcome import Override, State
from resilience._shell import Shell

if TYPE_CHECKING:
    from resilience._entry import Entry
    from resilience._snapshot import Snapshot

__all__ = ["CircuitShell"]


class CircuitShell(Shell):
    """A shell whose name has a circuit."""

    __slots__ = ()

    @property
    def _entry(self) -> Entry:
        return self._guard.entry

    # -- what it is and does

    @property
    def state(self) -> State:
        """
        The live state of the circuit, whatever lies over it. Reading it moves nothing.

        Example:
            >>> from resilience import CircuitBreaker
            >>> CircuitBreaker().state
            <State.CLOSED: 'closed'>
        """
        return self._entry.circuit.state

    @property
    def override(self) -> Override | None:
        """
        What an operator has put over the live state; `None`: nothing.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker()
            >>> breaker.shadow()
            >>> breaker.override
            <Override.SHADOW: 'shadow'>
        """
        return self._entry.circuit.override

    def snapshot(self) -> Snapshot:
        """
        Return everything about the name at this instant.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker()
            >>> breaker.acquire().fail()
            >>> breaker.snapshot().window.error_percent
            100.0
        """
        return self._entry.snapshot()

    def explain(self) -> str:
        """
        Say in one paragraph why calls are being admitted or refused right now.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker()
            >>> breaker.force_open()
            >>> breaker.explain()[:70]
            'The unnamed guard refuses every call: it is forced open (the circuit i'
        """
        from resilience._snapshot import explain  # noqa: PLC0415 - importing should be quick

        return explain(self.snapshot())

    # -- what an operator does

    def force_open(self) -> None:
        """
        Refuse every call, until the override is cleared or replaced.

        Example:
            >>> from resilience import CircuitBreaker, CircuitOpenError
            >>> breaker = CircuitBreaker()
            >>> breaker.force_open()
            >>> try:
            ...     breaker.acquire()
            ... except CircuitOpenError as refused:
            ...     print(refused)
            the circuit of an unnamed guard is forced open
        """
        self._entry.set_override(Override.OPEN)

    def force_closed(self) -> None:
        """
        Let every call pass the circuit; a bulkhead and a deadline stay.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker(volume_threshold=1)
            >>> breaker.acquire().fail()
            >>> breaker.force_closed()
            >>> breaker.acquire().succeed()
            >>> breaker.state
            <State.OPEN: 'open'>
        """
        self._entry.set_override(Override.CLOSED)

    def shadow(self) -> None:
        """
        Take and count every decision, and carry none out.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker(volume_threshold=1)
            >>> breaker.acquire().fail()
            >>> breaker.shadow()
            >>> breaker.acquire().succeed()
            >>> breaker.snapshot().shadowed["short_circuited"]
            1
        """
        self._entry.set_override(Override.SHADOW)

    def clear_override(self) -> None:
        """
        Go by the live state again.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker()
            >>> breaker.force_open()
            >>> breaker.clear_override()
            >>> breaker.acquire().succeed()
        """
        self._entry.set_override(None)

    def reset(self) -> None:
        """
        Close the circuit, with an empty window; totals stay.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker(volume_threshold=1)
            >>> breaker.acquire().fail()
            >>> breaker.reset()
            >>> breaker.state, breaker.snapshot().totals["failure"]
            (<State.CLOSED: 'closed'>, 1)
        """
        self._entry.reset()
