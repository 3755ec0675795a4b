"""Real faults: each client meets each of them over real sockets."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

import resilience
from docs import faults
from resilience import DeadlineExceededError, ResilienceError
from tests.support.faulty import Faulty, faulty
from tests.support.matrix import BUDGET, FAULTS, LONG, SOON, TIMEOUT, End, Fault, meet, tell
from tests.support.web import KINDS, Kind

# asyncio does not close a socket whose connect it cancels on a machine that is busy.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ENDS: dict[tuple[str, str], End] = {}
"""How each client ended with each fault, for those who ask again."""


@pytest.fixture(scope="module")
def server() -> Iterator[Faulty]:
    """A server that fails."""
    with faulty() as server:
        yield server


def met(kind: Kind, fault: Fault, server: Faulty) -> End:
    """Let a client meet a fault, once."""
    key = kind.name, fault.title
    if key not in ENDS:
        ENDS[key] = meet(kind, fault, server)
    return ENDS[key]


@pytest.fixture(params=KINDS.values(), ids=lambda kind: kind.name.replace(" ", "-"))
def kind(request: pytest.FixtureRequest) -> Kind:
    """A client."""
    found: Kind = request.param
    return found


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.title.replace(" ", "-"))
def fault(request: pytest.FixtureRequest) -> Fault:
    """A fault."""
    found: Fault = request.param
    return found


def expected(kind: Kind, fault: Fault) -> str:
    """How a fault is to be counted."""
    if fault.budget is not None:
        return "expired"
    if fault.timeout == TIMEOUT:
        return "timeout"
    return "success" if fault.path in {"healthy", "chunked", "not-found"} else "failure"


@pytest.mark.promise("C1", "D2", "J3")
def test_a_fault_is_counted_for_what_it_is_and_holds_nothing(
    kind: Kind, fault: Fault, server: Faulty
) -> None:
    """Whatever the server does, a request has one outcome, and its slot is back."""
    end = met(kind, fault, server)

    assert end.outcome == expected(kind, fault)
    assert end.in_flight == 0
    # aiohttp by itself sends a request anew whose connection was closed before the answer.
    again = kind.name == "aiohttp" and fault.path in {"close", "reset"}
    assert end.calls == (2 if again else 1)


@pytest.mark.promise("E3", "E7")
def test_a_fault_ends_in_time(kind: Kind, fault: Fault, server: Faulty) -> None:
    """A wait ends with the timeout or the caller's deadline; without time nothing is sent."""
    end = met(kind, fault, server)

    assert end.took < SOON < LONG
    if fault.path in {"hang", "stall"}:
        assert end.took >= min(fault.timeout, fault.budget or LONG) * 0.9
    if fault.budget == 0:
        assert end.sent == 0
    elif fault.budget is not None:
        assert end.took >= BUDGET * 0.9


def test_what_is_ours_is_the_clients_as_well(kind: Kind, fault: Fault, server: Faulty) -> None:
    """A timeout of ours is caught by who catches the client's; all the rest is the client's own."""
    error = met(kind, fault, server).error
    assert error is None or error.__cause__ is not error
    if isinstance(error, ResilienceError):
        # A deadline of the caller's may be raised by its own block, where nobody knows the client.
        by_block = fault.budget and type(error) is DeadlineExceededError
        assert by_block or isinstance(error, (kind.timeout, kind.module.DeadlineExceededError))
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    elif error is not None:
        assert isinstance(error, kind.base)


def test_the_page_shows_how_faults_end(server: Faulty) -> None:
    """The table of the page is the one that the clients make now: `python -m docs.faults`."""
    rows = [[tell(met(kind, fault, server)) for kind in KINDS.values()] for fault in FAULTS]

    assert faults.drawn(faults.PAGE.read_text(encoding="utf-8")) == faults.table(rows)


@pytest.mark.parametrize("name", ["CircuitOpenError", "BulkheadFullError", "DeadlineExceededError"])
def test_errors_of_a_client_are_pickled_whole(kind: Kind, name: str) -> None:
    """An error that is both keeps its facts over a process boundary."""
    ours = getattr(resilience, name)
    both = getattr(kind.module, name)
    error = both("db", 1.5) if name != "DeadlineExceededError" else both("db", timeout=2.0)
    copy = pickle.loads(pickle.dumps(error))

    assert issubclass(both, ours)
    assert issubclass(both, kind.timeout if "Deadline" in name else kind.error)
    assert type(copy) is both
    assert (copy.name, copy.args, str(copy)) == (error.name, error.args, str(error))
    assert getattr(copy, "retry_after", None) == getattr(error, "retry_after", None)
