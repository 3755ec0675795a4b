"""Chromium without a screen, as the system has it: `scripts/debian chromium` installs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

# It asks nobody but the page under test.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip


def installed() -> str:
    """Return where it is; without it a test is skipped, and fails where CI is to have it."""
    path = shutil.which("chromium")
    if path is not None:
        return path
    need = "the live page is tested in Chromium: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(need)
    pytest.skip(need)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser of one's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
