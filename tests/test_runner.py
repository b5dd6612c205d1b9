"""The runner, with in-memory twins around it and a clock that jumps: hours of waiting in no time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.adapters.image_check import PillowCheck
from batchgen.checks import Checks
from batchgen.errors import (
    AnswerInDoubt,
    CreditExhausted,
    KeyRejected,
    RequestRefused,
    ResultUnavailable,
    StorageFailed,
    TryLater,
)
from batchgen.intake import Intake
from batchgen.lifecycle import (
    AnswerLost,
    Event,
    GaveUp,
    JobCompleted,
    JobFailed,
    Record,
    State,
    SubmitAccepted,
    SubmitStarted,
)
from batchgen.model import Completion, Failure, FailureKind, InDoubt, JobId, Request, RequestKey, RunId, VerifiedImage
from batchgen.ports import Claim, Completed, Failed, Observer, Submission, Unusable, Working
from batchgen.runner import Ports, RunLimits, Runner
from batchgen.runner.stopping import ANSWER_SECONDS
from batchgen.testing import (
    DirectFetcher,
    MemoryImageAPI,
    MemoryJournal,
    MemoryNotices,
    MemoryStore,
    VirtualClock,
    VirtualTimeLoop,
    tiny_png,
)
from tests.factories import a_request
from tests.scripted import picture

FAILED = Failed(failure=Failure(kind=FailureKind.JOB_FAILED, message="out of luck", code="MODEL_ERROR"), retryable=True)
UNUSABLE = Unusable(message="names no link", http_status=200, response='{"download_urls": "data:,x"}')
FAILED_WITH_LINKS = replace(FAILED, urls=("https://images.test/never/0",))
PICTURE = picture(8, 8)
GONE_IMAGE = ResultUnavailable("gone", http_status=410, permanent=True)
BLOCKED = KeyRejected(host="api.test", variable="KEY", answer="401")


class Told(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.left: list[Request] = []
        self.left_to_a_later_run: list[Request] = []

    def paused(self, seconds: float, reason: str) -> None:
        self.pauses.append(seconds)

    def overdue(self, request: Request, record: Record) -> None:
        self.left.append(request)

    def left_for_later(self, request: Request, record: Record) -> None:
        self.left_to_a_later_run.append(request)


class Scene:
    """Everything around a runner, in memory."""

    def __init__(
        self, api: MemoryImageAPI | None = None, store: Any = None, checks: Checks | None = None, **limits: Any
    ) -> None:
        self.checks = checks or Checks()
        self.api = api or MemoryImageAPI()
        self.store = store or MemoryStore()
        self.clock = VirtualClock()
        self.journal = MemoryJournal(run_id=RunId("run"), clock=self.clock.now)
        self.told = Told()
        self.notices: MemoryNotices | None = None
        self._limits = {"concurrency": 4} | limits
        self.runner: Runner
        self.seconds = 0.0

    def run(
        self, requests: Sequence[Request], *, meanwhile: Callable[[Scene], Awaitable[None]] | None = None
    ) -> list[State]:
        """Run them to the end; where each stands then."""
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as loop:
            return loop.run(self._run(requests, meanwhile))

    async def _run(
        self, requests: Sequence[Request], meanwhile: Callable[[Scene], Awaitable[None]] | None
    ) -> list[State]:
        ports = Ports(
            api=self.api,
            journal=self.journal,
            images=DirectFetcher(self.api.download, Intake(PillowCheck(), self.checks), self.store),
            clock=self.clock,
            observer=self.told,
            notices=self.notices,
        )
        self.runner = Runner(ports, RunLimits(**self._limits), chance=random.Random(1))
        beside = None if meanwhile is None else asyncio.ensure_future(meanwhile(self))
        began = self.clock.monotonic()
        await self.runner.run(self._feed(requests))
        self.seconds = self.clock.monotonic() - began
        if beside is not None:
            await beside
        return [self.record(request).state for request in requests]

    def record(self, request: Request) -> Record:
        return self.journal.records([request.key]).get(request.key, Record())

    def _feed(self, requests: Iterable[Request]) -> Any:
        claims = iter([Claim(request, self.record(request)) for request in requests])

        class OneByOne:
            async def claim(self, count: int) -> Sequence[Claim]:
                return list(islice(claims, count))

        return OneByOne()

    def remember(self, request: Request, *events: Event) -> None:
        """Let the journal know what an earlier run did."""

        async def write() -> None:
            for event in events:
                await self.journal.record(request.key, event)

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as loop:
            loop.run(write())


def requests(count: int, **fields: Any) -> list[Request]:
    return [
        a_request(key=f"key-{n:04d}", prompt=f"prompt {n}", file_stem=f"images/{n}", **fields) for n in range(count)
    ]


def test_every_request_ends_as_stored_images() -> None:
    scene = Scene()
    assert scene.run(requests(20, params={"samples": 2})) == [State.STORED] * 20
    assert len(scene.store.files) == 40
    assert len(scene.api.submitted) == 20


def test_no_more_jobs_are_in_flight_than_asked_for() -> None:
    scene = Scene(MemoryImageAPI(polls=3), concurrency=3)
    scene.run(requests(20))
    assert scene.api.most_open == 3


def test_the_intent_is_in_the_journal_before_each_post() -> None:
    order: list[str] = []
    wanted = requests(5)

    def submit(request: Request) -> None:
        order.append(str(scene.record(request).state))

    scene = Scene(MemoryImageAPI(submit=submit))
    scene.run(wanted)
    assert order == [State.SUBMITTING] * 5


def test_the_job_is_in_the_journal_before_it_is_asked_about() -> None:
    wanted = requests(5)

    def status(job_id: JobId) -> None:
        assert job_id in {scene.record(request).job_id for request in wanted}

    scene = Scene(MemoryImageAPI(status=status))
    assert scene.run(wanted) == [State.STORED] * 5


def test_a_job_that_was_submitted_by_an_earlier_run_is_polled_and_not_paid_again() -> None:
    [request] = requests(1)
    scene = Scene()
    scene.api.jobs[JobId("old")] = request
    scene.api._polls_left[JobId("old")] = 0
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")))
    assert scene.run([request]) == [State.STORED]
    assert scene.api.submitted == []


def test_images_that_wait_since_an_earlier_run_are_downloaded_and_not_paid_again() -> None:
    [request] = requests(1)
    scene = Scene()
    scene.api.jobs[JobId("old")] = request
    urls = scene.api.links(JobId("old"))
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")), JobCompleted(urls=urls))
    assert scene.run([request]) == [State.STORED]
    assert (scene.api.submitted, scene.api.polled) == ([], [])


@pytest.mark.parametrize(
    ("choice", "state", "posts"),
    [(InDoubt.HOLD, State.IN_DOUBT, 0), (InDoubt.RETRY, State.STORED, 1), (InDoubt.FAIL, State.FAILED, 0)],
)
def test_a_post_that_a_kill_interrupted_is_in_doubt_and_the_user_decides(
    choice: InDoubt, state: State, posts: int
) -> None:
    [request] = requests(1)
    scene = Scene(in_doubt=choice)
    scene.remember(request, SubmitStarted())
    assert scene.run([request]) == [state]
    assert len(scene.api.submitted) == posts


def test_an_answer_that_is_lost_leaves_its_request_in_doubt_and_the_others_go_on() -> None:
    scene = Scene(MemoryImageAPI(submit={"prompt 1": [AnswerInDoubt("reset")]}))
    assert scene.run(requests(3)) == [State.STORED, State.IN_DOUBT, State.STORED]
    assert len(scene.api.submitted) == 3


def test_a_refused_input_fails_its_request_alone_and_is_not_repeated() -> None:
    scene = Scene(MemoryImageAPI(submit={"prompt 1": [RequestRefused("samples: at most 4", http_status=422)]}))
    wanted = requests(3)
    assert scene.run(wanted) == [State.STORED, State.FAILED, State.STORED]
    failure = scene.record(wanted[1]).failure
    assert failure is not None
    assert (failure.kind, failure.http_status, failure.message) == (FailureKind.REFUSED, 422, "samples: at most 4")
    assert len(scene.api.submitted) == 3


def test_a_busy_api_is_left_alone_for_as_long_as_it_asks() -> None:
    busy = TryLater("slow down", http_status=429, retry_after=100.0, crowded=True)
    scene = Scene(MemoryImageAPI(submit={"prompt 0": [busy]}), concurrency=1)
    wanted = requests(2)
    assert scene.run(wanted) == [State.STORED] * 2
    assert scene.seconds >= 100
    assert scene.told.pauses == [100.0]
    assert scene.record(wanted[0]).attempts == 1  # a 429 is no attempt


def test_an_api_that_cannot_be_reached_is_tried_until_it_can() -> None:
    outage = TryLater("refused", code="UNREACHABLE")
    scene = Scene(MemoryImageAPI(submit={"prompt 0": [outage] * 5}), concurrency=1)
    assert scene.run(requests(1)) == [State.STORED]
    assert 5 < scene.seconds < 60


def test_an_api_that_takes_nothing_for_too_long_ends_the_run_which_can_go_on_later() -> None:
    scene = Scene(MemoryImageAPI(submit=lambda _: TryLater("refused", code="UNREACHABLE")), max_wait=600.0)
    assert scene.run(requests(10)) == [State.PLANNED] * 10
    assert scene.runner.stop_reason is not None
    assert "refused" in scene.runner.stop_reason
    assert 600 <= scene.seconds < 800


def test_a_longer_wait_than_allowed_ends_the_run_at_once() -> None:
    scene = Scene(MemoryImageAPI(submit=lambda _: TryLater("quota", http_status=429, retry_after=3_600.0)))
    assert scene.run(requests(10)) == [State.PLANNED] * 10
    assert scene.seconds < 60
    assert "--max-wait" in (scene.runner.stop_reason or "")


def test_a_refused_key_stops_submitting_and_jobs_in_flight_are_still_collected() -> None:
    scene = Scene(MemoryImageAPI(polls=5, submit={"prompt 3": [BLOCKED]}), concurrency=4)
    states = scene.run(requests(20))
    assert states[:3] == [State.STORED] * 3
    assert set(states[3:]) == {State.PLANNED}
    assert scene.runner.error is BLOCKED
    assert len(scene.api.submitted) == 4


def test_a_job_that_fails_is_tried_three_times_and_no_more() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: FAILED))
    wanted = requests(1)
    assert scene.run(wanted) == [State.FAILED]
    assert len(scene.api.submitted) == 3
    assert scene.record(wanted[0]).failure == FAILED.failure


def test_a_job_that_failed_for_good_is_not_submitted_again() -> None:
    hopeless = Failed(failure=FAILED.failure, retryable=False)
    scene = Scene(MemoryImageAPI(status=lambda _: hopeless))
    assert scene.run(requests(1)) == [State.FAILED]
    assert len(scene.api.submitted) == 1


def test_a_job_that_failed_for_lack_of_credit_stops_submitting_and_waits_for_the_next_run() -> None:
    broke = CreditExhausted(host="api.test", answer="INSUFFICIENT_CREDITS")
    failed = Failed(failure=FAILED.failure, retryable=False, blocked=broke)
    scene = Scene(MemoryImageAPI(status=lambda _: failed), concurrency=2)
    assert set(scene.run(requests(20))) == {State.PLANNED}
    assert scene.runner.error is broke
    assert len(scene.api.submitted) <= 4


def test_a_status_call_that_fails_says_nothing_about_its_job() -> None:
    scene = Scene(MemoryImageAPI(status={"prompt 0": [TryLater("502", http_status=502)] * 6}))
    assert scene.run(requests(1)) == [State.STORED]
    assert len(scene.api.submitted) == 1


GONE = RequestRefused("no such job", http_status=404)


def test_a_job_that_alone_is_forgotten_is_lost_and_not_silently_paid_again() -> None:
    def status(job_id: JobId) -> BaseException | Working | None:
        if scene.api.jobs[job_id].prompt == "prompt 0":
            return GONE
        return Working(state="PENDING") if scene.clock.monotonic() < 600 else None

    scene = Scene(MemoryImageAPI(polls=0, status=status))
    wanted = requests(2)
    assert scene.run(wanted) == [State.FAILED, State.STORED]
    failure = scene.record(wanted[0]).failure
    assert failure is not None
    assert failure.kind is FailureKind.JOB_LOST
    assert len(scene.api.submitted) == 2


def test_an_api_that_forgets_every_job_is_out_of_order_and_no_job_is_given_up() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: GONE))
    assert scene.run(requests(3)) == [State.SUBMITTED] * 3


def test_a_forgotten_job_that_the_user_reopens_is_asked_about_before_it_is_paid_again() -> None:
    [request] = requests(1)
    lost = Failure(kind=FailureKind.JOB_LOST, message="unknown")
    scene = Scene()
    scene.api.jobs[JobId("old")] = request
    scene.api._polls_left[JobId("old")] = 0
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")), JobFailed(failure=lost, again=False))
    assert scene.run([request]) == [State.STORED]
    assert scene.api.submitted == []


def test_a_job_that_never_ends_is_left_at_its_deadline_for_a_later_run() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: Working(state="PENDING")), job_deadline=300.0)
    wanted = requests(1)
    assert scene.run(wanted) == [State.SUBMITTED]
    assert scene.told.left == wanted
    assert 300 <= scene.seconds < 330


@pytest.mark.parametrize("completion", [Completion.POLL, Completion.DETACH])
def test_a_job_that_has_not_ended_within_a_day_is_given_up(completion: Completion) -> None:
    api = MemoryImageAPI(status=lambda _: Working(state="PENDING"))
    scene = Scene(api, job_deadline=300.0, completion=completion)
    [request] = requests(1)
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")))
    scene.clock = VirtualClock(start=1_700_000_000.0 + 90_000)
    assert scene.run([request]) == [State.FAILED]
    failure = scene.record(request).failure
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.JOB_LOST, "Job old has not ended within 24 hours.")


def test_an_old_job_is_not_given_up_because_the_status_endpoint_is_out_of_order() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: TryLater("503", http_status=503)), job_deadline=300.0)
    [request] = requests(1)
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")))
    scene.clock = VirtualClock(start=1_700_000_000.0 + 90_000)
    assert scene.run([request]) == [State.SUBMITTED]


def test_status_calls_that_the_api_wants_fewer_of_wait_but_never_beyond_a_deadline() -> None:
    scene = Scene(
        MemoryImageAPI(status=lambda _: TryLater("429", http_status=429, retry_after=86_400.0)), job_deadline=300.0
    )
    assert scene.run(requests(3)) == [State.SUBMITTED] * 3
    assert scene.seconds < 330
    assert len(scene.api.polled) <= 6


def test_a_post_that_is_answered_by_the_images_needs_no_poll() -> None:
    def submit(request: Request) -> Completed:
        scene.api.jobs[JobId("now")] = request
        return Completed(urls=scene.api.links(JobId("now")), job_id=JobId("now"))

    scene = Scene(MemoryImageAPI(submit=submit))
    assert scene.run(requests(1)) == [State.STORED]
    assert scene.api.polled == []


def test_jobs_that_fail_because_too_many_are_there_wait_for_room_longer_than_others() -> None:
    crowded = Failed(failure=FAILED.failure, retryable=True, crowded=True)
    scene = Scene(MemoryImageAPI(polls=0))
    scene.api._status._function = lambda _: crowded if scene.clock.monotonic() < 40 else None
    wanted = requests(8)
    assert scene.run(wanted) == [State.STORED] * 8
    assert len(scene.api.submitted) <= 8 * 9
    for_ever = Scene(MemoryImageAPI(polls=0, status=lambda _: crowded))
    assert for_ever.run(requests(1)) == [State.FAILED]
    assert (len(for_ever.api.submitted), for_ever.seconds > 90) == (9, True)


def test_a_link_that_fails_for_a_while_is_tried_again() -> None:
    scene = Scene(MemoryImageAPI(download={"prompt 0": [ResultUnavailable("reset")] * 2}))
    assert scene.run(requests(1)) == [State.STORED]


def test_what_is_no_image_yet_is_tried_again_for_a_host_may_be_a_little_behind_the_api() -> None:
    scene = Scene()
    scene.api._download._function = lambda _: b"<html>come back</html>" if scene.clock.monotonic() < 100 else None
    wanted = requests(1)
    assert scene.run(wanted) == [State.STORED]
    assert len(scene.api.submitted) == 1
    assert len(scene.api.downloaded) <= 2 * 8


def test_damaged_bytes_are_lost_in_the_end_and_never_stored_or_silently_paid_again() -> None:
    scene = Scene(MemoryImageAPI(download=lambda _: b"<html>not an image</html>"))
    wanted = requests(1)
    assert scene.run(wanted) == [State.FAILED]
    failure = scene.record(wanted[0]).failure
    assert failure is not None
    assert failure.kind is FailureKind.RESULT_LOST
    assert (len(scene.api.submitted), len(scene.api.polled), scene.store.files) == (1, 4, {})
    assert scene.seconds > 60


def test_damaged_bytes_of_a_job_that_ended_long_ago_are_not_tried_again_and_again() -> None:
    found = Completed(urls=("https://h/1",))
    scene = Scene(MemoryImageAPI(status=lambda _: found, download=lambda _: b"no image"))
    [request] = requests(1)
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("j")), JobCompleted(urls=("https://h/1",)))
    scene.clock._start += 3_600
    assert scene.run([request]) == [State.FAILED]
    assert len(scene.api.downloaded) == 3


@pytest.mark.parametrize(("later", "asked"), [(0, 0), (86_000, 0), (86_000, 1), (90_000, 1)])
def test_links_of_a_failed_job_that_a_killed_run_left_are_tried_and_nothing_is_paid_again(
    later: float, asked: int
) -> None:
    """Also those that have expired since: it is asked for fresh ones then."""
    size = {"width": 8, "height": 8}
    [request] = requests(1, params={**a_request().params, **size})
    expired = ResultUnavailable("expired", http_status=403)
    scene = Scene(MemoryImageAPI(download=lambda url: expired if asked and url == "https://h/1" else PICTURE))
    scene.api._status._function = lambda _: replace(FAILED, urls=("https://h/2",))
    told = JobFailed(failure=FAILED.failure, again=True, urls=("https://h/1",))
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("j")), told)
    scene.clock._start += later
    assert scene.run([request]) == [State.STORED]
    assert (len(scene.api.submitted), len(scene.api.polled)) == (0, asked)


def test_a_failed_job_whose_links_prove_useless_is_submitted_again_as_often_as_any() -> None:
    gone = ResultUnavailable("gone", http_status=404)
    scene = Scene(MemoryImageAPI(download=lambda _: gone, status=lambda _: replace(FAILED, urls=("https://h/1",))))
    [request] = requests(1)
    assert scene.run([request]) == [State.FAILED]
    assert (len(scene.api.submitted), scene.record(request).job_failures) == (3, 3)
    assert scene.record(request).wasted == 3
    failure = scene.record(request).failure
    assert failure is not None
    assert failure.message == "out of luck (They gave no image: gone)"


def test_an_api_that_makes_fewer_images_than_it_is_asked_for_is_soon_believed() -> None:
    scene = Scene(MemoryImageAPI(polls=0))
    scene.api._status._function = lambda job_id: Completed(urls=scene.api.links(job_id)[:1])
    wanted = requests(500, params={**a_request().params, "samples": 2})
    assert set(scene.run(wanted)) == {State.STORED}
    assert {record.made for record in map(scene.record, wanted)} == {1}
    assert len(scene.api.polled) < 1.1 * len(wanted)


@pytest.mark.parametrize(
    "then", [RequestRefused("gone", http_status=404), TryLater("502"), Working(state="?"), FAILED, UNUSABLE]
)
def test_whatever_is_said_of_a_job_later_the_links_that_it_named_are_fetched(then: Any) -> None:
    scene = Scene(MemoryImageAPI(polls=0))
    scene.api._status._function = lambda job_id: (
        then if len(scene.api.polled) > 1 else Completed(urls=scene.api.links(job_id)[:1])
    )
    [request] = requests(1, params={**a_request().params, "samples": 2})
    assert scene.run([request]) == [State.STORED]
    assert [image.sample for image in scene.record(request).images] == [0]
    assert len(scene.api.submitted) == 1


def test_a_sample_whose_link_is_named_no_longer_is_lost_and_not_unmade() -> None:
    links = ("https://h/0", "https://h/1")
    scene = Scene(MemoryImageAPI(download=lambda url: GONE_IMAGE if url.endswith("/1") else tiny_png()))
    scene.api._status._function = lambda _: Completed(urls=links if len(scene.api.polled) < 2 else links[:1])
    [request] = requests(1, params={"samples": 3})
    assert scene.run([request]) == [State.STORED]
    told = {lost.sample: lost.failure.kind for lost in scene.record(request).missing}
    assert told == {1: FailureKind.RESULT_LOST, 2: FailureKind.MISSING}
    assert len(scene.api.submitted) == 1


def test_a_sample_that_was_lost_is_asked_for_again_and_the_others_stay() -> None:
    scene = Scene(MemoryImageAPI(polls=0, download=lambda url: GONE_IMAGE if url.endswith("/1") else None))
    [request] = requests(1, params={"samples": 2})
    assert scene.run([request]) == [State.STORED]
    assert scene.record(request).may_be_had == {FailureKind.RESULT_LOST}
    scene.api._download._function = None
    before = len(scene.api.downloaded)
    assert scene.run([request]) == [State.STORED]
    record = scene.record(request)
    assert [image.sample for image in record.images] == [0, 1]
    assert (record.missing, record.may_be_had) == ((), frozenset())
    assert (len(scene.api.submitted), len(scene.api.downloaded) - before) == (1, 1)


def test_a_sample_whose_job_is_gone_by_now_stays_missing_and_is_never_paid_again() -> None:
    scene = Scene(MemoryImageAPI(polls=0, download=lambda url: GONE_IMAGE if url.endswith("/1") else None))
    [request] = requests(1, params={"samples": 2})
    scene.run([request])
    lost = Failure(kind=FailureKind.JOB_LOST, message="unknown")
    scene.api._status._function = lambda _: Failed(failure=lost, retryable=True)
    assert scene.run([request]) == [State.STORED]
    assert [image.sample for image in scene.record(request).images] == [0]
    assert len(scene.api.submitted) == 1


def test_images_that_are_gone_for_good_are_lost_and_not_silently_paid_again() -> None:
    scene = Scene(MemoryImageAPI(download=lambda _: GONE_IMAGE))
    wanted = requests(1)
    assert scene.run(wanted) == [State.FAILED]
    failure = scene.record(wanted[0]).failure
    assert failure is not None
    assert (failure.kind, failure.http_status) == (FailureKind.RESULT_LOST, 410)
    assert len(scene.api.submitted) == 1


def test_a_finished_job_that_is_said_to_have_failed_when_fresh_links_are_asked_for_is_not_paid_again() -> None:
    asked = 0

    def status(job_id: JobId) -> Completed | Failed:
        nonlocal asked
        asked += 1
        return Completed(urls=scene.api.links(job_id)) if asked == 1 else FAILED

    scene = Scene(MemoryImageAPI(status=status, download=lambda _: GONE_IMAGE))
    assert scene.run(requests(1)) == [State.FAILED]
    assert len(scene.api.submitted) == 1


def test_images_that_are_gone_for_good_are_paid_again_when_the_user_says_so() -> None:
    [request] = requests(1)
    scene = Scene(MemoryImageAPI(polls=0, download={"prompt 0": [GONE_IMAGE] * 6}))
    assert scene.run([request]) == [State.FAILED]
    assert scene.run([request]) == [State.STORED]
    assert len(scene.api.submitted) == 2


def test_an_outage_of_the_image_host_loses_nothing_and_the_next_run_fetches_what_it_left() -> None:
    outage = True

    def download(_: str) -> ResultUnavailable | None:
        return ResultUnavailable("503", http_status=503) if outage else None

    scene = Scene(MemoryImageAPI(download=download))
    wanted = requests(5)
    assert scene.run(wanted) == [State.READY] * 5
    assert {request.key for request in scene.told.left} == {request.key for request in wanted}
    outage = False
    assert scene.run(wanted) == [State.STORED] * 5
    assert len(scene.api.submitted) == 5


def test_a_host_that_drips_holds_a_link_up_for_a_few_tries_and_not_for_all() -> None:
    async def download(_: str) -> ResultUnavailable:
        await asyncio.sleep(600)
        return ResultUnavailable("no answer came in time")

    scene = Scene(MemoryImageAPI(download=download))
    assert scene.run(requests(1)) == [State.READY]
    assert scene.seconds < 3 * 600 + 60


def test_images_that_can_never_be_had_stop_the_run_before_the_whole_plan_is_paid() -> None:
    refused = ResultUnavailable("a private network", permanent=True)
    scene = Scene(MemoryImageAPI(download=lambda _: refused))
    states = scene.run(requests(1_000))
    assert states.count(State.FAILED) == len(scene.api.submitted) < 50  # ten, and those that were alive
    assert "cannot be had (a private network)" in (scene.runner.stop_reason or "")


def test_jobs_that_fail_in_a_row_stop_the_run_and_a_stored_one_begins_the_row_anew() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: FAILED))
    scene.run(requests(1_000))
    assert len(scene.api.submitted) < 40
    assert "jobs in a row failed" in (scene.runner.stop_reason or "")
    now_and_then = Scene(MemoryImageAPI(status=lambda job: FAILED if int(job.rpartition("-")[2]) % 4 else None))
    now_and_then.run(requests(100))
    assert now_and_then.runner.stop_reason is None


def test_an_outage_that_lasts_for_days_ends_as_lost() -> None:
    scene = Scene(MemoryImageAPI(download=lambda _: ResultUnavailable("503", http_status=503)))
    wanted = requests(1)
    assert scene.run(wanted) == [State.READY]
    scene.clock._start += 2 * 86_400
    assert scene.run(wanted) == [State.FAILED]


def test_what_there_is_of_a_partial_result_is_kept_and_the_rest_named() -> None:
    def status(job_id: JobId) -> Completed:
        return Completed(urls=scene.api.links(job_id)[:1])

    scene = Scene(MemoryImageAPI(status=status))
    wanted = requests(1, params={"samples": 3})
    assert scene.run(wanted) == [State.STORED]
    record = scene.record(wanted[0])
    assert [image.sample for image in record.images] == [0]
    assert [(lost.sample, lost.failure.kind) for lost in record.missing] == [
        (1, FailureKind.MISSING),
        (2, FailureKind.MISSING),
    ]


def test_one_image_of_several_that_cannot_be_had_does_not_lose_the_others() -> None:
    def download(url: str) -> ResultUnavailable | None:
        return ResultUnavailable("gone", permanent=True) if url.endswith("/1") else None

    scene = Scene(MemoryImageAPI(download=download))
    wanted = requests(1, params={"samples": 3})
    assert scene.run(wanted) == [State.STORED]
    record = scene.record(wanted[0])
    assert [image.sample for image in record.images] == [0, 2]
    assert [lost.failure.kind for lost in record.missing] == [FailureKind.RESULT_LOST]


def test_a_slot_is_free_while_its_images_are_downloaded() -> None:
    async def slowly(_: str) -> None:
        await asyncio.sleep(1_000)

    scene = Scene(MemoryImageAPI(polls=0, download=slowly), concurrency=2, downloads=50)
    assert scene.run(requests(20)) == [State.STORED] * 20
    assert scene.seconds < 1_100


def test_finished_jobs_that_wait_for_their_download_push_back_on_submitting() -> None:
    async def never(_: str) -> None:
        await asyncio.sleep(10**6)

    async def look(scene: Scene) -> None:
        await asyncio.sleep(1_000)
        seen.append(len(scene.api.submitted))
        scene.runner.abandon()
        scene.runner.stop("seen enough")

    seen: list[int] = []
    scene = Scene(MemoryImageAPI(polls=0, download=never), concurrency=4, downloads=3)
    scene.run(requests(100), meanwhile=look)
    assert seen == [10]


def test_a_stop_lets_jobs_in_flight_end_and_submits_nothing_more() -> None:
    async def stop(scene: Scene) -> None:
        while len(scene.api.submitted) < 8:  # noqa: ASYNC110  # the time is virtual
            await asyncio.sleep(0.1)
        scene.runner.stop("enough")

    scene = Scene(MemoryImageAPI(polls=3), concurrency=4, grace=60.0)
    states = scene.run(requests(50), meanwhile=stop)
    assert states.count(State.STORED) == len(scene.api.submitted)
    assert set(states) == {State.STORED, State.PLANNED}
    assert scene.runner.stop_reason == "enough"


def test_a_stop_during_a_long_pause_ends_the_run_at_once() -> None:
    async def stop(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.runner.stop("enough")

    scene = Scene(MemoryImageAPI(submit=lambda _: TryLater("429", http_status=429, retry_after=800.0)))
    scene.run(requests(5), meanwhile=stop)
    assert scene.seconds < 20


def test_after_the_grace_time_jobs_in_flight_are_left_as_submitted() -> None:
    async def stop(scene: Scene) -> None:
        await asyncio.sleep(5)
        scene.runner.stop("enough")

    scene = Scene(MemoryImageAPI(status=lambda _: Working(state="PENDING")), concurrency=2, grace=20.0)
    assert scene.run(requests(5), meanwhile=stop) == [State.SUBMITTED] * 2 + [State.PLANNED] * 3
    assert 25 <= scene.seconds < 40


class LateAPI(MemoryImageAPI):
    """Answers each submission after a while; its jobs never end."""

    def __init__(self, seconds: float, **script: Any) -> None:
        super().__init__(status=lambda _: Working(state="PENDING"), **script)
        self._seconds = seconds

    async def submit(self, request: Request) -> Submission:
        await asyncio.sleep(self._seconds)
        return await super().submit(request)


@pytest.mark.parametrize(
    ("script", "state"),
    [
        (None, State.SUBMITTED),
        (lambda _: Completed(urls=("https://images.test/never/0",)), State.READY),
        (lambda _: TryLater("429", http_status=429), State.PLANNED),
    ],
)
@pytest.mark.parametrize("grace", [0.0, 2.0])
def test_however_short_the_grace_answers_to_submissions_on_their_way_are_waited_for_and_no_longer(
    grace: float, script: Any, state: State
) -> None:
    async def stop(scene: Scene) -> None:
        await asyncio.sleep(3)
        scene.runner.stop("enough")

    scene = Scene(LateAPI(7.0, submit=script), concurrency=2, grace=grace)
    assert scene.run(requests(3), meanwhile=stop) == [state] * 2 + [State.PLANNED]
    assert len(scene.api.submitted) == 2
    assert scene.seconds == pytest.approx(7.0, abs=0.5)


def test_an_answer_that_does_not_come_holds_no_run_up_for_longer_than_that() -> None:
    async def stop(scene: Scene) -> None:
        await asyncio.sleep(3)
        scene.runner.stop("enough")

    scene = Scene(LateAPI(1e6), concurrency=2, grace=0.0)
    assert scene.run(requests(3), meanwhile=stop) == [State.SUBMITTING] * 2 + [State.PLANNED]
    assert scene.seconds == pytest.approx(3 + ANSWER_SECONDS, abs=0.5)


def test_whoever_stops_a_run_twice_waits_for_no_answer() -> None:
    async def stop(scene: Scene) -> None:
        await asyncio.sleep(3)
        scene.runner.stop("enough")
        await asyncio.sleep(1)
        scene.runner.abandon()

    scene = Scene(LateAPI(7.0), concurrency=2, grace=30.0)
    assert scene.run(requests(3), meanwhile=stop) == [State.SUBMITTING] * 2 + [State.PLANNED]
    assert scene.seconds == pytest.approx(4.0, abs=0.5)


def test_answers_that_are_lost_in_a_row_stop_the_run_before_the_whole_plan_is_in_doubt() -> None:
    scene = Scene(MemoryImageAPI(submit=lambda _: AnswerInDoubt("502", http_status=502)), concurrency=2)
    states = scene.run(requests(1_000))
    assert states.count(State.IN_DOUBT) == len(scene.api.submitted) < 15
    assert "in a row were lost (502)" in (scene.runner.stop_reason or "")


def test_refusals_in_a_row_stop_the_run_before_the_whole_plan_has_failed() -> None:
    scene = Scene(MemoryImageAPI(submit=lambda _: RequestRefused("no such path", http_status=404)))
    assert scene.run(requests(1_000)).count(State.FAILED) < 40
    assert "no such path" in (scene.runner.stop_reason or "")


def test_a_submission_in_doubt_is_repeated_once_a_run_at_most() -> None:
    scene = Scene(MemoryImageAPI(submit=lambda _: AnswerInDoubt("reset")), in_doubt=InDoubt.RETRY)
    [request] = requests(1)
    assert scene.run([request]) == [State.IN_DOUBT]
    assert len(scene.api.submitted) == 2


def test_no_more_images_are_asked_for_than_allowed_repeats_and_doubts_included() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: FAILED), max_images=10, concurrency=3)
    states = scene.run(requests(20, params={"samples": 2}))
    assert len(scene.api.submitted) == 5
    assert State.PLANNED in states
    doubtful = Scene(in_doubt=InDoubt.RETRY, max_images=1)
    wanted = requests(3)
    for request in wanted:
        doubtful.remember(request, SubmitStarted())
    assert sorted(doubtful.run(wanted)) == [State.IN_DOUBT, State.IN_DOUBT, State.STORED]


def test_a_refusal_that_passes_takes_nothing_from_what_may_be_asked_for() -> None:
    busy = [TryLater("429", http_status=429, retry_after=2.0)]
    scene = Scene(MemoryImageAPI(submit={f"prompt {n}": list(busy) for n in range(6)}), max_images=6, concurrency=16)
    assert scene.run(requests(12)).count(State.STORED) == 6
    assert scene.runner.stop_reason == "--max-images 6 was reached"


def test_while_no_image_can_be_had_no_more_are_paid_for() -> None:
    scene = Scene(MemoryImageAPI(download=lambda _: ResultUnavailable("503", http_status=503)), concurrency=4)
    states = scene.run(requests(500))
    assert len(scene.api.submitted) < 60
    assert set(states) <= {State.READY, State.PLANNED, State.SUBMITTED}
    assert "cannot be had (503)" in (scene.runner.stop_reason or "")


def test_what_is_submitted_again_and_refused_waits_for_room_and_stays_in_doubt_if_there_is_none() -> None:
    busy = TryLater("slow down", http_status=429, retry_after=100.0)
    lost = Failure(kind=FailureKind.ANSWER_LOST, message="reset")
    given_up = (SubmitStarted(), AnswerLost(failure=lost), GaveUp(failure=lost))
    for earlier, reopened in ((given_up[:2], InDoubt.RETRY), (given_up, InDoubt.HOLD)):
        patient = Scene(MemoryImageAPI(submit={"prompt 0": [busy, busy]}), in_doubt=reopened)
        (request,) = requests(1)
        patient.remember(request, *earlier)
        assert patient.run([request]) == [State.STORED]
        hasty = Scene(MemoryImageAPI(submit=lambda _: busy), in_doubt=reopened, max_wait=10.0)
        hasty.remember(request, *earlier)
        assert hasty.run([request]) == [State.IN_DOUBT]
        assert hasty.record(request).submitted_at == hasty.record(request).doubted_at


def test_what_a_stop_keeps_from_being_submitted_stays_in_doubt() -> None:
    scene = Scene(in_doubt=InDoubt.RETRY, max_images=0)
    [request] = requests(1)
    scene.remember(request, SubmitStarted())
    assert scene.run([request]) == [State.IN_DOUBT]
    assert [event.kind for _, event in scene.journal.events] == ["SubmitStarted", "AnswerLost"]


def test_an_old_job_is_asked_about_at_once() -> None:
    [request] = requests(1)
    scene = Scene()
    scene.api.jobs[JobId("old")] = request
    scene.api._polls_left[JobId("old")] = 0
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")))
    scene.clock._start += 3_600
    assert scene.run([request]) == [State.STORED]
    assert scene.seconds < 1


def test_a_job_id_that_finds_no_room_on_the_disk_is_kept_until_it_does() -> None:
    class Full(MemoryJournal):
        refused = 0

        async def record(self, key: RequestKey, event: Event) -> Record:
            if isinstance(event, SubmitAccepted) and self.refused < 5:
                self.refused += 1
                raise StorageFailed("no space left")
            return await super().record(key, event)

    scene = Scene(concurrency=2)
    scene.journal = Full(run_id=RunId("run"), clock=scene.clock.now)
    wanted = requests(20)
    states = scene.run(wanted)
    assert 1 <= states.count(State.READY) == len(scene.api.submitted) <= 2  # there is no room for images
    assert str(scene.runner.error) == "no space left"


def test_a_bug_in_one_request_ends_the_run_but_not_the_jobs_in_flight() -> None:
    def status(job_id: JobId) -> None:
        if scene.api.jobs[job_id].prompt == "prompt 1" and scene.clock.monotonic() > 0.3:
            raise ZeroDivisionError("a bug")

    scene = Scene(MemoryImageAPI(polls=3, status=status), concurrency=3, grace=100.0)
    states = scene.run(requests(50))
    assert isinstance(scene.runner.error, ZeroDivisionError)
    assert states.count(State.STORED) >= 2
    assert State.SUBMITTING not in states


def test_a_rate_is_kept_evenly_without_a_burst() -> None:
    times: list[float] = []

    def submit(_: Request) -> None:
        times.append(scene.clock.monotonic())

    scene = Scene(MemoryImageAPI(polls=0, submit=submit), concurrency=100, rate=2.0)
    scene.run(requests(21))
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert min(gaps) >= 0.49
    assert times[-1] - times[0] < 11


def test_a_capacity_that_the_api_defends_is_found_and_respected() -> None:
    def submit(request: Request) -> TryLater | None:
        if len(scene.api._open) >= 5:
            return TryLater("too many", http_status=429, code="CONCURRENT_JOBS_EXCEEDED", crowded=True)
        return None

    scene = Scene(MemoryImageAPI(polls=2, submit=submit), concurrency=20)
    assert scene.run(requests(60)) == [State.STORED] * 60
    assert scene.api.most_open == 5


def test_a_disk_that_gives_way_stops_submitting_and_is_told() -> None:
    class Full(MemoryStore):
        def keep(self, file_stem: str, image: VerifiedImage, content: bytes) -> str:
            raise StorageFailed("the disk is full")

    scene = Scene(store=Full(), concurrency=2)
    states = scene.run(requests(50))
    assert str(scene.runner.error) == "the disk is full"
    assert set(states) <= {State.READY, State.PLANNED}
    assert len(scene.api.submitted) < 20


def kept_and_lost(scene: Scene, request: Request) -> tuple[list[int], list[int]]:
    """Its samples that are stored, and those that are not."""
    record = scene.record(request)
    return [image.sample for image in record.images], [lost.sample for lost in record.missing]


def test_an_image_that_is_safe_is_kept_although_its_link_fails_later() -> None:
    downloads = {"first": 0}

    def download(url: str) -> ResultUnavailable | None:
        if url.endswith("/1"):
            return GONE_IMAGE
        downloads["first"] += 1
        return GONE_IMAGE if downloads["first"] > 1 else None

    scene = Scene(MemoryImageAPI(download=download))
    [request] = requests(1, params={"samples": 2})
    assert scene.run([request]) == [State.STORED]
    assert kept_and_lost(scene, request) == ([0], [1])
    assert downloads["first"] == 1


@pytest.mark.parametrize("end", [FAILED, RequestRefused("404", http_status=404)])
def test_an_image_that_is_safe_is_kept_although_its_job_fails_or_is_lost_later(end: Failed | RequestRefused) -> None:
    answers = iter([None, None])

    def status(job_id: JobId) -> Failed | RequestRefused | None:
        return next(answers, end)

    def download(url: str) -> ResultUnavailable | None:
        return GONE_IMAGE if url.endswith("/1") else None

    scene = Scene(MemoryImageAPI(status=status, download=download), job_deadline=1e6)
    [request] = requests(1, params={"samples": 2})
    assert scene.run([request]) == [State.STORED]
    assert kept_and_lost(scene, request) == ([0], [1])
    assert len(scene.api.submitted) == 1


def test_what_is_safe_of_an_outage_is_on_record_for_the_next_run() -> None:
    scene = Scene(
        MemoryImageAPI(download=lambda url: ResultUnavailable("503", http_status=503) if url.endswith("/1") else None)
    )
    [request] = requests(1, params={"samples": 2})
    assert scene.run([request]) == [State.READY]
    assert kept_and_lost(scene, request) == ([0], [])
    assert scene.told.left == [request]


OUTCOMES = st.sampled_from(
    [
        None,
        AnswerInDoubt("reset"),
        RequestRefused("422", http_status=422),
        TryLater("429", http_status=429, retry_after=3.0, crowded=True),
        TryLater("refused", code="UNREACHABLE"),
        FAILED,
        FAILED_WITH_LINKS,
    ]
)
STATUSES = st.sampled_from(
    [
        None,
        Working(state="?"),
        Working(state="?", urls=FAILED_WITH_LINKS.urls),
        TryLater("502"),
        RequestRefused("404", http_status=404),
        UNUSABLE,
        FAILED,
        FAILED_WITH_LINKS,
    ]
)
DOWNLOADS = st.sampled_from([None, b"broken", ResultUnavailable("404"), ResultUnavailable("410", permanent=True)])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), choice=st.sampled_from(InDoubt), concurrency=st.integers(1, 6))
def test_whatever_the_api_does_a_run_ends_and_repeats_no_post_that_was_taken(
    data: st.DataObject, choice: InDoubt, concurrency: int
) -> None:
    wanted = requests(6, params={"samples": 2})
    scripts = [
        {request.prompt: data.draw(st.lists(kind, max_size=6)) for request in wanted}
        for kind in (OUTCOMES, STATUSES, DOWNLOADS)
    ]
    api = MemoryImageAPI(submit=scripts[0], status=scripts[1], download=scripts[2])  # type: ignore[arg-type]
    scene = Scene(api, concurrency=concurrency, in_doubt=choice)
    states = scene.run(wanted)
    assert set(states) <= {State.STORED, State.FAILED, State.IN_DOUBT}
    for request in wanted:
        ended = (event for key, event in scene.journal.events if key == request.key)
        events = [event.kind for event in ended if not (isinstance(event, JobFailed) and event.urls)]
        posts = [asked for asked in api.submitted if asked.key == request.key]
        assert len(posts) == events.count("SubmitStarted")
        free_or_told = events.count("SubmitRefused") + events.count("JobFailed") + events.count("Resubmitted")
        assert len(posts) <= 1 + free_or_told


def test_a_lost_answer_of_an_earlier_run_keeps_its_reason() -> None:
    [request] = requests(1)
    scene = Scene(in_doubt=InDoubt.FAIL)
    lost = Failure(kind=FailureKind.ANSWER_LOST, message="reset after 3 s")
    scene.remember(request, SubmitStarted(), AnswerLost(failure=lost))
    scene.run([request])
    assert scene.record(request).failure == lost


def test_one_refusal_of_the_account_about_a_job_is_asked_about_again() -> None:
    scene = Scene(MemoryImageAPI(status={"prompt 3": [BLOCKED], "prompt 5": [None, BLOCKED]}))
    assert scene.run(requests(12)) == [State.STORED] * 12
    assert scene.runner.error is None


def test_a_refusal_of_the_account_that_another_answer_agrees_with_stops_the_run() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: BLOCKED))
    states = scene.run(requests(40))
    assert scene.runner.error is BLOCKED
    assert set(states) == {State.SUBMITTED, State.PLANNED}
    assert len(scene.api.polled) <= 2 * len(scene.api.submitted)


def test_a_finished_job_whose_links_are_a_little_behind_is_asked_again() -> None:
    scene = Scene(MemoryImageAPI(polls=0, status={"prompt 0": [UNUSABLE] * 5}))
    assert scene.run(requests(1)) == [State.STORED]


def test_a_finished_job_without_a_usable_link_is_a_lost_result_and_its_answer_is_kept() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: UNUSABLE))
    [request] = requests(1)
    assert scene.run([request]) == [State.FAILED]
    record = scene.record(request)
    assert record.failure is not None
    assert record.failure.kind is FailureKind.RESULT_LOST
    assert record.response == UNUSABLE.response
    assert 60 <= scene.seconds < 300
    assert len(scene.api.submitted) == 1


def test_a_job_whose_word_for_its_end_is_unknown_is_collected_at_its_deadline() -> None:
    scene = Scene(job_deadline=70.0)
    scene.api._status._function = lambda job_id: Working(
        state="completed", urls=scene.api.links(job_id), response='{"status": "COMPLETED"}'
    )
    wanted = requests(3)
    assert scene.run(wanted) == [State.STORED] * 3
    assert [scene.record(request).response for request in wanted] == ['{"status": "COMPLETED"}'] * 3
    assert 69 < scene.seconds < 80


def test_a_word_that_another_followed_is_no_end_of_any_job_however_long_its_preview_stands_still() -> None:
    """The first job shows that its word is none for the end; the second is stuck, and shows its preview for ever."""
    wanted = requests(2, params={**a_request().params, "width": 8, "height": 8})
    scene = Scene(MemoryImageAPI(), concurrency=1, job_deadline=300.0)

    def status(job_id: JobId) -> Working | Completed:
        links = scene.api.links(job_id)
        ended = job_id == "job-1" and scene.api.polled.count(job_id) > 2
        return Completed(urls=links) if ended else Working(state="drawing", urls=links)

    scene.api._status._function = status
    assert scene.run(wanted) == [State.STORED] * 2  # at its deadline an answer is believed, as all others are then
    assert scene.seconds > 299


def test_a_finished_job_without_a_usable_link_is_given_up_after_a_day_however_short_the_runs() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: UNUSABLE), job_deadline=1.0)
    [request] = requests(1)
    scene.remember(request, SubmitStarted(), SubmitAccepted(job_id=JobId("old")))
    assert scene.run([request]) == [State.SUBMITTED]
    scene.clock = VirtualClock(start=1_700_000_000.0 + 90_000)
    assert scene.run([request]) == [State.FAILED]
    failure = scene.record(request).failure
    assert failure is not None
    assert failure.kind is FailureKind.RESULT_LOST
