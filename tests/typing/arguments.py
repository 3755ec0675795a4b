"""What the public calls take and give; read by mypy and basedpyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import assert_type

from resilience import (
    Bulkhead,
    BulkheadFullError,
    CallRejected,
    CallTimedOut,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    Deadline,
    DeadlineExceededError,
    FallbackCalled,
    Keyed,
    Latency,
    Outcome,
    Override,
    Permit,
    Registry,
    RejectedError,
    Settings,
    Snapshot,
    State,
    StateChanged,
    Window,
    command,
    configure,
    current_deadline,
    deadline,
    default_registry,
    fallback,
    remaining,
)

registry = Registry()


def an_unknown_setting_is_refused() -> None:
    command("users", timeout=1)
    command("users", tiemout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CircuitBreaker("users", tiemout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Settings(tiemout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Settings().replace(tiemout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    registry.command("users", tiemout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    command("users").configure(tiemout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    configure("users", tiemout=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Bulkhead(1, timeout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_setting_of_a_wrong_type_is_refused() -> None:
    command("users", timeout="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command("users", max_concurrency=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command("users", isolation="fork")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command("users", handle="OSError")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command("users", bulkhead=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command("users", {"timeout": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CircuitBreaker("users", volume_threshold=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Bulkhead("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Bulkhead()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    deadline("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    deadline()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    deadline(1, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fallback(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def settings_take_times_percents_and_none() -> None:
    settings = Settings(
        timeout=timedelta(seconds=1),
        sleep_window=5,
        error_percent=Decimal("0.1"),
        max_concurrency=None,
        latency_buckets=[0.1, timedelta(seconds=1)],
    )
    assert_type(settings.timeout, float | None)
    assert_type(settings.max_concurrency, int | None)
    assert_type(settings.volume_threshold, int)
    assert_type(settings.sleep_window, float)
    assert_type(settings.error_percent, float | Decimal)
    assert_type(settings.count_rejections, bool)
    assert_type(settings.latency_buckets, tuple[float, ...])
    assert_type(settings.replace(timeout=None), Settings)
    assert_type(Settings.from_hystrix({"timeout": 1000}), Settings)
    settings.timeout = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Settings(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_name_is_configured_alone_or_with_others() -> None:
    configure("users", timeout=0.5)
    configure("users", Settings(timeout=0.5), buckets=5)
    configure({"users": {"timeout": 0.5}, "orders": Settings(timeout=1)})
    registry.configure("users", timeout=None)
    configure({"users": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    configure(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def handlers_are_callables_one_or_several() -> None:
    def empty(error: BaseException, user: int) -> str:
        return ""

    async def cached(error: BaseException, user: int) -> str:
        return ""

    command("users", fallback=empty)
    command("users", fallback=[cached, empty])
    command("users", fallback=(cached, empty))
    fallback(cached, empty, handle=(OSError, ValueError))
    fallback(empty, handle=lambda error: True)
    command("users", fallback="empty")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command("users", fallback=[1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def exceptions_are_named_by_class_tuple_or_predicate() -> None:
    command("users", handle=OSError, ignore=(KeyError, ValueError))
    command("users", handle=lambda error: isinstance(error, OSError))
    CircuitBreaker(is_failure=lambda result: result is None)
    command("users", ignore=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    command("users", is_failure=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_deadline_is_a_scope() -> None:
    with deadline(1) as budget, deadline(timedelta(seconds=1), detached=True) as detached:
        assert_type(budget, Deadline)
        assert_type(detached, Deadline)
        assert_type(budget.remaining, float)
        assert_type(budget.expired, bool)
        budget.check()
        budget.remaining = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert_type(current_deadline(), Deadline | None)


def remaining_gives_its_default() -> None:
    assert_type(remaining(), float | None)
    assert_type(remaining(30.0), float)
    assert_type(remaining(default="none"), float | str)
    remaining(1, 2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def guards_are_blocks_and_give_permits() -> None:
    cmd, breaker, bulkhead = command("users"), CircuitBreaker(), Bulkhead(1, max_wait=1)
    with cmd as entered, breaker as broken, bulkhead as held:
        assert_type(entered, Command)
        assert_type(broken, CircuitBreaker)
        assert_type(held, Bulkhead)
    async with cmd as entered, breaker as broken, bulkhead as held:
        assert_type(entered, Command)
        assert_type(broken, CircuitBreaker)
        assert_type(held, Bulkhead)
    assert_type(breaker.acquire(), Permit)
    assert_type(await bulkhead.aacquire(), Permit)
    with cmd.acquire() as permit:
        assert_type(permit, Permit)
        permit.succeed()
        permit.fail(OSError(), retry_after=timedelta(seconds=1))
        permit.release()
        assert_type(permit.settled, bool)
        permit.fail("refused")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        permit.fail(None, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    async with deadline(1):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


def what_a_command_tells() -> None:
    cmd = command("users")
    assert_type(cmd, Command)
    assert_type(cmd.settings, Settings)
    assert_type(cmd.state, State)
    assert_type(cmd.override, Override | None)
    assert_type(cmd.explain(), str)
    snapshot = cmd.snapshot()
    assert_type(snapshot, Snapshot)
    assert_type(snapshot.window, Window)
    assert_type(snapshot.totals, Mapping[Outcome, int])
    assert_type(snapshot.latency, Mapping[Outcome, Latency])
    assert_type(snapshot.retry_after, float | None)
    cmd.state = State.OPEN  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    snapshot.state = State.OPEN  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    snapshot.totals[Outcome.SUCCESS] = 1  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def what_a_registry_gives() -> None:
    assert_type(default_registry, Registry)
    assert_type(registry.command("users", timeout=1), Command)
    keyed = registry.keyed("http:{host}", max_size=10)
    assert_type(keyed, Keyed)
    assert_type(keyed(host="a"), Command)
    assert_type(registry.get("users"), Snapshot | None)
    assert_type(registry.remove("users"), bool)
    assert_type(registry.snapshot(), dict[str, Snapshot])
    assert_type(list(registry), list[str])


def a_listener_is_told_of_four_kinds() -> None:
    def listener(event: StateChanged | CallRejected | CallTimedOut | FallbackCalled) -> None:
        if isinstance(event, StateChanged):
            assert_type(event.old, State)
            assert_type(event.snapshot, Snapshot)
        elif isinstance(event, CallRejected):
            assert_type(event.outcome, Outcome)
        elif isinstance(event, CallTimedOut):
            assert_type(event.elapsed, float)
        else:
            assert_type(event, FallbackCalled)

    def of_one_kind(event: StateChanged) -> None:
        pass

    registry.subscribe(listener)()
    registry.subscribe(lambda event: event.at)
    registry.subscribe(of_one_kind)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def what_errors_carry() -> None:
    try:
        command("users").call(len, "")
    except CircuitOpenError as error:
        assert_type(error.state, str)
        assert_type(error.last_error, str | None)
    except BulkheadFullError as error:
        assert_type(error.max_concurrency, int | None)
        assert_type(error.waiting, int)
    except RejectedError as error:
        assert_type(error.name, str | None)
        assert_type(error.retry_after, float | None)
    except DeadlineExceededError as error:
        assert_type(error.timeout, float | None)
        assert_type(error.elapsed, float)
        assert_type(error.deadline, Deadline | None)
        late: TimeoutError = error
        raise late from None
    except ConfigurationError as error:
        assert_type(error.faults, tuple[str, ...])
        wrong: ValueError = error
        raise wrong from None


def clocks_give_integers() -> None:
    Registry(clock=lambda: 1, random=lambda: 0.5, max_size=10)
    Registry(clock=lambda: "now")  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
