"""
A process that forks to run the tests of one mistake after the other.

A plugin of pytest, `Playing`, takes the place of its loop over all tests.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import selectors
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from types import CodeType, FunctionType

import pytest

from proof import covering
from proof.choice import Tests
from proof.mistakes import Mistake, parsed
from proof.planted import Planted

AT_ONCE = 2 * (os.cpu_count() or 1)
"""How many mistakes are looked for at once: many tests wait for something."""


class Playing:
    """A plugin of pytest that runs chosen tests in forks instead of all of them here."""

    def __init__(
        self,
        asked: list[Mistake],
        over: float,
        note: Callable[[Mistake, bool], None],
        choice: Callable[[list[pytest.Item]], Tests],
    ) -> None:
        self.asked = asked
        self.over = over
        self.note = note
        self.choice = choice
        self.folder = ""
        """In a child: where its files are."""

    def pytest_configure(self) -> None:
        """Draw what was drawn when the tests were measured."""
        covering.draw_alike()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In a child: one test that fails is enough."""
        if self.folder and report.failed:
            Path(self.folder, "noticed by").write_text(report.nodeid, encoding="utf-8")
            os._exit(1)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Fork for one mistake after the other, for as many at once as there are processors."""
        tests = self.choice(session.items)
        found: dict[Path, list[FunctionType]] = defaultdict(list)
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and "resilience" in each.__code__.co_filename:
                found[Path(each.__code__.co_filename).resolve()].append(each)
        gc.collect()
        gc.freeze()
        sys.stdout.flush()
        with TemporaryDirectory() as folder:
            children = self._children(tests, found, folder)
            for mistake, own, noticed in forked(children, AT_ONCE, tests.patience):
                self.note(mistake, noticed)
                tests.was_noticed(mistake, Path(own, "noticed by"))
                if not noticed:
                    print("not noticed:", mistake.name, flush=True)
        return True

    def _children(
        self, tests: Tests, found: dict[Path, list[FunctionType]], folder: str
    ) -> Iterator[tuple[Mistake, str, int]]:
        # By file, because what covers a file is read once; in chance's order within each.
        for mistake in sorted(self.asked, key=lambda each: each.path):
            if time.monotonic() > self.over:
                return
            chosen, at_import = tests.that_run(mistake)
            if not chosen and not at_import:
                self.note(mistake, False)
                print("not run by any test:", mistake.name, flush=True)
                continue
            parsed(mistake.path)
            own = mkdtemp(dir=folder)
            child = os.fork()
            if child:
                yield mistake, own, child
                continue
            status = 2
            try:
                self.folder = os.environ["PYTEST_DEBUG_TEMPROOT"] = own
                os.setpgid(0, 0)
                resource.setrlimit(resource.RLIMIT_CPU, (tests.work, tests.work))
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(1, 2)
                status = self._played(mistake, chosen, found[mistake.path], at_import)
            finally:
                os._exit(status)

    def _played(
        self,
        mistake: Mistake,
        chosen: list[pytest.Item],
        functions: list[FunctionType],
        at_import: bool,
    ) -> int:
        """In a child: 0 if no test fails."""
        code = compile_(mistake)
        sys.meta_path.insert(0, Planted(mistake.path, code))  # for who imports it only now
        changed = put(code, functions)
        if changed:
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if at_import or not changed:
            names = [item.nodeid for item in chosen[:500]]
            code = f"from proof import mutation; mutation.afresh({mistake.name!r}, {names!r})"
            os.execv(sys.executable, [sys.executable, "-c", code])
        return 0


def put(module: CodeType, functions: list[FunctionType]) -> bool:
    """Put the wrong code of a module into its functions; false if that cannot be done."""
    codes = {key(code): code for code in codes_in(module)}
    try:
        for function in functions:
            function.__code__ = codes.get(key(function.__code__), function.__code__)
    except ValueError:  # the function closes over something else
        return False
    return True


def compile_(mistake: Mistake) -> CodeType:
    """Return the code of a module with the mistake in it."""
    return compile(mistake.tree(), mistake.path, "exec", dont_inherit=True)


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """Return a code and all that are inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from codes_in(each)


def key(code: CodeType) -> tuple[str, int]:
    """Return by what a function is known again."""
    return code.co_qualname, code.co_firstlineno


def forked(
    children: Iterator[tuple[Mistake, str, int]], at_once: int, patience: float
) -> Iterator[tuple[Mistake, str, bool]]:
    """Wait for children, some at once, and end those that take too long; return who failed."""
    with selectors.DefaultSelector() as selector:
        while True:
            while len(selector.get_map()) < at_once and (child := next(children, None)):
                data = (*child, time.monotonic() + patience)
                selector.register(os.pidfd_open(child[2]), selectors.EVENT_READ, data)
            if not selector.get_map():
                return
            ended = {event.fd for event, _ in selector.select(1.0)}
            for event in list(selector.get_map().values()):
                mistake, own, number, until = event.data
                if event.fd not in ended and time.monotonic() < until:
                    continue
                selector.unregister(event.fd)
                os.close(event.fd)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(number, signal.SIGKILL)  # also whom a test has started
                yield mistake, own, os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) != 0
