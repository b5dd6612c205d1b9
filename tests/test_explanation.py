"""Where a request stands, and why, in words."""

from __future__ import annotations

import pytest

from batchgen.explanation import Standing, nearer, standing, submits, why, why_new
from batchgen.lifecycle import JobFailed, Record, State
from batchgen.model import Failure, FailureKind, InDoubt, JobId, MissingImage, RequestKey, StoredImage
from tests.factories import a_request, an_image

FAILURE = Failure(kind=FailureKind.CONTENT_POLICY, message="not drawn")
LOST = Failure(kind=FailureKind.ANSWER_LOST, message="no answer within 60 s")
IMAGE = StoredImage(sample=0, file_name="images/a-0.png", source_url="https://host/a", image=an_image()[0])


@pytest.mark.parametrize("running", [True, False])
def test_every_state_is_a_standing(running: bool) -> None:
    where = {state: standing(state, running=running) for state in (None, *State)}
    assert set(where.values()) == set(Standing) - {Standing.ELSEWHERE}
    assert where[None] is where[State.PLANNED] is Standing.NEW


def test_what_was_being_submitted_when_a_run_ended_is_in_doubt() -> None:
    assert standing(State.SUBMITTING, running=True) is Standing.UNDER_WAY
    assert standing(State.SUBMITTING, running=False) is Standing.IN_DOUBT


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Record(state=State.STORED, images=(IMAGE,)), "1 image stored"),
        (
            Record(state=State.STORED, images=(IMAGE, IMAGE), missing=(MissingImage(sample=2, failure=FAILURE),)),
            "2 images stored, 1 not had (content_policy)",
        ),
        (Record(state=State.FAILED, failure=FAILURE), "content_policy: not drawn; --retry failed tries again"),
        (
            Record(state=State.IN_DOUBT, failure=LOST, submitted_at=0.0),
            "since 1970-01-01 00:00:00 UTC: answer_lost: no answer within 60 s; --in-doubt retry or fail decides",
        ),
        (
            Record(state=State.SUBMITTING, submitted_at=0.0),
            "since 1970-01-01 00:00:00 UTC: the run ended before the API's answer came; "
            "--in-doubt retry or fail decides",
        ),
        (
            Record(state=State.SUBMITTED, submitted_at=0.0, job_id=JobId("j7")),
            "accepted as job j7, submitted 1970-01-01 00:00:00 UTC",
        ),
        (
            Record(state=State.READY, completed_at=0.0),
            "finished 1970-01-01 00:00:00 UTC; its images are yet to be downloaded",
        ),
        (
            Record(state=State.READY, completed_at=0.0, failed=JobFailed(failure=FAILURE, again=True)),
            "failed, with links all the same, 1970-01-01 00:00:00 UTC; its images are yet to be downloaded",
        ),
        (Record(state=State.PLANNED, failure=FAILURE), "not accepted so far: content_policy: not drawn"),
        (Record(), "not submitted yet"),
    ],
    ids=lambda value: value.state if isinstance(value, Record) else "",
)
def test_the_reason_is_what_the_journal_knows(record: Record, said: str) -> None:
    assert why(a_request(), record, running=False) == said
    kept = why(a_request(kept=True), record, running=False)
    assert kept == f"{said}; no longer in the manifest, and kept because it was paid for"


def test_a_new_request_is_told_from_the_one_that_is_most_like_it() -> None:
    params = dict(a_request().params)
    near = a_request(key=RequestKey("a"), row_index=3, params={**params, "guidance_scale": 9.5})
    far = a_request(key=RequestKey("b"), row_index=1, params={**params, "guidance_scale": 9.5, "samples": 2})
    again = a_request(key=RequestKey("c"), row_index=4, repeat=1)
    more = a_request(
        key=RequestKey("d"), row_index=5, params={**params, "direct_link": True, "negative_prompt": "x" * 99}
    )
    told = "prompt is as row {} of the batch, but {}"
    assert nearer(a_request(), None, far) is far
    assert nearer(a_request(), far, near) is nearer(a_request(), near, far) is near
    assert why_new(a_request(), near) == told.format(3, "guidance_scale 9.5 -> 7")
    assert why_new(a_request(), again) == told.format(4, "repeat 1 -> 0")
    assert why_new(a_request(), more) == told.format(
        5, f"negative_prompt {'x' * 40 + '…'!r} -> '', direct_link true -> none"
    )
    assert why_new(a_request(), None) == "its prompt is not in the batch"
    assert why_new(a_request(), nearer(a_request(), near, a_request())) == "in the batch, and not submitted yet"


@pytest.mark.parametrize(
    ("in_doubt", "pays", "said"),
    [
        (InDoubt.HOLD, False, "--in-doubt retry or fail decides"),
        (InDoubt.RETRY, True, "in_doubt is retry, so a run submits it again"),
        (InDoubt.FAIL, False, "in_doubt is fail, so a run gives it up"),
    ],
)
def test_what_is_in_doubt_is_paid_for_again_only_if_the_user_says_so(in_doubt: InDoubt, pays: bool, said: str) -> None:
    record = Record(state=State.IN_DOUBT, failure=LOST)
    assert why(a_request(), record, running=False, in_doubt=in_doubt).endswith(said)
    assert {where for where in Standing if submits(where, in_doubt)} == {Standing.NEW} | (
        {Standing.IN_DOUBT} if pays else set()
    )
