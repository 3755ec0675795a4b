"""
The paths of a call: closed, failed-once, failing, open; for each kind of guard, on each runtime.

On the first two the function succeeds, but on the second it failed once, not long ago. On the
failing path it fails and the circuit stays closed; on the open one it is not called. A breaker
alone lets the error through to a caller who catches it; a command has a fallback that answers.
`timed` sync functions run on other threads.
"""

from collections.abc import Iterator
from typing import Any

from benchmarks.floors import AUNGUARDED, TIMEOUTS, UNGUARDED
from benchmarks.library import OURS, Library
from benchmarks.limits import limits
from benchmarks.rivals import RIVALS
from benchmarks.row import Contender, Row, Timed
from benchmarks.runtimes import RUNTIMES, Make
from benchmarks.subject import TRIPS, Subject
from benchmarks.work import RESULT, Failure, afail, awork, fail, failing_once, work

TITLES = {
    "breaker": "breaker alone",
    "command": "fallback, breaker, bulkhead",
    "timed": "fallback, breaker, bulkhead, timeout",
}
PATHS = ("closed", "failed-once", "failing", "open")


def path_rows() -> Iterator[Row]:
    """Make a row for each guard, path and runtime."""
    for runtime in RUNTIMES:
        for guard in TITLES:
            for path in PATHS:
                yield _row(guard, path, runtime)


def _row(guard: str, path: str, runtime: str) -> Row:
    key = f"{guard} {path} {runtime}"
    where = "thread" if (guard, runtime) == ("timed", "sync") else runtime
    contenders: list[Contender] = []
    absent: dict[str, str] = {}
    for library in (OURS, *RIVALS):
        make = _subject(library, guard, path, runtime)
        if make is None:
            absent[library.name] = library.lacks
        else:
            contenders.append(Timed(library.name, RUNTIMES[runtime], make))
    contenders += _floors(guard, path, runtime)
    title = f"{TITLES[guard]}, {path}, {where}"
    return Row(key, title, contenders, limits(key), absent=absent)


def _subject(library: Library, kind: str, path: str, runtime: str) -> Make | None:
    """Return what makes a library's subject, or `None` if it cannot take this path here."""
    guard = library.guard(kind, runtime)
    refusal = library.refusal
    if guard is None or (path == "open" and refusal is None):
        return None
    succeeding, failing = (work, fail) if runtime == "sync" else (awork, afail)
    if path == "closed":
        return lambda: Subject(guard(succeeding, opens=True), returns=RESULT)
    if path == "failed-once":

        def make_failed() -> Subject:
            function, recover = failing_once(runtime)
            return Subject(guard(function, opens=True), returns=RESULT, trips=1, recover=recover)

        return make_failed
    error: Any = refusal if path == "open" else Failure
    trips = TRIPS if path == "open" else 0

    def make() -> Subject:
        guarded = guard(failing, opens=path == "open")
        if kind == "breaker":
            return Subject(guarded, raises=error, trips=trips)
        # The fallback answers with the type of the error, and so tells which path it was.
        return Subject(guarded, returns=error, trips=trips)

    return make


def _floors(guard: str, path: str, runtime: str) -> Iterator[Timed]:
    if path == "closed":
        unguarded = UNGUARDED if runtime == "sync" else AUNGUARDED
        name, make = TIMEOUTS[runtime] if guard == "timed" else unguarded
        yield Timed(name, RUNTIMES[runtime], make)
