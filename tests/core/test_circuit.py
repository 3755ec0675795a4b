from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience import Override, Settings, State
from resilience._core.circuit import Circuit, Refusal, Rules, Trial
from resilience._core.journal import AT_ONCE
from resilience._core.transitions import TRANSITIONS, Event, Transition
from tests.support.model import CircuitModel
from tests.support.whole import check_circuit

WINDOW = 30
SLEEP = 5


def rules(**changes: Any) -> Rules:
    """Half of two calls trip it; it sleeps for 5 ns and remembers for 30."""
    plain = Rules(
        volume_threshold=2,
        error_ratio=(1, 2),
        slow_ratio=(1, 1),
        sleep_window=SLEEP,
        sleep_window_max=None,
        sleep_window_jitter=0.0,
        half_open_calls=1,
        half_open_successes=1,
        bucket_width=10,
        buckets=3,
    )
    return plain._replace(**changes)


def fail(circuit: Circuit, *, at: int = 0, times: int = 1, error: str = "OSError") -> None:
    """Record failures of calls that were admitted now."""
    for _ in range(times):
        circuit.record(circuit.generation, None, at, error=error)


def succeed(circuit: Circuit, *, at: int = 0, times: int = 1, slow: bool = False) -> None:
    """Record successes of calls that were admitted now."""
    for _ in range(times):
        circuit.record(circuit.generation, None, at, error=None, slow=slow)


def opened(*, at: int = 0, **changes: Any) -> Circuit:
    """A circuit that two failures have opened."""
    circuit = Circuit(rules(**changes), at)
    fail(circuit, at=at, times=2)
    assert circuit.state is State.OPEN
    return circuit


def trying(circuit: Circuit, *, at: int, timeout: int = 0) -> Trial:
    """Admit a trial to a circuit that would not refuse it."""
    trial = Trial(timeout)
    assert circuit.ask(at) is None
    assert circuit.admit(trial, at)
    return trial


def end(circuit: Circuit, trial: Trial, *, at: int, **how: Any) -> bool:
    """Record what became of a trial: by default a success."""
    return circuit.record(circuit.generation, trial, at, **{"error": None, **how})


# -- closed to open


@pytest.mark.promise("A5", "A6")
@settings(max_examples=300, deadline=None)
@given(
    calls=st.lists(st.sampled_from(["success", "error", "slow", "slow error"]), max_size=40),
    threshold=st.integers(1, 30),
    errors=st.sampled_from([50, 100, 0.1, 33.3, Decimal("66.6"), 1, Decimal("0.0001")]),
    slow=st.sampled_from([100, 25, 0.3]),
)
@example(calls=["error"] * 20, threshold=21, errors=Decimal("0.0001"), slow=100)
@example(calls=["error", "error", "success", "success"], threshold=4, errors=50, slow=100)
def test_opens_in_the_very_call_that_reaches_a_threshold(
    calls: list[str], threshold: int, errors: Decimal, slow: float
) -> None:
    """
    The circuit opens with the first call at which volume and percentage are reached, no other.
    """
    chosen = Settings(volume_threshold=threshold, error_percent=errors, slow_call_percent=slow)
    circuit = Circuit(chosen.rules(), 0)
    bad = [Fraction(str(errors)), Fraction(str(slow))]
    seen: list[str] = []
    for call in calls:
        seen.append(call)
        circuit.record(1, None, 0, error="no" if "error" in call else None, slow="slow" in call)
        counts = [sum(word in each for each in seen) for word in ("error", "slow")]
        reached = any(
            100 * count >= limit * len(seen) for count, limit in zip(counts, bad, strict=True)
        )
        if len(seen) >= threshold and reached:
            assert circuit.state is State.OPEN
            return
        assert circuit.state is State.CLOSED


@pytest.mark.promise("A5")
def test_less_than_the_threshold_is_not_rounded_up_to_it() -> None:
    """
    49.5 % of errors do not open a circuit whose threshold is 50 %; 50 % do.
    """
    circuit = Circuit(Settings(volume_threshold=200, error_percent=50).rules(), 0)
    fail(circuit, times=99)
    succeed(circuit, times=101)
    assert circuit.state is State.CLOSED

    fail(circuit)
    succeed(circuit)
    assert circuit.window.errors / circuit.window.calls == 100 / 202
    assert circuit.state is State.CLOSED
    fail(circuit, times=2)
    assert circuit.state is State.OPEN


@pytest.mark.promise("A5")
@pytest.mark.parametrize(
    ("percent", "errors", "calls"),
    [
        (0.1, 1, 1000),
        (0.3, 3, 1000),
        (33.3, 333, 1000),
        (Decimal("33.33"), 3333, 10_000),
        (7, 7, 100),
    ],
)
def test_a_percentage_is_exactly_the_decimal_that_was_written(
    percent: float | Decimal, errors: int, calls: int
) -> None:
    """
    A share of errors that is exactly the threshold opens, one call more and it is below.
    """
    chosen = Settings(error_percent=percent, volume_threshold=calls)
    exact, below = Circuit(chosen.rules(), 0), Circuit(chosen.rules(), 0)
    for circuit, more in ((exact, 0), (below, 1)):
        succeed(circuit, times=calls - errors + more)
        fail(circuit, times=errors)
    assert (exact.state, below.state) == (State.OPEN, State.CLOSED)


@pytest.mark.promise("A5")
def test_the_success_that_reaches_the_volume_opens() -> None:
    """
    Whatever completes the volume decides, a success too.
    """
    circuit = Circuit(rules(volume_threshold=3), 0)
    fail(circuit, times=2)
    assert circuit.state is State.CLOSED
    succeed(circuit)
    assert circuit.state is State.OPEN
    assert circuit.last_error is None


@pytest.mark.promise("A5")
def test_errors_that_left_the_window_count_no_more() -> None:
    """
    Failures of longer ago than the window do not open the circuit.
    """
    circuit = Circuit(rules(), 0)
    fail(circuit, at=0)
    fail(circuit, at=WINDOW)
    assert circuit.state is State.CLOSED
    fail(circuit, at=WINDOW)
    assert circuit.state is State.OPEN


@pytest.mark.promise("A16")
def test_slow_calls_open_whatever_their_outcome() -> None:
    """
    Slow successes reach the threshold of slow calls as slow failures do.
    """
    circuit = Circuit(rules(error_ratio=(1, 1), slow_ratio=(2, 3), volume_threshold=3), 0)
    succeed(circuit)
    succeed(circuit, slow=True)
    assert circuit.state is State.CLOSED
    succeed(circuit, slow=True)
    assert circuit.state is State.OPEN
    assert circuit.last == Transition(
        State.CLOSED, State.OPEN, Event.TRIPPED, "2 of 3 calls were slow, the limit is 66.6667 %", 0
    )


@pytest.mark.promise("A2")
def test_a_transition_tells_what_happened_and_why() -> None:
    """
    The last transition names both states, the event, its reason and its time.
    """
    circuit = opened(at=7)
    assert circuit.last == Transition(
        State.CLOSED, State.OPEN, Event.TRIPPED, "2 of 2 calls failed, the limit is 50 %", 7
    )
    trial = trying(circuit, at=12)
    assert circuit.last == Transition(
        State.OPEN, State.HALF_OPEN, Event.ATTEMPTED, "the sleep window is over", 12
    )
    end(circuit, trial, at=13, error="OSError")
    assert circuit.last == Transition(
        State.HALF_OPEN, State.OPEN, Event.RELAPSED, "a trial failed", 13
    )
    end(circuit, trying(circuit, at=18), at=19, slow=True)
    assert circuit.last.reason == "a trial was slow"
    end(circuit, trying(circuit, at=24), at=25)
    assert circuit.last == Transition(
        State.HALF_OPEN, State.CLOSED, Event.RECOVERED, "1 trial succeeded", 25
    )
    assert circuit.generation == 8
    assert circuit.transitions == {
        (State.CLOSED, State.OPEN): 1,
        (State.OPEN, State.HALF_OPEN): 3,
        (State.HALF_OPEN, State.OPEN): 2,
        (State.HALF_OPEN, State.CLOSED): 1,
    }


@pytest.mark.promise("A1")
def test_the_table_holds_the_legal_edges_alone() -> None:
    """
    Closed leads to open, open to half-open, half-open to both; a reset closes from anywhere.
    """
    assert {(old.value, event.name, new.value) for (old, event), new in TRANSITIONS.items()} == {
        ("closed", "TRIPPED", "open"),
        ("open", "ATTEMPTED", "half_open"),
        ("half_open", "RECOVERED", "closed"),
        ("half_open", "RELAPSED", "open"),
        ("open", "RESET", "closed"),
        ("half_open", "RESET", "closed"),
    }


# -- open


@pytest.mark.promise("A7", "A18")
def test_open_refuses_until_the_sleep_window_is_over() -> None:
    """
    An open circuit refuses each call and says how long it will, until that very nanosecond.
    """
    circuit = opened(at=100)
    assert circuit.ask(100) == Refusal(State.OPEN, SLEEP)
    assert circuit.ask(100 + SLEEP - 1) == Refusal(State.OPEN, 1)
    assert circuit.ask(100 + SLEEP) is None


@pytest.mark.promise("A8")
def test_reading_never_moves_a_circuit() -> None:
    """
    An open circuit whose time is over stays open until a call is admitted.
    """
    circuit = opened(at=0)
    for now in (SLEEP, 10**12):
        circuit.ask(now)
        circuit.spent(now)
        circuit.window.advance(now)
        repr(circuit)
        assert (circuit.state, circuit.generation) == (State.OPEN, 2)
    trying(circuit, at=10**12)
    assert (circuit.state, circuit.generation) == (State.HALF_OPEN, 3)


@pytest.mark.promise("A3", "A4")
@pytest.mark.parametrize("error", [None, "OSError"])
def test_a_result_from_before_the_trip_changes_nothing(error: str | None) -> None:
    """
    What was admitted while closed neither closes an open circuit nor keeps it open longer.
    """
    circuit = opened(at=0)
    assert not circuit.record(1, None, 3, error=error)
    assert (circuit.state, circuit.retry_at, circuit.window.calls) == (State.OPEN, SLEEP, 2)

    trying(circuit, at=SLEEP)
    assert not circuit.record(1, None, SLEEP, error=error)
    assert circuit.state is State.HALF_OPEN
    assert circuit.trials_running == 1


def test_an_open_circuit_tells_the_error_that_opened_it() -> None:
    """
    The error stays until the circuit closes; a relapse brings its own.
    """
    circuit = Circuit(rules(), 0)
    fail(circuit, error="OSError: first")
    fail(circuit, error="OSError: second")
    assert circuit.last_error == "OSError: second"
    trial = trying(circuit, at=SLEEP)
    assert circuit.last_error == "OSError: second"
    end(circuit, trial, at=SLEEP, error="ValueError")
    assert circuit.last_error == "ValueError"
    end(circuit, trying(circuit, at=3 * SLEEP), at=3 * SLEEP)
    assert circuit.last_error is None


def test_a_dependency_may_ask_to_be_left_alone_for_longer() -> None:
    """
    `hold` is the least time that the circuit stays open if this result opens it.
    """
    circuit = Circuit(rules(), 0)
    circuit.record(1, None, 0, error="503", hold=1000)
    circuit.record(1, None, 10, error="503", hold=20)
    assert circuit.retry_at == 30
    end(circuit, trying(circuit, at=30), at=31, error="503", hold=SLEEP - 1)
    assert circuit.retry_at == 31 + SLEEP


# -- half-open


@pytest.mark.promise("A9", "A18", "C2")
def test_half_open_lets_as_many_try_as_it_was_told() -> None:
    """
    With `half_open_calls` trials running everyone else is refused until the first lease ends.
    """
    circuit = opened(half_open_calls=2, half_open_successes=2)
    trying(circuit, at=10, timeout=8)
    trying(circuit, at=11)
    assert circuit.ask(11) == Refusal(State.HALF_OPEN, SLEEP)
    assert circuit.ask(15) == Refusal(State.HALF_OPEN, 1)
    assert circuit.ask(16) is None


@pytest.mark.promise("A11", "A14", "C2")
def test_a_cancelled_trial_makes_room_for_the_next() -> None:
    """
    Given back without a verdict, a trial moves nothing; given back twice, it counts once.
    """
    circuit = opened()
    trial = trying(circuit, at=5)
    circuit.give_back(trial)
    circuit.give_back(trial)
    assert (circuit.state, circuit.generation, circuit.trials) == (
        State.HALF_OPEN,
        3,
        {"released": 1},
    )
    other = trying(circuit, at=5)
    circuit.give_back(trial)
    assert circuit.trials_running == 1
    end(circuit, other, at=6)
    assert circuit.state is State.CLOSED


def test_closing_takes_as_many_successes_as_it_was_told() -> None:
    """
    `half_open_successes` trials have to succeed, one after the other or at once.
    """
    circuit = opened(half_open_calls=2, half_open_successes=3)
    first, second = trying(circuit, at=5), trying(circuit, at=5)
    end(circuit, first, at=6)
    end(circuit, second, at=6)
    assert circuit.state is State.HALF_OPEN
    end(circuit, trying(circuit, at=7), at=8)
    assert circuit.state is State.CLOSED
    assert circuit.last is not None
    assert circuit.last.reason == "3 trials succeeded"


def test_the_first_failed_trial_opens() -> None:
    """
    One failure outweighs the successes before it, and trials still running are void.
    """
    circuit = opened(half_open_calls=3, half_open_successes=3)
    trials = [trying(circuit, at=5) for _ in range(3)]
    generation = circuit.generation
    end(circuit, trials[0], at=6)
    end(circuit, trials[1], at=7, error="OSError")
    assert (circuit.state, circuit.retry_at) == (State.OPEN, 7 + SLEEP)
    assert not circuit.record(generation, trials[2], 8, error=None)
    assert circuit.trials == {"success": 1, "failure": 1, "released": 1}


@pytest.mark.promise("A16")
def test_a_slow_success_fails_its_trial() -> None:
    """
    A trial that took too long opens, so a circuit opened for slowness does not flap.
    """
    circuit = opened()
    end(circuit, trying(circuit, at=5), at=6, slow=True)
    assert circuit.state is State.OPEN
    assert circuit.trials == {"failure": 1}


@pytest.mark.promise("A10")
def test_a_hung_trial_does_not_wedge_the_circuit() -> None:
    """
    When its lease has run out the next trial is admitted, and half-open ends.
    """
    circuit = opened()
    trying(circuit, at=5)
    assert circuit.ask(5 + SLEEP - 1) is not None
    second = trying(circuit, at=5 + SLEEP)
    assert circuit.trials == {"expired": 1}
    end(circuit, second, at=11)
    assert circuit.state is State.CLOSED


@pytest.mark.promise("A10")
@pytest.mark.parametrize(("timeout", "lease"), [(0, SLEEP), (SLEEP - 1, SLEEP), (12, 12)])
def test_a_lease_lasts_as_long_as_its_call_may_take(timeout: int, lease: int) -> None:
    """
    A lease ends with the timeout of its call, and never before a sleep window is over.
    """
    circuit = opened()
    trying(circuit, at=10, timeout=timeout)
    assert circuit.ask(10) == Refusal(State.HALF_OPEN, lease)
    assert circuit.ask(10 + lease) is None


@pytest.mark.promise("C8")
@pytest.mark.parametrize(
    ("how", "state"),
    [({}, State.CLOSED), ({"error": "OSError"}, State.OPEN), ({"slow": True}, State.OPEN)],
)
def test_a_result_after_its_lease_counts_in_its_generation(
    how: dict[str, Any], state: State
) -> None:
    """
    A dependency slower than the lease is judged all the same, and its trial is counted once.
    """
    circuit = opened()
    late = trying(circuit, at=5)
    other = trying(circuit, at=50)
    assert end(circuit, late, at=51, **how)
    assert circuit.state is state
    assert circuit.trials == {"expired": 1, "released": 1}
    circuit.give_back(late)
    circuit.give_back(other)
    assert circuit.trials == {"expired": 1, "released": 1}


@pytest.mark.promise("C8")
def test_a_late_result_counts_even_if_nobody_took_its_place() -> None:
    """
    A lease that ran out without being replaced is counted by its result.
    """
    circuit = opened()
    end(circuit, trying(circuit, at=5), at=500)
    assert circuit.trials == {"success": 1}
    assert circuit.state is State.CLOSED


@pytest.mark.promise("A3", "C3")
def test_a_trial_of_an_earlier_half_open_is_void() -> None:
    """
    Its result moves nothing, and giving it back makes no room among the trials of now.
    """
    circuit = opened()
    stale, generation = trying(circuit, at=5), circuit.generation
    end(circuit, trying(circuit, at=10), at=11, error="OSError")
    trying(circuit, at=16)
    assert circuit.generation == generation + 2

    assert not circuit.record(generation, stale, 17, error=None)
    circuit.give_back(stale)
    assert circuit.state is State.HALF_OPEN
    assert circuit.ask(17) is not None


@pytest.mark.promise("C7")
def test_a_call_that_rides_on_a_trial_decides_nothing() -> None:
    """
    Made inside a trial, a call is counted in the window and leaves the verdict to its trial.
    """
    circuit = opened()
    trial = trying(circuit, at=5)
    assert circuit.record(circuit.generation, None, 6, error="OSError")
    assert circuit.state is State.HALF_OPEN
    end(circuit, trial, at=7)
    assert circuit.state is State.CLOSED


@pytest.mark.promise("A12")
def test_closing_empties_the_window() -> None:
    """
    What opened the circuit does not open it again.
    """
    circuit = opened()
    end(circuit, trying(circuit, at=5), at=6)
    assert (circuit.window.calls, circuit.window.errors) == (0, 0)
    fail(circuit, at=7)
    assert circuit.state is State.CLOSED


# -- backoff


@pytest.mark.promise("A12")
def test_each_failed_trial_doubles_the_sleep_window_up_to_its_maximum() -> None:
    """
    The waits grow 5, 10, 20, 40, 50, 50 and begin anew after the circuit has closed.
    """
    circuit = opened(sleep_window_max=50)
    waits = []
    for now in range(1000, 7000, 1000):
        waits.append(circuit.retry_at - (circuit.last.at if circuit.last else 0))
        end(circuit, trying(circuit, at=now), at=now, error="OSError")
    assert waits == [5, 10, 20, 40, 50, 50]

    end(circuit, trying(circuit, at=8000), at=8000)
    fail(circuit, at=9000, times=2)
    assert circuit.retry_at == 9000 + SLEEP


@pytest.mark.promise("A12")
@pytest.mark.parametrize("attempt", [63, 64, 65, 10**6])
def test_backoff_does_not_overflow(attempt: int) -> None:
    """
    The millionth failed trial in a row waits the maximum.
    """
    circuit = opened(sleep_window_max=10**9)
    trial = trying(circuit, at=5)
    circuit._failed_trials = attempt
    end(circuit, trial, at=6, error="OSError")
    assert circuit.retry_at == 6 + 10**9


@pytest.mark.parametrize(("draw", "wait"), [(0.0, 1000), (0.5, 1125), (0.999, 1249)])
def test_jitter_adds_its_share_of_the_sleep_window(draw: float, wait: int) -> None:
    """
    The draw decides how much of the share is added; it is never taken off.
    """
    circuit = Circuit(rules(sleep_window=1000, sleep_window_jitter=0.25, volume_threshold=1), 0)
    circuit.record(1, None, 7, error="OSError", draw=draw)
    assert circuit.retry_at == 7 + wait


def test_without_a_maximum_the_sleep_window_stays() -> None:
    """
    `sleep_window_max=None` means that every wait is one sleep window.
    """
    circuit = opened()
    for now in (10, 20, 30):
        end(circuit, trying(circuit, at=now), at=now, error="OSError")
        assert circuit.retry_at == now + SLEEP


# -- the journal


@pytest.mark.promise("B1", "B2", "B8", "A5")
@settings(max_examples=200, deadline=None)
@given(
    threshold=st.integers(2, 6),
    story=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 3, 9, 10, 40, -1, -12]),
            st.sampled_from(["write", "write", "write", "read", "error", "slow", "success"]),
        ),
        max_size=30,
    ),
)
@example(threshold=2, story=[(0, "error"), (0, "write")])
@example(threshold=2, story=[(0, "slow"), (0, "write")])
def test_a_journal_counts_as_if_each_success_had_been_recorded_at_once(
    threshold: int, story: list[tuple[int, str]]
) -> None:
    """
    Successes written down and read later leave the circuit that recording them would have left.
    """
    chosen = rules(volume_threshold=threshold, slow_ratio=(1, 2))
    circuit, model = Circuit(chosen, 0), CircuitModel(chosen, 0)
    journal, now, written = circuit.journal, 0, 0
    for delta, kind in story:
        now += delta
        what = kind
        if what == "write" and now >= journal.until:
            what = "success"
        if what == "write":
            journal.append(1)
            model.record(1, None, now, error=None)
            written += 1
        else:
            entries, counted = circuit.read(journal, now)
            assert len(entries) == written
            assert counted == (written if circuit.generation == 1 else counted)
            written = 0
        if what in ("error", "slow", "success"):
            how: dict[str, Any] = {
                "error": "no" if what == "error" else None,
                "slow": what == "slow",
            }
            assert circuit.record(1, None, now, **how) == model.record(1, None, now, **how)
    circuit.read(journal, now)
    window = circuit.window
    assert (circuit.state, circuit.generation) == (model.state, model.generation)
    for _ in range(window.size + 1):
        assert (window.calls, window.errors, window.slow) == model.window.sums
        window.advance(window.edge)
        model.window.show(window.edge - 1)
    check_circuit(circuit)


@pytest.mark.promise("B2")
def test_what_is_written_late_counts_in_the_bucket_that_is_current() -> None:
    """
    A writer that was overtaken between reading the clock and writing costs nobody a bucket.
    """
    circuit = Circuit(rules(), 0)
    circuit.look(20)
    circuit.journal.append(1)
    assert circuit.read(circuit.journal, 21) == ([1], 1)
    assert circuit.look(20 + WINDOW - 1).calls == 1
    assert circuit.look(20 + WINDOW).calls == 0


@pytest.mark.promise("A3")
def test_what_is_written_after_its_generation_is_stale() -> None:
    """
    A journal in the hands of a late writer still can be read, and counts nowhere.
    """
    circuit = Circuit(rules(), 0)
    journal = circuit.passing
    assert journal is not None
    fail(circuit, times=2)
    journal.append(1)
    assert circuit.read(journal, 3) == ([1], 0)
    assert circuit.read(journal, 3) == ([], 0)
    assert circuit.window.calls == 2


def test_a_success_in_a_journal_may_open_and_makes_the_rest_stale() -> None:
    """
    When the volume is reached by a success that was written down, those after it count nowhere.

    Only a thread that did not see the errors yet writes it down.
    """
    circuit = Circuit(rules(volume_threshold=3), 0)
    journal = circuit.journal
    fail(circuit, times=2)
    assert journal.until == AT_ONCE
    journal.extend([1, 1])
    assert circuit.read(journal, 4) == ([1, 1], 1)
    assert (circuit.state, circuit.retry_at) == (State.OPEN, 4 + SLEEP)


@pytest.mark.parametrize(
    "bad", [{"error": "OSError"}, {"error": None, "slow": True}], ids=["error", "slow"]
)
def test_a_success_is_written_down_only_while_it_can_move_nothing(bad: dict[str, Any]) -> None:
    """
    To the end of the bucket; not at all while the window holds so many errors that it may open.
    """
    chosen = rules(volume_threshold=4, error_ratio=(1, 2), slow_ratio=(1, 2))
    circuit = Circuit(chosen, 0)
    journal = circuit.journal
    assert (circuit.passing, journal.until) == (journal, circuit.window.edge)
    circuit.record(1, None, 0, **bad)
    assert (circuit.passing, journal.until) == (journal, circuit.window.edge)
    circuit.record(1, None, 0, **bad)  # two of two: the second success after it brings the volume
    assert (circuit.passing, journal.until) == (journal, AT_ONCE)
    circuit.configure(rules(volume_threshold=5, error_ratio=(1, 2), slow_ratio=(1, 2)), 0)
    assert (circuit.passing, journal.until) == (journal, circuit.window.edge)
    circuit.look(WINDOW)
    assert (circuit.passing, journal.until) == (journal, circuit.window.edge)


# -- from outside


@pytest.mark.promise("B8", "B9")
def test_a_reset_lets_a_closed_circuit_s_successes_be_written_down_again() -> None:
    """
    The window is empty then, so until its bucket ends no success can open the circuit.
    """
    circuit = Circuit(rules(), 0)
    fail(circuit)
    assert circuit.journal.until == AT_ONCE
    circuit.reset(0)
    assert circuit.journal.until == circuit.window.edge


@pytest.mark.promise("A1")
def test_a_reset_closes_from_anywhere() -> None:
    """
    Reset closes with an empty window; of a closed circuit it only empties the window.
    """
    circuit = Circuit(rules(), 0)
    fail(circuit)
    circuit.reset(1)
    assert (circuit.state, circuit.generation, circuit.window.calls) == (State.CLOSED, 1, 0)
    assert circuit.last is None
    assert circuit.passing is circuit.journal

    fail(circuit, at=2, times=2)
    circuit.reset(3)
    assert (circuit.state, circuit.generation, circuit.window.calls) == (State.CLOSED, 3, 0)
    assert circuit.last == Transition(State.OPEN, State.CLOSED, Event.RESET, "reset", 3)

    fail(circuit, at=4, times=2)
    trying(circuit, at=9)
    circuit.reset(10)
    assert (circuit.state, circuit.generation) == (State.CLOSED, 6)
    assert circuit.trials == {"released": 1}
    assert circuit.passing is circuit.journal


@pytest.mark.promise("A1")
@pytest.mark.parametrize("override", list(Override))
def test_an_override_leaves_the_live_state_alone(override: Override) -> None:
    """
    The live state moves on underneath; only nobody passes unasked any more.
    """
    circuit = Circuit(rules(), 0)
    circuit.lay_over(override)
    assert (circuit.override, circuit.state, circuit.passing) == (override, State.CLOSED, None)
    fail(circuit, times=2)
    assert circuit.state is State.OPEN
    end(circuit, trying(circuit, at=5), at=6)
    assert (circuit.state, circuit.passing) == (State.CLOSED, None)
    circuit.lay_over(None)
    assert circuit.passing is circuit.journal


def test_taking_an_override_off_an_open_circuit_lets_nobody_pass() -> None:
    """
    What was admitted unasked before an override is admitted so again only where it may be.
    """
    circuit = opened()
    circuit.lay_over(Override.CLOSED)
    circuit.lay_over(None)
    assert circuit.passing is None
    assert circuit.ask(0) == Refusal(State.OPEN, SLEEP)


def test_other_rules_keep_the_state_and_the_window() -> None:
    """
    A new threshold goes by the calls counted so far, from the next result on.
    """
    circuit = Circuit(rules(volume_threshold=9), 0)
    fail(circuit, times=3)
    circuit.configure(rules(volume_threshold=3), 1)
    assert (circuit.state, circuit.window.calls) == (State.CLOSED, 3)
    succeed(circuit, at=2)
    assert circuit.state is State.OPEN

    circuit.configure(rules(sleep_window=999), 3)
    assert circuit.ask(3) == Refusal(State.OPEN, 4)


@pytest.mark.parametrize("shape", [{"bucket_width": 7}, {"buckets": 4}])
def test_a_window_of_another_shape_begins_empty(shape: dict[str, int]) -> None:
    """
    Where the window's shape changes nothing that was counted fits, so everyone passes again.
    """
    circuit = Circuit(rules(), 0)
    fail(circuit)
    circuit.configure(rules(**shape), 4)
    assert (circuit.window.calls, circuit.state) == (0, State.CLOSED)
    assert (circuit.window.width, circuit.window.size) == (
        shape.get("bucket_width", 10),
        shape.get("buckets", 3),
    )
    assert circuit.passing is circuit.journal


@pytest.mark.promise("A9")
def test_a_lower_limit_of_trials_leaves_those_that_run() -> None:
    """
    With fewer trials allowed than are running nobody else may try until enough have ended.
    """
    circuit = opened(half_open_calls=3, half_open_successes=3)
    trials = [trying(circuit, at=5) for _ in range(3)]
    circuit.configure(rules(half_open_calls=1, half_open_successes=3), 6)
    end(circuit, trials[0], at=7)
    assert circuit.ask(7) is not None
    circuit.give_back(trials[1])
    assert circuit.ask(7) is not None
    circuit.give_back(trials[2])
    assert circuit.ask(7) is None


def test_time_in_each_state_adds_up() -> None:
    """
    The nanoseconds spent in the states are together the age of the circuit.
    """
    circuit = opened(at=0)
    end(circuit, trying(circuit, at=8), at=11)
    assert circuit.spent(20) == {State.CLOSED: 9, State.OPEN: 8, State.HALF_OPEN: 3}
    assert sum(circuit.spent(1000).values()) == 1000


@pytest.mark.promise("J2")
def test_time_that_was_shown_is_not_taken_back() -> None:
    """
    A transition at an earlier time than somebody has looked at ends the state at that look.
    """
    circuit = Circuit(rules(), 0)
    assert circuit.spent(50)[State.CLOSED] == 50
    fail(circuit, at=40, times=2)
    assert circuit.spent(45) == {State.CLOSED: 50, State.OPEN: 0, State.HALF_OPEN: 0}
    assert circuit.spent(60) == {State.CLOSED: 50, State.OPEN: 10, State.HALF_OPEN: 0}


@pytest.mark.promise("C3")
@pytest.mark.parametrize("state", list(State))
def test_a_forked_child_begins_with_no_trials_and_no_totals(state: State) -> None:
    """
    The child keeps state and window; what its parent admitted is void to it.
    """
    circuit = Circuit(rules(half_open_calls=2, half_open_successes=2), 0)
    if state is not State.CLOSED:
        fail(circuit, times=2)
    trial = Trial(0)
    if state is State.HALF_OPEN:
        circuit.admit(trial, 5)
        end(circuit, trying(circuit, at=5), at=6)
    fail(circuit, at=6)
    parent, calls, retry_at = circuit.generation, circuit.window.calls, circuit.retry_at

    circuit.forked(7)
    assert circuit.state is state
    assert (circuit.window.calls, circuit.retry_at) == (calls, retry_at)
    assert circuit.oldest == circuit.generation == parent + 1
    assert (circuit.trials, circuit.transitions, circuit.trials_running) == ({}, {}, 0)
    assert circuit.spent(9) == {each: 2 * (each is state) for each in State}
    assert not circuit.record(parent, trial, 8, error="OSError")
    circuit.give_back(trial)
    assert circuit.trials == {}
    check_circuit(circuit)


def test_a_forked_child_needs_all_its_successes() -> None:
    """
    Successes of trials in the parent do not close the circuit of the child.
    """
    circuit = opened(half_open_successes=2)
    end(circuit, trying(circuit, at=5), at=6)
    circuit.forked(7)
    end(circuit, trying(circuit, at=7), at=8)
    assert circuit.state is State.HALF_OPEN


def test_a_forked_child_that_is_closed_and_quiet_lets_everyone_pass() -> None:
    """
    The child writes to a journal of its own.
    """
    circuit = Circuit(rules(), 0)
    before = circuit.journal
    circuit.forked(1)
    assert circuit.passing is circuit.journal
    assert circuit.journal is not before


def test_admission_to_a_closed_circuit_is_no_trial() -> None:
    """
    A closed circuit admits without a lease.
    """
    circuit = Circuit(rules(), 0)
    assert circuit.ask(0) is None
    assert circuit.admit(Trial(0), 0) is False
    assert circuit.trials_running == 0
