"""
CommandMachine: your own function under any history, checked after every step. Needs hypothesis.

Hypothesis plays calls, bursts of calls and pauses against dependencies that fail by a history drawn
for each of them, all on a fake clock. Subclass it, say how your function is built and what must
always be true, and let pytest run its `TestCase`:

    >>> from resilience import command
    >>> from resilience.testing.machine import CommandMachine
    >>> class Greetings(CommandMachine):
    ...     at_most = 10
    ...     recovers_within = 15
    ...
    ...     def build(self):
    ...         greetings = self.dependency("greetings", lambda: "hello")
    ...         return command("greetings", fallback=lambda error: "?")(greetings.acall)
    ...
    ...     def answered(self, value):
    ...         assert value in ("hello", "?")
    >>> TestGreetings = Greetings.TestCase
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, get_args

# Before hypothesis itself: it says what to install where that is missing.
from resilience.testing.strategies import histories  # isort: skip

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from resilience._core.outcome import State
from resilience._snapshot import explain
from resilience._units import NANOS, is_integer, show
from resilience.errors import ConfigurationError, ResilienceError
from resilience.testing._callers import play
from resilience.testing._clock import Backend, FakeClock
from resilience.testing._dependency import DependencyError, FaultyDependency
from resilience.testing._held import assert_nothing_held
from resilience.testing._history import History
from resilience.testing._isolated import isolated_registry
from resilience.testing._read import read_time
from resilience.testing._virtual_asyncio import new_runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience import Registry, Snapshot

__all__ = ["CommandMachine"]

ATTEMPTS = 10
"""How often it calls while it waits for a recovery."""


class CommandMachine(RuleBasedStateMachine):
    """
    A test of a function that commands guard, to be subclassed.

    What it checks by itself, after every step:

    - nothing is held while nothing runs: no slot, trial, waiter or worker thread;
    - a cancelled caller has no answer: nobody has swallowed the cancellation;
    - no dependency has more than `at_most` calls at once;
    - every circuit is closed `recovers_within` seconds after the dependencies have recovered,
      while calls go on.

    What must be true of your function's answers is said by `answered` and `raised`, and of
    everything else by invariants of Hypothesis's own.

    Attributes:
        arguments: A strategy for the tuple of arguments of one call.
        histories: A strategy for the history of each dependency.
        at_most: How many calls a dependency may have at once, from 0 on; `None`: any number.
        recovers_within: Seconds above 0 in which calls with any of `arguments` close every
            circuit; `None`: it need not recover.
        backend: The event loop of a coroutine function: `"asyncio"` or `"trio"`.
        clock: The clock of this run.
        registry: The registry of this run, in the place of `default_registry`.
        dependencies: The dependencies of this run by name.

    Raises:
        ConfigurationError: `at_most`, `recovers_within` or `backend` is out of its range.

    Example:
        >>> from resilience import command
        >>> from resilience.testing.machine import CommandMachine
        >>> class Prices(CommandMachine):
        ...     def build(self):
        ...         shop = self.dependency("shop", lambda: 9.5)
        ...         return command("prices", fallback=lambda error: None)(shop)
        ...
        ...     def answered(self, value):
        ...         assert value in (9.5, None)
        ...
        ...     def raised(self, error):
        ...         raise error  # there is always an answer
        >>> TestPrices = Prices.TestCase
    """

    __module__ = "resilience.testing.machine"

    arguments: ClassVar[st.SearchStrategy[tuple[Any, ...]]] = st.just(())
    histories: ClassVar[st.SearchStrategy[History]] = histories(min_steps=1)
    at_most: ClassVar[int | None] = None
    recovers_within: ClassVar[float | None] = None
    backend: ClassVar[Backend] = "asyncio"

    clock: FakeClock
    registry: Registry
    dependencies: dict[str, FaultyDependency]

    # -- what a subclass says

    def build(self) -> Callable[..., Any]:
        """
        Return the function under test, made anew: sync, or a coroutine function.

        Commands that name no registry belong to `registry`. Dependencies are made by
        `self.dependency(…)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its function is built")

    def answered(self, value: Any) -> None:
        """
        Check what a call returned; any answer will do unless a subclass says more.

        Args:
            value: What it returned.

        Raises:
            AssertionError: It is no right answer, says a subclass.
        """

    def raised(self, error: Exception) -> None:
        """
        Check what a call raised.

        Unless a subclass says otherwise, it may be an error of this library or of a dependency:
        `DependencyError`, `ConnectionRefusedError`, `TimeoutError`. A function with a fallback
        should raise none: then let this raise `error`.

        Args:
            error: What it raised.

        Raises:
            Exception: That error, if it may not be raised.
        """
        if not isinstance(
            error, (ResilienceError, DependencyError, ConnectionRefusedError, TimeoutError)
        ):
            raise error

    def dependency(
        self,
        name: str = "dependency",
        answer: Callable[..., Any] | None = None,
        *,
        history: History | None = None,
        error: Callable[[], BaseException] | None = None,
    ) -> FaultyDependency:
        """
        Make a dependency with a history drawn for it; for `build`.

        Args:
            name: What errors and stories call it; each has a name of its own.
            answer: Gives what a call returns that is answered; see `FaultyDependency`.
            history: What becomes of it; `None`: one is drawn from `histories`.
            error: Gives what a call raises that fails; see `FaultyDependency`.

        Raises:
            ConfigurationError: There is one of that name already.
        """
        if name in self.dependencies:
            raise ConfigurationError(f"name must be another for each dependency, not {show(name)}")
        if history is None:
            history = self._data.draw(self.histories, label=name)
        made = FaultyDependency(history, self.clock, answer, error=error, name=name)
        self.dependencies[name] = made
        return made

    # -- what Hypothesis plays

    def __init__(self) -> None:
        super().__init__()
        self._check_promises()
        self._stack = ExitStack()
        self.clock = FakeClock()
        self.registry = self._stack.enter_context(isolated_registry(self.clock))
        self._runner = self._stack.enter_context(new_runner(self.clock))
        self.dependencies = {}
        self._plays = 0

    def teardown(self) -> None:
        """Close the event loop and put the default registry back."""
        self._stack.close()

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Build the function, with dependencies whose histories begin now."""
        self._data = data
        self._fn = self.build()

    @rule(args=st.runner().flatmap(lambda machine: machine.arguments))
    def call(self, args: tuple[Any, ...]) -> None:
        """Make one call."""
        self._play([args])

    @rule(
        args=st.runner().flatmap(lambda machine: machine.arguments),
        times=st.integers(min_value=2, max_value=30),
    )
    def call_at_once(self, args: tuple[Any, ...], times: int) -> None:
        """Make some calls at once; of a sync function, one after the other."""
        self._play([args] * times)

    @rule(
        args=st.runner().flatmap(lambda machine: machine.arguments),
        times=st.integers(min_value=2, max_value=50),
        every=st.sampled_from((1, 0.1, 0.5)),
    )
    def keep_calling(self, args: tuple[Any, ...], times: int, every: float) -> None:
        """Make a call every so many seconds, whether or not those before it have ended."""
        self._play([args] * times, every)

    @rule(seconds=st.sampled_from((1, 0.1, 0.5, 2, 5, 10)))
    def wait(self, seconds: float) -> None:
        """Let time pass without a call."""
        self.clock.advance(seconds)

    @precondition(lambda self: self.recovers_within is not None and self._plays > 1)
    @precondition(lambda self: self._recovers())
    @rule(args=st.runner().flatmap(lambda machine: machine.arguments))
    def see_it_recover(self, args: tuple[Any, ...]) -> None:
        """
        Wait until the dependencies have recovered, and go on calling: every circuit closes.

        Then their histories begin again.
        """
        within = self.recovers_within
        assert within is not None, "the precondition"
        self.clock.advance(max([0.0, *map(_sick_for, self.dependencies.values())]))
        latest = self.clock.ticks + round(within * NANOS)
        self._play([args])
        while self._still_open() and self.clock.ticks < latest:
            self.clock.advance(within / ATTEMPTS)
            self._play([args])
        for snapshot in self._still_open():
            raise AssertionError(
                f"{within:g} s after the dependencies recovered: {explain(snapshot)}"
            )
        self.relapse()

    @precondition(lambda self: self.recovers_within is None and self._plays > 1)
    @rule()
    def relapse(self) -> None:
        """Begin the histories of the dependencies again."""
        self._plays = 0
        for each in self.dependencies.values():
            each.begin(each.history)

    def _check_promises(self) -> None:
        faults: list[str] = []
        most: Any = self.at_most
        if most is not None and not (is_integer(most) and most >= 0):
            faults.append(f"at_most must be an integer from 0 on or None, not {show(most)}")
        if self.recovers_within is not None:
            try:
                read_time("recovers_within", self.recovers_within, zero=False)
            except ConfigurationError as error:
                faults.extend(error.faults)
        if self.backend not in get_args(Backend):
            faults.append(f"backend must be 'asyncio' or 'trio', not {show(self.backend)}")
        if faults:
            raise ConfigurationError(*faults)

    def _recovers(self) -> bool:
        return all(each.history.recovers_at is not None for each in self.dependencies.values())

    def _still_open(self) -> list[Snapshot]:
        every = self.registry.snapshot().values()
        return [snapshot for snapshot in every if snapshot.state is not State.CLOSED]

    def _run(self, fn: Callable[..., Any], *args: Any) -> None:
        """Run a coroutine function; asyncio has one loop for all, as a service has."""
        if self.backend == "trio":
            self.clock.run(fn, *args, backend="trio")
        else:
            self._runner.run(fn(*args))

    def _play(self, calls: list[tuple[Any, ...]], every: float = 0.0) -> None:
        self._plays += 1
        for caller in play(self._fn, calls, every, self.clock, self._run):
            if caller.swallowed:
                raise AssertionError(
                    f"a cancellation was swallowed: the caller left, and was given {caller}"
                )
            if caller.error is not None and not caller.left:
                self.raised(caller.error)
            elif caller.answered:
                self.answered(caller.value)
        self._check()

    def _check(self) -> None:
        assert_nothing_held(self.registry)
        for each in self.dependencies.values():
            if self.at_most is not None and each.peak > self.at_most:
                raise AssertionError(
                    f"the {each.name} had {each.peak} calls at once, and may have {self.at_most}"
                )


def _sick_for(dependency: FaultyDependency) -> float:
    """Return the seconds until a dependency recovers."""
    assert dependency.history.recovers_at is not None, "the precondition"
    return dependency.history.recovers_at - dependency.age
