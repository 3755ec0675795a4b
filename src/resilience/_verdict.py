"""
Verdicts: what an exception or a result says about the dependency.

The rows of the decision table that look at what was raised or returned; rows about time and
cancellation stand in `_guard.py`. Predicates are the user's code: they run outside every lock, and
one that raises makes the call `ignored`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from resilience._core.outcome import Outcome
from resilience._units import several, show
from resilience.errors import ConfigurationError, DeadlineExceededError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Failures",
    "ThreadStartError",
    "Verdict",
    "Verdicts",
    "describe",
    "leaves",
    "verdicts_of",
]

Failures = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Any], bool]
"""Which exceptions: a class, a tuple of classes, or a predicate."""


class ThreadStartError(RuntimeError):
    """The system gives no more threads: the function was not called, and nothing is said of it."""


class Verdict(NamedTuple):
    """One row of the decision table."""

    outcome: Outcome
    fallback: bool
    in_window: bool
    error: bool


SUCCESS: Final = Verdict(Outcome.SUCCESS, fallback=False, in_window=True, error=False)
FAILED: Final = Verdict(Outcome.FAILURE, fallback=True, in_window=True, error=True)
BAD_RESULT: Final = Verdict(Outcome.FAILURE, fallback=False, in_window=True, error=True)
IGNORED: Final = Verdict(Outcome.IGNORED, fallback=False, in_window=False, error=False)
REJECTED: Final = Verdict(Outcome.IGNORED, fallback=True, in_window=False, error=False)
CANCELLED: Final = Verdict(Outcome.CANCELLED, fallback=False, in_window=False, error=False)
EXPIRED: Final = Verdict(Outcome.EXPIRED, fallback=False, in_window=False, error=False)
CUT_OFF: Final = Verdict(Outcome.TIMEOUT, fallback=False, in_window=True, error=True)
TIMED_OUT: Final = Verdict(Outcome.TIMEOUT, fallback=True, in_window=True, error=True)
LATE: Final = CUT_OFF


class Verdicts(NamedTuple):
    """How one guard judges exceptions and results."""

    handle: Callable[[BaseException], bool]
    ignore: Callable[[BaseException], bool] | None
    is_failure: Callable[[Any], bool] | None

    def of_error(self, error: BaseException) -> Verdict:
        """Judge an `Exception`; a group by its leaves. Runs the user's predicates."""
        if not isinstance(error, BaseExceptionGroup):
            return self._leaf(error)
        found = {self._leaf(leaf) for leaf in leaves(error)}
        for worst in (FAILED, SUCCESS, REJECTED):
            if worst in found:
                # A group that is partly a rejection and partly ignored has something to answer for.
                return worst
        return IGNORED

    def _leaf(self, error: BaseException) -> Verdict:
        if isinstance(error, RejectedError):
            return REJECTED
        if self.ignore is not None and self.ignore(error):
            return IGNORED
        return FAILED if self.handle(error) else SUCCESS

    def of_result(self, result: object) -> Verdict:
        """Judge what was returned. Runs the user's predicate."""
        if self.is_failure is not None and self.is_failure(result):
            return BAD_RESULT
        return SUCCESS


def verdicts_of(handle: Any, ignore: Any, is_failure: Any) -> Verdicts:
    """
    Read the classification arguments of a shell.

    Raises:
        ConfigurationError: They are not of the kinds allowed, all faults together.
    """
    if handle is Exception and ignore == () and is_failure is None:
        return _USUAL
    faults: list[str] = []
    found: list[Any] = []
    for name, kinds in (("handle", handle), ("ignore", ignore)):
        try:
            found.append(None if kinds == () else predicate(name, kinds))
        except ConfigurationError as error:
            faults.extend(error.faults)
    judge: Callable[[Any], bool] | None = is_failure
    if judge is not None and not callable(judge):
        faults.append(f"is_failure must be a predicate or None, not {show(judge)}")
    if faults:
        raise ConfigurationError(*faults)
    return Verdicts(found[0] or _never, found[1], judge)


def _never(_: BaseException) -> bool:
    return False


def predicate(name: str, kinds: object) -> Callable[[BaseException], bool]:
    """
    Make one predicate of an exception class, a tuple of them, or a predicate.

    Raises:
        ConfigurationError: It is neither.
    """
    every = several(kinds)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in every):
        return _among(cast("tuple[type[BaseException], ...]", every))
    if callable(kinds) and not isinstance(kinds, type):
        return cast("Callable[[BaseException], bool]", kinds)
    raise ConfigurationError(
        f"{name} must be an exception class, a tuple of them or a predicate, not {show(kinds)}"
    )


def _among(classes: tuple[type[BaseException], ...]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, classes)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, or those of a group however deep it is nested."""
    pending = [error]
    while pending:
        each: Any = pending.pop()
        if isinstance(each, BaseExceptionGroup):
            group: BaseExceptionGroup[BaseException] = each
            pending.extend(reversed(group.exceptions))
        else:
            yield each


def deadline_errors(error: BaseException) -> Iterator[DeadlineExceededError]:
    """Yield the deadline errors among the leaves."""
    return (leaf for leaf in leaves(error) if isinstance(leaf, DeadlineExceededError))


def describe(error: BaseException) -> str:
    """Return type and message, at most 200 characters; keeps nothing of the error alive."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's __str__; this is for a description
        text = ""
    name = type(error).__qualname__
    return (f"{name}: {text}" if text else name)[:200]


_USUAL: Final = Verdicts(_among((Exception,)), None, None)
