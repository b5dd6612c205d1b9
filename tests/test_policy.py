"""Decisions as values."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from batchgen.policy import InFlightLimit, LatencyProfile, backoff, next_poll

DRAWS = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), DRAWS)
def test_a_backoff_is_never_longer_than_its_cap_nor_shorter_than_half_its_base(failures: int, draw: float) -> None:
    assert 0.5 <= backoff(failures, draw=draw, base=1.0, cap=60.0) <= 60.0


@given(st.integers(1, 20), DRAWS)
def test_the_next_backoff_is_twice_as_long_until_the_cap(failures: int, draw: float) -> None:
    now, later = (backoff(n, draw=draw, base=1.0, cap=1e9) for n in (failures, failures + 1))
    assert later == 2 * now


@given(st.floats(0, 1e5), st.lists(st.floats(0.01, 1e4), max_size=60), DRAWS)
def test_a_poll_is_never_due_at_once_and_never_later_than_a_quarter_minute(
    age: float, durations: list[float], draw: float
) -> None:
    learned = LatencyProfile()
    for duration in durations:
        learned.add(duration)
    assert 0.05 <= next_poll(age, learned, watched=age, draw=draw) <= 20.0


def test_jobs_of_a_known_length_are_asked_about_when_they_end() -> None:
    learned = LatencyProfile()
    for _ in range(20):
        learned.add(8.0)
    assert 7.0 < next_poll(0.0, learned, watched=0.0, draw=0.5) < 9.0


@given(st.lists(st.floats(0, 100), max_size=50), st.integers(1, 10))
def test_a_latency_profile_remembers_the_latest_and_no_more(durations: list[float], keep: int) -> None:
    learned = LatencyProfile(keep=keep)
    for duration in durations:
        learned.add(duration)
    latest = sorted(durations[-keep:])
    assert len(learned) == len(latest)
    assert [learned.remaining(-1.0, n / len(latest)) for n in range(len(latest))] == [n + 1.0 for n in latest]


@given(st.integers(1, 200), st.lists(st.booleans(), max_size=300))
def test_a_limit_stays_between_one_and_the_wish(wish: int, answers: list[bool]) -> None:
    limit = InFlightLimit(wish)
    for taken in answers:
        limit.accepted() if taken else limit.refused(limit.limit)
        assert 1 <= limit.limit <= wish


def test_a_limit_that_was_cut_grows_back() -> None:
    limit = InFlightLimit(20)
    limit.refused(10)
    assert limit.limit == 9
    for _ in itertools.takewhile(lambda _: limit.limit < 20, range(1_000)):
        limit.accepted()
    assert limit.limit == 20
