"""The ways to completion, with in-memory twins around the runner and a clock that jumps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.durations import Durations
from batchgen.errors import RequestRefused, ResultUnavailable, StorageFailed, TryLater
from batchgen.lifecycle import JobCompleted, JobFailed, State, SubmitAccepted, SubmitStarted
from batchgen.model import Completion, Failure, FailureKind, JobId, Request, RequestKey, VerifiedImage
from batchgen.policy import (
    SIGN_AT_LEAST,
    SIGN_AT_MOST,
    SIGNS_MISSED_IN_A_ROW,
    Reliance,
    next_backstop,
    quiet_after,
)
from batchgen.ports import Accepted, Completed, Failed, Unusable, Working
from batchgen.testing import MemoryImageAPI, MemoryNotices, MemoryStore, tiny_png
from tests.test_runner import Scene, requests

SECONDS = st.floats(0, 1e5)
FAILED = Failed(failure=Failure(kind=FailureKind.JOB_FAILED, message="out of luck"), retryable=False)


class Jobs:
    """An API whose jobs take their time, and may tell of their end.

    Args:
        lasts: seconds of a job by its request's key; 8 where nothing is said.
        tells: how often each job's end is told.
        ends: what a job of that key ends as, where it is not completed.
        until_then: what early links give before the end.
        early: the early links, made of the true ones.
    """

    def __init__(
        self,
        *,
        lasts: Mapping[str, float] | None = None,
        tells: Callable[[Request], int] = lambda _: 1,
        ends: Mapping[str, Failed] | None = None,
        until_then: bytes | None = None,
        early: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda links: links,
        **limits: Any,
    ) -> None:
        self.scene = Scene(MemoryImageAPI(submit=self._submit, status=self._status, download=self._download), **limits)
        self.scene.notices = MemoryNotices() if limits["completion"] is Completion.WEBHOOK else None
        self._lasts, self._tells, self._ends = lasts or {}, tells, ends or {}
        self._until_then, self._early = until_then, early
        self._end: dict[JobId, float] = {}
        self.seen: dict[RequestKey, float] = {}

    @property
    def polled(self) -> list[JobId]:
        return self.scene.api.polled

    def add(self, request: Request, *, ends_in: float) -> JobId:
        """A job of an earlier run."""
        job_id = JobId(f"job-{request.key}")
        self.scene.api.jobs[job_id], self._end[job_id] = request, ends_in
        return job_id

    def _submit(self, request: Request) -> Accepted:
        lasts = self._lasts.get(request.key, 8.0)
        job_id = JobId(f"job-{request.key}")
        self.scene.api.jobs[job_id] = request
        self._end[job_id] = self.scene.clock.monotonic() + lasts
        if self.scene.notices is not None:
            for _ in range(self._tells(request)):
                asyncio.get_running_loop().call_later(lasts, self.scene.notices.tell, request.key)
        return Accepted(job_id=job_id, early_urls=self._early(self.scene.api.links(job_id)))

    def _status(self, job_id: JobId) -> Working | Failed | Completed:
        if not self._has_ended(job_id):
            return Working(state="PENDING")
        return self._ends.get(self.scene.api.jobs[job_id].key) or Completed(urls=self.scene.api.links(job_id))

    def _download(self, url: str) -> bytes | ResultUnavailable | None:
        job_id = JobId(url.split("/")[-2])
        if job_id not in self._end:
            return None  # there is nothing
        if self._has_ended(job_id) and self.scene.api.jobs[job_id].key not in self._ends:
            return None
        return self._until_then if self._until_then is not None else ResultUnavailable("404", http_status=404)

    def _has_ended(self, job_id: JobId) -> bool:
        return self.scene.clock.monotonic() >= self._end[job_id]

    def run(self, wanted: list[Request], meanwhile: Callable[[Scene], Awaitable[None]] | None = None) -> list[State]:
        return self.scene.run(wanted, meanwhile=meanwhile)


def webhook(**settings: Any) -> Jobs:
    return Jobs(completion=Completion.WEBHOOK, **settings)


def early(**settings: Any) -> Jobs:
    return Jobs(completion=Completion.EARLY_URLS, **settings)


def test_with_webhooks_one_question_a_job_is_enough_and_the_delay_is_tiny() -> None:
    lasts = {f"key-{n:04d}": random.Random(n).lognormvariate(2.0, 0.5) for n in range(200)}
    jobs = webhook(lasts=lasts, concurrency=20)
    wanted = requests(200)
    assert jobs.run(wanted) == [State.STORED] * 200
    assert len(jobs.polled) <= 1.2 * 200
    for request in wanted:
        record = jobs.scene.record(request)
        assert record.completed_at is not None
        assert record.submitted_at is not None
        assert record.completed_at - record.submitted_at < lasts[request.key] + 0.01


def test_a_notice_that_is_lost_delays_its_job_and_no_other() -> None:
    jobs = webhook(tells=lambda request: 0 if request.key == "key-0003" else 1)
    assert jobs.run(requests(12)) == [State.STORED] * 12
    assert jobs.polled.count(JobId("job-key-0003")) <= 2
    assert len(jobs.polled) <= 13


def test_notices_that_never_come_are_no_longer_waited_for() -> None:
    polled, silent = Jobs(completion=Completion.POLL, concurrency=8), webhook(tells=lambda _: 0, concurrency=8)
    for jobs in (polled, silent):
        assert jobs.run(requests(80)) == [State.STORED] * 80
    assert silent.scene.seconds < polled.scene.seconds + 30


def test_notices_that_come_after_all_are_relied_upon_again() -> None:
    jobs = webhook(tells=lambda request: int(request.key >= "key-0010"), concurrency=5)
    assert jobs.run(requests(60)) == [State.STORED] * 60
    assert sum(jobs.polled.count(JobId(f"job-key-{n:04d}")) for n in range(30, 60)) <= 36


def test_double_late_and_foreign_notices_change_nothing() -> None:
    async def shout(scene: Scene) -> None:
        assert scene.notices is not None
        for n in range(2_000):
            scene.notices.tell(RequestKey(f"nobody-{n}"))
            scene.notices.tell(RequestKey("key-0000"))
            await scene.clock.sleep(0.02)

    jobs = webhook(tells=lambda _: 3)
    assert jobs.run(requests(8), shout) == [State.STORED] * 8
    assert len(jobs.scene.api.submitted) == 8


def test_a_flood_of_false_notices_costs_few_questions() -> None:
    async def shout(scene: Scene) -> None:
        assert scene.notices is not None
        while scene.clock.monotonic() < 200:
            scene.notices.tell(RequestKey("key-0000"))
            await scene.clock.sleep(0.05)

    jobs = webhook(lasts={"key-0000": 200.0})
    assert jobs.run(requests(1), shout) == [State.STORED]
    assert len(jobs.polled) <= 20


def test_a_notice_that_overtakes_the_answer_to_its_submission_is_not_lost() -> None:
    jobs = webhook(lasts={"key-0000": 0.0})
    assert jobs.run(requests(1)) == [State.STORED]
    assert len(jobs.polled) == 1
    assert jobs.scene.seconds < 1


def test_a_notice_that_is_a_little_ahead_of_the_status_endpoint_costs_a_second() -> None:
    jobs = webhook(tells=lambda _: 0)

    async def tell(scene: Scene) -> None:
        assert scene.notices is not None
        await scene.clock.sleep(7.8)
        scene.notices.tell(RequestKey("key-0000"))

    assert jobs.run(requests(1), tell) == [State.STORED]
    assert jobs.scene.seconds < 9.5


def test_a_job_of_an_earlier_run_is_asked_about_for_its_webhook_leads_nowhere() -> None:
    jobs = webhook()
    [request] = requests(1)
    job_id = jobs.add(request, ends_in=0.0)
    jobs.scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=job_id))
    assert jobs.run([request]) == [State.STORED]
    assert jobs.scene.seconds < 1
    assert jobs.scene.api.submitted == []


def test_a_job_that_tells_somebody_else_is_polled() -> None:
    jobs = webhook()
    jobs.scene.notices = MemoryNotices(deaf_to=[RequestKey("key-0000")])
    assert jobs.run(requests(1)) == [State.STORED]
    assert jobs.scene.seconds < 12


def test_a_job_that_fails_is_seen_by_its_notice_too() -> None:
    jobs = webhook(ends={"key-0001": FAILED})
    assert jobs.run(requests(3)) == [State.STORED, State.FAILED, State.STORED]
    assert len(jobs.polled) == 3


def test_with_early_links_one_question_a_job_is_enough() -> None:
    lasts = {f"key-{n:04d}": random.Random(n).uniform(6, 9) for n in range(100)}
    jobs = early(lasts=lasts, concurrency=10)
    wanted = requests(100, params={"samples": 2})
    assert jobs.run(wanted) == [State.STORED] * 100
    assert len(jobs.polled) <= 112
    assert len(jobs.scene.store.files) == 200
    assert all(jobs.scene.record(request).urls == () for request in wanted)


@pytest.mark.parametrize("until_then", [b"", b"Your image is being processed.", tiny_png(1, 1), tiny_png(64, 64)])
def test_whatever_a_link_gives_before_the_end_is_no_image(until_then: bytes) -> None:
    jobs = early(until_then=until_then)
    wanted = requests(20, params={"width": 8, "height": 8})
    assert jobs.run(wanted) == [State.STORED] * 20
    assert tiny_png(64, 64) not in jobs.scene.store.files.values()
    assert len(jobs.polled) <= 28


def test_a_placeholder_as_large_as_the_image_is_found_out_before_anything_is_stored() -> None:
    placeholder = tiny_png(8, 8, (9, 9, 9))
    jobs = early(until_then=placeholder)
    assert jobs.run(requests(20, params={"width": 8, "height": 8})) == [State.STORED] * 20
    assert placeholder not in jobs.scene.store.files.values()


@pytest.mark.parametrize("concurrency", [1, 4, 16])
def test_a_placeholder_is_found_out_although_links_have_told_the_truth_before(concurrency: int) -> None:
    placeholder = tiny_png(8, 8, (9, 9, 9))
    jobs = early(until_then=placeholder, lasts={"key-0000": 0.0}, concurrency=concurrency)
    usual = jobs.scene.api._download._function
    assert usual is not None

    def download(url: str) -> Any:  # nothing while the job is queued, a placeholder while it is worked at
        job_id = JobId(url.split("/")[-2])
        queued = jobs._end[job_id] - jobs.scene.clock.monotonic() > 4
        return ResultUnavailable("404", http_status=404) if queued else usual(url)

    jobs.scene.api._download._function = download
    assert jobs.run(requests(24, params={"width": 8, "height": 8})) == [State.STORED] * 24
    assert len(jobs.scene.store.files) == 24
    assert placeholder not in jobs.scene.store.files.values()


def test_the_picture_of_an_earlier_job_behind_the_same_link_is_not_taken_for_this_jobs() -> None:
    jobs = early(lasts={"key-0000": 0.5}, concurrency=1, early=lambda _: ("https://images.test/fox-0",))
    shown = [ResultUnavailable("404", http_status=404)]
    usual = jobs.scene.api._download._function
    assert usual is not None

    def download(url: str) -> Any:
        ended = [job_id for job_id in jobs._end if jobs._has_ended(job_id)]
        if url != "https://images.test/fox-0":
            return usual(url)
        return tiny_png(8, 8, (7, 7, len(ended))) if ended else shown[0]

    jobs.scene.api._download._function = download
    wanted = requests(4)
    assert jobs.run(wanted) == [State.STORED] * 4
    links = [jobs.scene.record(request).images[0].source_url for request in wanted]
    assert [link.split("/")[-2] for link in links] == [f"job-key-{n:04d}" for n in range(4)]


def test_early_links_that_never_hold_an_image_are_no_longer_tried() -> None:
    jobs = early(early=lambda links: tuple(f"{link}/nothing" for link in links), concurrency=4)
    assert jobs.run(requests(60)) == [State.STORED] * 60
    assert not any(url.endswith("/nothing") for url in jobs.scene.api.downloaded[-50:])
    assert jobs.scene.seconds < 60 / 4 * 11 + 30


def test_a_job_that_failed_is_found_by_the_status_endpoint_although_its_links_stay_empty() -> None:
    jobs = early(ends={"key-0001": FAILED})
    assert jobs.run(requests(3)) == [State.STORED, State.FAILED, State.STORED]


def test_a_picture_behind_the_links_of_a_job_that_fails_is_no_image() -> None:
    jobs = early(ends={"key-0001": FAILED, "key-0003": FAILED}, concurrency=1)
    usual = jobs.scene.api._download._function
    assert usual is not None
    notice = tiny_png(8, 8, (1, 2, 3))
    failing = ("job-key-0001", "job-key-0003")
    jobs.scene.api._download._function = lambda url: notice if url.split("/")[-2] in failing else usual(url)
    wanted = requests(4, params={"width": 8, "height": 8})
    assert jobs.run(wanted) == [State.STORED, State.FAILED, State.STORED, State.FAILED]
    assert notice not in jobs.scene.store.files.values()
    assert jobs.scene.record(wanted[1]).images == ()


def test_too_few_early_links_are_not_tried() -> None:
    jobs = early(early=lambda links: links[:1])
    assert jobs.run(requests(1, params={"samples": 2})) == [State.STORED]
    assert len(jobs.scene.api.downloaded) == len(jobs.scene.store.files) == 2


def test_early_links_of_an_earlier_run_are_tried_again() -> None:
    jobs = early()
    [request] = requests(1)
    job_id = jobs.add(request, ends_in=0.0)
    jobs.scene.remember(
        request, SubmitStarted(), SubmitAccepted(job_id=job_id, early_urls=jobs.scene.api.links(job_id))
    )
    assert jobs.run([request]) == [State.STORED]
    assert jobs.scene.api.submitted == []


def test_a_disk_that_gives_way_under_an_early_image_stops_submitting_and_loses_nothing() -> None:
    class Full(MemoryStore):
        def keep(self, file_stem: str, image: VerifiedImage, content: bytes) -> str:
            raise StorageFailed("the disk is full")

    jobs = early(concurrency=2)
    jobs.scene.store = Full()
    states = jobs.run(requests(50))
    assert str(jobs.scene.runner.error) == "the disk is full"
    assert set(states) <= {State.SUBMITTED, State.READY, State.PLANNED}
    assert len(jobs.scene.api.submitted) < 20


def test_detached_everything_is_submitted_and_nothing_asked() -> None:
    jobs = Jobs(completion=Completion.DETACH, concurrency=4)
    wanted = requests(50)
    assert jobs.run(wanted) == [State.SUBMITTED] * 50
    assert jobs.polled == []
    assert jobs.scene.told.left_to_a_later_run == wanted
    assert jobs.scene.told.left == []
    assert jobs.scene.runner.stop_reason is None
    assert jobs.scene.seconds < 1


def test_a_later_detached_run_collects_what_is_done_and_asks_about_the_rest_once() -> None:
    jobs = Jobs(completion=Completion.DETACH)
    wanted = requests(6)
    for n, request in enumerate(wanted[:4]):
        job_id = jobs.add(request, ends_in=0.0 if n % 2 else 1_000.0)
        jobs.scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=job_id))
    states = jobs.run(wanted)
    assert states == [State.SUBMITTED, State.STORED, State.SUBMITTED, State.STORED, State.SUBMITTED, State.SUBMITTED]
    assert len(jobs.polled) == 4
    assert len(jobs.scene.api.submitted) == 2


@pytest.mark.parametrize(
    "trouble",
    [
        TryLater("500", http_status=500),
        RequestRefused("404", http_status=404),
        Unusable(message="no link", http_status=200, response="{}"),
    ],
)
def test_a_detached_run_does_not_wait_for_a_status_endpoint_that_is_out_of_order(trouble: Any) -> None:
    jobs = Jobs(completion=Completion.DETACH)
    [request] = requests(1)
    jobs.scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=jobs.add(request, ends_in=0.0)))
    jobs.scene.api._status._function = lambda _: trouble
    assert jobs.run([request]) == [State.SUBMITTED]
    assert jobs.scene.seconds < 5
    assert jobs.scene.told.left_to_a_later_run == [request]


def test_a_detached_run_downloads_images_that_wait() -> None:
    jobs = Jobs(completion=Completion.DETACH)
    [request] = requests(1)
    job_id = jobs.add(request, ends_in=0.0)
    urls = jobs.scene.api.links(job_id)
    jobs.scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=job_id), JobCompleted(urls=urls))
    assert jobs.run([request]) == [State.STORED]


def test_a_detached_run_submits_again_what_failed_at_the_api() -> None:
    jobs = Jobs(completion=Completion.DETACH)
    [request] = requests(1)
    failed = JobFailed(failure=FAILED.failure, again=True)
    jobs.scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")), failed)
    assert jobs.run([request]) == [State.SUBMITTED]


def test_status_calls_keep_a_rate_of_their_own() -> None:
    times: list[float] = []

    def status(_: JobId) -> None:
        times.append(scene.clock.monotonic())

    scene = Scene(MemoryImageAPI(polls=2, status=status), concurrency=20, status_rate=2.0)
    scene.run(requests(20))
    assert len(times) == 60
    assert all(later - sooner >= 0.49 for sooner, later in pairwise(times))


def test_a_status_endpoint_that_wants_fewer_calls_is_heeded_with_notices_too() -> None:
    asked: list[float] = []

    def status(_: JobId) -> TryLater | None:
        asked.append(scene.clock.monotonic())
        return TryLater("429", http_status=429, retry_after=20.0) if len(asked) == 1 else None

    scene = Scene(MemoryImageAPI(polls=0, status=status), completion=Completion.WEBHOOK)
    scene.notices = MemoryNotices()
    scene.notices.tell(RequestKey("key-0000"))
    assert scene.run(requests(1)) == [State.STORED]
    assert asked[1] - asked[0] >= 20


@given(age=SECONDS, durations=st.lists(SECONDS, max_size=30), draw=st.floats(0, 1, exclude_max=True))
def test_the_backstop_is_rare_but_never_absent(age: float, durations: list[float], draw: float) -> None:
    learned = Durations()
    for seconds in durations:
        learned.add(after=0.0, by=seconds)
    wait = next_backstop(age, learned, draw=draw)
    assert wait > 0
    assert age + wait >= SIGN_AT_LEAST
    patience = 1.5 * learned.longest if len(learned) >= 8 else 15.0
    assert wait <= 1.2 * max(SIGN_AT_MOST, patience)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_questions_after_false_notices_grow_as_the_logarithm_of_time(gaps: list[float]) -> None:
    now = asked = 0.0
    in_vain = 0
    for gap in gaps:
        now += gap
        if now >= asked + quiet_after(in_vain):
            asked, in_vain = now, in_vain + 1
    assert in_vain <= 8 + now / SIGN_AT_MOST


@given(st.lists(st.booleans(), max_size=50))
def test_a_sign_is_relied_upon_until_it_was_missed_so_often_in_a_row(seen: list[bool]) -> None:
    reliance = Reliance()
    row = 0
    for came in seen:
        (reliance.seen if came else reliance.missed)()
        row = 0 if came else row + 1
        assert reliance.justified == (row < SIGNS_MISSED_IN_A_ROW)
    reliance.deceived()
    reliance.seen()
    assert not reliance.justified


@settings(max_examples=40, deadline=None)
@given(
    completion=st.sampled_from([Completion.WEBHOOK, Completion.EARLY_URLS]),
    told=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    ends=st.lists(st.sampled_from([None, FAILED]), min_size=6, max_size=6),
    lasts=st.lists(st.floats(0, 200), min_size=6, max_size=6),
    concurrency=st.integers(1, 6),
)
def test_whatever_is_told_a_run_ends_and_submits_each_request_once(
    completion: Completion, told: list[int], ends: list[Failed | None], lasts: list[float], concurrency: int
) -> None:
    wanted = requests(6)
    jobs = Jobs(
        completion=completion,
        lasts={request.key: seconds for request, seconds in zip(wanted, lasts, strict=True)},
        tells=lambda request: told[int(request.key[-4:])],
        ends={request.key: end for request, end in zip(wanted, ends, strict=True) if end is not None},
        concurrency=concurrency,
    )
    states = jobs.run(wanted)
    assert states == [State.STORED if end is None else State.FAILED for end in ends]
    assert [request.key for request in jobs.scene.api.submitted] == [request.key for request in wanted]
