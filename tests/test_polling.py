"""Polling that learns, against the best that anybody could do who knew beforehand how long jobs take."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.durations import CALLS_PER_DURATION, ENOUGH, Durations, best_ages
from batchgen.policy import POLL_APART, POLL_AT_LEAST, POLL_FIRST, next_poll
from batchgen.spread import spread_of

#: Jobs, the first ones of which are not counted where the learned is judged and not the learning.
JOBS, LEARNING = 2_500, 800
SEEDS = (1, 2, 3)
#: The seconds that a run's n-th job takes, once it runs.
Draw = Callable[[int, random.Random], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one job came to."""

    number: int
    duration: float  #: seconds
    calls: int
    delay: float  #: seconds from its end until it was seen


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One that is waited for."""

    number: int
    began: float
    duration: float
    calls: int = 0
    worked: float = 0.0  #: age at the last question
    due: float = 0.0  #: when it is asked about next


@dataclass(slots=True)
class Run:
    """A whole run in no time: slots kept full, each job asked about as the policy says, which learns as it goes.

    Args:
        servers: jobs that the API runs at one time, first come, first served; None: all.
    """

    draw: Draw
    slots: int = 64
    servers: int | None = None
    seed: int = 1
    seen: list[Seen] = field(default_factory=list)

    def jobs(self, count: int) -> Run:
        chance, due, at_work = random.Random(self.seed), list[tuple[float, int, Job]](), set[Job]()
        learned = Durations(going_on=lambda: [job.worked for job in at_work if job.worked])
        free = [0.0] * (self.servers or 0)

        def ask_next(now: float, job: Job, *, sooner: bool = False) -> None:
            age = now - job.began
            at = now + next_poll(age, learned, watched=age, draw=chance.random(), peers=len(at_work))
            if sooner and at >= job.due:
                return
            job.due = at
            heapq.heappush(due, (job.due, job.number, job))

        def submit(now: float, number: int) -> None:
            duration = self.draw(number, chance)
            if free:
                begins = max(now, heapq.heappop(free))
                heapq.heappush(free, begins + duration)
                duration += begins - now
            job = Job(number=number, began=now, duration=duration)
            at_work.add(job)
            ask_next(now, job)

        for number in range(self.slots):
            submit(0.0, number)
        submitted = self.slots
        while due:
            now, _, job = heapq.heappop(due)
            if job not in at_work or now != job.due:
                continue
            age, job.calls = now - job.began, job.calls + 1
            if age < job.duration:
                learned.goes_on(since=job.worked, age=age)
                job.worked = age
                ask_next(now, job)
                continue
            at_work.discard(job)
            if learned.add(after=job.worked, by=age):
                for other in sorted(at_work, key=lambda one: one.number):
                    ask_next(now, other, sooner=True)
            delay = age - job.duration
            self.seen.append(Seen(number=job.number, duration=job.duration, calls=job.calls, delay=delay))
            if submitted < count:
                submit(now, submitted)
                submitted += 1
        return self


def cost(seen: Sequence[Seen], scale: Draw | None = None) -> float:
    """Calls a job, and its delay in calls, at what the policy takes a delay to be worth.

    Args:
        scale: what to divide a job's seconds by; for those whose length drifts.
    """
    scales = [1.0 if scale is None else scale(one.number, random.Random()) for one in seen]
    delay = sum(one.delay / by for one, by in zip(seen, scales, strict=True))
    total = sum(one.duration / by for one, by in zip(seen, scales, strict=True))
    return fmean(one.calls for one in seen) + CALLS_PER_DURATION * delay / total


def frontier(durations: Sequence[float]) -> float:
    """The least that `cost` can be for anybody who knows these durations: dynamic programming over the ends.

    Asking anywhere but where a job ends only adds delay. With the first *i* ended, the next question is at some end
    *j*: it costs a call for each job that goes on, and the delay of those from *i* to *j*.
    """
    ends = np.quantile(durations, (np.arange(500) + 0.5) / 500)
    price = CALLS_PER_DURATION / ends.mean()
    sums, n = np.concatenate([[0.0], np.cumsum(ends)]), len(ends)
    best = np.zeros(n + 1)
    for first in range(n - 1, -1, -1):
        last = np.arange(first, n)
        late = ends[last] * (last - first + 1) - (sums[last + 1] - sums[first])
        best[first] = (n - first) + (price * late + best[last + 1]).min()
    return float(best[0]) / n


def lognormal(median: float) -> Draw:
    sigma = math.log(4) / 2.3263  # the 99th percentile is four times the median
    return lambda _, chance: median * chance.lognormvariate(0, sigma)


def bimodal(median: float) -> Draw:
    return lambda _, chance: median * (1.0 if chance.random() < 0.7 else 4) * chance.lognormvariate(0, 0.2)


def uniform(median: float) -> Draw:
    return lambda _, chance: median * chance.uniform(0.5, 1.5)


def exponential(median: float) -> Draw:
    return lambda _, chance: median * (0.2 + chance.expovariate(1))


def drifting(factor: float) -> Draw:
    base = lognormal(4.0)
    return lambda number, chance: base(number, chance) * factor ** (number / JOBS)


def durations_of(draw: Draw) -> list[float]:
    chance = random.Random(9)
    return [draw(0, chance) for _ in range(20_000)]


def settled(run: Run) -> list[Seen]:
    """The jobs of a run after those that it learned from first."""
    return [one for one in run.jobs(JOBS).seen if one.number >= LEARNING]


STEADY = [
    *(pytest.param(lognormal(median), id=f"lognormal-{median}") for median in (0.2, 2.0, 8.0, 30.0, 120.0)),
    *(pytest.param(bimodal(median), id=f"bimodal-{median}") for median in (0.3, 8.0, 120.0)),
    pytest.param(uniform(8.0), id="uniform"),
    pytest.param(exponential(8.0), id="exponential"),
]


@pytest.mark.parametrize("draw", STEADY)
def test_what_was_learned_costs_at_most_15_percent_more_than_knowing(draw: Draw) -> None:
    assert fmean(cost(settled(Run(draw, seed=seed))) for seed in SEEDS) <= 1.15 * frontier(durations_of(draw))


@pytest.mark.parametrize("factor", [3.0, 2.0, 1 / 2])
def test_jobs_that_become_slower_or_quicker_are_followed(factor: float) -> None:
    def scale(number: int, _: random.Random) -> float:
        return float(factor ** (number / JOBS))

    found = fmean(cost(settled(Run(drifting(factor), seed=seed)), scale) for seed in SEEDS)
    assert found <= 1.15 * frontier(durations_of(lognormal(4.0)))


def test_jobs_that_wait_for_one_another_at_the_api_cost_at_most_15_percent_more() -> None:
    runs = [settled(Run(lognormal(2.0), slots=80, servers=64, seed=seed)) for seed in SEEDS]
    assert fmean(cost(seen) / frontier([one.duration for one in seen]) for seen in runs) <= 1.15


@pytest.mark.parametrize("duration", [0.2, 8.0, 120.0])
def test_jobs_of_one_length_are_asked_about_twice_and_found_at_once(duration: float) -> None:
    # Who knows the length asks once and loses nothing: 15 percent of that is nothing, so the bound is absolute.
    for slots in (8, 64):
        seen = settled(Run(lambda *_: duration, slots=slots))
        assert fmean(one.calls for one in seen) <= 2.5
        assert fmean(one.delay for one in seen) <= 0.02 * duration


@pytest.mark.parametrize(("before", "since"), [(8.0, 5.0), (8.0, 2.0), (2.0, 8.0)])
def test_jobs_of_one_length_that_become_quicker_or_slower_at_once_are_found_out(before: float, since: float) -> None:
    """Although who asks when jobs have surely ended is never told that they ended sooner."""
    runs = [Run(lambda number, _: before if number < 1_200 else since, seed=seed).jobs(JOBS) for seed in SEEDS]
    found = [one for run in runs for one in run.seen if one.number >= 1_400]
    assert fmean(one.calls for one in found) <= 2.5
    assert fmean(one.delay for one in found) <= 0.15 * since


@pytest.mark.parametrize("draw", STEADY)
def test_a_run_of_1_000_jobs_pays_for_its_learning_too_and_costs_at_most_a_quarter_more_than_knowing(
    draw: Draw,
) -> None:
    costs = [cost(Run(draw, seed=seed).jobs(1_000).seen) for seed in SEEDS]
    assert fmean(costs) <= 1.25 * frontier(durations_of(draw))


@pytest.mark.parametrize("slots", [1, 8, 64])
@pytest.mark.parametrize("draw", [lognormal(0.2), lognormal(8.0), bimodal(120.0)])
def test_learning_from_few_jobs_is_never_worse_than_not_learning(draw: Draw, slots: int, monkeypatch: Any) -> None:
    jobs = slots + 3 * ENOUGH
    learning = fmean(cost(Run(draw, slots=slots, seed=seed).jobs(jobs).seen) for seed in range(8))
    monkeypatch.setattr(Durations, "next_age", lambda *_: None)
    geometric = fmean(cost(Run(draw, slots=slots, seed=seed).jobs(jobs).seen) for seed in range(8))
    assert learning <= geometric


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=40),
    st.lists(st.floats(0, 1e5), max_size=40),
)
def test_whatever_was_seen_the_ages_rise_and_are_few(seen: list[tuple[float, float]], still: list[float]) -> None:
    learned = Durations(going_on=lambda: still)
    for after, by in seen * ENOUGH:
        learned.add(after=min(after, by), by=max(after, by))
    ages = [0.0]
    while (following := learned.next_age(ages[-1])) is not None and following <= 2 * learned.longest:
        assert following > ages[-1]
        ages.append(following)
        if len(ages) > 1_000:
            break
    assert len(ages) <= 200


@given(
    st.floats(0, 1e5), st.floats(0, 1e5), st.lists(st.floats(0.01, 1e4), max_size=40), st.floats(0, 1, exclude_max=True)
)
def test_a_question_is_always_due_and_an_old_jobs_no_later_than_half_the_time_watched(
    older: float, watched: float, durations: list[float], draw: float
) -> None:
    learned = Durations()
    for duration in durations:
        learned.add(after=0.8 * duration, by=duration)
    wait = next_poll(older + watched, learned, watched=watched, draw=draw)
    assert wait >= POLL_AT_LEAST
    if older > watched:
        assert wait <= 1.02 * max(0.25, watched)


@pytest.mark.parametrize("older", [0.0, 7_200.0])
def test_a_job_that_never_ends_is_asked_about_ever_more_rarely(older: float) -> None:
    """Whether it was submitted by this run, or hours ago by an earlier one."""
    learned, chance = Durations(), random.Random(1)
    for _ in range(200):
        duration = lognormal(2.0)(0, chance)
        learned.add(after=0.8 * duration, by=duration)
    watched = calls = 0.0
    while watched < 900.0:
        watched += next_poll(older + watched, learned, watched=watched, draw=0.0)
        calls += 1
    assert calls <= 120


def test_jobs_of_a_known_length_are_asked_about_when_they_end() -> None:
    learned = Durations()
    for _ in range(20):
        learned.add(after=7.5, by=8.0)
    assert 7.5 <= next_poll(0.0, learned, watched=0.0, draw=0.0) <= 8.0


def test_nothing_is_built_upon_fewer_durations_than_enough() -> None:
    learned = Durations()
    for _ in range(ENOUGH - 1):
        learned.add(after=7.0, by=8.0)
    assert learned.next_age(0.0) is None
    learned.add(after=7.0, by=8.0)
    assert learned.next_age(0.0) is not None


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), max_size=40), st.floats(0.01, 1e5))
def test_what_has_outlasted_all_others_is_asked_about_the_more_rarely_the_more_has_gone_on(
    going_on: list[tuple[float, float]], age: float
) -> None:
    learned, shares = Durations(), [0.0]
    for since, until in going_on:
        learned.goes_on(since=min(since, until), age=max(since, until))
        shares.append(learned.older(age))
    assert shares == sorted(shares)
    assert shares[-1] <= 2.0


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jobs_submitted_together_are_first_asked_about_at_ages_apart_and_one_alone_at_once(
    peers: int, draw: float
) -> None:
    first = next_poll(0.0, Durations(), watched=0.0, peers=peers, draw=draw)
    assert POLL_FIRST <= first <= 1.02 * POLL_FIRST * min(peers, POLL_APART)


def test_a_job_that_is_older_than_all_that_ended_is_news_and_others_may_be_asked_sooner() -> None:
    learned = Durations()
    assert [learned.add(after=7.0, by=by) for by in (8.0, 8.1, 7.5, 9.5)] == [True, False, False, True]


def test_the_quickest_are_not_taken_for_all() -> None:
    few = best_ages(spread_of([(0.9, 1.0)] * ENOUGH))
    among_many = best_ages(spread_of([(0.9, 1.0)] * ENOUGH, still=[2.0] * 56))
    assert few[-1] == 1.0
    assert among_many[-1] > 2.0
