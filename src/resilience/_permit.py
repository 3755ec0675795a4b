"""Permits: an admission in its caller's hands, to be settled wherever and whenever it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, final

from resilience._units import NANOS, number, show
from resilience._verdict import CANCELLED, FAILED, SUCCESS, describe
from resilience.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

    from resilience._core.slots import Token
    from resilience._guard import Guard
    from resilience._units import Duration
    from resilience._verdict import Verdict
    from resilience.settings import Settings

__all__ = ["Permit", "hold_of"]


@final
class Permit:
    """
    One admission: what `acquire()` gives.

    It is settled once: by the first of `succeed`, `fail`, `release`, or leaving its `with` block,
    on any thread or task. Everything after that does nothing. A permit that is dropped unsettled is
    given back, at the latest when its slot is next wanted.

    Example:
        >>> from resilience import CircuitBreaker
        >>> breaker = CircuitBreaker()
        >>> with breaker.acquire() as permit:
        ...     permit.succeed()
        >>> permit.settled
        True
    """

    __module__ = "resilience"
    __slots__ = ("_guard", "_token")

    def __init__(self, guard: Guard, token: Token) -> None:
        self._guard = guard
        self._token: Token | None = token

    @property
    def settled(self) -> bool:
        """Whether it has been settled."""
        return self._token is None

    def __repr__(self) -> str:
        return f"<Permit {'settled' if self.settled else 'held'}>"

    def succeed(self) -> None:
        """Settle as a success: the dependency answered."""
        self._settle(SUCCESS)

    def fail(
        self, exc: BaseException | None = None, *, retry_after: Duration | None = None
    ) -> None:
        """
        Settle as a failure.

        Args:
            exc: What went wrong, for `last_error`.
            retry_after: Seconds (>= 0) that the dependency asked to be left alone. If this failure
                opens the circuit it stays open for at least as long, up to `sleep_window_max`, or
                ten sleep windows where that is unset.

        Raises:
            ConfigurationError: `retry_after` is no such time; the permit stays unsettled.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker(volume_threshold=1)
            >>> breaker.acquire().fail(OSError("busy"), retry_after=30)
            >>> 29 < breaker.snapshot().retry_after <= 30
            True
        """
        hold = self._hold(retry_after)
        self._settle(FAILED, None if exc is None else describe(exc), hold)

    def release(self) -> None:
        """
        Settle without a verdict: the call counts as cancelled and moves nothing.

        Example:
            >>> from resilience import CircuitBreaker
            >>> breaker = CircuitBreaker()
            >>> breaker.acquire().release()
            >>> breaker.snapshot().totals["cancelled"]
            1
        """
        self._settle(CANCELLED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.succeed()
        else:
            self._guard.fail(self._claim(), error)

    def _claim(self) -> Token | None:
        with self._guard.entry.lock:
            token, self._token = self._token, None
        return token

    def _settle(self, verdict: Verdict, error: str | None = None, hold: int = 0) -> None:
        token = self._claim()
        if token is not None:
            self._guard.finish_as(token, verdict, error, hold)

    def _hold(self, retry_after: Any) -> int:
        if retry_after is None:
            return 0
        wait = number(retry_after)
        if wait is None or wait < 0:
            message = "retry_after must be a time of at least 0 seconds or None"
            raise ConfigurationError(f"{message}, not {show(retry_after)}")
        return hold_of(self._guard.entry.settings, wait)


def hold_of(settings: Settings, wait: float) -> int:
    """Return how long a circuit is held open by a dependency that asked for so many seconds."""
    longest = settings.sleep_window_max or 10 * settings.sleep_window
    return round(min(wait, longest) * NANOS)
