"""Decisions as values."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from batchgen.policy import InFlightLimit, backoff

DRAWS = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), DRAWS)
def test_a_backoff_is_never_longer_than_its_cap_nor_shorter_than_half_its_base(failures: int, draw: float) -> None:
    assert 0.5 <= backoff(failures, draw=draw, base=1.0, cap=60.0) <= 60.0


@given(st.integers(1, 20), DRAWS)
def test_the_next_backoff_is_twice_as_long_until_the_cap(failures: int, draw: float) -> None:
    now, later = (backoff(n, draw=draw, base=1.0, cap=1e9) for n in (failures, failures + 1))
    assert later == 2 * now


@given(st.integers(1, 200), st.lists(st.booleans(), max_size=300))
def test_a_limit_stays_between_one_and_the_wish(wish: int, answers: list[bool]) -> None:
    limit = InFlightLimit(wish)
    for taken in answers:
        limit.accepted(min(wish, limit.limit + 1)) if taken else limit.refused(limit.limit - 1)
        assert 1 <= limit.limit <= wish


def test_a_limit_that_was_cut_grows_back() -> None:
    limit = InFlightLimit(20)
    limit.refused(10)
    assert limit.limit == 10
    for _ in itertools.takewhile(lambda _: limit.limit < 20, range(1_000)):
        limit.accepted(limit.limit)
    assert limit.limit == 20
