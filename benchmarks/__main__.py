"""
Measure, show, and fail if a limit is exceeded.

    python -m benchmarks --quick --only 'closed asyncio'
"""

import argparse
import gc
import sys
import warnings
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks import chart, page, report
from benchmarks.rows import all_rows

ROUNDS = 31
QUICK_ROUNDS = 5
QUICK_SCALE = 0.3


def main(arguments: list[str] | None = None) -> int:
    """Measure the rows that are asked for; 1 if a limit is exceeded."""
    asked = _parser().parse_args(arguments)
    rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
    rows = [row for row in all_rows() if asked.only in row.key]
    if not rows:
        print(f"no row has {asked.only!r} in its key; there are: ", file=sys.stderr)
        print(*(row.key for row in all_rows()), sep="\n", file=sys.stderr)
        return 2
    # Some rivals use what newer Pythons warn of; the warning would be measured too.
    warnings.simplefilter("ignore")
    gc.freeze()  # what is imported need not be collected again before each sample
    # What is no terminal, a log or a file, has room for the table.
    console = Console(width=None if sys.stdout.isatty() else 160)
    result = report.place() | {"rounds": rounds, "rows": []}
    for row in track(rows, "measuring", console=console, transient=True):
        result["rows"].append(row.measure(rounds, QUICK_SCALE if asked.quick else 1.0))
    report.show(result, console)
    if asked.json is not None:
        report.save(result, asked.json)
    if asked.publish:
        report.save(result, report.RESULTS)
        chart.draw_all(result)
        page.part(result).rewrite()
    missed = report.missed(result)
    for title in missed:
        console.print(f"[red]not reached:[/] {title}")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", default="", metavar="TEXT", help="measure the rows with this in their key")
    add("--rounds", type=int, help=f"how often each contender is measured ({ROUNDS})")
    add("--quick", action="store_true", help="few and short rounds, for a rough look")
    add("--json", type=Path, metavar="PATH", help="write the figures there")
    add("--publish", action="store_true", help="write results.json, the page and the charts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
