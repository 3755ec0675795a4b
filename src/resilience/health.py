"""
Health: which dependencies are refused at the moment, for whoever watches a program.

A circuit that is open is this library at work, not a program that is ill: to restart it mends
nothing, and takes down what still works. So a check of *liveness* never looks at a circuit's state.
A check of *readiness* may, for what a program cannot do anything without, and only while calls are
really refused: once its sleep window is over a circuit waits for a trial call, which nobody would
make if the program had no traffic.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs

from resilience._default import default_registry
from resilience._names import check_name
from resilience._registry import Registry
from resilience._units import seconds, several, show
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resilience._entry import Entry

__all__ = ["Circuit", "Health", "health"]

MOST: Final = 100
"""How many circuits a report names: more are counted alone."""


@final
@attrs.frozen(kw_only=True)
class Circuit:
    """
    A circuit that is not as usual.

    Attributes:
        state: `closed`, `open` or `half_open`.
        override: `open`, `closed` or `shadow`, if an operator has put one over it.
        refusing: Whether calls are refused at this moment.
        retry_after: Seconds until one may be admitted; `None` where nobody knows.

    Example:
        >>> from resilience import Registry
        >>> from resilience.health import health
        >>> registry = Registry()
        >>> registry.command("stock").force_open()
        >>> health(registry).circuits["stock"]
        Circuit(state='closed', override='open', refusing=True, retry_after=None)
    """

    state: str
    override: str | None
    refusing: bool
    retry_after: float | None


@final
@attrs.frozen(kw_only=True)
class Health:
    """
    How a program is, as far as what it calls is concerned.

    Attributes:
        ready: Whether no critical circuit refuses calls.
        circuits: The circuits that are not closed, or under an override, by name.

    Example:
        >>> from resilience import Registry
        >>> from resilience.health import health
        >>> registry = Registry()
        >>> registry.command("stock").force_open()
        >>> now = health(registry)
        >>> now.ready, now.refusing
        (True, ('stock',))
        >>> now.as_dict()["status"]
        'pass'
    """

    ready: bool
    circuits: Mapping[str, Circuit]

    @property
    def refusing(self) -> tuple[str, ...]:
        """The names whose calls are refused at this moment."""
        return tuple(name for name, circuit in self.circuits.items() if circuit.refusing)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON; of more than a hundred circuits the first ones."""
        some = list(self.circuits.items())[:MOST]
        return {
            "status": "pass" if self.ready else "fail",
            "refusing": len(self.refusing),
            "circuits": {name: attrs.asdict(circuit) for name, circuit in some},
        }


def health(registry: Registry = default_registry, *, critical: str | Sequence[str] = ()) -> Health:
    """
    Return how a program is, by the circuits of a registry.

    Args:
        registry: Whose circuits.
        critical: Names without which the program is not ready. One that is not there is no fault:
            it has not been called yet.

    Raises:
        ConfigurationError: Any of it is wrong.

    Example:
        >>> from resilience import Registry
        >>> from resilience.health import health
        >>> registry = Registry()
        >>> registry.command("stock").force_open()
        >>> health(registry).refusing, health(registry).ready
        (('stock',), True)
        >>> health(registry, critical="stock").ready
        False
    """
    return Checks(registry, critical).health()


@final
@attrs.frozen(kw_only=True)
class Report:
    """What an endpoint answers."""

    status: int
    headers: dict[str, str]
    body: bytes


@final
class Checks:
    """What is looked at: a registry, and the names that matter."""

    def __init__(self, registry: Registry, critical: str | Sequence[str]) -> None:
        if not isinstance(registry, Registry):
            raise ConfigurationError(f"registry must be a Registry, not {show(registry)}")
        self._registry = registry
        self._critical = cast("tuple[str, ...]", several(critical))
        for name in self._critical:
            check_name(name)

    def health(self) -> Health:
        """Return how things are."""
        circuits = {name: _read(entry) for name, entry in self._registry.unusual()}
        refusing = {name for name, circuit in circuits.items() if circuit.refusing}
        return Health(ready=refusing.isdisjoint(self._critical), circuits=circuits)

    def report(self) -> Report:
        """Return what to answer."""
        found = self.health()
        body = json.dumps(found.as_dict()).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
        }
        return Report(status=200 if found.ready else 503, headers=headers, body=body)


def _read(entry: Entry) -> Circuit:
    """Read a circuit alone: a snapshot of all there is to it would take ten times as long."""
    now = entry.clock()
    with entry.lock:
        state, override = entry.circuit.state, entry.circuit.override
        refusal = entry.refusal(now)
    wait = None if refusal is None else refusal.retry_after
    return Circuit(
        state=state.value,
        override=None if override is None else override.value,
        refusing=refusal is not None,
        retry_after=None if wait is None else seconds(wait),
    )
