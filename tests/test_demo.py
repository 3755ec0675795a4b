"""The demo, played from the outside as its users play it."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.support.loopback import free_port

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"

# Runs the demo as `python -m` does, with three differences that make a test independent of where it
# is run: Ctrl-C is heeded even in a background job, where it is ignored and children inherit that;
# a terminal given to it is its own; and the package named by the first argument is not there.
PROGRAM = """
import fcntl, runpy, signal, sys, termios
signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.stdin.isatty():
    fcntl.ioctl(sys.stdin, termios.TIOCSCTTY, 0)
sys.modules[sys.argv.pop(1)] = None
runpy.run_module("examples.outage", run_name="__main__", alter_sys=True)
"""

# What the terminal of whoever runs the tests is like is not to matter either.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {"COLUMNS", "FORCE_COLOR", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
}


@attrs.define
class Demo:
    """A demo that is being played, with errors among its output."""

    process: subprocess.Popen[str]
    port: int
    metrics_port: int
    page_port: int
    lines: list[str] = attrs.field(factory=list)

    def until(self, text: str) -> None:
        """Read on to the line that has this text."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return
        pytest.fail(f"{text!r} was never said:\n" + "\n".join(self.lines))

    def finish(self) -> int:
        """
        Read to the end of the output and return the exit code.

        The service shares the output, so there is no end of it before the service is gone.
        """
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait()


@contextlib.contextmanager
def demo(
    tmp_path: Path,
    *options: str,
    port: int = 0,
    metrics_port: int = 0,
    page_port: int = 0,
    missing: str = "nothing",
) -> Iterator[Demo]:
    """Start the demo, by default on free ports."""
    port = port or free_port()
    metrics_port = metrics_port or free_port()
    page_port = page_port or free_port()
    ports = ("--port", str(port), "--metrics-port", str(metrics_port))
    ports += ("--page-port", str(page_port))
    files = ("--svg", str(tmp_path / "outage.svg"))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, missing, *ports, *files, *options],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield Demo(process, port, metrics_port, page_port)
        finally:
            process.kill()


@attrs.frozen
class Played:
    """What a whole demo leaves behind."""

    code: int
    output: str
    scrape: str
    page_port: int
    event: dict[str, Any]
    files: Path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Return what is left of one demo, which is played once for all tests that look at it."""
    files = tmp_path_factory.mktemp("demo") / "new" / "folder"
    with demo(files, "--duration", "6") as playing:
        playing.until("service failing")
        request = urllib.request.Request(
            f"http://127.0.0.1:{playing.metrics_port}/metrics",
            headers={"Accept": "application/openmetrics-text"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
            scrape = response.read().decode()
        stream = f"http://127.0.0.1:{playing.page_port}/hystrix.stream"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(stream) as response:
            event = json.loads(response.readline().removeprefix(b"data: "))
            code = playing.finish()  # a page that is still looked at does not keep it
    output = "\n".join(playing.lines)
    return Played(code, output, scrape, playing.page_port, event, files)


def test_the_story_holds(played: Played):
    """The circuit opens, answers at once, tries with care, closes, and loses no call."""
    assert played.code == 0, played.output
    assert played.output.count("│ yes │") == 5


def test_it_prints_plain_lines_without_a_terminal(played: Played):
    """No escape codes and no drawing over; changes of the circuit come with their reason."""
    assert "\x1b" not in played.output
    assert "circuit closed -> open: " in played.output
    for phase in ("healthy", "slow", "failing", "refusing"):
        assert f"service {phase}" in played.output


def test_the_metrics_can_be_read_while_it_lasts(played: Played):
    """The endpoint speaks OpenMetrics and knows the calls made so far."""
    samples = [sample for family in openmetrics(played.scrape) for sample in family.samples]

    assert sum(s.value for s in samples if s.name == "resilience_calls_total") > 0


def test_the_live_page_can_be_looked_at_while_it_lasts(played: Played):
    """Its address is printed, and it shows the demo's command."""
    assert f"live page, while it lasts: http://127.0.0.1:{played.page_port}/" in played.output
    assert (played.event["name"], played.event["threadPool"]) == ("inventory", "inventory")
    assert played.event["requestCount"] > 0


def test_a_last_scrape_is_saved(played: Played):
    """It is written beside the picture and counts every call of the story."""
    text = (played.files / "outage.prom").read_text()
    samples = [sample for family in prometheus(text) for sample in family.samples]
    calls = sum(s.value for s in samples if s.name == "resilience_calls_total")

    assert f"{calls:.0f} calls in " in played.output


@pytest.mark.parametrize("name", ["outage.svg", "outage-dark.svg"])
def test_the_picture_is_saved(played: Played, name: str):
    """It is an SVG image in which the text is text."""
    image = ET.parse(played.files / name).getroot()
    texts = {text.text.strip() for text in image.iter(f"{SVG}text")}

    assert image.tag == f"{SVG}svg"
    assert {"healthy", "slow", "failing", "refusing", "closed"} <= texts


def test_a_story_that_does_not_hold_fails(tmp_path: Path):
    """A service that never fails opens no circuit."""
    with demo(tmp_path, "--duration", "4", "--phases", "healthy") as playing:
        assert playing.finish() == 1

    assert any("│ NO  │ opened during the outage" in line for line in playing.lines)


@pytest.mark.parametrize("taken", ["port", "metrics_port", "page_port"])
def test_a_port_in_use_is_told_in_one_line(tmp_path: Path, taken: str):
    """The line names the port; nothing is played."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        number = server.getsockname()[1]
        with demo(tmp_path, **{taken: number}) as playing:
            assert playing.finish() == 2

    reason = os.strerror(errno.EADDRINUSE)
    assert [
        f"The outage cannot be played: port {number} cannot be used: {reason}."
    ] == playing.lines


@pytest.mark.parametrize(
    "package", ["httpx2", "matplotlib", "prometheus_client", "rich", "uvicorn"]
)
def test_a_missing_package_is_told_in_one_line(tmp_path: Path, package: str):
    """The line names the package and says how to get it."""
    with demo(tmp_path, missing=package) as playing:
        assert playing.finish() == 2

    assert [f"The demo needs {package}, which `make demo` installs."] == playing.lines


def test_ctrl_c_ends_it_with_one_line(tmp_path: Path):
    """The service ends too: its port is free, and nobody holds the output open."""
    with demo(tmp_path) as playing:
        playing.until("service healthy")
        said = len(playing.lines)
        playing.process.send_signal(signal.SIGINT)
        assert playing.finish() == 130

    *_, last = playing.lines[said:]
    assert last == "Interrupted; nothing is left running."
    assert not any("Traceback" in line for line in playing.lines)
    with socket.create_server(("127.0.0.1", playing.port)):
        pass  # nobody else listens there


def test_a_terminal_is_drawn_on_until_ctrl_c(tmp_path: Path):
    """A real one: the key is pressed, and the terminal is free once nobody has it open."""
    leader, follower = os.openpty()
    names = ("--port", "--metrics-port", "--page-port")
    ports = [part for name in names for part in (name, str(free_port()))]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "nothing", *ports, "--svg", str(tmp_path / "outage.svg")],
        cwd=ROOT,
        env=ENVIRONMENT | {"TERM": "xterm-256color"},
        start_new_session=True,
        **dict.fromkeys(("stdin", "stdout", "stderr"), follower),
    ) as process:
        os.close(follower)
        seen = b""
        while b"next trial" not in seen:
            seen += os.read(leader, 65536)
        os.write(leader, b"\x03")
        with contextlib.suppress(OSError):  # the way Linux says that nobody has it open
            while more := os.read(leader, 65536):
                seen += more
        os.close(leader)

    assert process.returncode == 130
    assert seen.decode().rstrip().endswith("Interrupted; nothing is left running.")
    assert b"an outage, live" in seen
    assert b"Traceback" not in seen


def test_a_killed_demo_leaves_no_service_behind(tmp_path: Path):
    """Even one that could not clean up: the service ends with the pipe it listens to."""
    with demo(tmp_path) as playing:
        playing.until("service healthy")
        playing.process.kill()
        assert playing.finish() == -signal.SIGKILL
