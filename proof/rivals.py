"""
Other libraries in the situations that this one was made for.

    python -m proof rivals

Each has a circuit that opens after two failures, for a tenth of a second, with one trial at a time
where it can be told. A situation is played in a process of its own and in real time; what is asked
is only what callers see: who is let in, who is refused, what is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from proof.promises import ROOT

SLEEP = 0.1
PATIENCE = 20.0
Guard = Callable[[Callable[..., Any]], Callable[..., Any]]


class FaultError(Exception):
    """What the dependency raises."""


class CannotError(Exception):
    """The library has nothing of the kind."""


# -- the libraries: how each makes a guard


def resilience(predicate: Any, listener: Any) -> Guard:
    from resilience import CircuitBreaker, Registry

    registry = Registry()
    if listener is not None:
        registry.subscribe(lambda _: listener())
    return CircuitBreaker(
        "db",
        registry=registry,
        volume_threshold=2,
        sleep_window=SLEEP,
        **({} if predicate is None else {"handle": predicate}),
    )


def circuitbreaker(predicate: Any, listener: Any) -> Guard:
    import circuitbreaker as lib

    if listener is not None:
        raise CannotError
    expected = None if predicate is None else lambda _, error: predicate(error)
    return lib.CircuitBreaker(2, SLEEP, expected, name="db")


def pybreaker(predicate: Any, listener: Any) -> Guard:
    import pybreaker as lib

    class Listener(lib.CircuitBreakerListener):
        def state_change(self, *_: Any) -> None:
            listener()

    exclude = None if predicate is None else [lambda error: not predicate(error)]
    listeners = [] if listener is None else [Listener()]
    return lib.CircuitBreaker(
        2, SLEEP, exclude=exclude, listeners=listeners, throw_new_error_on_trip=False
    )


def aiobreaker(predicate: Any, listener: Any) -> Guard:
    import aiobreaker as lib

    class Listener(lib.CircuitBreakerListener):
        def state_change(self, *_: Any) -> None:
            listener()

    exclude = None if predicate is None else [lambda error: not predicate(error)]
    listeners = [] if listener is None else [Listener()]
    breaker = lib.CircuitBreaker(2, timedelta(seconds=SLEEP), exclude, listeners)
    return lambda fn: lambda: breaker.call_async(fn)


def purgatory(predicate: Any, listener: Any) -> Guard:
    import purgatory as lib

    exclude = None if predicate is None else [(FaultError, lambda error: not predicate(error))]
    factory = lib.SyncCircuitBreakerFactory(2, SLEEP, exclude)
    if listener is not None:
        factory.add_listener(lambda *_: listener())
    return factory("db")


def hyx(predicate: Any, listener: Any) -> Guard:
    from hyx.circuitbreaker import consecutive_breaker

    if predicate is not None or listener is not None:
        raise CannotError
    return consecutive_breaker(Exception, 1, SLEEP, 1)


def pyresilience(predicate: Any, listener: Any) -> Guard:
    import pyresilience as lib

    if predicate is not None:
        raise CannotError
    config = lib.CircuitBreakerConfig(2, SLEEP, 1)
    listeners = [] if listener is None else [lambda _: listener()]
    # Each decoration has a circuit of its own.
    shared = lib.resilient(circuit_breaker=config, listeners=listeners)(lambda fn: fn())
    return lambda fn: lambda: shared(fn)


def nopanic(predicate: Any, listener: Any) -> Guard:
    import nopanic as lib

    changed = None if listener is None else lambda *_: listener()
    return lib.CircuitBreaker(
        min_calls=2, reset_timeout=SLEEP, on=predicate or Exception, on_state_change=changed
    )


def interlock(predicate: Any, listener: Any) -> Guard:
    import interlock as lib

    class Classifier:
        def is_failure(self, *, result: object, exception: Exception | None) -> bool:
            return exception is not None and predicate(exception)

    class Listener:
        def on_state_change(self, **_: Any) -> None:
            listener()

        def on_call(self, **_: Any) -> None:
            listener()

    config = lib.Config(
        minimum_number_of_calls=2, wait_duration_in_open=SLEEP, permitted_calls_in_half_open=1
    )
    return lib.CircuitBreaker(
        name="db",
        config=config,
        classifier=None if predicate is None else Classifier(),
        listener=None if listener is None else Listener(),
    )


LIBRARIES: dict[str, tuple[Callable[[Any, Any], Guard], str, bool]] = {
    "resilience": (resilience, "", False),
    "circuitbreaker": (circuitbreaker, "circuitbreaker", False),
    "pybreaker": (pybreaker, "pybreaker", False),
    "aiobreaker": (aiobreaker, "aiobreaker", True),
    "purgatory": (purgatory, "purgatory", False),
    "hyx": (hyx, "hyx", True),
    "pyresilience": (pyresilience, "pyresilience", False),
    "nopanic": (nopanic, "nopanic", False),
    "interlock-cb": (interlock, "interlock-cb", False),
}
"""How a guard is made, the distribution, and whether it guards coroutine functions alone."""


class Circuit:
    """A circuit of one library, called from threads whatever its colour."""

    def __init__(self, name: str, *, predicate: Any = None, listener: Any = None) -> None:
        make, _, self.is_async = LIBRARIES[name]
        self.guard = make(predicate, listener)
        self.loop = asyncio.new_event_loop()
        self.tasks: list[Any] = []
        if self.is_async:
            self.loop.set_default_executor(ThreadPoolExecutor(40))
            threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def call(self, fn: Callable[[], Any]) -> Any:
        """Call a function through it, and wait for the end."""
        if not self.is_async:
            return self.guard(fn)()

        async def main() -> Any:
            async def called() -> Any:
                return await self.loop.run_in_executor(None, fn)

            return await self.guard(called)()

        return asyncio.run_coroutine_threadsafe(main(), self.loop).result()

    def cancelled(self) -> None:
        """Make a call that is cancelled, or interrupted if it is a sync one."""
        if not self.is_async:
            with contextlib.suppress(KeyboardInterrupt):
                self.call(interrupt)
            return

        async def main() -> None:
            task = asyncio.ensure_future(self.guard(lambda: asyncio.sleep(60))())
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run_coroutine_threadsafe(main(), self.loop).result()

    def lets_in(self) -> bool:
        """Whether a call that succeeds is let in."""
        inside: list[int] = []
        with contextlib.suppress(Exception):
            self.call(lambda: inside.append(1))
        return bool(inside)

    def fail(self) -> BaseException | None:
        """Make a call that fails; return what was raised."""
        try:
            self.call(fault)
        except BaseException as error:
            return error
        return None

    def open(self) -> Circuit:
        """Let calls fail until it is open, and wait until a trial is due."""
        for _ in range(3):
            self.fail()
        assert not self.lets_in(), "it does not open"
        wait(1.5 * SLEEP)
        return self

    def crowd(self, size: int, release: threading.Event) -> int:
        """Let many callers come at once; return how many are let in."""
        inside: list[int] = []

        def stay() -> None:
            inside.append(1)
            release.wait(PATIENCE)

        def come() -> None:
            with contextlib.suppress(Exception):
                self.call(stay)

        for _ in range(size):
            threading.Thread(target=come, daemon=True).start()
        wait(0.5)
        return len(inside)


def fault() -> None:
    raise FaultError


def interrupt() -> None:
    raise KeyboardInterrupt


def nothing() -> None:
    """Do nothing, and well."""


def wait(seconds: float) -> None:
    """Let real time pass: these libraries have no clock of ours."""
    threading.Event().wait(seconds)


# -- the situations: each returns what went wrong, or nothing


def herd(name: str) -> str:
    release = threading.Event()
    inside = Circuit(name).open().crowd(20, release)
    release.set()
    return "" if inside == 1 else f"{inside} of 20 let in"


def hung_trial(name: str) -> str:
    circuit = Circuit(name).open()
    threading.Thread(target=lambda: circuit.call(lambda: wait(PATIENCE)), daemon=True).start()
    until = time.monotonic() + 2
    while time.monotonic() < until:
        wait(0.2)
        if circuit.lets_in():
            return ""
    return "nobody is let in again"


def cancelled_trial(name: str) -> str:
    circuit = Circuit(name).open()
    circuit.cancelled()
    release = threading.Event()
    inside = circuit.crowd(5, release)
    release.set()
    return {0: "it opens or is stuck", 1: ""}.get(inside, "it closes, or lets everyone in")


def stale_result(name: str) -> str:
    circuit = Circuit(name)
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go.wait(PATIENCE)

    caller = threading.Thread(target=lambda: circuit.call(slow), daemon=True)
    caller.start()
    begun.wait(2)
    failing = threading.Thread(target=lambda: [circuit.fail() for _ in range(3)], daemon=True)
    failing.start()
    failing.join(2)
    if failing.is_alive():
        return "one call at a time"
    go.set()
    caller.join(2)
    return "it closes" if circuit.lets_in() else ""


def raising_predicate(name: str) -> str:
    broken = threading.Event()

    def predicate(error: BaseException) -> bool:
        if broken.is_set():
            raise ZeroDivisionError
        return isinstance(error, FaultError)

    circuit = Circuit(name, predicate=predicate).open()
    broken.set()
    circuit.fail()
    broken.clear()
    for _ in range(5):
        wait(1.5 * SLEEP)
        if circuit.lets_in():
            return ""
    return "nobody is let in again"


def raising_listener(name: str) -> str:
    def listener() -> None:
        raise ZeroDivisionError

    circuit = Circuit(name, listener=listener)
    raised = [circuit.fail() for _ in range(3)]
    if any(isinstance(error, ZeroDivisionError) for error in raised):
        return "the listener's error is raised"
    return "it does not open" if circuit.lets_in() else ""


def fork(name: str) -> str:
    circuit = Circuit(name)
    if circuit.is_async:
        raise CannotError

    def load() -> None:
        while True:
            with contextlib.suppress(Exception):
                circuit.call(nothing)

    sys.setswitchinterval(1e-5)
    for _ in range(4):
        threading.Thread(target=load, daemon=True).start()
    hung = 0
    for _ in range(40):
        pid = os.fork()
        if not pid:
            signal.alarm(1)
            circuit.call(nothing)
            os._exit(0)
        hung += os.waitpid(pid, 0)[1] != 0
    return f"{hung} of 40 children hang" if hung else ""


def storm(name: str) -> str:
    circuit = Circuit(name)
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: circuit.call(lambda: wait(0.1)), range(8)))
    took = time.monotonic() - begun
    return "" if took < 0.5 else f"8 calls of 0.1 s take {took:.1f} s"


SITUATIONS = {
    "herd": herd,
    "hung trial": hung_trial,
    "cancelled trial": cancelled_trial,
    "stale result": stale_result,
    "raising predicate": raising_predicate,
    "raising listener": raising_listener,
    "fork": fork,
    "storm": storm,
}


def run() -> dict[str, Any]:
    """Play every situation with every library."""
    cells = [(name, situation) for name in LIBRARIES for situation in SITUATIONS]
    with ThreadPoolExecutor(2) as pool:
        told = dict(zip(cells, pool.map(lambda cell: played(*cell), cells), strict=True))
    table = {
        titled(name): {situation: told[name, situation] for situation in SITUATIONS}
        for name in LIBRARIES
    }
    ours = [verdict for (name, _), verdict in told.items() if name == "resilience"]
    assert set(ours) == {"ok"}, ours
    return {"table": table}


def titled(name: str) -> str:
    """Return a library's name and version; this one's is that of the page."""
    distribution = LIBRARIES[name][1]
    return name if name == "resilience" else f"{name} {importlib.metadata.version(distribution)}"


def played(name: str, situation: str) -> str:
    """Play one situation with one library, in a process of its own."""
    code = f"from proof import rivals; rivals.tell({name!r}, {situation!r})"
    try:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    return ended.stdout.strip() or f"fails: {(ended.stderr.strip() or '?').splitlines()[-1]}"


def tell(name: str, situation: str) -> None:
    """Play one situation, print what came of it, and end at once."""
    try:
        print(SITUATIONS[situation](name) or "ok", flush=True)
    except CannotError:
        print("–", flush=True)
    os._exit(0)
