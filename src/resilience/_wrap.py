"""
Wrapping: which kind of function was given, chosen once, at decoration.

A shell says how it guards each of the four kinds; this module finds the kind, keeps name, signature
and colour, and goes through class and static methods in either order.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast

from resilience._units import show

__all__ = ["Colours", "code_of", "source_of", "wrap"]

_Fn = Callable[..., Any]


class Colours(Protocol):
    """How a shell guards each kind of function."""

    def guard_function(self, fn: _Fn) -> _Fn: ...
    def guard_coroutine(self, fn: _Fn) -> _Fn: ...
    def guard_generator(self, fn: _Fn) -> _Fn: ...
    def guard_async_generator(self, fn: _Fn) -> _Fn: ...


def wrap(shell: Colours, fn: Any, **facts: object) -> Any:
    """
    Return `fn` guarded by `shell`, of the same kind and looks.

    Args:
        shell: How each kind is guarded.
        fn: A function of any kind, a class or static method, a partial, a callable object.
        facts: Attributes for the result.

    Raises:
        TypeError: It cannot be guarded.
    """
    method = _method(fn)
    if method is not None:
        return type(fn)(wrap(shell, method, **facts))
    if isinstance(fn, type) or not callable(fn):
        raise TypeError(f"cannot guard {show(fn)}: it must be a function, a method or a callable")
    guarded = _guard(shell, fn)
    own = fn if inspect.isfunction(fn) or inspect.ismethod(fn) else None
    functools.update_wrapper(guarded, fn, updated=() if own is None else ("__dict__",))
    if own is None:
        for name in ("__name__", "__qualname__"):
            setattr(guarded, name, getattr(fn, name, None) or _name_of(fn, name))
    for name, fact in facts.items():
        setattr(guarded, name, fact)
    return guarded


def _guard(shell: Colours, fn: _Fn) -> _Fn:
    for is_kind, guard in (
        (inspect.iscoroutinefunction, shell.guard_coroutine),
        (inspect.isasyncgenfunction, shell.guard_async_generator),
        (inspect.isgeneratorfunction, shell.guard_generator),
    ):
        if is_kind(fn) or is_kind(code_of(fn)):
            return guard(fn)
    return shell.guard_function(fn)


def code_of(fn: Any) -> Any:
    """Return what runs when a callable object or a partial of one is called."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if inspect.isroutine(fn) else type(fn).__call__


def _name_of(fn: Any, attribute: str) -> str:
    """Return the name of what a partial calls, or of what a callable object is."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name: str = getattr(fn, attribute, None) or getattr(cast("Any", type(fn)), attribute)
    return name


def _method(fn: object) -> Any:
    """Return the function of a class or static method."""
    return cast("Any", fn).__func__ if isinstance(fn, (classmethod, staticmethod)) else None


def source_of(fn: Any) -> str:
    """Return `module.qualname`, by which a definition is known again when it is made anew."""
    fn = _method(fn) or fn
    name = _name_of(fn, "__qualname__")
    while isinstance(fn, functools.partial):
        fn = fn.func
    if name.endswith("<lambda>"):  # all lambdas of a scope have one name
        name += f":{fn.__code__.co_firstlineno}"
    return f"{getattr(fn, '__module__', None) or type(fn).__module__}.{name}"
