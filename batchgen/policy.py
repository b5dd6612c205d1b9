"""Decisions as values: retry? wait? poll when? how many in flight? Pure: time and chance come in as arguments."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque

from batchgen.lifecycle import Event, GaveUp, Resubmitted
from batchgen.model import Failure, InDoubt

#: Times a job may fail at the API before its request is given up.
JOB_FAILURES = 3
#: Times one link is tried before the job is asked for fresh ones.
LINK_TRIES = 4
#: Times a job is asked for fresh links before its images count as lost.
FRESH_LINKS = 2
#: Status calls in a row that may answer "no such job" before the job counts as lost.
UNKNOWN_JOB_ANSWERS = 5


def backoff(failures: int, *, draw: float, base: float = 1.0, cap: float = 60.0) -> float:
    """Seconds to wait after *failures* in a row: doubling from *base* to *cap*, spread over the upper half.

    Args:
        failures: at least 1.
        draw: uniform in [0, 1).
    """
    # The exponent is bounded before the power is taken: an outage of days must not overflow.
    whole = min(cap, base * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + draw / 2)


def settle_doubt(choice: InDoubt, failure: Failure) -> Event | None:
    """What becomes of a request that may have been paid for; None: it is left as it is."""
    match choice:
        case InDoubt.HOLD:
            return None
        case InDoubt.RETRY:
            return Resubmitted()
        case InDoubt.FAIL:
            return GaveUp(failure=failure)


class LatencyProfile:
    """How long the run's latest jobs took, in seconds from submission to their end being seen."""

    def __init__(self, *, keep: int = 256) -> None:
        self._order: deque[float] = deque()
        self._sorted: list[float] = []
        self._keep = keep

    def add(self, seconds: float) -> None:
        """Learn from one more job; the oldest of more than `keep` is forgotten."""
        if len(self._order) == self._keep:
            del self._sorted[bisect_right(self._sorted, self._order.popleft()) - 1]
        self._order.append(seconds)
        insort(self._sorted, seconds)

    def __len__(self) -> int:
        return len(self._sorted)

    def remaining(self, age: float, share: float) -> float | None:
        """Seconds in which *share* of the jobs that were still going on at *age* had ended; None if none was."""
        first = bisect_right(self._sorted, age)
        survivors = len(self._sorted) - first
        if not survivors:
            return None
        return self._sorted[first + min(survivors - 1, int(share * survivors))] - age


def next_poll(age: float, learned: LatencyProfile, *, draw: float) -> float:
    """Seconds from now until a job that is *age* seconds old is worth asking about.

    Args:
        age: seconds since the submission was accepted.
        learned: durations of this run's finished jobs, in seconds.
        draw: uniform in [0, 1); spreads the polls of jobs submitted together.
    """
    # While nothing is known, each wait is a share of the age: the delay stays in proportion to the job.
    unknown = min(15.0, max(0.25, age / 3))
    wait = unknown
    if len(learned) >= 8:
        likely = learned.remaining(age, 0.4)
        wait = unknown if likely is None else min(15.0, max(0.1, likely))
    return wait * (0.9 + 0.2 * draw)


class InFlightLimit:
    """How many jobs may be in flight: the wish, cut when the API says it is too many, growing back after.

    Args:
        wish: the concurrency asked for, at least 1; never exceeded.
    """

    def __init__(self, wish: int) -> None:
        self._wish = wish
        self._limit = float(wish)

    @property
    def limit(self) -> int:
        """Jobs that may be in flight now, at least 1."""
        return max(1, int(self._limit))

    def refused(self, in_flight: int) -> None:
        """The API refused one more while so many others were in flight."""
        self._limit = max(1.0, min(self._limit, float(in_flight)) * 0.9)

    def accepted(self) -> None:
        """The API took one: room for one more after each round of the present limit."""
        self._limit = min(float(self._wish), self._limit + 1.0 / self._limit)
