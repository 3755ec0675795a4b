"""The stage: plays a story before an audience, then shows the summary and saves the picture."""

import asyncio
import logging
import sys

from rich.console import Console

from examples.outage.inventory import GUARD
from examples.outage.lines import Lines
from examples.outage.palette import DARK, LIGHT
from examples.outage.picture import draw
from examples.outage.play import Ending, play
from examples.outage.screen import Screen
from examples.outage.story import Story, UnplayableError
from examples.outage.summary import summary
from examples.outage.verdict import verdict


def perform(story: Story) -> bool:
    """
    Play a story, show what happened and save it.

    Returns:
        Whether the story held.

    Raises:
        UnplayableError: A port is taken, the service does not start or the picture cannot be saved.
            It may be raised inside an exception group.
    """
    console = Console(highlight=False)
    try:
        story.svg.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnplayableError(f"{story.svg.parent} cannot be made: {error.strerror}") from None
    # The screen tells it better.
    logging.getLogger("resilience").addHandler(logging.NullHandler())
    # Both: a build log that is coloured on demand is still no place to draw over.
    if sys.stdout.isatty() and console.is_interactive and not story.plain:
        with Screen(console, story) as screen:
            ending = asyncio.run(play(story, screen.show))
    else:
        ending = asyncio.run(play(story, Lines(story).show))
    checks = verdict(
        ending.timeline,
        counted=sum(ending.snapshot.totals.values()),
        trials_at_once=ending.trials_at_once,
        half_open_calls=GUARD.settings.half_open_calls,
    )
    console.print(summary(ending.timeline, checks))
    save(story, ending, console)
    return all(check.kept for check in checks)


def save(story: Story, ending: Ending, console: Console) -> None:
    """Write the picture, on a light ground and on a dark one, and the scrape beside it."""
    dark = story.svg.with_stem(f"{story.svg.stem}-dark")
    scrape = story.svg.with_suffix(".prom")
    try:
        draw(ending.timeline, LIGHT, story.svg)
        draw(ending.timeline, DARK, dark)
        scrape.write_text(ending.scrape)
    except OSError as error:
        raise UnplayableError(f"{error.filename} cannot be written: {error.strerror}") from None
    for what, path in (("picture", story.svg), ("dark picture", dark), ("scrape", scrape)):
        console.print(f"{what:>12}: {path}", soft_wrap=True)
