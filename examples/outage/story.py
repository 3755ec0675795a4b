"""What is played: the phases of the outage, and what it takes to play them."""

from pathlib import Path

import attrs

PHASES = ("healthy", "slow", "failing", "refusing", "healthy")

DURATION = 30.0
"""Seconds for which the settings of the command are chosen; a shorter story shrinks its times."""


class UnplayableError(Exception):
    """Something outside the demo keeps it from being played; one line says what."""


@attrs.frozen
class Story:
    """
    One outage to be played.

    Attributes:
        phases: How the service behaves, each for an equal share of the duration.
        duration: Seconds that all phases take together.
        port: Where the service listens, on the loopback interface.
        metrics_port: Where the metrics are offered, on the loopback interface.
        page_port: Where the live page is, on the loopback interface.
        svg: Where the picture goes; its dark twin and the scrape go beside it.
        plain: Whether to print lines even on a terminal.
    """

    phases: tuple[str, ...]
    duration: float
    port: int
    metrics_port: int
    page_port: int
    svg: Path
    plain: bool

    @property
    def scale(self) -> float:
        """How long this story is, compared with the one the settings are chosen for."""
        return self.duration / DURATION

    @property
    def metrics_url(self) -> str:
        """Where the metrics can be read while the story lasts."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    @property
    def page_url(self) -> str:
        """Where the live page can be looked at while the story lasts."""
        return f"http://127.0.0.1:{self.page_port}/"
