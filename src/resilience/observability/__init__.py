"""
What operators load into their tools: rules for Prometheus, and a dashboard for Grafana.

    >>> from resilience.observability import read
    >>> read("rules").splitlines()[0]
    '# Recording and alert rules for the metrics of resilience.'

`python -m resilience export rules` and `python -m resilience export dashboard` write them out.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

__all__ = ["FILES", "read"]

FILES: Final = {"rules": "rules.yaml", "dashboard": "dashboard.json"}
"""What there is, and the file it is in."""


def read(what: str) -> str:
    """
    Return the text of one of `FILES`.

    Raises:
        KeyError: There is no such thing.
    """
    return files(__name__).joinpath(FILES[what]).read_text(encoding="utf-8")
