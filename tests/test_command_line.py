"""The command line: what it writes, and where; and what it says if it is asked wrongly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resilience.__main__ import main
from resilience.observability import FILES, read


@pytest.mark.parametrize("what", FILES)
def test_export_writes_them_out(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    To standard output, or to a file.
    """
    assert main(["export", what]) == 0
    assert capsys.readouterr().out == read(what)
    assert main(["export", what, "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_text(encoding="utf-8") == read(what)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("output", "why"), [("missing/out", "No such file or directory"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_written_is_told_in_one_line(
    output: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Without a traceback, and with exit code 1.
    """
    path = str(tmp_path / output)
    assert main(["export", "rules", "-o", path]) == 1
    assert capsys.readouterr() == ("", f"error: {path} cannot be written: {why}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["export"], "required: what"),
        (["export", "nothing"], "invalid choice: 'nothing'"),
        (["import", "rules"], "invalid choice: 'import'"),
    ],
    ids=range(4),
)
def test_what_is_asked_wrongly_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    With the usage, and exit code 2.
    """
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("usage: python -m resilience")
    assert message in told


@pytest.mark.parametrize("what", FILES)
def test_a_closed_output_ends_it(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It ends without a word where nobody reads what it writes, and leaves nothing to write.

    Python would try once more when it ends, and complain.
    """
    ours, theirs = os.pipe()
    os.close(ours)
    output = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["export", what]) == 0
    assert output.closed


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    """
    As `head` has, which closes the pipe.
    """
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "resilience", "export", "dashboard"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
