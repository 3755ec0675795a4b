"""All rows, in the order of the table."""

from collections.abc import Iterator

from benchmarks.deadlines import deadline_rows
from benchmarks.footprint import footprint_rows
from benchmarks.http import http_rows
from benchmarks.paths import path_rows
from benchmarks.row import Row
from benchmarks.scale import scale_rows
from benchmarks.scrape import scrape_rows
from benchmarks.servers import server_rows


def all_rows() -> Iterator[Row]:
    """Make all rows."""
    yield from path_rows()
    yield from deadline_rows()
    yield from http_rows()
    yield from footprint_rows()
    yield from scrape_rows()
    yield from server_rows()
    yield from scale_rows()  # the last ones, for their names stay
