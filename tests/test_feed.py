"""What a run is handed of a plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from batchgen.app.feed import PlanFeed
from batchgen.lifecycle import ImagesStored, JobCompleted, SubmitAccepted, SubmitStarted
from batchgen.model import Failure, FailureKind, JobId, MissingImage, Request, RequestKey, RunId, StoredImage
from batchgen.testing import MemoryJournal
from tests.factories import a_request, an_image


class Plan:
    """A plan of one request."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def without(self, done: Callable[[Sequence[RequestKey]], Collection[RequestKey]]) -> Iterator[Request]:
        return iter([] if self._request.key in done([self._request.key]) else [self._request])


@pytest.mark.parametrize(
    ("lost", "job_id", "retry", "handed_out"),
    [
        (FailureKind.RESULT_LOST, "j", {FailureKind.RESULT_LOST}, True),
        (FailureKind.JOB_LOST, "j", set(FailureKind), True),
        (FailureKind.RESULT_LOST, "j", set(), False),
        (FailureKind.RESULT_LOST, "j", {FailureKind.REFUSED}, False),
        (FailureKind.RESULT_LOST, None, set(FailureKind), False),  # nobody can be asked
        (FailureKind.MISSING, "j", set(FailureKind), False),  # it never was made
    ],
)
async def test_what_is_stored_in_part_is_handed_out_again_where_the_rest_may_still_be_had(
    lost: FailureKind, job_id: str | None, retry: set[FailureKind], handed_out: bool
) -> None:
    request, journal = a_request(), MemoryJournal(run_id=RunId("r"), clock=lambda: 0.0)
    await journal.record(request.key, SubmitStarted())
    if job_id:
        await journal.record(request.key, SubmitAccepted(job_id=JobId(job_id)))
    await journal.record(request.key, JobCompleted(urls=("a", "b")))
    kept = StoredImage(sample=0, file_name="images/0.png", source_url="a", image=an_image()[0])
    missing = MissingImage(sample=1, failure=Failure(kind=lost, message="gone"))
    await journal.record(request.key, ImagesStored(images=(kept,), missing=(missing,)))
    feed = PlanFeed(Plan(request), journal, retry=frozenset(retry))
    assert [claim.request for claim in await feed.claim(5)] == [request] * handed_out
