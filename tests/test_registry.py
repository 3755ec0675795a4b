from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    Outcome,
    Registry,
    Settings,
    State,
    command,
    configure,
    deadline,
    default_registry,
    remaining,
)
from resilience._core.slots import Waiter
from tests.support.runtime import FakeClock, Runtime
from tests.support.scene import drive
from tests.support.threads import PATIENCE, Caller, Gate, together


@pytest.fixture(autouse=True)
def _clock(clock: FakeClock) -> None:
    """Every registry of this file lives by the test's clock."""


async def nothing() -> None:
    """Do nothing."""


def fail(guard: Any, times: int = 1) -> None:
    """Let calls of it fail."""
    for _ in range(times):
        guard.acquire().fail(OSError("no"))


def defined(source: str, guard: Command) -> Callable[[], int]:
    """Decorate a function as if it stood at `source`."""

    def fn() -> int:
        return 1

    fn.__module__, fn.__qualname__ = source.rsplit(".", 1)
    return guard(fn)


# -- one name, one dependency


def test_what_has_one_name_shares_one_circuit(run: Runtime, registry: Registry) -> None:
    """
    A breaker and two commands of one name count together, and open together.
    """
    breaker = CircuitBreaker("db", volume_threshold=2, registry=registry)
    one, two = registry.command("db"), command("db", registry=registry)
    fail(breaker)
    fail(one)
    assert breaker.state is one.state is two.state is State.OPEN
    assert isinstance(run.raised(two(run.body())), CircuitOpenError)
    assert two.snapshot() == one.snapshot()
    assert registry.get("db") == breaker.snapshot()


def test_what_has_one_name_shares_its_slots(run: Runtime, registry: Registry) -> None:
    """
    A bulkhead and a command of one name have the same slots.
    """
    bulkhead = Bulkhead(1, name="db", registry=registry)
    cmd = registry.command("db")
    with bulkhead.acquire():
        assert isinstance(run.raised(cmd(run.body())), BulkheadFullError)
        assert cmd.snapshot().in_flight == 1


def test_names_and_registries_keep_apart(registry: Registry) -> None:
    """
    Another name, the same name in another registry, and no name at all: nothing is shared.
    """
    cmd = registry.command("db", volume_threshold=1)
    others = [
        registry.command("other", volume_threshold=1),
        Registry().command("db", volume_threshold=1),
        CircuitBreaker(volume_threshold=1, registry=registry),
        CircuitBreaker(volume_threshold=1),
    ]
    fail(cmd)
    assert cmd.state is State.OPEN
    assert [other.state for other in others] == [State.CLOSED] * 4
    assert list(registry) == ["db", "other"]


def test_the_default_registry_takes_what_names_none() -> None:
    """
    Without `registry=` a name belongs to `default_registry`, and `configure` speaks to it.
    """
    name = "test_registry default"
    configure(name, buckets=7)
    try:
        assert command(name).settings.buckets == 7
        assert name in default_registry
    finally:
        default_registry.remove(name)


@pytest.mark.promise("K1")
@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\x00b", "\u2028", "\ud800", "x" * 1001, "x" * 4_000_000, 3, b"db", True]
)
def test_a_name_is_some_printable_text(registry: Registry, name: Any) -> None:
    """
    Anything else is refused at construction, in words that hold no 4 MB of it.
    """
    for make in (
        lambda: registry.command(name),
        lambda: CircuitBreaker(name, registry=registry),
        lambda: Bulkhead(1, name=name, registry=registry),
        lambda: registry.configure({name: {}}),
        *([lambda: registry.configure(name, timeout=1)] if isinstance(name, str) else []),
    ):
        with pytest.raises(ConfigurationError, match="name must be") as caught:
            make()
        assert len(str(caught.value)) < 300
    assert list(registry) == []


def test_names_and_fields_that_are_wrong_are_told_together(registry: Registry) -> None:
    """
    Each with the name it was given for, and nothing was changed.
    """
    with pytest.raises(ConfigurationError) as caught:
        registry.configure({"": {}, "db": {"timeout": -1}, "users": {"timeout": 3}})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["''", "'db'"]
    assert registry.command("users").settings.timeout == 1


def test_a_command_has_a_name(registry: Registry) -> None:
    """
    Only parts may be private.
    """
    nobody: Any = None
    with pytest.raises(ConfigurationError, match="name must be"):
        registry.command(nobody)


def test_fields_that_do_not_fit_together_are_refused_at_construction(registry: Registry) -> None:
    """
    Before anything is made of them.
    """
    with pytest.raises(ConfigurationError, match="sleep_window_max"):
        registry.command("db", sleep_window=5, sleep_window_max=1)
    assert list(registry) == []


# -- merging, conflict, redefinition


@pytest.mark.promise("K4")
def test_fields_of_one_name_merge(registry: Registry) -> None:
    """
    Each may say what it knows: together they make one configuration.
    """
    one = registry.command("db", error_percent=25)
    two = registry.command("db", Settings(sleep_window=7), max_concurrency=3)
    CircuitBreaker("db", volume_threshold=4, registry=registry)
    defined("a.one", one)
    defined("a.two", two)
    for cmd in (one, two):
        settings = cmd.settings
        assert (settings.error_percent, settings.sleep_window) == (25, 7)
        assert (settings.max_concurrency, settings.volume_threshold) == (3, 4)


def test_keywords_win_over_settings(registry: Registry) -> None:
    """
    A keyword beside a `Settings` replaces its field; fields it was not given say nothing.
    """
    cmd = registry.command("db", Settings(timeout=2, buckets=5), timeout=3)
    assert (cmd.settings.timeout, cmd.settings.buckets) == (3, 5)
    other = registry.command("db", Settings(error_percent=25))
    defined("a.cmd", cmd)
    defined("a.other", other)
    assert other.settings.buckets == 5


@pytest.mark.promise("K4")
def test_a_contradiction_is_an_error_that_names_both(registry: Registry) -> None:
    """
    Two values of one field under one name are an error at decoration.

    It names field, name, both values and who said the first, and changes nothing.
    """
    defined("shop.users.load", registry.command("db", error_percent=25, buckets=5))
    with pytest.raises(ConfigurationError) as caught:
        defined("shop.orders.load", registry.command("db", error_percent=75, buckets=6))
    assert len(caught.value.faults) == 2
    text = str(caught.value)
    for part in ("error_percent", "buckets", "'db'", "25", "75", "shop.users.load"):
        assert part in text
    assert "shop.orders.load" in text or "shop.orders" not in text
    snapshot = registry.get("db")
    assert snapshot is not None
    assert (snapshot.settings.error_percent, snapshot.settings.buckets) == (25, 5)


@pytest.mark.promise("K4")
@pytest.mark.parametrize(
    "use",
    [
        lambda cmd: cmd.call(int),
        lambda cmd: drive(cmd.acall(nothing)),
        lambda cmd: cmd.__enter__(),
        lambda cmd: drive(cmd.__aenter__()),
        lambda cmd: cmd.acquire(),
        lambda cmd: drive(cmd.aacquire()),
    ],
    ids=["call", "acall", "with", "async with", "acquire", "aacquire"],
)
def test_a_contradiction_shows_at_first_use(registry: Registry, use: Callable[[Any], Any]) -> None:
    """
    A command that decorates nothing finds it out when it is first used.
    """
    defined("a.f", registry.command("db", buckets=5))
    other = registry.command("db", buckets=6)
    with pytest.raises(ConfigurationError, match="buckets"):
        use(other)
    assert registry.get("db").totals[Outcome.SUCCESS] == 0


@pytest.mark.promise("K4")
def test_the_same_value_twice_is_no_contradiction(registry: Registry) -> None:
    """
    Saying it again is allowed, in another unit too.
    """
    defined("a.f", registry.command("db", sleep_window=5, error_percent=50))
    defined("a.g", registry.command("db", sleep_window=5.0, error_percent=50.0))
    CircuitBreaker("db", sleep_window=5, registry=registry)


def test_what_many_objects_say_alike_is_remembered_once(registry: Registry) -> None:
    """
    A breaker made for each request takes no memory for each, and contradicts nobody.

    One that says something else is told what was said, though nobody knows where.
    """
    for _ in range(10):
        CircuitBreaker("db", buckets=5, registry=registry)
    assert len(registry.entry("db")._declared._said) == 1
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreaker("db", buckets=6, registry=registry)
    assert str(caught.value) == "buckets of 'db' is 5 already, and cannot be 6 as well"


def test_what_is_wrong_leaves_no_name_behind(registry: Registry) -> None:
    """
    Fields that contradict each other are refused before anything is made of them.
    """
    with pytest.raises(ConfigurationError, match="sleep_window_max"):
        CircuitBreaker("db", sleep_window=10, sleep_window_max=5, registry=registry)
    assert registry.get("db") is None


@pytest.mark.parametrize("wrong", [3, "shop", Registry])
def test_what_is_no_registry_is_refused(wrong: Any) -> None:
    """
    It is told in words.
    """
    with pytest.raises(ConfigurationError, match="registry must be a Registry or None, not"):
        CircuitBreaker("db", registry=wrong)


def test_a_function_defined_anew_replaces_what_it_said(registry: Registry) -> None:
    """
    The same `module.qualname` again, as in a notebook or after a reload, is no contradiction.

    Its new word counts, and what it says no more is forgotten.
    """
    first = registry.command("db", error_percent=25, buckets=5)
    defined("shop.users.load", first)
    fail(first)
    second = registry.command("db", error_percent=75)
    defined("shop.users.load", second)
    assert second.settings.error_percent == first.settings.error_percent == 75
    assert registry.get("db").settings.buckets == 10
    assert second.snapshot().totals[Outcome.FAILURE] == 1


def test_a_function_defined_anew_may_still_contradict_another(registry: Registry) -> None:
    """
    It replaces its own word, and nobody else's.
    """
    defined("a.f", registry.command("db", buckets=5))
    defined("a.g", registry.command("db", error_percent=25))
    with pytest.raises(ConfigurationError, match=r"a\.f"):
        defined("a.g", registry.command("db", buckets=6))


def test_two_lambdas_are_two_functions(registry: Registry) -> None:
    """
    Although both have one name: the second is no new definition of the first.
    """
    registry.command("db", buckets=5)(lambda: 1)
    with pytest.raises(ConfigurationError, match="lambda"):
        registry.command("db", buckets=6)(lambda: 2)


@pytest.mark.promise("K4")
def test_of_eight_threads_that_contradict_one_another_one_wins(registry: Registry) -> None:
    """
    Raced by eight threads, exactly one definition stands; the others are told of it.
    """
    for turn in range(30):
        name = f"db {turn}"

        def define(number: int, name: str = name) -> int | None:
            try:
                defined(f"a.f{number}", registry.command(name, buckets=number + 1))
            except ConfigurationError:
                return None
            return number + 1

        winners = [buckets for buckets in together(8, define) if buckets is not None]
        snapshot = registry.get(name)
        assert snapshot is not None
        assert winners == [snapshot.settings.buckets]


def test_eight_threads_that_agree_share_one_entry(registry: Registry) -> None:
    """
    Made by eight threads at once, a name is one dependency: no count is lost.
    """
    for turn in range(30):
        name = f"db {turn}"
        together(8, lambda _, name=name: fail(CircuitBreaker(name, registry=registry)))
        snapshot = registry.get(name)
        assert snapshot is not None
        assert snapshot.totals[Outcome.FAILURE] == 8


def test_timeouts_belong_to_each_command(registry: Registry) -> None:
    """
    Two commands of one name may differ in `timeout`, and contradict nobody.
    """
    one, two = registry.command("db", timeout=1.5), registry.command("db", timeout=None)
    defined("a.f", one)
    defined("a.g", two)
    assert (one.settings.timeout, two.settings.timeout) == (1.5, None)


# -- configure


def test_every_command_of_a_name_sees_a_change(registry: Registry, clock: FakeClock) -> None:
    """
    Not only the one that was made last.
    """
    commands = [Command("db", registry=registry, timeout=timeout) for timeout in (1, 2)]
    registry.configure("db", timeout=5)
    for each in commands:
        each.call(clock.advance, 3)
    assert registry.snapshot()["db"].totals[Outcome.SUCCESS] == 2


def test_a_timeout_that_was_configured_is_a_deadline(registry: Registry) -> None:
    """
    What a function calls in the same thread may ask for it; the default judges it alone.
    """
    guarded = Command("db", registry=registry)(remaining)
    assert guarded() is None
    registry.configure("db", timeout=5)
    assert guarded() == 5


@pytest.mark.parametrize("when", ["before", "after"])
def test_configure_wins_over_the_code(registry: Registry, when: str) -> None:
    """
    Configuration wins over keywords, keywords over defaults.

    It is said before or after the command exists.
    """

    def say() -> None:
        registry.configure("db", timeout=0.5, error_percent=25)

    if when == "before":
        say()
    cmd = registry.command("db", timeout=2, error_percent=75, buckets=5)
    defined("a.f", cmd)
    if when == "after":
        assert (cmd.settings.timeout, cmd.settings.error_percent) == (2, 75)
        say()
    settings = cmd.settings
    assert (settings.timeout, settings.error_percent, settings.buckets) == (0.5, 25, 5)
    assert settings.sleep_window == 5


@pytest.mark.parametrize("form", ["fields", "settings", "mapping", "mapping of settings", "cmd"])
def test_configure_takes_fields_settings_and_mappings(registry: Registry, form: str) -> None:
    """
    Each form says the same; a `Settings` says only what it was given.
    """
    cmd = registry.command("db", buckets=5)
    defined("a.f", cmd)
    if form == "fields":
        registry.configure("db", error_percent=25, sleep_window=9)
    elif form == "settings":
        registry.configure("db", Settings(error_percent=25), sleep_window=9)
    elif form == "mapping":
        registry.configure({"db": {"error_percent": 25, "sleep_window": 9}})
    elif form == "cmd":
        cmd.configure(error_percent=25, sleep_window=9)
    else:
        registry.configure({"db": Settings(error_percent=25, sleep_window=9)})
    settings = cmd.settings
    assert (settings.error_percent, settings.sleep_window, settings.buckets) == (25, 9, 5)


def test_configure_adds_up(registry: Registry) -> None:
    """
    A second call changes what it names, and keeps the rest of the first.
    """
    registry.configure("db", buckets=5, error_percent=25)
    registry.configure("db", error_percent=30)
    assert registry.command("db").settings.buckets == 5
    assert registry.command("db").settings.error_percent == 30


@pytest.mark.promise("K3")
def test_a_mapping_changed_later_changes_nothing(registry: Registry) -> None:
    """
    What was handed in is copied.
    """
    changes = {"db": {"latency_buckets": [1.0, 2.0]}}
    registry.configure(changes)
    changes["db"]["latency_buckets"].append(3.0)
    changes["db"]["buckets"] = 3
    assert registry.command("db").settings.latency_buckets == (1.0, 2.0)
    assert registry.command("db").settings.buckets == 10


BAD = [
    {"b": {"timeout": -1}},
    {"b": {"tiemout": 1}},
    {"b": {"sleep_window": 5, "sleep_window_max": 2}},
    {"b": 3},
    {"b": None},
    {"": {"timeout": 1}},
    {3: {"timeout": 1}},
]


@pytest.mark.promise("K1")
@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("first", [True, False])
def test_a_mapping_with_a_fault_changes_nothing(
    registry: Registry, bad: dict[Any, Any], *, first: bool
) -> None:
    """
    All names are checked before any is changed, in whatever order they stand.
    """
    good = {"a": {"timeout": 2}}
    with pytest.raises(ConfigurationError):
        registry.configure(bad | good if first else good | bad)
    assert registry.command("a").settings.timeout == 1
    assert registry.command("b").settings.timeout == 1


@pytest.mark.promise("K2")
def test_a_fault_across_code_and_configuration_changes_nothing(registry: Registry) -> None:
    """
    A field that only contradicts what the code says of that name is a fault like any other.

    No name of the mapping is changed, now or for commands made later.
    """
    a = registry.command("a")
    b = registry.command("b", sleep_window=30)
    defined("a.b", b)
    with pytest.raises(ConfigurationError, match="sleep_window_max"):
        registry.configure({"a": {"timeout": 2}, "b": {"sleep_window_max": 20}})
    assert a.settings.timeout == 1
    assert b.settings.sleep_window_max is None
    registry.configure("b", buckets=5)
    assert b.settings.buckets == 5


def test_faults_of_several_names_are_reported_together(registry: Registry) -> None:
    """
    One error names each name with each of its faults.
    """
    with pytest.raises(ConfigurationError) as caught:
        registry.configure({"a": {"timeout": -1, "buckets": 0}, "b": {"tiemout": 1}})
    text = str(caught.value)
    assert len(caught.value.faults) == 3
    for part in ("'a'", "timeout", "buckets", "'b'", "tiemout", "did you mean timeout"):
        assert part in text


@pytest.mark.parametrize("wrong", [3, None, [("db", {})], b"db"], ids=repr)
def test_configure_takes_a_name_or_a_mapping(registry: Registry, wrong: Any) -> None:
    """
    Anything else is a `ConfigurationError`.
    """
    with pytest.raises(ConfigurationError):
        registry.configure(wrong)


# -- live changes


def test_a_live_change_keeps_state_and_totals(registry: Registry) -> None:
    """
    The circuit stays open, its generation and its counts stay, and the new rules apply.
    """
    cmd = registry.command("db", volume_threshold=4)
    fail(cmd, 3)
    before = cmd.snapshot()
    cmd.configure(error_percent=10, sleep_window=30)
    after = cmd.snapshot()
    assert (after.window, after.totals, after.generation) == (
        before.window,
        before.totals,
        before.generation,
    )
    fail(cmd)
    assert cmd.state is State.OPEN
    cmd.configure(volume_threshold=100)
    assert cmd.state is State.OPEN
    assert cmd.snapshot().retry_after == 30


def test_a_live_change_resizes_the_bulkhead(run: Runtime, registry: Registry) -> None:
    """
    A smaller limit holds for who comes, a larger one at once.
    """
    cmd = registry.command("db", max_concurrency=2)
    guarded = cmd(run.body(returns=3))
    with cmd.acquire(), cmd.acquire():
        assert isinstance(run.raised(guarded), BulkheadFullError)
        cmd.configure(max_concurrency=3)
        assert run.call(guarded) == 3
        cmd.configure(max_concurrency=1)
        assert isinstance(run.raised(guarded), BulkheadFullError)
    assert run.call(guarded) == 3
    assert cmd.snapshot().in_flight == 0


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"buckets": 5}, False),
        ({"rolling_window": 20}, False),
        ({"rolling_window": 20, "buckets": 20}, False),
        ({"buckets": 10}, True),
        ({"rolling_window": 10}, True),
        ({"error_percent": 10}, True),
        ({"latency_buckets": [1, 2]}, True),
    ],
    ids=str,
)
def test_a_window_of_another_shape_starts_empty(
    registry: Registry, change: dict[str, Any], *, kept: bool
) -> None:
    """
    Where length or number of buckets change the statistics begin anew; totals stay.
    """
    cmd = registry.command("db")
    fail(cmd, 3)
    cmd.configure(**change)
    snapshot = cmd.snapshot()
    assert snapshot.window.calls == (3 if kept else 0)
    assert snapshot.totals[Outcome.FAILURE] == 3


def test_a_new_histogram_starts_empty(registry: Registry) -> None:
    """
    Durations counted by other bounds are dropped; what comes is counted by the new ones.
    """
    cmd = registry.command("db")
    cmd.acquire().succeed()
    cmd.configure(latency_buckets=[1, 2])
    cmd.acquire().succeed()
    latency = cmd.snapshot().latency[Outcome.SUCCESS]
    assert (latency.bounds, latency.counts) == ((1, 2), (1, 0, 0))


@pytest.mark.promise("K6")
def test_a_running_call_sees_one_configuration(registry: Registry, clock: FakeClock) -> None:
    """
    A call goes by the settings it began with, to its end.
    """
    cmd = registry.command("db", slow_call_duration=2)

    @cmd
    def body() -> None:
        cmd.configure(slow_call_duration=100, timeout=0.001)
        clock.advance(3)

    body()
    snapshot = cmd.snapshot()
    assert snapshot.slow == 1
    assert snapshot.totals[Outcome.SUCCESS] == 1


@pytest.mark.promise("K6", "I2")
def test_configuring_under_load_loses_nothing(registry: Registry) -> None:
    """
    While threads call, one changes settings again and again: every call is counted once.
    """
    cmd = registry.command("db", max_concurrency=None)

    @cmd
    def body() -> None:
        pass

    def caller(number: int) -> None:
        for turn in range(300):
            if number:
                body()
            else:
                cmd.configure(buckets=turn % 7 + 1, error_percent=turn % 9 + 1, timeout=turn + 1)

    together(5, caller)
    snapshot = cmd.snapshot()
    assert snapshot.totals[Outcome.SUCCESS] == 4 * 300
    assert sum(snapshot.totals.values()) == 4 * 300
    assert snapshot.in_flight == 0


# -- keyed


def test_each_key_has_a_command(registry: Registry) -> None:
    """
    Keys are told apart, and the same key is the same command.
    """
    hosts = registry.keyed("http:{host}", volume_threshold=1)
    assert hosts(host="a").name == "http:a"
    assert hosts(host="a") is hosts(host="a")
    fail(hosts(host="a"))
    assert hosts(host="a").state is State.OPEN
    assert hosts(host="b").state is State.CLOSED
    assert list(registry) == ["http:a", "http:b"]
    assert len(hosts) == 2


def test_a_template_may_have_several_fields(registry: Registry) -> None:
    """
    All of them, and no other, make the key.
    """
    shards = registry.keyed("{tenant}/{shard}")
    assert shards(shard=3, tenant="x").name == "x/3"
    for wrong in ({}, {"tenant": 1}, {"tenant": 1, "shard": 1, "more": 1}):
        with pytest.raises(ConfigurationError, match="shard, tenant"):
            shards(**wrong)


def test_keys_that_differ_have_names_that_differ(registry: Registry) -> None:
    """
    A key that contains what stands between the fields is no other key.
    """
    shards = registry.keyed("{tenant}/{shard}")
    assert shards(tenant="a/b", shard="c") is not shards(tenant="a", shard="b/c")


@pytest.mark.parametrize(
    "template", ["plain", "", "{}", "{0}", "{a.b}", "{a[0]}", "a\n{host}", "{a b}", 3, None, "{"]
)
def test_a_template_names_its_key(registry: Registry, template: Any) -> None:
    """
    Anything but plain names in braces is refused when it is made.
    """
    with pytest.raises(ConfigurationError):
        registry.keyed(template)


def test_a_template_leaves_room_for_its_key(registry: Registry) -> None:
    """
    One so long that keys could not be told apart in what is left of a name is refused.
    """
    with pytest.raises(ConfigurationError, match="no room for its fields"):
        registry.keyed("x" * 963 + "{host}")
    assert registry.keyed("x" * 962 + "{host}")(host="a").name == "x" * 962 + "a"
    assert registry.keyed("x" * 900 + "{host}")(host="a").name == "x" * 900 + "a"


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, None, "3"], ids=repr)
def test_the_number_of_keys_is_a_number(registry: Registry, wrong: Any) -> None:
    """
    A keyed command is always bounded.
    """
    with pytest.raises(ConfigurationError, match="max_size"):
        registry.keyed("{host}", max_size=wrong)


HOSTILE = [
    "",
    " ",
    "\n",
    "a\x00b",
    "\u2028",
    "\ud800",
    "{host}",
    "{0.__class__}",
    "x" * 10_000,
    "é" * 10_000,
    '"\\',
    "\u202e",
    b"bytes",
    None,
    3.5,
    ("a", 1),
]


@pytest.mark.promise("J4", "M3")
@pytest.mark.parametrize("fields", [1, 8])
def test_any_key_will_do(registry: Registry, fields: int) -> None:
    """
    Whatever comes from outside makes a name that can be exported: printable, short, its own.
    """
    template = "k:" + ":".join(f"{{f{number}}}" for number in range(fields))
    keyed = registry.keyed(template)
    names = [keyed(**{f"f{number}": key for number in range(fields)}).name or "" for key in HOSTILE]
    assert len(set(names)) == len(HOSTILE)
    assert all(name.isprintable() and name.startswith("k:") for name in names)
    assert all(len(name) <= 1000 for name in names)
    assert set(registry) == set(names)


@pytest.mark.promise("J4")
def test_a_key_cannot_pass_for_another(registry: Registry) -> None:
    """
    A key that is spelled like the escaped form of another is still another key.
    """
    keyed = registry.keyed("{key}")
    victim = keyed(key="line\nbreak")
    assert keyed(key=victim.name) is not victim


def test_a_long_key_is_cut_and_marked(registry: Registry) -> None:
    """
    Two hundred characters stand as they are; of more only the first, before a checksum of all.
    """
    hosts = registry.keyed("http:{host}")
    assert hosts(host="x" * 200).name == "http:" + "x" * 200
    name = hosts(host="x" * 201).name or ""
    assert re.fullmatch(r"http:x{183}~[0-9a-f]{16}", name)


def test_the_key_that_was_longest_not_asked_for_leaves(registry: Registry) -> None:
    """
    Asking for a key keeps it, and what is known of it.
    """
    hosts = registry.keyed("http:{host}", max_size=2)
    for host in ("a", "b", "a", "c", "a"):
        hosts(host=host).acquire().succeed()
    assert list(registry) == ["http:a", "http:c"]
    assert hosts(host="a").snapshot().totals[Outcome.SUCCESS] == 3


def test_keys_are_bounded_by_themselves(registry: Registry) -> None:
    """
    By a thousand, where nothing else is said.
    """
    hosts = registry.keyed("http:{host}")
    held = [hosts(host=number) for number in range(1001)]
    assert [cmd.name for cmd in held[-2:]] == ["http:999", "http:other"]


@pytest.mark.promise("J5", "M3")
def test_keys_are_bounded(registry: Registry) -> None:
    """
    Idle keys nobody holds make room for new ones.

    Many thousand keys are never more than `max_size` names.
    """
    hosts = registry.keyed("http:{host}", max_size=10)
    for number in range(5000):
        hosts(host=number).acquire().succeed()
        assert len(hosts) <= 10
    assert len(registry) <= 10
    assert hosts(host=4999).snapshot().totals[Outcome.SUCCESS] == 1


@pytest.mark.promise("J5", "M3")
def test_beyond_the_bound_keys_share_one_command(registry: Registry) -> None:
    """
    Where every key is in use the rest share the command of the key `other`.

    Once one is idle, a new key has its own again.
    """
    hosts = registry.keyed("http:{host}", max_size=3)
    permits = [hosts(host=number).acquire() for number in range(3)]
    rest = [hosts(host=f"late {number}") for number in range(50)]
    assert {cmd.name for cmd in rest} == {"http:other"}
    assert len(set(rest)) == 1
    assert len(registry) == 4
    permits.pop().succeed()
    del rest
    assert hosts(host="new").name == "http:new"
    assert len(registry) <= 4


@pytest.mark.promise("M3")
@pytest.mark.parametrize("why", ["open", "half_open", "forced", "shadowed", "running", "held"])
def test_a_key_that_matters_does_not_leave(registry: Registry, clock: FakeClock, why: str) -> None:
    """
    An open, half-open, overridden or busy key, or one whose command somebody holds, stays.
    """
    hosts = registry.keyed("http:{host}", max_size=2, volume_threshold=1)
    cmd: Any = hosts(host="kept")
    keep: Any = None
    if why in ("open", "half_open"):
        fail(cmd)
    if why == "half_open":
        clock.advance(10)
        cmd.acquire().release()
    if why == "forced":
        cmd.force_closed()
    if why == "shadowed":
        cmd.shadow()
    if why == "running":
        keep = cmd.acquire()
    if why == "held":
        keep = cmd
    before = cmd.snapshot().totals
    del cmd
    for number in range(20):
        hosts(host=number).acquire().succeed()
    assert hosts(host="kept").snapshot().totals == before
    assert "http:kept" in registry
    del keep


@pytest.mark.promise("M3")
def test_a_key_whose_name_was_removed_makes_room(registry: Registry) -> None:
    """
    Its name is gone already: the key leaves all the same, and takes no other name with it.
    """
    hosts = registry.keyed("http:{host}", max_size=1)
    hosts(host="a")
    registry.remove("http:a")
    assert hosts(host="b").name == "http:b"
    assert list(registry) == ["http:b"]
    assert len(hosts) == 1


@pytest.mark.promise("M3")
def test_a_name_that_somebody_else_holds_does_not_leave(registry: Registry) -> None:
    """
    A key makes room only where nothing else of its name is in use.
    """
    hosts = registry.keyed("http:{host}", max_size=1)
    hosts(host="a")
    own = registry.command("http:a")
    hosts(host="b")
    hosts(host="c")
    own.acquire().succeed()
    snapshot = registry.get("http:a")
    assert snapshot is not None
    assert snapshot.totals[Outcome.SUCCESS] == 1


def test_keyed_commands_are_made_by_many_threads(registry: Registry) -> None:
    """
    Eight threads ask for the same and for other keys: each key is one command.
    """
    hosts = registry.keyed("http:{host}", max_size=50)

    def ask(number: int) -> None:
        for turn in range(100):
            hosts(host=turn % 10).acquire().succeed()

    together(8, ask)
    assert len(hosts) == 10
    totals = [snapshot.totals[Outcome.SUCCESS] for snapshot in registry.snapshot().values()]
    assert totals == [80] * 10


# -- max_size


def names_after(registry: Registry, *names: str) -> list[str]:
    """The names there are after these were made, one by one, and held by nobody."""
    for name in names:
        registry.command(name)
    gc.collect()
    return list(registry)


def test_idle_names_leave_oldest_first(clock: FakeClock) -> None:
    """
    A bounded registry lets those go that nobody holds, the oldest first.
    """
    registry = Registry(clock=clock, max_size=3)
    assert names_after(registry, "a", "b", "c") == ["a", "b", "c"]
    assert names_after(registry, "d") == ["b", "c", "d"]
    assert names_after(registry, "e", "f") == ["d", "e", "f"]


@pytest.mark.promise("M3")
@pytest.mark.parametrize("why", ["open", "half_open", "forced", "running", "held", "guarding"])
def test_a_name_that_matters_does_not_leave(clock: FakeClock, why: str) -> None:
    """
    Open, half-open, overridden or busy names stay whatever `max_size` says.

    So do those that something holds.
    """
    registry = Registry(clock=clock, max_size=2)
    cmd: Any = registry.command("kept", volume_threshold=1)
    keep: Any = None
    if why in ("open", "half_open"):
        fail(cmd)
    if why == "half_open":
        clock.advance(10)
        cmd.acquire().release()
    if why == "forced":
        cmd.force_open()
    if why == "running":
        keep = cmd.acquire()
    if why == "held":
        keep = cmd
    if why == "guarding":
        keep = cmd(lambda: None)
    del cmd
    assert names_after(registry, "a", "b", "c")[-1] == "c"
    assert "kept" in registry
    assert len(registry) == 2
    del keep


@pytest.mark.promise("C4", "M3")
def test_a_name_whose_calls_were_dropped_is_idle(clock: FakeClock) -> None:
    """
    A permit that nobody holds any more does not keep its name.
    """
    registry = Registry(clock=clock, max_size=1)
    permit = registry.command("kept").acquire()
    registry.command("a")
    assert "kept" in registry
    del permit
    assert names_after(registry, "b") == ["b"]


def test_a_name_that_left_starts_clean(clock: FakeClock) -> None:
    """
    Asked for again, it has no past, but the settings that were configured for it.
    """
    registry = Registry(clock=clock, max_size=1)
    registry.configure("a", buckets=5)
    first = registry.command("a")
    first.acquire().succeed()
    first.configure(sleep_window=3)
    del first
    registry.command("b")
    assert list(registry) == ["b"]
    again = registry.command("a")
    assert sum(again.snapshot().totals.values()) == 0
    assert (again.settings.buckets, again.settings.sleep_window) == (5, 3)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "3"], ids=repr)
def test_max_size_is_a_number(wrong: Any) -> None:
    """
    `None` or an integer from 1 on.
    """
    with pytest.raises(ConfigurationError, match="max_size"):
        Registry(max_size=wrong)


@pytest.mark.parametrize("wrong", [0.5, "random", None], ids=repr)
def test_random_is_a_callable(wrong: Any) -> None:
    """
    Another kind of randomness is refused at construction, with whatever else is wrong.
    """
    with pytest.raises(ConfigurationError) as caught:
        Registry(random=wrong, max_size=0)
    assert [fault.split()[0] for fault in caught.value.faults] == ["random", "max_size"]


@pytest.mark.parametrize("wrong", [lambda: 1.5, lambda: True, lambda: "now", 3, None], ids=repr)
def test_a_clock_gives_integer_nanoseconds(wrong: Any) -> None:
    """
    Another kind of clock is refused at construction.
    """
    with pytest.raises(ConfigurationError, match="clock"):
        Registry(clock=wrong)


# -- remove


@pytest.mark.promise("J7")
def test_a_removed_name_goes_on_detached(run: Runtime, registry: Registry) -> None:
    """
    Its commands keep their circuit, which is no longer exported; what takes the name next is clean.
    """
    cmd = registry.command("db", volume_threshold=1)
    guarded = cmd(run.body(returns=3))
    fail(cmd)
    assert registry.remove("db") is True
    assert registry.remove("db") is False
    assert list(registry) == []
    assert registry.get("db") is None
    assert cmd.state is State.OPEN
    assert isinstance(run.raised(guarded), CircuitOpenError)
    again = registry.command("db")
    assert again.state is State.CLOSED
    run.advance(10)
    assert run.call(guarded) == 3
    assert sum(again.snapshot().totals.values()) == 0


def test_a_removed_name_is_not_configured_any_more(registry: Registry) -> None:
    """
    Configuration by name reaches who has the name now.
    """
    cmd = registry.command("db")
    registry.remove("db")
    registry.configure("db", buckets=5)
    assert cmd.settings.buckets == 10
    assert registry.command("db").settings.buckets == 5


# -- looking at it


def test_a_registry_is_looked_at_by_name(registry: Registry) -> None:
    """
    Iteration, `len`, `in`, `get` and `snapshot` tell of the names there are.
    """
    for name in ("b", "a"):
        registry.command(name)
    assert list(registry) == ["b", "a"]
    assert len(registry) == 2
    assert "a" in registry
    assert "c" not in registry
    assert 3 not in registry
    assert registry.get("c") is None
    snapshots = registry.snapshot()
    assert list(snapshots) == ["b", "a"]
    assert snapshots["a"] == registry.get("a")
    snapshots.clear()
    assert len(registry) == 2


@pytest.mark.promise("J1")
def test_names_come_and_go_while_it_is_looked_at(registry: Registry) -> None:
    """
    Iteration and snapshots go on while other threads make and remove names.
    """
    over = threading.Event()

    def mutate(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            name = f"{number} {turn % 20}"
            registry.command(name).acquire().succeed()
            registry.remove(name)

    mutators = [Caller(mutate, number) for number in range(3)]
    try:
        for _ in range(300):
            assert all(name == each.name for name, each in registry.snapshot().items())
            list(registry)
    finally:
        over.set()
        for mutator in mutators:
            mutator.join(PATIENCE)
    assert [mutator.error for mutator in mutators] == [None] * 3


# -- explain


def test_explain_says_why_calls_are_admitted_or_refused(
    registry: Registry, clock: FakeClock
) -> None:
    """
    It is one paragraph: closed, open for so long, half-open, forced, shadowed, full.
    """
    cmd = registry.command("db", volume_threshold=2, max_concurrency=1, sleep_window=5)
    assert cmd.explain().startswith("'db' admits calls: its circuit is closed")
    assert "no call in the last 10 s" in cmd.explain()
    fail(cmd)
    assert "Of 1 calls in the last 10 s 100 % failed" in cmd.explain()
    assert "opens at 50 % of at least 2" in cmd.explain()
    fail(cmd)
    clock.advance(2)
    assert "refuses calls for another 3 s: its circuit is open" in cmd.explain()
    assert "2 of 2 calls failed" in cmd.explain()
    clock.advance(3)
    assert "admits a trial call" in cmd.explain()
    with cmd.acquire():
        assert "refuses calls while 1 at most are on trial" in cmd.explain()
        assert "1 of at most 1 calls are in flight: it is full" in cmd.explain()
    assert "its circuit is closed since 1 trial succeeded" in cmd.explain()
    cmd.force_open()
    assert "it is forced open (the circuit itself is closed)" in cmd.explain()
    cmd.force_closed()
    assert "it is forced closed" in cmd.explain()
    cmd.shadow()
    assert "it is in shadow mode" in cmd.explain()
    cmd.clear_override()
    cmd.reset()
    assert "\n" not in cmd.explain()
    cmd.configure(max_concurrency=None)
    assert "without a limit" in cmd.explain()
    cmd.configure(max_concurrency=0)
    assert "0 of at most 0 calls are in flight: it is full and refuses more" in cmd.explain()


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 abandoned thread is still"), (2, "2 abandoned threads are still")]
)
def test_explain_tells_of_abandoned_threads(count: int, words: str) -> None:
    """
    It counts the threads that run on although their callers have gone.
    """
    cmd = Registry().command("db", timeout=1)
    gate = Gate()
    guarded = cmd(gate)
    for _ in range(count):
        with pytest.raises(DeadlineExceededError), deadline(0.01):
            guarded()
    assert words in cmd.explain()
    assert f"{count} of at most 10 calls are in flight" in cmd.explain()
    gate.open.set()


def test_explain_says_nothing_of_what_there_is_not(registry: Registry, clock: FakeClock) -> None:
    """
    A guard may have no name, no history, nobody who waits and no thread left behind.
    """
    empty = "There was no call in the last 10 s. 0 of at most 10 calls are in flight."
    cmd = registry.command("db", max_waiting=1)
    assert cmd.explain() == f"'db' admits calls: its circuit is closed. {empty}"
    nameless = CircuitBreaker(registry=registry)
    assert nameless.explain().startswith("The unnamed guard admits calls: its circuit is closed. ")
    held = [cmd.acquire() for _ in range(10)]
    waiter = Waiter()
    cmd._guard.pool.enqueue(waiter)
    full = "10 of at most 10 calls are in flight: it is full and refuses more; 1 wait."
    assert cmd.explain().endswith(full)
    cmd._guard.pool.leave(waiter)
    assert cmd.explain().endswith("refuses more.")
    assert held


@pytest.mark.promise("A8")
def test_looking_changes_nothing(registry: Registry, clock: FakeClock) -> None:
    """
    State, snapshot, explanation and repr of a circuit whose sleep window is over leave it open.
    """
    cmd = registry.command("db", volume_threshold=1)
    fail(cmd)
    clock.advance(100)
    for _ in range(3):
        assert "'db'" in repr(cmd)
        cmd.explain()
        cmd.snapshot()
        registry.snapshot()
    assert cmd.state is State.OPEN
