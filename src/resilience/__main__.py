"""
The command line: `python -m resilience export rules|dashboard`.

It ends with 0, with 1 if a file cannot be written, and with 2 if it is asked wrongly.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from resilience.observability import FILES, read


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for, and return the exit code."""
    asked = _parser().parse_args(arguments)
    text, output = read(asked.what), asked.output
    if output is None:
        return _print(text)
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"error: {output} cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201 - it talks to a person
        return 1
    return 0


def _print(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it, as `head` does, has had enough
        with suppress(OSError):
            sys.stdout.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m resilience", description="Look after programs."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    export = commands.add_parser(
        "export",
        help="write out what operators load into their tools",
        description="Write out the rules for Prometheus, or the dashboard for Grafana.",
    )
    export.add_argument("what", choices=list(FILES), help="which of them")
    export.add_argument("-o", "--output", metavar="FILE", help="where to, instead of to stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
