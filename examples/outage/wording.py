"""How things are called where people read them."""

from resilience import Snapshot, State


def words(name: str) -> str:
    """Return a name as it is read rather than written in code."""
    return name.replace("_", " ")


def next_trial(snapshot: Snapshot) -> str:
    """Return when a call will be let in to see whether the service is back."""
    if snapshot.state is State.CLOSED:
        return "-"
    if snapshot.retry_after is None:
        return "now"
    return f"in {snapshot.retry_after:.1f} s"
