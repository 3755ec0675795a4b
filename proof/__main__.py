"""
Play parts of the evidence, keep their figures, and write the page that shows them.

    python -m proof                       what there is
    python -m proof driver                one part, in full
    python -m proof driver --steps 1e6    the same, smaller
    python -m proof all                   every part, one after the other
    python -m proof page                  write the page anew from what was kept
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import time
import traceback
from typing import Any

from proof import page, results
from proof.parts import PARTS


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser("python -m proof", description=__doc__.splitlines()[1])
    commands = parser.add_subparsers(dest="part", metavar="PART")
    for name, part in PARTS.items():
        options = commands.add_parser(name, help=part.what)
        for option, default in arguments(name).items():
            kind = whole if isinstance(default, int) else type(default)
            options.add_argument(f"--{option.replace('_', '-')}", type=kind, default=default)
    commands.add_parser("all", help="every part, one after the other")
    commands.add_parser("page", help="write the page anew from what was kept")
    given = vars(parser.parse_args())
    part = given.pop("part")
    if part is None:
        parser.print_help()
        return
    held = True
    if part == "all":
        for name in PARTS:  # also those after one that broke
            held &= play(name, arguments(name))
    elif part != "page":
        held = play(part, given)
    page.write()
    sys.exit(not held)


def whole(text: str) -> int:
    """Read a number that may be written as 1e8."""
    return int(float(text))


def arguments(name: str) -> dict[str, Any]:
    """Return what a part may be told, and how large it is in full."""
    run = importlib.import_module(f"proof.{name}").run
    return {name: each.default for name, each in inspect.signature(run).parameters.items()}


def play(name: str, given: dict[str, Any]) -> bool:
    """Play one part, show its figures and keep them; return whether all promises held."""
    full = arguments(name)
    print(f"== {name}: {PARTS[name].what}", flush=True)
    before = time.monotonic()
    broken = None
    figures: dict[str, Any] = {}
    try:
        figures = importlib.import_module(f"proof.{name}").run(**given)
    except AssertionError as error:
        broken = str(error)
        traceback.print_exc()
    took = time.monotonic() - before
    for what, figure in figures.items():
        print(f"{what}: {figure}")
    print(f"({took:.1f} s on Python {sys.version.split()[0]})", flush=True)
    changed = {name: value for name, value in given.items() if value != full[name]}
    results.keep(name, changed, took, figures, broken)
    return broken is None


if __name__ == "__main__":
    main()
