"""What may be asked for on the command line."""

import argparse
from pathlib import Path

from examples.outage.story import DURATION, PHASES, Story

SHORTEST = 4.0
"""Seconds; in less, the window is too short for the calls it takes to open the circuit."""


def asked(arguments: list[str] | None = None) -> Story:
    """Return the story that the command line asks for; what it asks wrongly ends the program."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.outage",
        description="Play an outage, live: a service breaks, and its caller stays up.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--duration", type=seconds, default=DURATION, help="how long it takes, in seconds")
    add("--port", type=port, default=8321, help="where the service listens")
    add("--metrics-port", type=port, default=9321, help="where the metrics can be read")
    add("--page-port", type=port, default=8322, help="where the live page is")
    add("--svg", type=Path, default=Path("build/outage.svg"), help="where the picture goes")
    add("--plain", action="store_true", help="print lines even on a terminal")
    add("--phases", nargs="+", choices=sorted(set(PHASES)), default=PHASES, help="what happens")
    options = parser.parse_args(arguments)
    return Story(
        phases=tuple(options.phases),
        duration=options.duration,
        port=options.port,
        metrics_port=options.metrics_port,
        page_port=options.page_port,
        svg=options.svg,
        plain=options.plain,
    )


def seconds(text: str) -> float:
    """Read a duration, no shorter than the story can be."""
    value = float(text)
    if not SHORTEST <= value < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text} is not a number of seconds from {SHORTEST:.0f} on"
        )
    return value


def port(text: str) -> int:
    """Read the number of a port."""
    value = int(text)
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 1 to 65535")
    return value
