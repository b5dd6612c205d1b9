"""Whole runs in virtual time, at an API whose jobs take their time: what asking costs, and what asking late costs."""

from __future__ import annotations

import asyncio
import random
from heapq import heappop, heappush

import pytest

from batchgen.model import JobId, Request
from batchgen.ports import Completed, Working
from batchgen.testing import MemoryImageAPI
from tests.test_polling import Draw, lognormal
from tests.test_runner import Scene, requests

#: Seconds that a submission takes at least, and that it may take longer.
POST, LONGER = 0.005, 0.03


class Slow:
    """An API that runs so many jobs at one time, first come, first served, and takes its time to answer a submission.

    Args:
        capacity: jobs that it runs at one time.
        concurrency: jobs that the run has in flight.
    """

    def __init__(self, draw: Draw, *, capacity: int, concurrency: int, seed: int = 1) -> None:
        self.scene = Scene(MemoryImageAPI(submit=self._submit, status=self._status), concurrency=concurrency)
        self._draw, self._chance = draw, random.Random(seed)
        self._free = [0.0] * capacity
        self._ends: dict[JobId, float] = {}
        self._ideal = [0.0] * capacity
        self.clock_is_set_by = 0.0  #: seconds, during each submission

    async def _submit(self, _: Request) -> None:
        await asyncio.sleep(POST + LONGER * self._chance.random())
        self.scene.clock.step(self.clock_is_set_by)
        number, now = len(self._ends), self.scene.clock.monotonic()
        duration = self._draw(number, self._chance)
        end = max(now, heappop(self._free)) + duration
        heappush(self._free, end)
        heappush(self._ideal, heappop(self._ideal) + duration)
        self._ends[JobId(f"job-{number + 1}")] = end

    def _status(self, job_id: JobId) -> Working | Completed:
        if self.scene.clock.monotonic() < self._ends[job_id]:
            return Working(state="PENDING")
        return Completed(urls=self.scene.api.links(job_id))

    def run(self, jobs: int) -> tuple[float, float]:
        """Status calls a job, and the run's length beside the ideal: the same jobs packed without any delay."""
        self.scene.run(requests(jobs))
        return len(self.scene.api.polled) / jobs, self.scene.seconds / max(self._ideal)


@pytest.mark.parametrize("duration", [8.0, 120.0])
def test_a_submission_that_takes_a_while_is_no_reason_to_ask_once_more(duration: float) -> None:
    calls, length = Slow(lambda *_: duration, capacity=8, concurrency=8).run(400)
    assert calls <= 3.2
    assert length <= 1.06


def test_jobs_that_are_waited_for_one_after_the_other_are_first_asked_about_after_a_moment_and_not_at_once() -> None:
    slow = Slow(lambda *_: 0.6, capacity=1, concurrency=1)
    calls, _ = slow.run(8)
    assert calls <= 5.0
    alone = Slow(lambda *_: 0.02, capacity=1, concurrency=1)
    assert alone.run(1)[0] == 1.0


def test_a_wall_clock_that_is_set_while_a_submission_is_on_its_way_delays_no_question() -> None:
    slow = Slow(lambda *_: 1.0, capacity=1, concurrency=1)
    slow.clock_is_set_by = 600.0
    calls, _ = slow.run(1)
    assert slow.scene.seconds <= 1.6
    assert calls <= 7.0


def test_a_run_of_1_000_jobs_is_a_tenth_longer_than_the_ideal_at_most_at_five_and_a_half_calls() -> None:
    found = [Slow(lognormal(2.0), capacity=64, concurrency=64, seed=seed).run(1_000) for seed in range(3)]
    assert sum(calls for calls, _ in found) / 3 <= 5.5
    assert sum(length for _, length in found) / 3 <= 1.10


@pytest.mark.parametrize("duration", [8.0, 120.0])
def test_what_the_first_jobs_to_end_tell_is_a_reason_to_ask_about_the_others_at_once(duration: float) -> None:
    """They are all of one length and submitted together: one after the other, each would cost 12 to 18 calls."""
    calls, length = Slow(lambda *_: duration, capacity=64, concurrency=64).run(64)
    assert calls <= 9.0
    assert length <= 1.4


def test_what_waits_at_the_api_costs_the_run_nothing_and_hardly_more_questions() -> None:
    found = [Slow(lognormal(2.0), capacity=64, concurrency=80, seed=seed).run(1_000) for seed in range(3)]
    assert sum(calls for calls, _ in found) / 3 <= 5.5
    assert sum(length for _, length in found) / 3 <= 1.03
