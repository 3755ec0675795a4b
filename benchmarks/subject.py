"""What is measured: one guarded function, on one path."""

from collections.abc import Callable
from typing import Any

import attrs

TRIPS = 25
"""Failing calls after which every library's circuit is open, by its own defaults."""


class WrongPathError(AssertionError):
    """A contender does not do what it would be measured for."""


@attrs.frozen
class Subject:
    """
    A function without arguments, sync or async, and how a call of it ends.

    Attributes:
        call: The function.
        returns: What it returns.
        raises: What it raises instead.
        trips: How many calls lead to the path: they may end in any way.
        recover: What is done after those.
    """

    call: Callable[[], Any]
    returns: object = None
    raises: type[Exception] | None = None
    trips: int = 0
    recover: Callable[[], None] | None = None

    def check(self) -> None:
        """
        Go to the path and make one call.

        Raises:
            WrongPathError: It ended in another way than it should.
        """
        for _ in range(self.trips):
            _ended(self.call)
        if self.recover is not None:
            self.recover()
        self._judge(*_ended(self.call))

    async def acheck(self) -> None:
        """Check an async function."""
        for _ in range(self.trips):
            await _aended(self.call)
        if self.recover is not None:
            self.recover()
        self._judge(*await _aended(self.call))

    def _judge(self, result: object, error: Exception | None) -> None:
        if self.raises is None and error is None and result == self.returns:
            return
        if self.raises is not None and isinstance(error, self.raises):
            return
        ended = f"returned {result!r}" if error is None else f"raised {error!r}"
        due = f"return {self.returns!r}" if self.raises is None else f"raise {self.raises!r}"
        raise WrongPathError(f"{self.call!r} {ended} but should {due}") from error


def _ended(call: Callable[[], Any]) -> tuple[object, Exception | None]:
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - judged
        return None, error


async def _aended(call: Callable[[], Any]) -> tuple[object, Exception | None]:
    try:
        return await call(), None
    except Exception as error:  # noqa: BLE001 - judged
        return None, error
