"""A broken answer that names what may be its job: the API is asked, for nothing, before anybody doubts."""

from __future__ import annotations

import pytest

from batchgen.errors import AnswerInDoubt, RequestRefused, TryLater
from batchgen.lifecycle import AnswerLost, GaveUp, Reopened, ResultLost, State, SubmitStarted
from batchgen.model import Failure, FailureKind, InDoubt, JobId
from batchgen.ports import JobStatus, Unusable, Working
from batchgen.testing import MemoryImageAPI
from tests.test_runner import BLOCKED, FAILED, UNUSABLE, Scene, requests

#: What is known of a job that the API knows.
KNOWN = (Working(state="PENDING"), FAILED, UNUSABLE)
UNKNOWN = (RequestRefused("404", http_status=404), TryLater("502"), BLOCKED)
LOST = Failure(kind=FailureKind.ANSWER_LOST, message="500")


def named(scene: Scene, job_id: str = "trace-7") -> Scene:
    """The first submission is answered by something broken that names a job; the API has taken it."""
    usual = scene.api._submit

    async def broken(request: object) -> object:
        if len(scene.api.submitted) > 1:
            return None
        scene.api._open_job(JobId(job_id), scene.api.submitted[0])
        return AnswerInDoubt("500", http_status=500, job_id=job_id)

    usual._function = broken  # type: ignore[assignment]
    return scene


@pytest.mark.parametrize("choice", InDoubt)
def test_a_job_that_a_broken_answer_names_is_collected_and_not_paid_for_again(choice: InDoubt) -> None:
    scene = named(Scene(in_doubt=choice))
    [request] = requests(1)
    assert scene.run([request]) == [State.STORED]
    record = scene.record(request)
    assert (len(scene.api.submitted), record.job_id, record.doubted, record.failure) == (1, "trace-7", 0, None)


@pytest.mark.parametrize("answer", UNKNOWN, ids=lambda answer: type(answer).__name__)
@pytest.mark.parametrize(
    ("choice", "state", "posts"),
    [(InDoubt.HOLD, State.IN_DOUBT, 1), (InDoubt.FAIL, State.FAILED, 1), (InDoubt.RETRY, State.STORED, 2)],
)
def test_what_the_api_does_not_know_as_a_job_is_in_doubt_as_ever(
    answer: Exception, choice: InDoubt, state: State, posts: int
) -> None:
    scene = named(Scene(MemoryImageAPI(status=lambda job_id: answer if job_id == "trace-7" else None), in_doubt=choice))
    [request] = requests(1)
    assert scene.run([request]) == [state]
    assert (len(scene.api.submitted), scene.api.polled.count(JobId("trace-7"))) == (posts, 3)
    assert scene.runner.error is None


@pytest.mark.parametrize("answer", KNOWN, ids=lambda answer: type(answer).__name__)
def test_whatever_else_the_api_says_of_it_it_is_a_job(answer: JobStatus) -> None:
    scene = Scene(MemoryImageAPI(status={"prompt 0": [answer]}))
    [request] = requests(1)
    scene.api._open_job(JobId("old"), request)
    scene.remember(request, SubmitStarted(), AnswerLost(failure=LOST, job_id=JobId("old")))
    assert scene.run([request]) == [State.STORED]
    assert scene.api.submitted == []


@pytest.mark.parametrize(("known", "posts"), [(True, 0), (False, 1)])
def test_a_doubt_that_was_given_up_asks_before_it_pays_again(known: bool, posts: int) -> None:
    scene = Scene(MemoryImageAPI(status=None if known else lambda id_: UNKNOWN[0] if id_ == "old" else None))
    [request] = requests(1)
    scene.api._open_job(JobId("old"), request)
    scene.remember(
        request, SubmitStarted(), AnswerLost(failure=LOST, job_id=JobId("old")), GaveUp(failure=LOST)
    )  # fmt: skip
    assert scene.run([request]) == [State.STORED]
    record = scene.record(request)
    assert (len(scene.api.submitted), record.doubted, record.spent) == (posts, posts, 1 + posts)


def test_an_earlier_run_that_was_killed_before_it_could_ask_costs_nothing_either() -> None:
    scene = Scene(in_doubt=InDoubt.RETRY)
    [request] = requests(1)
    scene.api._open_job(JobId("old"), request)
    scene.remember(request, SubmitStarted(samples=1), AnswerLost(failure=LOST, job_id=JobId("old")))
    assert scene.record(request).doubted == 1
    assert scene.run([request]) == [State.STORED]
    assert (scene.api.submitted, scene.record(request).doubted, scene.record(request).spent) == ([], 0, 1)


def test_found_jobs_do_not_count_as_lost_answers_in_a_row() -> None:
    scene = Scene(concurrency=1)

    async def broken(request: object) -> object:
        job_id = JobId(f"trace-{len(scene.api.submitted)}")
        scene.api._open_job(job_id, scene.api.submitted[-1])
        return AnswerInDoubt("500", http_status=500, job_id=job_id)

    scene.api._submit._function = broken  # type: ignore[assignment]
    assert scene.run(requests(30)) == [State.STORED] * 30
    assert scene.runner.stop_reason is None


def test_an_answer_without_a_usable_link_is_on_record_when_it_is_first_seen() -> None:
    first = Unusable(message="names no link", http_status=200, response='{"url": "data:,first"}')
    scene = Scene(MemoryImageAPI(status={"prompt 0": [first, UNUSABLE]}))
    [request] = requests(1)
    assert scene.run([request]) == [State.STORED]
    kinds = [event.kind for _, event in scene.journal.events]
    assert kinds == ["SubmitStarted", "SubmitAccepted", "LinksMissing", "JobCompleted", "ImagesStored"]
    kept = scene.journal.events[2][1]
    assert (kept.response, kept.failure.kind) == (first.response, FailureKind.RESULT_LOST)  # type: ignore[union-attr]


def test_a_run_that_ends_before_the_links_come_leaves_their_answer_on_record_once() -> None:
    scene = Scene(MemoryImageAPI(status=lambda _: UNUSABLE), job_deadline=1.0)
    [request] = requests(1)
    assert scene.run([request]) == [State.SUBMITTED]
    assert scene.record(request).response == UNUSABLE.response
    ended = scene.record(request).completed_at
    assert scene.run([request]) == [State.SUBMITTED]
    assert [event.kind for _, event in scene.journal.events].count("LinksMissing") == 1
    assert scene.record(request).completed_at == ended
    assert not any(isinstance(event, (Reopened, ResultLost)) for _, event in scene.journal.events)
