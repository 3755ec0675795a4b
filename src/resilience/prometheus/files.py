"""The files of prometheus_client's multiprocess mode: one for each process and kind of metric."""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from resilience.prometheus.families import MAX, SUM

__all__ = ["forget_the_dead", "prepare"]

KINDS: Final = ("counter", "histogram", f"gauge_{SUM}", f"gauge_{MAX}")
LIVE: Final = re.compile(r"gauge_live\w+_(\d+)\.db")
"""A file that only a live process has."""

SIZE: Final = 1 << 16
EMPTY: Final = struct.pack("ii", 8, 0)
"""How a file begins that has nothing in it: with the number of bytes that are used."""


def prepare(folder: Path) -> None:
    """
    Make the files of this process, each in one step.

    prometheus_client opens one that is not there yet with no byte in it, and a scrape that comes
    across it then fails.
    """
    process = os.getpid()
    for kind in KINDS:
        path = folder / f"{kind}_{process}.db"
        if path.exists():
            continue
        new = path.with_suffix(".new")
        new.write_bytes(EMPTY)
        os.truncate(new, SIZE)
        with suppress(OSError):  # a metric of another thread has made it, or it cannot be linked
            os.link(new, path)
        new.unlink()


def forget_the_dead(folder: Path) -> None:
    """Take what is gone out of the gauges, even where no master says that it is."""
    for path in folder.iterdir():
        found = LIVE.fullmatch(path.name)
        if found is not None and _is_gone(int(found[1])):
            path.unlink(missing_ok=True)  # another worker may be at it


def _is_gone(process: int) -> bool:
    if os.name != "posix" or process == os.getpid():
        return False
    try:
        with suppress(PermissionError):  # it lives, and is somebody else's
            os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False
