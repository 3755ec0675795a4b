"""
The types of what the decorators give: parameters, result and colour of the function are kept.

A decorator has two overloads, and this module names what they speak of:

- `Method`: a function whose first parameter is called `self` or `cls`, and a `classmethod` or
  `staticmethod` object. It keeps its very type, so checkers bind it as they bind any method,
  `Self`, type variables and overloads of its own included. What they cannot know of it is
  `.command` and `.__wrapped__`, which it has all the same. A function of which nothing is known
  (`Callable[..., R]`) counts as one.
- Any other function becomes `Guarded` or `GuardedByCommand`, which tell of those attributes. They
  have no `__get__`, so that a static method stays one, in whichever order it was decorated.

One protocol for both, with a `__get__` that takes `self` away, was tried: mypy loses the type
variables of methods in it, and cannot tell a static method from a bound one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from resilience._command import Command

__all__ = ["Guarded", "GuardedByCommand", "Method"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class _TakesSelf(Protocol):
    """A function whose first parameter is called `self`."""

    def __call__(_function, self: Any, *args: Any, **kwargs: Any) -> Any: ...  # noqa: N805


class _TakesCls(Protocol):
    """A function whose first parameter is called `cls`."""

    def __call__(self, cls: Any, *args: Any, **kwargs: Any) -> Any: ...


Method = TypeVar(
    "Method",
    # Text: before Python 3.14 those two cannot be subscripted at run time.
    bound="_TakesSelf | _TakesCls | classmethod[Any, ..., Any] | staticmethod[..., Any]",
)
"""A method of any kind, whose type is left as it is."""


class Guarded(Protocol[P, R_co]):
    """A guarded function, called like the one it stands for."""

    __name__: str
    __qualname__: str

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself, without its guard."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class GuardedByCommand(Guarded[P, R_co], Protocol[P, R_co]):
    """A function guarded by a `Command`, which it carries."""

    @property
    def command(self) -> Command:
        """The command that guards it."""
        ...
