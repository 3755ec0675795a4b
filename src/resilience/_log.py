"""The library's own log lines, under the name `resilience`: few, and never in a storm."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["warn"]

_INTERVAL: Final = 60.0
_last: dict[str, float] = {}


def warn(topic: str, message: str, *args: object, error: BaseException | None = None) -> None:
    """Log a warning, at most once a minute for one topic."""
    now = time.monotonic()
    if now - _last.get(topic, -_INTERVAL) < _INTERVAL:
        return
    if len(_last) > 1000:  # noqa: PLR2004 - topics are names: bound what is kept of them
        _last.clear()
    _last[topic] = now
    import logging  # noqa: PLC0415 - costs more to import than the whole library, rarely needed

    info = None if error is None else (type(error), error, error.__traceback__)
    logging.getLogger("resilience").warning(message, *args, exc_info=info)
