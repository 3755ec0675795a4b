"""Whether the story held: what the library promises, checked against what the callers saw."""

from statistics import median

import attrs

from examples.outage.timeline import Timeline
from examples.outage.wording import words

QUICK = 0.005
"""Seconds within which half of the refused calls are answered by the fallback."""


@attrs.frozen
class Check:
    """One promise, whether it was kept, and the figure that says so."""

    promise: str
    kept: bool
    seen: str


def verdict(
    timeline: Timeline, *, counted: int, trials_at_once: int, half_open_calls: int
) -> list[Check]:
    """
    Return every check of the story, kept or not.

    Args:
        timeline: What the callers saw.
        counted: The sum of all outcomes, as the library counts them.
        trials_at_once: The most trial calls that were under way together.
        half_open_calls: How many there may be.
    """
    return [
        opened(timeline),
        quick(timeline),
        few(trials_at_once, half_open_calls),
        closed(timeline),
        complete(timeline, counted),
    ]


def opened(timeline: Timeline) -> Check:
    """Check that the circuit opened while there was trouble."""
    outage = timeline.outage()
    times = [span.start for span in timeline.state_spans() if span.name == "open"]
    kept = outage is not None and any(outage.start <= at < outage.end for at in times)
    seen = f"at {times[0]:.1f} s" if times else "never"
    return Check("opened during the outage", kept, seen)


def quick(timeline: Timeline) -> Check:
    """Check that callers that were refused had their answer at once."""
    waits = [call.seconds for call in timeline.calls if call.outcome == "short_circuited"]
    wait = median(waits) if waits else None
    seen = "none was refused" if wait is None else f"{1000 * wait:.2f} ms over {len(waits)} calls"
    return Check(
        f"refused calls answered in a median under {1000 * QUICK:.0f} ms",
        wait is not None and wait < QUICK,
        seen,
    )


def few(trials_at_once: int, half_open_calls: int) -> Check:
    """Check that a service that may be back was tried with care; never tried is no care."""
    return Check(
        f"at most {half_open_calls} trial calls at once",
        0 < trials_at_once <= half_open_calls,
        f"{trials_at_once} at most",
    )


def closed(timeline: Timeline) -> Check:
    """Check that the circuit closed after the service had recovered, and stayed closed."""
    outage = timeline.outage()
    last = timeline.state_spans()[-1]
    kept = outage is not None and last.name == "closed" and last.start >= outage.end
    seen = f"{words(last.name)} since {last.start:.1f} s"
    return Check("closed after the recovery", kept, seen)


def complete(timeline: Timeline, counted: int) -> Check:
    """Check that the library counts one outcome for every call that was made."""
    kept = counted == timeline.made == len(timeline.calls)
    return Check("every call counted once", kept, f"{counted} of {timeline.made}")
