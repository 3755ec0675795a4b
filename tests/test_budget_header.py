"""Budgets in headers: they come back no larger, and garbage costs nothing."""

import timeit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience._budget_header import GRPC, MILLISECONDS, spelling

MS = 1_000_000
YEAR = 31_536_000 * 1_000_000_000
BOTH = pytest.mark.parametrize("form", [MILLISECONDS, GRPC], ids=["milliseconds", "grpc"])

HOSTILE = [
    "",
    " ",
    "-1",
    "+1",
    "1.5",
    "1e400",
    "NaN",
    "inf",
    "1_000",
    " 1",
    "1 ",
    "1\n",
    "1\0",
    "1,2",
    "1, 1",
    "0x10",
    "null",
    "\u0661\u0662\u0663",  # Arabic digits
    "\uff11\uff12",  # full-width digits
    "\u00b2",  # a digit that is no number
    "1\ud800",  # half of a surrogate pair
    "9" * 1_000,
    "x" * 1_000,
]
EVEN_MORE = [
    "m",
    "n",
    "1",
    "100",
    "-1m",
    "1e4m",
    "1_0m",
    " 1m",
    "1m ",
    "1ms",
    "1s",
    "1h",
    "1N",
    "\u0661m",
    "\u00b2m",
    "123456789m",
    "1m,2m",
    "9" * 1_000 + "m",
]
HUGE = ["9" * 10_000_000, "x" * 10_000_000, "\u0661" * 3_000_000, "9" * 10_000_000 + "m"]


def spelt(value: str) -> list[bytes | str]:
    """Return a header as text and as the bytes of either encoding that a server may hand over."""
    return [value, value.encode("utf-8", "surrogatepass"), value.encode("latin-1", "replace")]


@pytest.mark.promise("E11")
@given(left=st.integers(0, YEAR))
def test_milliseconds_come_back_within_one_of_them_and_never_as_more(left: int) -> None:
    """What the receiver reads is at most what was left, and less by less than a millisecond."""
    read = MILLISECONDS.read(MILLISECONDS.write(left))
    assert read is not None
    assert left - MS < read <= left


@pytest.mark.promise("E11")
@given(left=st.integers(0, YEAR))
@example(left=10**8)
def test_grpc_timeouts_come_back_nearly_the_same_and_never_as_more(left: int) -> None:
    """Eight digits and a unit hold a budget to one part in a hundred thousand."""
    text = GRPC.write(left)
    read = GRPC.read(text)
    assert read is not None
    assert left - left / 10**5 <= read <= left
    assert len(text) <= 9


@BOTH
@pytest.mark.promise("E11")
@pytest.mark.parametrize("left", [0, -1, -(10**30)])
def test_nothing_left_is_written_as_nothing(form, left: int) -> None:
    """A budget that is spent is written as zero, and read as zero: not as no limit."""
    assert form.write(left)[0] == "0"
    assert form.read(form.write(left)) == 0


@pytest.mark.promise("M1")
@BOTH
def test_a_budget_of_ages_is_a_year(form) -> None:
    """No budget is longer than the longest time there is a limit for."""
    assert form.read(form.write(10**40)) == YEAR


@pytest.mark.parametrize(
    ("value", "read"),
    [("0", 0), ("1", MS), ("007", 7 * MS), ("2500", 2500 * MS), ("9" * 15, YEAR)],
)
def test_milliseconds_are_plain_digits(value: str, read: int) -> None:
    """A whole number in ASCII digits is read, as text and as bytes."""
    assert [MILLISECONDS.read(value), MILLISECONDS.read(value.encode())] == [read, read]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("0n", 0),
        ("1n", 1),
        ("20u", 20_000),
        ("250m", 250 * MS),
        ("3S", 3_000 * MS),
        ("2M", 120_000 * MS),
        ("1H", 3_600_000 * MS),
        ("99999999H", YEAR),
    ],
)
def test_grpc_timeouts_have_six_units(value: str, read: int) -> None:
    """Each unit of the specification is read, as text and as bytes."""
    assert [GRPC.read(value), GRPC.read(value.encode())] == [read, read]


@pytest.mark.promise("M1")
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:12]))
@BOTH
def test_what_is_no_budget_is_ignored(form, value: str) -> None:
    """Garbage is no budget, in text and in bytes, and raises nothing."""
    assert [form.read(each) for each in spelt(value)] == [None, None, None]


@pytest.mark.promise("M1")
@pytest.mark.parametrize("value", EVEN_MORE, ids=lambda value: ascii(value[:12]))
def test_what_is_no_grpc_timeout_is_ignored(value: str) -> None:
    """Units that do not exist, and numbers without one, are no budget."""
    assert [GRPC.read(each) for each in spelt(value)] == [None, None, None]


@pytest.mark.promise("M1")
@BOTH
@given(value=st.one_of(st.text(), st.binary(), st.from_regex(r"\A[0-9]{1,9}[HMSmun]?\Z")))
def test_whatever_is_read_is_a_time_or_nothing(form, value: bytes | str) -> None:
    """Reading never raises, and never gives a time outside of the range."""
    read = form.read(value)
    assert read is None or 0 <= read <= YEAR


@pytest.mark.promise("M1")
@BOTH
def test_reading_takes_under_ten_microseconds_however_long_the_value_is(form) -> None:
    """The best of many readings is far below the bound, for the worst of values."""
    for value in [*HOSTILE, *EVEN_MORE, *HUGE, "9" * 15, "99999999H"]:
        for each in spelt(value)[:2]:
            best = min(timeit.repeat(lambda each=each: form.read(each), number=1, repeat=20))
            assert best < 10e-6


def test_the_name_of_a_header_tells_how_it_is_spelt() -> None:
    """`grpc-timeout` in any case has its own form; every other header has milliseconds."""
    assert spelling("gRPC-Timeout") is GRPC
    assert spelling("X-Request-Timeout") is MILLISECONDS
    assert spelling("x-my-budget") is MILLISECONDS
