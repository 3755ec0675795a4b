"""The library's own log lines: few, and never in a storm."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from resilience import _log
from tests.support.runtime import FakeClock


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the library logs, as if it had not said anything yet."""
    monkeypatch.setattr(_log, "_last", {})
    caplog.set_level(logging.DEBUG, logger="resilience")
    return caplog


def test_a_topic_is_told_once_a_minute(
    said: Any, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """
    In a minute one warning of a topic is logged, whatever its words; other topics are their own.
    """
    monkeypatch.setattr(time, "monotonic", lambda: clock.now / 1e9)
    for second in range(121):
        _log.warn("topic", "at %d", second)
        clock.advance(1)
    _log.warn("another", "now")
    assert [record.getMessage() for record in said.records] == ["at 0", "at 60", "at 120", "now"]
    assert {record.name for record in said.records} == {"resilience"}


def test_an_error_is_told_with_its_traceback(said: Any) -> None:
    """
    Where a warning is about an error, the record carries it.
    """
    error = OSError("no")
    _log.warn("topic", "a listener raised", error=error)
    (record,) = said.records
    assert record.exc_info[1] is error


def test_what_is_kept_of_topics_is_bounded(said: Any) -> None:
    """
    Topics are names, of which there may be any number: not all of them are remembered.
    """
    for number in range(3000):
        _log.warn(f"topic {number}", "told")
    assert len(said.records) == 3000
    assert len(_log._last) <= 1001
