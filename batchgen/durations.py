"""How long jobs take, as far as it is known, and the ages at which such jobs are best asked about. Pure.

A question at age *a* about a job that ended at age *d* comes *a - d* seconds late, and each question costs a call. For
a known distribution of durations, the ages at which to ask are found by dynamic programming: with the job still going
on at some age, the next question is the one that makes its own cost, the expected delay until it, and all that follows
cheapest. What is learned of a duration is an interval, for the job went on at one question and had ended at the
next, and of a job in flight that it takes longer than until now; the distribution is the likeliest one for all of them
together (Turnbull 1976, by expectation-maximisation), smoothed after each step (Silverman et al. 1990), so that it does
not follow every accident of the sample.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

#: Calls that a delay as long as the mean job is worth. At 60, jobs whose 99th percentile is four times their median are
#: asked about five and a half times each, and their end is seen a twelfth of their length late.
CALLS_PER_DURATION = 60.0
#: Durations that have to be known before they are built upon.
ENOUGH = 8
#: Jobs after which the ages are worked out anew, at most. It takes up to 2 ms: 0.02 ms a job.
_RELEARN = 128
#: Ages among which those of the questions are chosen, about; more would be finer and slower.
_CANDIDATES = 120
#: Steps of expectation-maximisation, and the share of each density that its neighbours' mean replaces after each.
_STEPS, _SMOOTH = 12, 0.3
#: Jobs below which none is forgotten; standard errors, and share of their intervals' width, by which the means of older
#: and newer ones have to differ.
_ENOUGH_TO_FORGET, _SURE, _HAZE = 128, 2.5, 0.25
#: A question that is due so soon, as a share of the job's age, was asked just now.
_NEAR = 0.01
#: Past all that is known, each question comes when the job is older by this share.
_TAIL = 0.12
#: Seconds; shorter durations are not told apart.
_SHORTEST = 0.005

_Floats = npt.NDArray[np.float64]


def _none() -> Iterable[float]:
    return ()


class Durations:
    """How long the run's latest jobs took.

    Args:
        keep: jobs remembered; the oldest of more are forgotten, so that what is learned follows the API.
        going_on: gives the ages, in seconds, at which jobs in flight were last seen to go on. Without them the first
            jobs to end, which are the quickest, would pass for all.
    """

    def __init__(self, *, keep: int = 768, going_on: Callable[[], Iterable[float]] = _none) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=keep)
        self._going_on = going_on
        self._due = ENOUGH  #: jobs until the ages are worked out anew
        self._ages: tuple[float, ...] = ()
        self._longest = 0.0

    def add(self, *, after: float, by: float) -> None:
        """Learn from one more job.

        Args:
            after: seconds since its submission at which it went on.
            by: seconds since its submission at which it had ended.
        """
        by = max(by, _SHORTEST)
        self._seen.append((min(after, by * (1 - _NEAR)), by))  # what was seen at once was not seen to the microsecond
        self._longest = max(self._longest, by)
        self._due -= 1
        if self._due == 0:
            self._forget()
            self._longest = max(by for _, by in self._seen)
            self._ages = best_ages(self._seen, still=self._going_on())
            self._due = min(_RELEARN, len(self._seen))

    def _forget(self) -> None:
        """Forget the older half as long as the newer one is of another length, more than chance would have it."""
        while len(self._seen) >= _ENOUGH_TO_FORGET and _differ(*np.array_split(np.array(self._seen), 2)):
            for _ in range(len(self._seen) // 2):
                self._seen.popleft()

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def longest(self) -> float:
        """Seconds by which the slowest of them, or of some before them, had surely ended; 0 if there is none."""
        return self._longest

    def next_age(self, age: float) -> float | None:
        """The age at which a job that goes on at *age* is best asked about; None while too little is known."""
        if not self._ages:
            return None
        following = bisect_right(self._ages, age * (1 + _NEAR))
        return self._ages[following] if following < len(self._ages) else age * (1 + _TAIL)


def _differ(older: _Floats, newer: _Floats) -> bool:
    """Whether jobs have come to take another time, by more than chance and the width of what is known explain."""
    middles = [ends.mean(axis=1) for ends in (older, newer)]
    error = np.sqrt(sum(middle.var() / len(middle) for middle in middles))
    width = np.mean([np.diff(ends).mean() for ends in (older, newer)])
    return bool(abs(middles[1].mean() - middles[0].mean()) > _SURE * error + _HAZE * width)


def best_ages(
    seen: Iterable[tuple[float, float]], *, still: Iterable[float] = (), worth: float = CALLS_PER_DURATION
) -> tuple[float, ...]:
    """The ages at which a job is best asked about until it has ended; rising, in seconds.

    Args:
        seen: of jobs that have ended, at least one: an age at which it went on, and a later one at which it had ended.
        still: of jobs that have not: an age at which it went on.
        worth: calls that a delay of the mean duration is worth.
    """
    after, by = np.array([*seen, *((age, np.inf) for age in still)]).T
    ages = _candidates(after, by)
    going_on = _going_on(ages, after, by)
    mean = float(_area(ages, going_on)[-1])
    return asked_at(ages, going_on, price=worth / max(mean, _SHORTEST))


def _candidates(after: _Floats, by: _Floats) -> _Floats:
    """Ages worth asking at: dense where jobs end, and none before the first may have."""
    shares = np.linspace(0, 1, _CANDIDATES // 3)
    ended = np.isfinite(by)
    first, last, latest = after[ended].min(), by[ended].max(), after.max()
    spread = [np.quantile(after[ended], shares), np.quantile(by[ended], shares), first + (last - first) * shares]
    if latest >= last:  # some are slower than all that have ended: who knows how much
        spread.append(np.linspace(last, 1.5 * latest, _CANDIDATES // 10))
    return np.unique(np.concatenate([[0.0], *spread]))


def _going_on(ages: _Floats, after: _Floats, by: _Floats) -> _Floats:
    """The share of jobs that go on at each age."""
    begin, end = ages[:-1], ages[1:]
    width = end - begin
    until = np.minimum(by, ages[-1])[:, None]
    # How much of each cell between two ages lies within each job's interval.
    within = np.clip(np.minimum(end, until) - np.maximum(begin, after[:, None]), 0, None) / width
    mass = width / width.sum()
    for _ in range(_STEPS):
        mass *= (1 / (within @ mass)) @ within
        mass = width * _smoothed(mass / width)
        mass /= mass.sum()
    return np.concatenate([[1.0], np.clip(1 - np.cumsum(mass), 0, None)])


def _smoothed(density: _Floats) -> _Floats:
    padded = np.concatenate([density[:1], density, density[-1:]])
    smoothed: _Floats = (1 - _SMOOTH) * density + _SMOOTH / 2 * (padded[:-2] + padded[2:])
    return smoothed


def _area(ages: _Floats, going_on: _Floats) -> _Floats:
    """Seconds that the mean job has gone on by each age."""
    return np.concatenate([[0.0], np.cumsum((going_on[:-1] + going_on[1:]) / 2 * np.diff(ages))])


def asked_at(ages: _Floats, going_on: _Floats, *, price: float) -> tuple[float, ...]:
    """The best of *ages* to ask at, the last one included.

    Args:
        ages: rising, from 0; jobs end evenly between two of them.
        going_on: share of jobs that go on at each; 1 at first.
        price: calls that a second of delay is worth.
    """
    gone_on = _area(ages, going_on)
    cost = np.zeros(len(ages))
    following = np.full(len(ages), len(ages) - 1)
    for at in range(len(ages) - 2, -1, -1):
        late = (ages[at + 1 :] - ages[at]) * going_on[at] - (gone_on[at + 1 :] - gone_on[at])
        spent = price * late + cost[at + 1 :]
        best = int(spent.argmin())
        cost[at] = going_on[at] + spent[best]
        following[at] = at + 1 + best
    chosen = [int(following[0])]
    while chosen[-1] < len(ages) - 1:
        chosen.append(int(following[chosen[-1]]))
    return tuple(ages[chosen].tolist())
