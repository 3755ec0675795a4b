"""The writer for prometheus_client's multiprocess mode, in one process and over forks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from resilience import Command, ConfigurationError, Registry
from resilience.prometheus import (
    CATALOGUE,
    MultiprocessWriter,
    ResilienceCollector,
    multiprocess,
    start_multiprocess_writer,
)
from resilience.prometheus import files as its_files
from resilience.prometheus.files import forget_the_dead, prepare
from resilience.prometheus.ledger import OTHER
from tests.support.runtime import FakeClock
from tests.support.threads import PATIENCE, Caller

NEVER = 3600.0
"""An interval that no test waits for: it flushes by itself."""

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What PROMETHEUS_MULTIPROC_DIR names, as if from the beginning of the process."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    files: Any = values.MultiProcessValue()
    monkeypatch.setattr(values, "ValueClass", files)
    yield tmp_path
    for writer in multiprocess._writers.values():
        writer.stop()
    multiprocess._writers.clear()
    files.close_all_files()


@pytest.fixture
def users(registry: Registry) -> Command:
    """A command with the default settings."""
    return registry.command("users")


def series(collector: Any) -> Series:
    """Return what a scrape would show."""
    samples = [sample for family in collector.collect() for sample in family.samples]
    found = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert len(found) == len(samples)
    return found


def merged(folder: Path) -> Series:
    """Return the sums over all processes."""
    return series(MultiProcessCollector(None, str(folder)))


def shown(found: Series) -> set[str]:
    """Return the names that have series."""
    return {dict(labels)["name"] for _, labels in found}


def value(found: Series, metric: str, name: str = "users", **labels: str) -> float:
    """Return the value of one series."""
    return found[metric, frozenset({"name": name, **labels}.items())]


def start(registry: Registry, **options: Any) -> MultiprocessWriter:
    """Start a writer that writes when it is told to."""
    return start_multiprocess_writer(NEVER, registry=registry, **options)


def fail() -> None:
    """Be called in vain."""
    raise ConnectionError


def attempt(command: Command, fn: Callable[..., Any], *args: Any) -> None:
    """Call, whatever comes of it."""
    try:
        command.call(fn, *args)
    except Exception:
        return


def in_a_child(body: Callable[[], object]) -> Any:
    """Return what a function returns in a forked process, which ends at once."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(theirs, json.dumps(body()).encode())
        except BaseException:
            os.write(theirs, json.dumps(traceback.format_exc()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return json.loads(told)


forks = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # other tests' idle threads
]


def forking(test: Any) -> Any:
    """Mark a test that forks."""
    for mark in forks:
        test = mark(test)
    return test


# -- the numbers


@pytest.mark.promise("J8")
def test_the_files_show_what_the_collector_shows(
    folder: Path, registry: Registry, clock: FakeClock
) -> None:
    """
    One process alone has the same names, the same labels and the same numbers as its collector.
    """
    users = registry.command("users", volume_threshold=3, max_concurrency=None, fallback=dict)
    registry.command("orders", latency_buckets=(0.5, 2_000_000), sleep_window_max=60).force_open()
    writer = start(registry)
    for seconds in (0.01, 0.2, 3, 40):
        attempt(users, clock.advance, seconds)
        attempt(users, fail)
        writer.flush()
    assert merged(folder) == pytest.approx(series(ResilienceCollector(registry)))


def test_help_and_types_are_the_collectors(folder: Path, registry: Registry) -> None:
    """
    Each metric is described as the collector describes it.
    """
    registry.command("users")
    start(registry)
    both = [
        MultiProcessCollector(None, str(folder)).collect(),
        ResilienceCollector(registry).collect(),
    ]
    ours, theirs = ({each.name: (each.type, each.documentation) for each in one} for one in both)
    assert ours == theirs


def test_every_gauge_has_a_merge_mode() -> None:
    """
    What is shared out is added up over the live workers; of ratios and settings the highest counts.
    """
    modes = {each.name.removeprefix("resilience_"): each.mode for each in CATALOGUE if each.mode}
    assert modes == {
        **dict.fromkeys(
            ["circuit_state", "circuit_override", "window_calls", "in_flight", "waiting",
             "abandoned", "max_concurrency"], "livesum",
        ),
        "window_error_ratio": "livemax",
        "setting": "livemax",
    }  # fmt: skip


def test_the_page_tells_the_merge_modes() -> None:
    """
    The table of the documentation is that of the catalogue.
    """
    page = Path("docs/how-to/prometheus.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(resilience_\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert rows == [(each.name, each.mode) for each in CATALOGUE if each.mode]


def test_what_does_not_change_is_not_written(
    folder: Path, registry: Registry, users: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A flush of a name that nobody called writes nothing, and one after a call a handful of series.
    """
    writer = start(registry)
    writes: list[str] = []
    files: Any = values.ValueClass
    for verb in ("inc", "set"):
        plain = getattr(files, verb)

        def spy(self: Any, *args: Any, plain: Any = plain) -> None:
            writes.append(self._key)
            plain(self, *args)

        monkeypatch.setattr(files, verb, spy)
    writer.flush()
    assert not writes
    users.call(dict)
    writer.flush()
    assert 3 <= len(writes) <= 6, writes


def test_a_series_has_one_place_in_the_files(
    folder: Path, registry: Registry, users: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    prometheus_client keeps each place that it is asked for, so it is asked once.
    """
    writer = start(registry)
    asked: list[str] = []
    places: Any = values.ValueClass

    def place(*args: Any, **options: Any) -> Any:
        asked.append(args[2])
        return places(*args, **options)

    monkeypatch.setattr(values, "ValueClass", place)
    for _ in range(3):
        users.call(dict)
        writer.flush()
    assert asked == []
    assert value(merged(folder), "resilience_calls_total", outcome="success") == 3


@pytest.mark.promise("J2", "J7")
def test_counters_go_on_when_a_name_is_made_anew(
    folder: Path, registry: Registry, clock: FakeClock
) -> None:
    """
    What was counted under a name that was removed stays, and its successor's calls are added.
    """
    writer = start(registry)
    for number in range(1, 4):
        again = registry.command("users")
        for _ in range(number):
            again.call(dict)
        writer.flush()
        registry.remove("users")
        clock.advance(1)
    found = merged(folder)
    assert value(found, "resilience_calls_total", outcome="success") == 6
    assert value(found, "resilience_call_duration_seconds_count", outcome="success") == 6


def test_a_counter_never_goes_down(folder: Path, registry: Registry) -> None:
    """
    Not even where a name is removed and made anew at the very same instant.
    """
    writer = start(registry)
    for number in (3, 1, 2):
        again = registry.command("users")
        for _ in range(number):
            again.call(dict)
        writer.flush()
        registry.remove("users")
    assert value(merged(folder), "resilience_calls_total", outcome="success") >= 4


def test_a_successor_between_two_flushes_is_told_from_its_predecessor(
    folder: Path, registry: Registry, clock: FakeClock
) -> None:
    """
    A name that has counted more than the one before it is still another one.
    """
    writer = start(registry)
    registry.command("users").call(dict)
    writer.flush()
    clock.advance(1)
    registry.remove("users")
    again = registry.command("users")
    again.call(dict)
    again.call(dict)
    writer.flush()
    assert value(merged(folder), "resilience_calls_total", outcome="success") == 3


@pytest.mark.promise("J7")
def test_a_removed_name_is_in_no_state(folder: Path, registry: Registry, users: Command) -> None:
    """
    Its series stay, for nothing leaves the files; but no worker has it in any state any more.
    """
    users.call(dict)
    users.force_open()
    writer = start(registry)
    before = merged(folder)
    assert value(before, "resilience_circuit_override", override="open") == 1
    registry.remove("users")
    writer.flush()
    gauges = {family.name for family in CATALOGUE if family.mode}
    after = merged(folder)
    assert {number for (metric, _), number in after.items() if metric in gauges} == {0}
    counts = [key for key in before if key[0] not in gauges]
    assert {key: after[key] for key in counts} == {key: before[key] for key in counts}


@pytest.mark.parametrize("old", [(0.1, 0.2), (0.5, 6)])
def test_other_bounds_lose_no_call(
    folder: Path, registry: Registry, clock: FakeClock, old: tuple[float, ...]
) -> None:
    """
    When latency_buckets change, calls that were counted by the old ones stay counted.

    Also by a bound that both have.
    """
    users = registry.command("users", latency_buckets=old)
    writer = start(registry)
    users.call(clock.advance, 0.25)
    writer.flush()
    users.configure(latency_buckets=(0.5, 7))
    for _ in range(2):
        users.call(clock.advance, 0.25)
        users.call(clock.advance, 8)
    writer.flush()
    found = merged(folder)
    assert value(found, "resilience_call_duration_seconds_count", outcome="success") == 5
    assert value(found, "resilience_call_duration_seconds_sum", outcome="success") == 16.75


@pytest.mark.promise("J5")
def test_names_beyond_the_bound_are_added_up(folder: Path, registry: Registry) -> None:
    """
    However many keys there were, so many names have series, and the rest is under one.
    """
    writer = start(registry, max_names=5)
    hosts = registry.keyed("http:{host}", max_size=7)
    for number in range(20):
        with hosts(host=f"{number}.example").acquire():
            writer.flush()
            found = merged(folder)
            busy = {name for name in shown(found) if value(found, "resilience_in_flight", name)}
            assert busy == {f"http:{number}.example" if number < 5 else "other"}
    writer.flush()
    found = merged(folder)
    names = shown(found)
    assert not any(value(found, "resilience_in_flight", name) for name in names)
    assert names == {*(f"http:{number}.example" for number in range(5)), "other"}
    counted = [value(found, "resilience_calls_total", name, outcome="success") for name in names]
    assert sorted(counted) == [1, 1, 1, 1, 1, 15]


def test_gauges_of_the_rest_are_merged_as_those_of_workers(
    folder: Path, registry: Registry
) -> None:
    """
    Of names that share one series states are counted, and the highest setting is shown.
    """
    for number in range(1, 4):
        registry.command(f"{number}", sleep_window=number).call(dict)
    start(registry, max_names=1)
    found = merged(folder)
    assert value(found, "resilience_circuit_state", "other", state="closed") == 2
    assert value(found, "resilience_setting", "other", setting="sleep_window") == 3
    assert value(found, "resilience_setting", "1", setting="sleep_window") == 1


def test_when_the_rest_is_gone_it_is_in_no_state(folder: Path, registry: Registry) -> None:
    """
    The series that its names had together stay, at zero.
    """
    writer = start(registry, max_names=1)
    for name in ("own", "one", "two"):
        registry.command(name).force_open()
    writer.flush()
    assert value(merged(folder), "resilience_circuit_override", "other", override="open") == 2
    registry.remove("one")
    registry.remove("two")
    writer.flush()
    found = merged(folder)
    assert value(found, "resilience_circuit_override", "other", override="open") == 0
    assert value(found, "resilience_setting", "other", setting="error_percent") == 0
    assert value(found, "resilience_circuit_override", "own", override="open") == 1


def test_what_is_added_up_is_written_in_one_step(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A scrape may come at any time, and finds no less than there is.
    """
    for name in ("own", "one", "two"):
        registry.command(name)
    files: Any = values.ValueClass
    plain, written = files.set, []

    def spy(self: Any, number: float, *args: Any) -> None:
        if all(part in self._key for part in ("circuit_state", '"closed"', '"other"')):
            written.append(number)
        plain(self, number, *args)

    monkeypatch.setattr(files, "set", spy)
    start(registry, max_names=1)
    assert set(written) == {2}


@pytest.mark.promise("J4")
@pytest.mark.parametrize("key", ['"', "\n", "\0", "\ud800", "\\", "x" * 10_000, " "], ids=range(7))
def test_hostile_names_break_no_file(folder: Path, registry: Registry, key: str) -> None:
    """
    Quotes, newlines, NUL, lone surrogates and 10 kB come through the files in one piece.
    """
    registry.keyed("http:{host}")(host=key).call(dict)
    start(registry)
    assert merged(folder) == pytest.approx(series(ResilienceCollector(registry)))


# -- the files


def test_a_file_begins_as_prometheus_client_would_begin_it(folder: Path) -> None:
    """
    There is one for each kind of metric, and nothing is done to one that is there.
    """
    its = folder / "its"
    MmapedDict(str(its)).close()
    empty = its.read_bytes()
    its.unlink()
    prepare(folder)
    kinds = ("counter", "gauge_livemax", "gauge_livesum", "histogram")
    made = sorted(folder.iterdir())
    assert [path.name for path in made] == [f"{kind}_{os.getpid()}.db" for kind in kinds]
    assert {path.read_bytes() for path in made} == {empty}
    made[0].write_bytes(b"of a metric")
    prepare(folder)
    assert sorted(folder.iterdir()) == made
    assert made[0].read_bytes() == b"of a metric"


def test_no_scrape_finds_a_file_that_is_half_made(folder: Path) -> None:
    """
    A scrape may come at any time: each file is whole from its first moment, and made once.
    """
    over = threading.Event()

    def make() -> None:
        for _ in range(50):
            prepare(folder)
            prepare(folder)
            for path in folder.glob("*.db"):
                path.unlink()
        over.set()

    thread = threading.Thread(target=make)
    thread.start()
    while not over.is_set():
        for path in folder.glob("*.db"):
            try:
                assert list(MmapedDict.read_all_values_from_file(path)) == []
            except FileNotFoundError:
                continue
    thread.join()
    assert not list(folder.iterdir())


def test_a_dead_process_is_in_no_state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its live gauges go with the next flush of another one, whether its master says so or not.
    """
    alive, dead, of_others, mine = 101, 102, 103, os.getpid()

    def kill(process: int, signal: int) -> None:
        assert signal == 0  # which only asks
        if process == dead:
            raise ProcessLookupError
        if process == of_others:
            raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    for process in (alive, dead, of_others, mine):
        (folder / f"gauge_livesum_{process}.db").touch()
        (folder / f"gauge_livemax_{process}.db").touch()
        (folder / f"gauge_all_{process}.db").touch()
    (folder / "gauge_livesum_x.db").touch()
    forget_the_dead(folder)
    left = {path.name for path in folder.glob("gauge_live*")}
    kinds, living = ("livesum", "livemax"), (alive, of_others, mine)
    kept = {f"gauge_{kind}_{process}.db" for kind in kinds for process in living}
    assert left == {*kept, "gauge_livesum_x.db"}
    assert len(list(folder.glob("gauge_all*"))) == 4


def test_another_worker_may_be_at_the_files_of_the_dead(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who comes second finds nothing to do.
    """
    path = folder / "gauge_livesum_102.db"
    path.touch()

    def kill(process: int, signal: int) -> None:
        path.unlink()
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    forget_the_dead(folder)
    assert list(folder.iterdir()) == []


def test_where_a_signal_would_end_a_process_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Only POSIX has a signal that merely asks; elsewhere nobody is taken for dead.
    """
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, signal: sent.append(process))
    monkeypatch.setattr(os, "name", "nt")
    gone = its_files._is_gone(102)
    monkeypatch.undo()
    assert (gone, sent) == (False, [])


def test_a_process_that_ended_is_in_no_state(folder: Path) -> None:
    """
    The system is asked, and says so.
    """
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    (folder / f"gauge_livesum_{dead.pid}.db").touch()
    forget_the_dead(folder)
    assert list(folder.iterdir()) == []


# -- its life


def test_it_writes_by_itself(folder: Path, registry: Registry, users: Command) -> None:
    """
    Once an interval, without being asked.
    """
    start_multiprocess_writer(timedelta(milliseconds=1), registry=registry)
    users.call(dict)
    wait = threading.Event().wait
    assert any(
        value(merged(folder), "resilience_calls_total", outcome="success") == 1
        for _ in range(1000)
        if not wait(0.005)
    )


def test_between_two_times_an_interval_passes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As long as it was asked for; a second, if nothing was said.
    """
    waits: list[float] = []

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout is not None:
                waits.append(timeout)
            return True

    monkeypatch.setattr(multiprocess, "Event", Over)
    for options in ({"interval": 7}, {"interval": timedelta(hours=1)}, {}):
        start_multiprocess_writer(registry=registry, **options).stop()
    assert waits == [7, 3600, 1]


def test_starting_twice_is_harmless(folder: Path, registry: Registry, users: Command) -> None:
    """
    There is one writer, with one thread, and each call is counted once.
    """
    before = set(threading.enumerate())
    writers = {start(registry), start(registry), start_multiprocess_writer(1800, registry=registry)}
    assert len(writers) == 1
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon  # the process ends without waiting for it
    users.call(dict)
    for writer in writers:
        writer.flush()
    assert value(merged(folder), "resilience_calls_total", outcome="success") == 1


def test_the_files_are_there_before_the_first_name(folder: Path, registry: Registry) -> None:
    """
    prometheus_client would make each as its first series comes, and not in one step.
    """
    start(registry)
    assert len(list(folder.glob("*.db"))) == 4


def test_there_is_room_for_a_thousand_names(registry: Registry) -> None:
    """
    Unless it is told otherwise, and no more.
    """
    ledger = start(registry)._ledger
    assert {ledger._shown(f"{number}") for number in range(1000)} == {*map(str, range(1000))}
    assert ledger._shown("1000") == OTHER
    assert ledger._shown("999") == "999"


def test_it_can_be_stopped_and_started_again(
    folder: Path, registry: Registry, users: Command
) -> None:
    """
    Stopping writes what there is, once; starting goes on from there.
    """
    before = threading.active_count()
    for number in range(1, 4):
        writer = start(registry)
        users.call(dict)
        writer.stop()
        writer.stop()
        assert threading.active_count() == before
        assert not writer.running
        assert value(merged(folder), "resilience_calls_total", outcome="success") == number


def test_who_stops_it_waits_for_the_end_of_its_thread(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Afterwards nothing is written any more, however slowly the thread ends.
    """
    slow = threading.Event().wait

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            over = super().wait(timeout)
            slow(0.05)
            return over

    monkeypatch.setattr(multiprocess, "Event", Over)
    before = set(threading.enumerate())
    writer = start(registry)
    (thread,) = set(threading.enumerate()) - before
    writer.stop()
    assert not thread.is_alive()


def test_a_flush_in_the_middle_of_a_flush_counts_nothing_twice(
    folder: Path, registry: Registry, users: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A signal handler may flush while its thread is flushing.
    """
    writer = start(registry)
    users.call(dict)
    plain = Registry.snapshot

    def interrupted(self: Registry) -> Any:
        writer.flush()
        return plain(self)

    monkeypatch.setattr(Registry, "snapshot", interrupted)
    writer.flush()
    assert value(merged(folder), "resilience_calls_total", outcome="success") == 1


def test_trouble_with_the_files_is_logged_and_over_when_it_is_over(
    folder: Path,
    registry: Registry,
    users: Command,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A thread that cannot write says so and tries again; whoever flushes is told himself.
    """
    monkeypatch.setattr("resilience._log._last", {})
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "gone"))
    (folder / "gone").mkdir()
    writer = start(registry)
    (folder / "gone" / "x").touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "gone" / "x"))
    users.call(dict)
    with pytest.raises(NotADirectoryError):
        writer.flush()
    writer.stop()
    assert [each.getMessage() for each in caplog.records] == ["metrics could not be written"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, r"interval must be in \(0, 31,536,000\] seconds, not 0"),
        ({"interval": "1"}, "interval must be in"),
        ({"interval": float("inf")}, "interval must be in"),
        ({"max_names": 0}, "max_names must be an integer from 1 on, not 0"),
        ({"max_names": True}, "max_names must be an integer"),
        ({"registry": CollectorRegistry()}, r"registry must be a resilience\.Registry, not"),
    ],
    ids=range(6),
)
def test_wrong_arguments_are_refused(options: Any, message: str) -> None:
    """
    What cannot be meant is refused before anything is started.
    """
    before = threading.active_count()
    with pytest.raises(ConfigurationError, match=message):
        start_multiprocess_writer(**options)
    assert threading.active_count() == before


def test_a_missing_folder_is_refused(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """
    Without the folder of prometheus_client's multiprocess mode there is nowhere to write.
    """
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "missing"))
    with pytest.raises(ConfigurationError, match="must name a folder, not '/"):
        start_multiprocess_writer()
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    with pytest.raises(ConfigurationError, match="must name a folder, not None"):
        start_multiprocess_writer()


def test_a_folder_that_was_named_too_late_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    prometheus_client looks once, when it is imported; later it would show nothing.
    """
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    with pytest.raises(ConfigurationError, match="before prometheus_client is imported"):
        start_multiprocess_writer()


def test_a_second_registry_is_refused(registry: Registry) -> None:
    """
    Two registries may have the same names, and the files tell them apart by nothing else.
    """
    first = start(registry)
    with pytest.raises(ConfigurationError, match="the one that is written already"):
        start(Registry())
    first.stop()
    start(Registry())


# -- forks


@forking
def test_a_forked_child_has_a_writer_of_its_own(
    folder: Path, registry: Registry, users: Command
) -> None:
    """
    A writer from before the fork goes on in the child, from zero, in files of its own.
    """
    writer = start(registry)
    users.call(dict)

    def child() -> tuple[bool, int]:
        users.call(dict)
        users.call(dict)
        writer.flush()
        return writer.running, threading.active_count()

    assert in_a_child(child) == [True, 2]
    assert writer.running
    users.call(dict)
    writer.flush()
    found = merged(folder)
    assert value(found, "resilience_calls_total", outcome="success") == 4
    assert len({path.stem.rpartition("_")[2] for path in folder.glob("*.db")}) == 2


@pytest.mark.parametrize("stopped", [False, True])
def test_what_was_counted_before_a_fork_is_written_before_it(
    folder: Path,
    registry: Registry,
    users: Command,
    stopped: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Unless the writer was stopped: then a fork writes nothing.
    """
    waiting = threading.Event()

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waiting.set()
            return super().wait(timeout)

    monkeypatch.setattr(multiprocess, "Event", Over)
    writer = start(registry)
    assert waiting.wait(PATIENCE)
    if stopped:
        writer.stop()
    users.call(dict)
    multiprocess._before()
    try:
        found = merged(folder)
    finally:
        multiprocess._in_parent()
    assert value(found, "resilience_calls_total", outcome="success") == (not stopped)


@forking
def test_a_child_that_starts_again_begins_with_nothing(
    folder: Path, registry: Registry, users: Command
) -> None:
    """
    What its parent has entered is no part of its own calls, of which each is entered.
    """
    users.call(dict)
    start(registry).stop()

    def child() -> None:
        users.call(dict)
        users.call(dict)
        start(registry).stop()

    assert in_a_child(child) is None
    assert value(merged(folder), "resilience_calls_total", outcome="success") == 3


@forking
def test_a_fork_leaves_no_lock_behind(registry: Registry) -> None:
    """
    Neither here nor in the child; another thread can stop the writer and start it again.
    """
    writer = start(registry)

    def others() -> bool:
        return Caller(lambda: (writer.stop(), start(registry))[1]).outcome().running

    assert in_a_child(others) is True
    assert others() is True


@forking
def test_a_child_writes_by_itself(folder: Path, registry: Registry, users: Command) -> None:
    """
    Nobody has to flush in the child.
    """
    start_multiprocess_writer(0.001, registry=registry)

    def child() -> bool:
        users.call(dict)
        wait = threading.Event().wait
        return any(
            value(merged(folder), "resilience_calls_total", outcome="success") == 1
            for _ in range(1000)
            if not wait(0.005)
        )

    assert in_a_child(child) is True


@forking
def test_who_forks_is_a_master_until_it_makes_a_call(
    folder: Path, registry: Registry, users: Command
) -> None:
    """
    States are the number of workers in them: a master that only looks after them is none.
    """
    writer = start(registry)

    def closed() -> float:
        return value(merged(folder), "resilience_circuit_state", state="closed")

    def child() -> float:
        writer.flush()
        return closed()

    assert closed() == 1
    assert in_a_child(child) in {1, 2}  # the parent may not have written yet
    writer.flush()
    assert closed() == 0
    assert in_a_child(child) == 1
    writer.flush()
    assert closed() == 0  # and the child is gone
    users.call(dict)
    writer.flush()
    assert closed() == 1


@forking
def test_a_name_that_leaves_its_master_is_in_no_state(
    folder: Path, registry: Registry, users: Command
) -> None:
    """
    Also where it is removed before the master has written once.
    """
    writer = start(registry)
    in_a_child(lambda: None)
    registry.remove("users")
    writer.flush()
    assert value(merged(folder), "resilience_circuit_state", state="closed") == 0


@forking
@pytest.mark.promise("I5")
def test_a_fork_in_the_middle_of_flushes_locks_nobody_out(
    folder: Path, registry: Registry, users: Command
) -> None:
    """
    Whatever thread is flushing, the child can flush.
    """
    writer = start_multiprocess_writer(1e-6, registry=registry)
    over = threading.Event()

    def keep_flushing() -> None:
        while not over.is_set():
            users.call(dict)
            writer.flush()

    thread = threading.Thread(target=keep_flushing)
    thread.start()
    try:
        for _ in range(10):
            assert in_a_child(writer.flush) is None
    finally:
        over.set()
        thread.join()


@forking
def test_a_stopped_writer_stays_stopped_in_the_child(registry: Registry) -> None:
    """
    A fork starts nothing that was stopped.
    """
    writer = start(registry)
    writer.stop()
    assert in_a_child(lambda: writer.running) is False
    assert not writer.running


@forking
@pytest.mark.promise("J2")
def test_the_number_of_a_dead_process_may_be_given_again(
    folder: Path, registry: Registry, users: Command
) -> None:
    """
    Who finds the file of an earlier process with its own number goes on from what is there.
    """
    users.call(dict)
    start(registry).stop()
    multiprocess._writers.clear()
    files: Any = values.ValueClass
    files.close_all_files()
    values.ValueClass = values.MultiProcessValue()  # type: ignore[misc]
    again = Registry()
    again.command("users").call(dict)
    start(again)
    assert value(merged(folder), "resilience_calls_total", outcome="success") == 2


# -- ends


PROGRAM = """
import atexit, os, sys, threading
from resilience import command
from resilience.prometheus import start_multiprocess_writer
start_multiprocess_writer(3600)
users = command("users")
users.call(dict)
{then}
"""


@pytest.mark.parametrize(
    ("then", "calls"),
    [
        ("", 1),
        ("sys.exit(0)", 1),
        ("atexit.register(users.call, dict)", 2),
        ("threading.Thread(target=users.call, args=(dict,)).start()", 2),
        ("os._exit(0)", 0),
    ],
)
@pytest.mark.promise("I7")
def test_a_process_that_ends_by_itself_writes_once_more(
    folder: Path, then: str, calls: int
) -> None:
    """
    Nothing is lost at an ordinary exit, and nothing is said; a process torn away loses an interval.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(then=then)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    key = "resilience_calls_total", frozenset({"name": "users", "outcome": "success"}.items())
    assert merged(folder).get(key, 0) == calls


def test_the_exit_stops_every_writer(folder: Path, registry: Registry, users: Command) -> None:
    """
    What has not been written by then is.
    """
    writer = start(registry)
    users.call(dict)
    multiprocess._at_exit()
    assert not writer.running
    assert value(merged(folder), "resilience_calls_total", outcome="success") == 1
