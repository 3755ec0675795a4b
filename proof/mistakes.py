"""The mistakes that are planted one by one: what is mutated in a module, and how each is called."""

from __future__ import annotations

import ast
import copy
import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from proof.promises import ROOT

SOURCE = ROOT / "src" / "resilience"

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Mistake(NamedTuple):
    """One mistake in one module."""

    path: Path
    name: str
    """Which it is, without a line number: that would change with every edit."""
    lines: frozenset[int]
    """Of the expression, and of the statement it stands in."""
    function: range
    """The lines of the function around it."""
    node: int
    """Which node of the tree is another, in the order of `ast.walk`."""
    kind: int
    """Which of the mistakes that can be made there."""

    def tree(self) -> ast.Module:
        """Return the module with the mistake in it, each line in its place; once in a process."""
        tree, nodes = parsed(self.path)
        planted(nodes[self.node], self.kind)
        return ast.fix_missing_locations(tree)


@functools.cache
def parsed(path: Path) -> tuple[ast.Module, list[ast.AST]]:
    """Return the tree of a module and its nodes, parsed once for all its mistakes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tree, list(ast.walk(tree))


def mistakes(path: Path) -> Iterator[Mistake]:
    """Return every mistake that can be made in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = dict(functions(tree))
    told = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign | ast.JoinedStr)
        for inner in ast.walk(node.annotation if isinstance(node, ast.AnnAssign) else node)
    }
    named: Counter[str] = Counter()
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in inside or id(node) in told:
            continue
        where, function, statement = inside[id(node)]
        for kind in itertools.count():
            changed = copy.deepcopy(node)
            if not planted(changed, kind):
                break
            file = path.relative_to(SOURCE)
            name = f"{file} {where}: {shown(node)} -> {shown(changed)}"
            named[name] += 1
            if named[name] > 1:
                name += f" ({named[name]})"
            lines = frozenset({getattr(node, "lineno", statement), statement})
            yield Mistake(path, name, lines, function, number, kind)


def functions(
    node: ast.AST, where: str = "", around: range | None = None, statement: int = 0
) -> Iterator[tuple[int, tuple[str, range, int]]]:
    """Return of each node in a function: the function's name and lines, the statement's line."""
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            line = child.lineno if isinstance(child, ast.stmt) else statement
            if around and (not isinstance(node, Function) or field == "body"):
                yield id(child), (where, around, line)
            if isinstance(child, Function | ast.ClassDef):
                name = f"{where}.{child.name}" if where else child.name
                lines = range(child.lineno, (child.end_lineno or child.lineno) + 1)
                inner = lines if isinstance(child, Function) else around
                yield from functions(child, name, inner, line)
            else:
                yield from functions(child, where, around, line)


def shown(node: ast.AST) -> str:
    """Return a node on one short line."""
    return re.sub(r"\s+", " ", ast.unparse(node))[:70]


def planted(node: ast.AST, kind: int) -> bool:
    """Make a mistake in a node; false if there is none of this number to make."""
    match node:
        case ast.Compare(ops=[op]) if not kind and type(op) in COMPARISONS:
            node.ops = [COMPARISONS[type(op)]()]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if not kind and type(op) in ARITHMETIC:
            node.op = ARITHMETIC[type(op)]()
        case ast.BoolOp(op=op) if not kind:
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.Not()) if not kind:
            node.op = ast.UAdd()
        case ast.Constant(value=bool(value)) if not kind:
            node.value = not value
        case ast.Constant(value=int(value)) if not kind:
            node.value = value + 1
        case ast.If() | ast.While() | ast.IfExp() if kind < 2 and not (
            kind and isinstance(node, ast.While)
        ):
            node.test = ast.Constant(bool(kind))
        case ast.Expr(value=ast.Call()) if not kind:
            node.value = ast.Constant(None)
        case ast.Return(value=ast.Constant(value=None | int())):
            return False  # a number or truth inside is a mistake of its own
        case ast.Return(value=ast.expr()) if not kind:
            node.value = ast.Constant(None)
        case _:
            return False
    return True
