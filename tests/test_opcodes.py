"""The guard that counts opcodes, and what it says of this working tree."""

import subprocess
import sys

from benchmarks.footprint import ROOT
from benchmarks.opcodes import ASYNC, SYNC, grown


def test_no_path_has_grown() -> None:
    """
    A call executes no more opcodes than were committed for this Python.
    """
    # In a process of its own, where nothing else traces.
    command = [sys.executable, "-m", "benchmarks.opcodes"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for key in (*SYNC, *ASYNC):
        line = next(line for line in done.stdout.splitlines() if line.startswith(key))
        assert 20 < float(line.removeprefix(key)) < 2000


def test_growth_is_told_with_its_size() -> None:
    """
    More than two per cent is too much; a path that nobody committed cannot have grown.
    """
    assert grown({"closed": 102.0, "new": 50.0}, {"closed": 100.0}) == []
    assert grown({"closed": 103.0}, {"closed": 100.0}) == ["closed: 103 opcodes, +3.0% of 100"]
