"""How long jobs take, as far as it is known, and the ages at which such jobs are best asked about. Pure.

A question at age *a* about a job that ended at age *d* comes *a - d* seconds late, and each question costs a call. For
a known distribution of durations, the ages at which to ask are found by dynamic programming: with the job still going
on at some age, the next question is the one that makes its own cost, the expected delay until it, and all that follows
cheapest. Beyond all that is known, at first and of a job that outlasts all others, questions are the rarer the further
jobs have come there, together, without an end.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from statistics import fmean

import numpy as np

from batchgen.spread import Floats, Spread, spread_of

#: Calls that a delay as long as the mean job is worth. At 60, jobs whose 99th percentile is four times their median are
#: asked about five times each, and their end is seen a tenth of their length late.
CALLS_PER_DURATION = 60.0
#: Durations that have to be known before they are built upon.
ENOUGH = 8
#: Jobs after which the ages are worked out anew, at most. It takes up to 2 ms: 0.02 ms a job.
_RELEARN = 128
#: A job that takes longer than all before it by this factor is news at once.
_LONGER = 1.1
#: Jobs below which none is forgotten; standard errors, and share of their intervals' width, by which the means of older
#: and newer ones have to differ.
_ENOUGH_TO_FORGET, _SURE, _HAZE = 128, 2.5, 0.25
#: A question that is due so soon, as a share of the job's age, was asked just now.
_NEAR = 0.01
#: E-folds of its age that a job passes until it ends, as a first guess.
_ANY_ENDS = 7.0
#: Shares by which a job is older when it is asked about again: at least, so that one that never ends costs little, and
#: at most.
_OLDER_AT_LEAST, _OLDER_AT_MOST = 0.06, 2.0
#: Seconds; ages below are as good as none.
_FIRST = 0.05
#: Seconds; shorter durations are not told apart.
_SHORTEST = 0.005


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
        self._spread: Spread | None = None
        self._ages: tuple[float, ...] = ()
        self._mean = 0.0  #: seconds
        self._longest = 0.0
        self._known = 0.0  #: the age, in seconds, until which enough have ended to know when the next will
        self._passed = 0.0  #: e-folds of age that jobs have passed beyond, together
        self._ended = 0  #: jobs that have ended beyond
        self._folds = _ANY_ENDS  #: e-folds that jobs passed for each that ended, in the last e-fold before

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, *, after: float, by: float) -> bool:
        """Learn from one more job that has ended.

        Args:
            after: seconds since its submission at which it went on.
            by: seconds since its submission at which it had ended.

        Returns:
            Whether that may be a reason to ask about others sooner than was planned.
        """
        by = max(by, _SHORTEST)
        self._seen.append((min(after, by * (1 - _NEAR)), by))  # what was seen at once was not seen to the microsecond
        self._ended += by > self._known
        self._due -= 1
        news = by > _LONGER * self._longest
        self._longest = max(self._longest, by)
        if self._due == 0:
            self._forget()
            self._longest = max(by for _, by in self._seen)
            self._due = min(_RELEARN, len(self._seen))
        elif not (news and self._ages):
            if not self._ages:
                self._know(until=self._longest)
            return news
        self._work_out()
        return True

    def goes_on(self, *, since: float, age: float) -> None:
        """Learn that a job goes on.

        Args:
            since: seconds since its submission at which that was known; 0 if it was not asked about yet.
            age: seconds since its submission at which it goes on.
        """
        self._passed += _e_folds(since, age, beyond=self._known)

    @property
    def longest(self) -> float:
        """Seconds by which the slowest of them, or of some before them, had surely ended; 0 if there is none."""
        return self._longest

    def next_age(self, age: float) -> float | None:
        """The age at which a job that goes on at *age* is best asked about; None while too little is known."""
        if not self._ages:
            return None
        following = bisect_right(self._ages, age * (1 + _NEAR))
        return self._ages[following] if following < len(self._ages) else age * (1 + self.older(age))

    def older(self, age: float) -> float:
        """The share by which a job that has outlasted most others had best be older when it is asked about again.

        If it ends within an e-fold of its age with a chance of h, and a delay as long as the mean job is worth w calls,
        then the cheapest share is the root of 2 mean / (h w age). What is known of h is how many e-folds jobs have
        passed there and how many of them have ended; and a little earlier, at what rate they did.
        """
        if self._ages:
            folds = (self._folds + self._passed) / (1 + self._ended) * min(1.0, self._mean / max(age, _SHORTEST))
        else:
            folds = max(_ANY_ENDS / (1 + sum(after <= age for after, _ in self._seen)), self._passed)
        return min(max(_OLDER_AT_LEAST, math.sqrt(2 * folds / CALLS_PER_DURATION)), _OLDER_AT_MOST)

    def _work_out(self) -> None:
        self._spread = spread_of(self._seen, still=self._going_on(), before=self._spread)
        self._mean = fmean((after + by) / 2 for after, by in self._seen)
        # A few that took the longest say nothing of when the next such job will end.
        few = max(1, min(ENOUGH, len(self._seen) // 32))
        self._know(until=sorted(by for _, by in self._seen)[-few])
        self._ages = tuple(age for age in best_ages(self._spread) if age <= self._known) or (self._known,)

    def _know(self, *, until: float) -> None:
        """What goes on beyond that age is judged by how many e-folds of it jobs have passed, and not by the spread."""
        self._known = until
        shortly_before, going_on = until / math.e, list(self._going_on())
        ended = [(after + by) / 2 for after, by in self._seen if by > shortly_before]
        passed = sum(_e_folds(0.0, min(age, until), beyond=shortly_before) for age in [*ended, *going_on])
        self._folds = passed / max(1, len(ended))
        self._ended = sum(by > until for _, by in self._seen)
        self._passed = sum(_e_folds(0.0, age, beyond=until) for age in [*ended, *going_on])

    def _forget(self) -> None:
        """Forget the older half as long as the newer one is of another length, more than chance would have it."""
        while len(self._seen) >= _ENOUGH_TO_FORGET and _differ(*np.array_split(np.array(self._seen), 2)):
            for _ in range(len(self._seen) // 2):
                self._seen.popleft()


def _differ(older: Floats, newer: Floats) -> bool:
    """Whether jobs have come to take another time, by more than chance and the width of what is known explain."""
    middles = [ends.mean(axis=1) for ends in (older, newer)]
    error = np.sqrt(sum(middle.var() / len(middle) for middle in middles))
    width = np.mean([np.diff(ends).mean() for ends in (older, newer)])
    return bool(abs(middles[1].mean() - middles[0].mean()) > _SURE * error + _HAZE * width)


def _e_folds(since: float, age: float, *, beyond: float) -> float:
    """How many e-folds of its age a job has passed, as far as they lie beyond another age."""
    border = max(beyond, _FIRST)
    return math.log(max(age, border) / max(since, border))


def best_ages(spread: Spread, *, worth: float = CALLS_PER_DURATION) -> tuple[float, ...]:
    """The ages at which a job is best asked about until it has ended; rising, in seconds, up to the last of *spread*.

    Args:
        worth: calls that a delay of the mean duration is worth.
    """
    ages, going_on, gone_on = spread.ages, spread.going_on, spread.gone_on
    price = worth / max(float(gone_on[-1]), _SHORTEST)
    late = (ages - ages[:, None]) * going_on[:, None] - (gone_on - gone_on[:, None])  # [at, then]
    delay = price * late
    cost = np.zeros(len(ages))
    following = np.full(len(ages), len(ages) - 1)
    for at in range(len(ages) - 2, -1, -1):
        spent = delay[at, at + 1 :] + cost[at + 1 :]
        best = int(spent.argmin())
        cost[at] = going_on[at] + spent[best]
        following[at] = at + 1 + best
    chosen = [int(following[0])]
    while chosen[-1] < len(ages) - 1:
        chosen.append(int(following[chosen[-1]]))
    return tuple(ages[chosen].tolist())
