"""In-flight control that learns: a run at an API that says only by its refusals how many jobs it bears."""

from __future__ import annotations

import random
from bisect import bisect_right
from pathlib import Path

import pytest

import batchgen
from batchgen.app.settings import Settings
from batchgen.errors import TryLater
from batchgen.model import JobId, Request, Status
from batchgen.policy import InFlightLimit
from batchgen.ports import Accepted, Completed, Working
from batchgen.simulator import Behaviour, Fixed, Limits, Simulator, background
from batchgen.testing import MemoryImageAPI
from tests.test_runner import Scene, requests


class Bounded:
    """An API that bears so many jobs at one time, and refuses what is beyond.

    Args:
        bears: from when on it bears how many.
    """

    def __init__(self, *bears: tuple[float, int], concurrency: int, retry_after: float | None) -> None:
        self.scene = Scene(MemoryImageAPI(submit=self._submit, status=self._status), concurrency=concurrency)
        self._bears, self._retry_after = bears, retry_after
        self._chance = random.Random(1)
        self._ends: dict[JobId, float] = {}
        self.refusals = 0
        self.began: list[float] = []
        self.ended: list[float] = []

    def _submit(self, request: Request) -> Accepted | TryLater:
        now = self.scene.clock.monotonic()
        if self.in_flight(now) >= self.capacity(now):
            self.refusals += 1
            return TryLater("too many", http_status=429, retry_after=self._retry_after, crowded=True)
        job_id = JobId(f"job-{request.key}")
        self._ends[job_id] = now + self._chance.lognormvariate(0.7, 0.6)
        self.began.append(now)
        self.ended.append(self._ends[job_id])
        return Accepted(job_id=job_id)

    def _status(self, job_id: JobId) -> Working | Completed:
        if self.scene.clock.monotonic() < self._ends[job_id]:
            return Working(state="PENDING")
        return Completed(urls=self.scene.api.links(job_id))

    def capacity(self, at: float) -> int:
        return self._bears[bisect_right([since for since, _ in self._bears], at) - 1][1]

    def in_flight(self, at: float) -> int:
        return bisect_right(self.began, at) - sum(end <= at for end in self.ended)

    def used(self, since: float, until: float) -> float:
        """The share of what it bears that was used between two times."""
        times = [since + n * (until - since) / 400 for n in range(400)]
        return sum(self.in_flight(at) / self.capacity(at) for at in times) / len(times)


@pytest.mark.parametrize("retry_after", [None, 0.5, 1.0])
def test_a_hidden_capacity_is_found_within_seconds_and_kept_at_nine_tenths(retry_after: float | None) -> None:
    api = Bounded((0.0, 64), concurrency=200, retry_after=retry_after)
    api.scene.run(requests(1_500))
    assert api.used(0.0, 55.0) >= 0.9
    assert api.refusals <= 20


@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_a_capacity_that_falls_or_rises_is_followed_within_twenty_seconds(retry_after: float | None) -> None:
    api = Bounded((0.0, 64), (20.0, 24), (50.0, 96), concurrency=128, retry_after=retry_after)
    api.scene.run(requests(3_000))
    assert api.used(25.0, 50.0) >= 0.87
    assert api.used(70.0, 110.0) >= 0.87
    assert api.refusals <= 40


def test_answers_that_come_together_do_not_cut_below_what_was_taken() -> None:
    limit = InFlightLimit(200)
    for in_flight in range(1, 65):
        limit.accepted(in_flight)
        limit.refused(in_flight)
    assert limit.limit == 64


def test_a_run_over_http_finds_what_the_simulator_bears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "a-key")
    (tmp_path / "manifest.yaml").write_text(
        "version: 1\nprofile: sd3\nprompts: ['A fox, {n}']\nvariables: {n: {from: 1, to: 60, step: 1}}\n"
        "params: {negative_prompt: '', num_inference_steps: 29, samples: 1, guidance_scale: 7, width: 64, height: 64}\n"
    )
    bears = Limits(in_flight=8, wait=0.2)
    simulator = Simulator("sd3", behaviour=Behaviour(latency=Fixed(0.2), pictures="tiny", limits=bears))
    with background(simulator) as url:
        settings = Settings(base_url=url, concurrency=40)
        result = batchgen.run(tmp_path / "manifest.yaml", out=tmp_path / "out", settings=settings)
    audit = simulator.audit()
    assert result.samples[Status.STORED] == audit.accepted == 60
    assert audit.peak_in_flight == 8
    assert audit.refused < 60
