"""The table of states and events."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.lifecycle import (
    ENDED,
    TABLE,
    AnswerLost,
    Event,
    GaveUp,
    IllegalStep,
    ImagesJudged,
    ImagesKept,
    ImagesLost,
    ImagesStored,
    JobCompleted,
    JobFailed,
    LinksMissing,
    Record,
    Reopened,
    Resubmitted,
    ResultLost,
    State,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
    advance,
    was_paid_for,
)
from batchgen.model import Failure, FailureKind, JobId, RunId, StoredImage, VerifiedImage

RUN = RunId("run")
FAILURE = Failure(kind=FailureKind.JOB_FAILED, message="no")
IMAGE = StoredImage(
    sample=0,
    file_name="images/a-0.png",
    source_url="https://host/a",
    image=VerifiedImage(format="png", width=1, height=1, sha256="0" * 64, bytes=1, phash="0" * 16),
)
EVENTS: tuple[Event, ...] = (
    SubmitStarted(),
    SubmitAccepted(job_id=JobId("j")),
    SubmitRefused(failure=FAILURE),
    AnswerLost(failure=FAILURE),
    Resubmitted(),
    JobCompleted(urls=("https://host/a",)),
    LinksMissing(failure=FAILURE),
    JobFailed(failure=FAILURE, again=True),
    JobFailed(failure=FAILURE, again=False),
    JobFailed(failure=FAILURE, again=False, urls=("https://host/a",)),
    ImagesStored(images=(IMAGE,)),
    ImagesKept(images=(IMAGE,)),
    ResultLost(failure=FAILURE),
    GaveUp(failure=FAILURE),
    Reopened(),
    ImagesLost(samples=(0,)),
    ImagesJudged(images=(IMAGE,)),
    ImagesLost(samples=(0,), urls=("https://host/a",)),
)


def after(*events: Event) -> Record:
    record = Record()
    for at, event in enumerate(events):
        record = advance(record, event, at=float(at), run_id=RUN)
    return record


def test_every_event_occurs_in_the_table() -> None:
    assert {event for _, event in TABLE} == set(get_args(Event)) == {type(event) for event in EVENTS}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_a_step_leads_where_the_table_says_or_raises_and_changes_nothing(state: State, event: Event) -> None:
    record = Record(state=state, attempts=1)
    before = replace(record)
    if (state, type(event)) in TABLE:
        assert advance(record, event, at=1.0, run_id=RUN).state in TABLE[state, type(event)]
    else:
        with pytest.raises(IllegalStep, match=str(state)):
            advance(record, event, at=1.0, run_id=RUN)
    assert record == before


@given(st.lists(st.sampled_from(EVENTS), max_size=30))
def test_however_events_arrive_what_is_stored_has_images(events: list[Event]) -> None:
    record = Record()
    for event in events:
        if (record.state, type(event)) in TABLE:
            record = advance(record, event, at=0.0, run_id=RUN)
    assert record.images or record.state is not State.STORED
    assert record.attempts >= 0


def test_an_ended_request_is_reopened_only_if_it_failed_in_part_at_least_or_its_images_are_lost() -> None:
    leaving = {(state, event) for state, event in TABLE if state in ENDED}
    assert leaving == {
        (State.FAILED, Reopened),
        (State.STORED, Reopened),
        (State.STORED, ImagesLost),
        (State.STORED, ImagesJudged),  # which leads nowhere else
    }


def test_what_is_stored_in_part_is_reopened_with_its_images_and_without_leave_to_pay_anew() -> None:
    record = after(SubmitStarted(), SubmitAccepted(job_id=JobId("1")), JobCompleted(urls=("a", "b")),
                   ImagesStored(images=(IMAGE,)), Reopened())  # fmt: skip
    assert (record.state, record.images, record.reopened) == (State.SUBMITTED, (IMAGE,), False)


STORED_PAIR = (
    SubmitStarted(), SubmitAccepted(job_id=JobId("1")), JobCompleted(urls=("a", "b")),
    ImagesStored(images=(IMAGE, replace(IMAGE, sample=1))),
)  # fmt: skip


def test_of_a_request_that_lost_one_image_the_others_stay_stored() -> None:
    record = after(*STORED_PAIR, ImagesLost(samples=(1,)))
    assert (record.state, record.job_id, record.images) == (State.SUBMITTED, "1", (IMAGE,))
    ended = after(*STORED_PAIR, ImagesLost(samples=(1,)), JobCompleted(urls=("a", "b")),
                  ImagesStored(images=(replace(IMAGE, sample=1),)))  # fmt: skip
    assert [image.sample for image in ended.images] == [0, 1]
    given_up = after(*STORED_PAIR, ImagesLost(samples=(1,)), JobFailed(failure=FAILURE, again=False))
    assert (given_up.state, given_up.images) == (State.FAILED, (IMAGE,))


def test_lost_images_without_a_job_wait_at_the_links_that_they_came_from() -> None:
    record = after(SubmitStarted(), JobCompleted(urls=("a",)), ImagesStored(images=(IMAGE,)),
                   ImagesLost(samples=(0,), urls=("a",)))  # fmt: skip
    assert (record.state, record.urls, record.images) == (State.READY, ("a",), ())


def test_leave_to_pay_anew_does_not_outlive_the_images_it_was_given_for() -> None:
    failed = (SubmitStarted(), SubmitAccepted(job_id=JobId("1")), JobFailed(failure=FAILURE, again=False))
    found = (Reopened(ask=True), JobCompleted(urls=("a",)), ImagesStored(images=(IMAGE,)))
    assert after(*failed, *found).reopened
    assert not after(*failed, *found, ImagesLost(samples=(0,))).reopened


def test_a_refusal_for_lack_of_room_is_no_attempt() -> None:
    busy = SubmitRefused(failure=Failure(kind=FailureKind.BUSY, message="429"))
    assert after(SubmitStarted(), busy, SubmitStarted(), busy).attempts == 0


def test_a_refusal_of_the_input_is_an_attempt() -> None:
    refused = SubmitRefused(failure=Failure(kind=FailureKind.REFUSED, message="422"))
    assert after(SubmitStarted(), refused).attempts == 1


def test_success_clears_the_failure_before_it() -> None:
    record = after(
        SubmitStarted(), SubmitAccepted(job_id=JobId("1")), JobFailed(failure=FAILURE, again=True),
        SubmitStarted(), SubmitAccepted(job_id=JobId("2")), JobCompleted(urls=("u",)), ImagesStored(images=(IMAGE,)),
    )  # fmt: skip
    assert (record.failure, record.attempts, record.job_id, record.urls) == (None, 2, "2", ())


def test_times_are_those_of_the_last_try() -> None:
    record = after(
        SubmitStarted(), SubmitAccepted(job_id=JobId("1")), JobFailed(failure=FAILURE, again=True),
        SubmitStarted(), SubmitAccepted(job_id=JobId("2")), JobCompleted(urls=("u",)), ImagesStored(images=(IMAGE,)),
    )  # fmt: skip
    assert (record.submitted_at, record.completed_at, record.downloaded_at) == (3.0, 5.0, 6.0)


def test_fresh_links_do_not_move_the_time_at_which_the_job_ended() -> None:
    record = after(
        SubmitStarted(), SubmitAccepted(job_id=JobId("1")), JobCompleted(urls=("old",)),
        ResultLost(failure=FAILURE), JobCompleted(urls=("new",)),
    )  # fmt: skip
    assert (record.completed_at, record.urls, record.results_lost) == (2.0, ("new",), 1)


def test_reopening_forgets_how_often_the_job_had_failed() -> None:
    record = after(SubmitStarted(), JobFailed(failure=FAILURE, again=False), Reopened())
    assert (record.state, record.job_failures) == (State.PLANNED, 0)


def test_a_refusal_leaves_an_earlier_submission_in_doubt_since_when_it_was_sent() -> None:
    lost = Failure(kind=FailureKind.ANSWER_LOST, message="reset")
    doubted = (SubmitStarted(), AnswerLost(failure=lost))
    refused = (Resubmitted(), SubmitStarted(), SubmitRefused(failure=FAILURE))
    for record in (after(*doubted, *refused), after(*doubted, *refused, *refused)):
        assert (record.state, record.submitted_at, record.failure) == (State.IN_DOUBT, 0.0, lost)
        assert (record.spent, record.doubted) == (1, 1)
    given_up = after(*doubted, *refused, GaveUp(failure=FAILURE))
    assert was_paid_for(given_up)


@pytest.mark.parametrize(
    "answer",
    [SubmitAccepted(job_id=JobId("j")), JobCompleted(urls=("a",)), JobFailed(failure=FAILURE, again=False)],
    ids=lambda event: event.kind,
)
def test_a_submission_that_was_surely_accepted_ends_the_doubt(answer: Event) -> None:
    record = after(SubmitStarted(), AnswerLost(failure=FAILURE), Resubmitted(), SubmitStarted(), answer)
    assert record.doubted_at is None
    assert record.doubted == 1  # the bill may hold it all the same
