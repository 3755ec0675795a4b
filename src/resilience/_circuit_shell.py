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
        """The live state of the circuit, whatever lies over it. Reading it moves nothing."""
        return self._entry.circuit.state

    @property
    def override(self) -> Override | None:
        """What an operator has put over the live state."""
        return self._entry.circuit.override

    def snapshot(self) -> Snapshot:
        """Return everything about the name at this instant."""
        return self._entry.snapshot()

    def explain(self) -> str:
        """Say in one paragraph why calls are being admitted or refused right now."""
        from resilience._snapshot import explain  # noqa: PLC0415 - importing should be quick

        return explain(self.snapshot())

    # -- what an operator does

    def force_open(self) -> None:
        """Refuse every call, until the override is cleared or replaced."""
        self._entry.set_override(Override.OPEN)

    def force_closed(self) -> None:
        """Let every call pass the circuit; a bulkhead and a deadline stay."""
        self._entry.set_override(Override.CLOSED)

    def shadow(self) -> None:
        """Take and count every decision, and carry none out."""
        self._entry.set_override(Override.SHADOW)

    def clear_override(self) -> None:
        """Go by the live state again."""
        self._entry.set_override(None)

    def reset(self) -> None:
        """Close the circuit, with an empty window; totals stay."""
        self._entry.reset()
