"""The functions that are guarded, the same for every contender."""

from collections.abc import Callable
from types import FunctionType

RESULT = 42


class Failure(Exception):  # noqa: N818 - what failed is not this program
    """What the failing functions raise."""


def work() -> int:
    """Do nothing, well."""
    return RESULT


async def awork() -> int:
    """Do nothing, well."""
    return RESULT


def fail() -> int:
    """Do nothing, badly."""
    raise Failure


async def afail() -> int:
    """Do nothing, badly."""
    raise Failure


def failing_once(runtime: str) -> tuple[FunctionType, Callable[[], None]]:
    """Return a function that fails, and what makes it succeed like the others ever after."""
    first, later = (fail, work) if runtime == "sync" else (afail, awork)
    function = FunctionType(first.__code__, first.__globals__, "failing_once")

    def recover() -> None:
        function.__code__ = later.__code__

    return function, recover


def answer(error: BaseException) -> type[BaseException]:
    """
    Answer for a call that failed or was refused.

    The answer tells which error it stands for, and so which path the call took.
    """
    return type(error)


async def aanswer(error: BaseException) -> type[BaseException]:
    """Answer as `answer` does, for libraries that await their handlers."""
    return type(error)
