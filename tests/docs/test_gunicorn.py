from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support import typed


def get(port: int) -> str:
    """Read what is served on a port; nothing, if nothing is."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
            return str(response.read(), "utf-8")
    except URLError:
        return ""


def free_ports(count: int) -> int:
    """Find some ports in a row that are free, and return the first."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
        try:
            taken = [socket.create_server(("127.0.0.1", port + each)) for each in range(count)]
        except (OSError, OverflowError):
            continue
        for each in taken:
            each.close()
        return port


def test_each_worker_serves_and_is_scraped(tmp_path: Path) -> None:
    """
    The program of the page answers by its fallback, and each worker shows metrics of its own.
    """
    [step] = typed.read("how-to/gunicorn.md", tmp_path)
    port = free_ports(5)
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(config.read_text().replace("9101", str(port + 1)))
    words = [sys.executable, "-m", *step.command.split(), "--bind", f"127.0.0.1:{port}"]
    server = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        log = ""
        while log.count("Booting worker") < 2:
            log += server.stderr.readline()
        while not all(map(get, (port + 1, port + 2))):
            assert server.poll() is None
        assert [get(port) for _ in range(8)] == ["unknown\n"] * 8
        counts = [
            float(re.findall(r'calls_total\{name="stock",outcome="failure"\} (\S+)', metrics)[0])
            for metrics in map(get, (port + 1, port + 2))
        ]
        assert sum(counts) == 8
        assert get(port + 3) == ""
    finally:
        server.terminate()
        server.communicate(timeout=30)
