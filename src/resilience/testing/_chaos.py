"""chaos: faults on purpose, where the program really runs."""

from __future__ import annotations

import random
import time
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, final, overload

import anyio
import attrs

from resilience._names import check_name
from resilience._streams import async_stream, stream
from resilience._typing import Guarded, Method
from resilience._units import is_integer, show
from resilience._wrap import wrap
from resilience.errors import ConfigurationError
from resilience.testing._rates import Rates, read_rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resilience._units import Duration

__all__ = ["ChaosError", "ChaosSnapshot", "chaos"]

P = ParamSpec("P")
R = TypeVar("R")

HOUR: Final = 3600
"""Seconds a call hangs at most."""


class ChaosError(Exception):
    """
    What a call raises that `chaos` made fail: an ordinary failure to whatever guards the call.

    Example:
        >>> from resilience.testing import ChaosError
        >>> issubclass(ChaosError, Exception)
        True
    """

    __module__ = "resilience.testing"


@final
@attrs.frozen(kw_only=True)
class ChaosSnapshot:
    """
    What a `chaos` does and has done.

    Attributes:
        name: Its name.
        enabled: Whether it does anything.
        error_rate: The share of calls that fail while it is enabled.
        latency: The seconds that each call is delayed while it is enabled.
        hang: The share of calls that hang while it is enabled.
        calls: Calls that were made while it was enabled.
        errors: Calls that it made fail.
        delays: Calls that it delayed.
        hangs: Calls that it made hang.

    Example:
        >>> from resilience.testing import chaos
        >>> faults = chaos(latency=0.2)
        >>> faults.snapshot().enabled, faults.snapshot().latency
        (False, 0.2)
    """

    __module__ = "resilience.testing"
    name: str
    enabled: bool
    error_rate: float
    latency: float
    hang: float
    calls: int
    errors: int
    delays: int
    hangs: int


@final
class chaos:  # noqa: N801 - read as a word of the decoration: `@chaos(error_rate=0.1)`
    """
    Faults on purpose: a decorator that is switched on and off while the program runs.

    It is off until `enable()` is called, and then costs a call one look. Put it innermost, so that
    every guard takes what it does for the dependency's doing: timeouts, circuit, fallback and
    metrics of the command all see it. What it did itself tell `snapshot()` and
    `resilience.testing.prometheus.ChaosCollector`.

    The faults of one `seed` follow one another in the same order every time; which of several
    threads meets which is up to them. A coroutine function waits in its task, any other function
    by `sleep`. Of a stream the faults come before the first item.

    Args:
        error_rate: The share of calls that fail, in [0, 1]; with `hang` at most 1.
        latency: Seconds by which each call is delayed, from 0 on.
        hang: The share of calls that hang, in [0, 1]: until they are cut off, `disable()` is
            called (within a second), or an hour is over. A sync call ignores its deadline
            meanwhile, as a client without a timeout does.
        seed: An integer that the choice of calls comes from; `None`: another one each time.
        error: Gives what a call raises: an exception class, or a function of nothing; `None`:
            `ChaosError`.
        sleep: How sync code waits for some seconds; `FakeClock.sleep` in tests.
        name: What metrics call it: 1 to 1,000 printable characters.

    Raises:
        ConfigurationError: One of them is out of its range, all faults together.

    Example:
        >>> from resilience import Registry
        >>> from resilience.testing import chaos
        >>> faults = chaos(error_rate=1.0, seed=7)
        >>> greet = Registry().command("greetings", fallback=lambda error: "?")(
        ...     faults(lambda: "hello")
        ... )
        >>> greet()
        'hello'
        >>> faults.enable()
        >>> greet()
        '?'
        >>> faults.snapshot().errors
        1
        >>> faults.disable()
        >>> faults.enabled
        False
    """

    __module__ = "resilience.testing"

    def __init__(
        self,
        *,
        error_rate: float = 0.0,
        latency: Duration = 0.0,
        hang: float = 0.0,
        seed: int | None = None,
        error: Callable[[], BaseException] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        name: str = "chaos",
    ) -> None:
        self._rates = read_rates({"error_rate": error_rate, "latency": latency, "hang": hang})
        check_name(name)
        faults: list[str] = []
        if seed is not None and not is_integer(seed):
            faults.append(f"seed must be an integer or None, not {show(seed)}")
        if error is not None and not callable(error):
            faults.append(f"error must be a callable or None, not {show(error)}")
        if not callable(sleep):
            faults.append(f"sleep must be a callable, not {show(sleep)}")
        if faults:
            raise ConfigurationError(*faults)
        self.name = name
        self._error = error
        self._sleep = sleep
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._lock = Lock()
        self._done: Counter[str] = Counter()
        self._on: Rates | None = None

    # -- what an operator does

    def enable(self, **changes: Any) -> None:
        """
        Begin, or go on with other rates.

        Args:
            **changes: `error_rate`, `latency` and `hang`, as they were given first; what is left
                out stays.

        Raises:
            ConfigurationError: One of them is out of its range; nothing was changed.
        """
        self._rates = self._on = read_rates({**attrs.asdict(self._rates), **changes})

    def disable(self) -> None:
        """Stop: calls pass as if it were not there, and those that hang fail within a second."""
        self._on = None

    @property
    def enabled(self) -> bool:
        """Whether it does anything."""
        return self._on is not None

    def snapshot(self) -> ChaosSnapshot:
        """Return what it does and has done."""
        with self._lock:
            done = {kind: self._done[kind] for kind in ("calls", "errors", "delays", "hangs")}
        return ChaosSnapshot(
            name=self.name, enabled=self.enabled, **attrs.asdict(self._rates), **done
        )

    def __repr__(self) -> str:
        return f"<chaos {self.name!r}, {'enabled' if self.enabled else 'disabled'}>"

    # -- as a decorator

    @overload
    def __call__(self, fn: Method, /) -> Method: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Guarded[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Put it around a function of any kind. Raises `TypeError` for what is no function."""
        return wrap(self, fn)

    def guard_function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Put it around a function."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._on is not None:
                self.strike()
            return fn(*args, **kwargs)

        return call

    def guard_coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Put it around a coroutine function."""

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._on is not None:
                await self.astrike()
            return await fn(*args, **kwargs)

        return call

    def guard_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Put it before the first item of a generator."""
        return stream(lambda args, kwargs: _Stream(self, lambda: fn(*args, **kwargs)))

    def guard_async_generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Put it before the first item of an async generator."""
        return async_stream(lambda args, kwargs: _Stream(self, lambda: fn(*args, **kwargs)))

    # -- the faults

    def strike(self) -> None:
        """Do to a call what is its due: delay it, let it hang, raise."""
        for pause in self._faults():
            self._sleep(pause)

    async def astrike(self) -> None:
        """Do to a call what is its due, in a task."""
        for pause in self._faults():
            await anyio.sleep(pause)

    def _faults(self) -> Iterator[float]:
        """Yield the seconds to wait, one wait after the other; raises if the call is to fail."""
        rates = self._on
        if rates is None:
            return
        with self._lock:
            draw = self._random.random()
            hangs, fails = draw < rates.hang, rates.hang <= draw < rates.hang + rates.error_rate
            self._done.update(calls=1, delays=rates.latency > 0, hangs=hangs, errors=fails)
        if rates.latency:
            yield rates.latency
        if hangs:
            seconds = 0
            while self._on is not None and seconds < HOUR:
                yield 1.0
                seconds += 1
        if self._error is not None and (hangs or fails):
            raise self._error()
        if hangs or fails:
            raise ChaosError(f"{self.name} made it {'hang' if hangs else 'fail'}")


class _Stream:
    """The steps of a stream that was struck before its first."""

    __slots__ = ("_chaos", "_source")

    def __init__(self, chaos: chaos, source: Callable[[], Any]) -> None:
        self._chaos = chaos
        self._source = source

    def start(self) -> Any:
        self._chaos.strike()
        return self._source()

    async def astart(self) -> Any:
        await self._chaos.astrike()
        return self._source()

    def run(self, step: Callable[[Any], Any], sent: Any) -> Any:
        return step(sent)

    async def arun(self, step: Callable[[Any], Any], sent: Any) -> Any:
        return await step(sent)

    def exhausted(self) -> None: ...

    def closed(self) -> None: ...

    def failed(self, error: BaseException) -> Any:
        raise error

    async def afailed(self, error: BaseException) -> Any:
        raise error
