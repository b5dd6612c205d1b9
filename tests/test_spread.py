"""How long jobs take, as a distribution, from what was seen of them."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchgen.spread import Spread, spread_of

AGES = st.floats(0, 1e5)
INTERVALS = st.lists(st.tuples(AGES, AGES).map(sorted), min_size=1, max_size=60)


def intervals(pairs: list[list[float]]) -> list[tuple[float, float]]:
    """An age at which each went on, and a later one at which it had ended."""
    return [(0.99 * after, max(by, 0.005)) for after, by in pairs]


def share_by(spread: Spread, age: float) -> float:
    """The share of jobs that have ended by an age."""
    return float(1 - np.interp(age, spread.ages, spread.going_on))


@given(INTERVALS, st.lists(AGES, max_size=20), INTERVALS)
def test_whatever_was_seen_all_go_on_at_first_and_ever_fewer_later(
    seen: list[list[float]], still: list[float], earlier: list[list[float]]
) -> None:
    spread = spread_of(intervals(seen), still=still, before=spread_of(intervals(earlier)))
    assert spread.ages[0] == 0.0
    assert (np.diff(spread.ages) > 0).all()
    assert spread.going_on[0] == 1.0
    assert (np.diff(spread.going_on) <= 1e-9).all()
    assert 0 <= spread.going_on[-1] < 1e-6
    assert np.isfinite(spread.gone_on).all()


def test_what_was_asked_about_in_steps_gives_the_distribution_back() -> None:
    chance = random.Random(1)
    durations = [chance.lognormvariate(0.7, 0.6) for _ in range(768)]
    steps = np.linspace(0.0, 30.0, 61)
    seen = [(float(steps[at - 1]), float(steps[at])) for at in np.searchsorted(steps, durations)]
    spread = spread_of(seen)
    for share in (0.1, 0.5, 0.9):
        assert abs(share_by(spread, float(np.quantile(durations, share))) - share) < 0.05


def test_jobs_that_go_on_are_longer_than_those_that_have_ended() -> None:
    quick = [(0.9, 1.0)] * 8
    assert share_by(spread_of(quick), 1.0) > 0.99
    assert share_by(spread_of(quick, still=[2.0] * 56), 1.0) < 0.3


def test_what_was_learned_before_is_kept_where_later_questions_tell_nothing_of_it() -> None:
    learned = spread_of([(0.0, 8.3)] * 20 + [(7.5, 8.05)] * 100)
    only_asked_at_the_end = [(0.0, 8.05)] * 128
    assert share_by(spread_of(only_asked_at_the_end), 7.0) > 0.8
    assert share_by(spread_of(only_asked_at_the_end, before=learned), 7.0) < 0.2


def test_what_was_learned_before_gives_way_to_what_is_seen() -> None:
    learned = spread_of([(7.9, 8.05)] * 64)
    assert share_by(spread_of([(1.9, 2.1)] * 128, before=learned), 2.1) > 0.95
