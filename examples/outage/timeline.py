"""What happened and when, as the callers saw it."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from resilience import StateChanged

OUTCOMES = ("success", "short_circuited", "bulkhead_full", "timeout", "failure")
"""What can become of a call of the demo, from the best to the worst."""


@attrs.frozen
class Call:
    """One finished call: when it ended, how long its caller waited and what became of it."""

    at: float
    seconds: float
    outcome: str


@attrs.frozen
class Span:
    """A stretch of time with a name: a phase of the service or a state of the circuit."""

    name: str
    start: float
    end: float


def waits(calls: Iterable[Call]) -> tuple[float, float] | None:
    """Return the median and the 99th percentile of what callers waited, if there were any."""
    ordered = sorted(call.seconds for call in calls)
    return (ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]) if ordered else None


@attrs.define
class Timeline:
    """
    The record of one outage, in seconds since it was created.

    Attributes:
        made: Calls begun; all of them are in `calls` once the traffic has ended.
        phases: Where each phase of the service began.
        changes: The changes of the circuit's state.
    """

    began: float = attrs.field(factory=time.perf_counter)
    ended: float | None = None
    made: int = 0
    calls: list[Call] = attrs.field(factory=list)
    phases: list[tuple[float, str]] = attrs.field(factory=list)
    changes: list[tuple[float, StateChanged]] = attrs.field(factory=list)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.began

    @property
    def end(self) -> float:
        """Where the story ended; as long as it has not, the present."""
        return self.now if self.ended is None else self.ended

    def finish(self) -> None:
        """End the story; calls that are still under way are recorded when they are done."""
        self.ended = self.now

    def called(self, began: float, outcome: str) -> None:
        """Record a call that ended now."""
        now = self.now
        self.calls.append(Call(now, now - began, outcome))

    def entered(self, phase: str) -> None:
        """Record that the service behaves differently from now on."""
        self.phases.append((self.now, phase))

    def heard(self, event: object) -> None:
        """Record a new state of the circuit; the calls are recorded by those who make them."""
        if isinstance(event, StateChanged):
            self.changes.append((self.now, event))

    def phase_spans(self) -> list[Span]:
        """Return the phases of the service, in order."""
        return list(self._spans(self.phases))

    def state_spans(self) -> list[Span]:
        """Return the states of the circuit, in order."""
        states = [(at, event.new.value) for at, event in self.changes]
        return list(self._spans([(0.0, "closed"), *states]))

    def outage(self) -> Span | None:
        """Return the time from the first trouble to the recovery, if there was trouble."""
        phases = self.phase_spans()
        troubled = [phase for phase in phases if phase.name != "healthy"]
        return Span("outage", troubled[0].start, troubled[-1].end) if troubled else None

    def latest(self, seconds: float) -> Counter[str]:
        """Count the outcomes of the last few seconds."""
        since = self.now - seconds
        counts: Counter[str] = Counter()
        for call in reversed(self.calls):
            if call.at < since:
                break
            counts[call.outcome] += 1
        return counts

    def stretches(self, width: float, count: int) -> list[list[Call]]:
        """Sort the calls into the first `count` stretches of `width` seconds each."""
        stretches: list[list[Call]] = [[] for _ in range(count)]
        for call in self.calls:
            if (index := int(call.at / width)) < count:
                stretches[index].append(call)
        return stretches

    def _spans(self, marks: list[tuple[float, str]]) -> Iterator[Span]:
        ends = [start for start, _ in marks[1:]] + [self.end]
        for (start, name), end in zip(marks, ends, strict=True):
            yield Span(name, start, end)
