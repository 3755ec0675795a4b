from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

import resilience
from resilience import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    Command,
    ConfigurationError,
    DeadlineExceededError,
    RejectedError,
    ResilienceError,
    deadline,
)

NAMES = [
    "Bulkhead",
    "BulkheadFullError",
    "CallRejected",
    "CallTimedOut",
    "CircuitBreaker",
    "CircuitOpenError",
    "Command",
    "ConfigurationError",
    "Deadline",
    "DeadlineExceededError",
    "FallbackCalled",
    "Keyed",
    "Latency",
    "Outcome",
    "Override",
    "Permit",
    "Registry",
    "RejectedError",
    "ResilienceError",
    "Settings",
    "Snapshot",
    "State",
    "StateChanged",
    "Window",
    "command",
    "configure",
    "current_deadline",
    "deadline",
    "default_registry",
    "fallback",
    "remaining",
]

ERRORS: dict[type[Exception], tuple[type, ...]] = {
    ResilienceError: (Exception,),
    RejectedError: (ResilienceError,),
    CircuitOpenError: (RejectedError,),
    BulkheadFullError: (RejectedError,),
    DeadlineExceededError: (ResilienceError, TimeoutError),
    ConfigurationError: (ResilienceError, ValueError),
}

SIGNATURES = {
    "command": "name, /, settings, *, fallback, handle, ignore, is_failure, isolation, bulkhead, "
    "registry, **fields",
    "CircuitBreaker": "name, settings, *, handle, ignore, is_failure, registry, **fields",
    "Bulkhead": "max_concurrency, *, name, max_waiting, max_wait, registry",
    "deadline": "seconds, *, detached, clock",
    "fallback": "*handlers, handle",
    "remaining": "default",
    "current_deadline": "",
    "Registry": "*, clock, random, max_size",
    "Settings": "**fields",
    "Permit.succeed": "self",
    "Permit.fail": "self, exc, *, retry_after",
    "Permit.release": "self",
    "Bulkhead.resize": "self, max_concurrency",
    "Command.call": "self, fn, /, *args, **kwargs",
    "Command.acall": "self, fn, /, *args, **kwargs",
    "Command.acquire": "self",
    "Command.aacquire": "self",
    "Command.configure": "self, **changes",
    "Registry.keyed": "self, template, *, max_size, **options",
    "Registry.subscribe": "self, listener",
    "Registry.get": "self, name",
    "Registry.remove": "self, name",
}


def public(path: str) -> Any:
    """What a path of names leads to."""
    found: Any = resilience
    for name in path.split("."):
        found = getattr(found, name)
    return found


def parameters(fn: Any) -> str:
    """The parameters of a callable by name, without types and defaults."""
    bare = [
        each.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty)
        for each in inspect.signature(fn).parameters.values()
    ]
    return str(inspect.Signature(bare))[1:-1]


def samples() -> list[Exception]:
    """One error of each kind, with every attribute set."""
    with deadline(60) as budget:
        late = DeadlineExceededError("users", timeout=1.0, elapsed=1.5, deadline=budget)
    return [
        ResilienceError("x"),
        RejectedError("users", retry_after=2.5),
        CircuitOpenError("users", state="half_open", retry_after=1.5, last_error="OSError: no"),
        BulkheadFullError("users", max_concurrency=3, waiting=2),
        late,
        ConfigurationError("timeout is wrong", "buckets is wrong"),
    ]


def test_the_public_names_are_these() -> None:
    """
    `resilience` offers exactly the pinned names: a change here is a change of the contract.
    """
    assert resilience.__all__ == NAMES
    assert sorted(NAMES) == NAMES
    assert all(hasattr(resilience, name) for name in NAMES)
    visible = {name for name in dir(resilience) if not name.startswith("_")}
    modules = {name for name in visible if inspect.ismodule(getattr(resilience, name))}
    assert visible - modules == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_object_shows_its_public_home(name: str) -> None:
    """
    Tracebacks, reprs and documentation say `resilience.X`, whatever private module X lives in.
    """
    found = public(name)
    home = found if inspect.isclass(found) or inspect.isroutine(found) else type(found)
    assert home.__module__ == "resilience"
    assert public(home.__qualname__) is home


@pytest.mark.parametrize("name", NAMES)
def test_a_public_object_is_documented(name: str) -> None:
    """
    Each public name, and each public method and property of it, has a docstring.
    """
    found = public(name)
    assert inspect.getdoc(found)
    if not inspect.isclass(found):
        return
    for attribute, value in vars(found).items():
        if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{attribute}"


def test_what_is_imported_later_is_there_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    By its name alone, at the first time and ever after; and what there is not is told.
    """
    monkeypatch.delitem(vars(resilience), "Bulkhead")
    assert resilience.Bulkhead is Bulkhead
    assert vars(resilience)["Bulkhead"] is Bulkhead
    with pytest.raises(AttributeError, match="module 'resilience' has no attribute 'Bulkheads'"):
        _ = resilience.Bulkheads


@pytest.mark.parametrize("path", SIGNATURES)
def test_a_signature_is_the_agreed_one(path: str) -> None:
    """
    The parameters users name in their calls are those of the contract.
    """
    assert parameters(public(path)) == SIGNATURES[path]


def test_a_command_has_what_an_operator_needs() -> None:
    """
    A command tells what it is and takes every order of the contract.
    """
    wanted = {
        "name", "settings", "state", "override", "snapshot", "explain", "configure", "force_open",
        "force_closed", "shadow", "clear_override", "reset", "call", "acall", "acquire", "aacquire",
    }  # fmt: skip
    assert wanted <= set(dir(Command))


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_has_its_place_in_the_tree(kind: type[Exception]) -> None:
    """
    Each error derives from what users catch: `ResilienceError`, or a built-in one that says it too.
    """
    assert kind.__bases__ == ERRORS[kind]


@pytest.mark.parametrize("error", samples(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", ["copy", *range(pickle.HIGHEST_PROTOCOL + 1)], ids=str)
def test_an_error_survives_being_sent(error: Exception, how: Any) -> None:
    """
    A copied or pickled error has the type, text and facts of the first, but never a `Deadline`.
    """
    again = copy.copy(error) if how == "copy" else pickle.loads(pickle.dumps(error, how))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == {
        name: None if name == "deadline" else value for name, value in vars(error).items()
    }


@pytest.mark.parametrize("error", samples(), ids=lambda error: type(error).__name__)
def test_an_error_is_named_by_its_home_in_a_traceback(error: Exception) -> None:
    """
    What a traceback shows can be imported as it stands there.
    """
    assert f"{type(error).__module__}.{type(error).__qualname__}" == (
        f"resilience.{type(error).__name__}"
    )


@pytest.mark.promise("A18")
def test_each_rejection_is_a_new_object() -> None:
    """
    Two refusals in a row raise two errors: nothing that one caller adds is seen by the next.
    """
    breaker = CircuitBreaker(volume_threshold=1)
    breaker.acquire().fail(OSError("no"))
    with pytest.raises(CircuitOpenError) as first:
        breaker.acquire()
    with pytest.raises(CircuitOpenError) as second:
        breaker.acquire()
    assert first.value is not second.value
    assert first.value.last_error == second.value.last_error == "OSError: no"
    assert "no" not in str(first.value)


@pytest.mark.promise("M9")
def test_importing_it_imports_no_extra() -> None:
    """
    The core pulls in neither an exporter's library, nor trio, nor an HTTP client.
    """
    code = (
        "import sys, resilience\n"
        "found = {'prometheus_client', 'opentelemetry', 'trio', 'httpx', 'httpx2', 'requests', "
        "'aiohttp', 'uvloop', 'logging'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(found)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
