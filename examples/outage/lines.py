"""The view without a terminal: a line a second, and one for each change of the circuit."""

from examples.outage.story import Story
from examples.outage.timeline import OUTCOMES, Timeline
from examples.outage.wording import next_trial, words
from resilience import Snapshot

EVERY = 1.0
"""Seconds from one line to the next."""


class Lines:
    """Plain lines on standard output, in the order in which things happened."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self._due = 0.0
        self._changes = 0

    def show(self, timeline: Timeline, snapshot: Snapshot) -> None:
        """Print what changed since the last time and, once a second, the present."""
        for at, event in timeline.changes[self._changes :]:
            say(at, f"circuit {words(event.old)} -> {words(event.new)}: {event.reason}")
        self._changes = len(timeline.changes)
        if not self._due:
            say(timeline.now, f"live page, while it lasts: {self.story.page_url}")
            say(timeline.now, f"metrics, while it lasts: {self.story.metrics_url}")
        elif timeline.now >= self._due:
            say(timeline.now, present(timeline, snapshot))
        else:
            return
        self._due += EVERY


def present(timeline: Timeline, snapshot: Snapshot) -> str:
    """Return the state of things in one line."""
    latest = timeline.latest(EVERY)
    return "  ".join(
        (
            f"service {timeline.phases[-1][1]:<8}",
            f"circuit {words(snapshot.state):<9}",
            f"errors {snapshot.window.error_percent:3.0f} %",
            f"in flight {snapshot.in_flight:2}",
            f"next trial {next_trial(snapshot):<8}",
            ", ".join(f"{words(name)} {latest[name]}/s" for name in OUTCOMES if latest[name]),
        )
    )


def say(at: float, line: str) -> None:
    """Print a line with its time."""
    print(f"{at:5.1f} s  {line}", flush=True)
