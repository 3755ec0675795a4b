"""The types of what the decorators give: name, signature and colour of the function are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from resilience._command import Command

__all__ = ["Guarded", "GuardedByCommand"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)
R = TypeVar("R")
S = TypeVar("S")


class Guarded(Protocol[P, R_co]):
    """A guarded function, called like the one it stands for."""

    __name__: str
    __qualname__: str
    __module__: str

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself, without its guard."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Guarded[P, R_co]: ...
    @overload
    def __get__(
        self: Guarded[Concatenate[S, Q], R], instance: S, owner: Any = None, /
    ) -> Callable[Q, R]: ...


class GuardedByCommand(Protocol[P, R_co]):
    """A function guarded by a `Command`, which it carries."""

    __name__: str
    __qualname__: str
    __module__: str

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself, without its guard."""
        ...

    @property
    def command(self) -> Command:
        """The command that guards it."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __get__(self, instance: None, owner: Any, /) -> GuardedByCommand[P, R_co]: ...
    @overload
    def __get__(
        self: GuardedByCommand[Concatenate[S, Q], R], instance: S, owner: Any = None, /
    ) -> Callable[Q, R]: ...
