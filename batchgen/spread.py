"""How long jobs take, as a distribution: the likeliest one for all that was seen of them. Pure.

What is learned of a duration is an interval, for the job went on at one question and had ended at the next; and of a
job in flight, that it takes longer than until now. The distribution is the likeliest one for all of them together
(Turnbull 1976, by expectation-maximisation), smoothed after each step (Silverman et al. 1990), so that it does not
follow every accident of the sample. It begins with what was learned before: jobs that are asked about only when they
have surely ended say nothing of how much sooner they might have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Ages between which durations are told apart, about; more would be finer and slower.
_AGES = 120
#: Steps of expectation-maximisation, and the share of each density that its neighbours' mean replaces after each.
_STEPS, _SMOOTH = 6, 0.5
#: Share of jobs that may take any time, whatever was learned before: what has changed would not be found otherwise.
_ANYTHING = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """The share of jobs that go on, at each of some ages; between two of them, jobs end evenly."""

    ages: Floats  #: seconds, rising, from 0
    going_on: Floats  #: of 1, falling, from 1

    @property
    def gone_on(self) -> Floats:
        """Seconds that the mean job has gone on by each age; the last are its whole duration."""
        shares = (self.going_on[:-1] + self.going_on[1:]) / 2
        return np.concatenate([[0.0], np.cumsum(shares * np.diff(self.ages))])

    def ending(self, ages: Floats) -> Floats:
        """The share of jobs that end between each two of other ages."""
        ending: Floats = -np.diff(np.interp(ages, self.ages, self.going_on))
        return ending


def spread_of(
    seen: Iterable[tuple[float, float]], *, still: Iterable[float] = (), before: Spread | None = None
) -> Spread:
    """The distribution of durations that were seen.

    Args:
        seen: of jobs that have ended, at least one: an age at which it went on, and a later one at which it had ended.
        still: of jobs that have not: an age at which it went on.
        before: what was learned earlier; None: nothing.
    """
    after, by = np.array([*seen, *((age, np.inf) for age in still)]).T
    ages = _ages(after, by)
    width = np.diff(ages)
    ending = width / width.sum()
    if before is not None:
        ending = _ANYTHING * ending + (1 - _ANYTHING) * before.ending(ages)
    ending = _likeliest(ending, width, _within(ages, after, by))
    return Spread(ages=ages, going_on=np.concatenate([[1.0], np.clip(1 - np.cumsum(ending), 0, None)]))


def _ages(after: Floats, by: Floats) -> Floats:
    """Dense where jobs end, and none before the first may have."""
    shares = np.linspace(0, 1, _AGES // 3)
    ended = np.isfinite(by)
    first, last, latest = after[ended].min(), by[ended].max(), after.max()
    spread = [np.quantile(after[ended], shares), np.quantile(by[ended], shares), first + (last - first) * shares]
    if latest >= last:  # some are slower than all that have ended: who knows how much
        spread.append(np.linspace(last, 1.5 * latest, _AGES // 10))
    return np.unique(np.concatenate([[0.0], *spread]))


def _within(ages: Floats, after: Floats, by: Floats) -> Floats:
    """How much of each time between two ages lies within each job's interval."""
    begin, end = ages[:-1], ages[1:]
    until = np.minimum(by, ages[-1])[:, None]
    within: Floats = np.clip(np.minimum(end, until) - np.maximum(begin, after[:, None]), 0, None) / (end - begin)
    return within


def _likeliest(ending: Floats, width: Floats, within: Floats) -> Floats:
    for _ in range(_STEPS):
        ending = ending * ((1 / (within @ ending)) @ within)
        ending = width * _smoothed(ending / width)
        ending /= ending.sum()
    return ending


def _smoothed(density: Floats) -> Floats:
    padded = np.concatenate([density[:1], density, density[-1:]])
    smoothed: Floats = (1 - _SMOOTH) * density + _SMOOTH / 2 * (padded[:-2] + padded[2:])
    return smoothed
