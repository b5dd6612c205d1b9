"""Where a request stands, and everything else that its events add up to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from batchgen.lifecycle.events import JobFailed
from batchgen.model import Failure, FailureKind, JobId, MissingImage, RunId, StoredImage


class State(StrEnum):
    """Where a request stands as far as the journal knows."""

    PLANNED = "planned"
    SUBMITTING = "submitting"  # the POST may have arrived
    IN_DOUBT = "in_doubt"  # may have been paid for
    SUBMITTED = "submitted"
    READY = "ready"  # images wait at the API, for a limited time
    STORED = "stored"
    FAILED = "failed"


#: The states that end a request's life, unless the user reopens it or its images are lost.
ENDED = frozenset({State.STORED, State.FAILED})
#: The states in which the API may hold something that was paid for.
OPEN = frozenset({State.SUBMITTING, State.IN_DOUBT, State.SUBMITTED, State.READY})
#: Failures of requests that were paid for all the same, or may have been.
_PAID = (FailureKind.JOB_LOST, FailureKind.RESULT_LOST, FailureKind.ANSWER_LOST)
#: Failures after which the API may still have what was paid for.
MAY_STILL_EXIST = frozenset({FailureKind.JOB_LOST, FailureKind.RESULT_LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a request's events add up to. Times are seconds since the epoch, UTC."""

    state: State = State.PLANNED
    run_id: RunId | None = None  #: the run that recorded the last event
    job_id: JobId | None = None
    early_urls: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    images: tuple[StoredImage, ...] = ()  #: safe on disk; some may be while others are still waited for
    missing: tuple[MissingImage, ...] = ()
    made: int = 0  #: images that the present job was seen to have made: the links of its fullest answer
    response: str | None = None  #: the API's last answer about the end of a job
    failure: Failure | None = None  #: the last one; cleared by success
    failed: JobFailed | None = None  #: how the present job failed, while the links that it names are being tried
    attempts: int = 0  #: POSTs that reached the API, or may have
    samples: int = 0  #: images that the last POST asks for
    spent: int = 0  #: images that all POSTs asked for, but for those that were surely not accepted
    doubted: int = 0  #: of those, the images of POSTs whose answers were lost
    doubted_at: float | None = None  #: when the last of those was started, until a later POST is surely accepted
    job_failures: int = 0  #: times the API took the request and then failed it, since it was last reopened
    results_lost: int = 0  #: times that links of the present job proved useless
    reopened: bool = False  #: whether the user said that the present job may be paid for anew if need be
    submitted_at: float | None = None  #: when the last POST was started
    completed_at: float | None = None  #: when the job was seen to have ended
    downloaded_at: float | None = None  #: when the last image was safe on disk

    @property
    def stored(self) -> int:
        """Images that are part of the dataset."""
        return sum(image.rejected is None for image in self.images)

    @property
    def wasted(self) -> int:
        """Images of POSTs that were accepted and will not give them: a failed job, lost links, too few images."""
        at_the_api = self.state in (State.SUBMITTING, State.SUBMITTED, State.READY)
        hoped_for = self.samples if at_the_api else min(self.samples, len(self.images))
        return self.spent - self.doubted - hoped_for

    @property
    def may_be_had(self) -> frozenset[FailureKind]:
        """Why samples of a job that can be asked are missing, where the API may still have them."""
        if self.state is not State.STORED or self.job_id is None:
            return frozenset()
        return MAY_STILL_EXIST.intersection(lost.failure.kind for lost in self.missing)


def was_paid_for(record: Record) -> bool:
    """Whether something was paid for a request, or may have been."""
    if record.state is State.FAILED:
        return record.doubted_at is not None or (record.failure is not None and record.failure.kind in _PAID)
    return record.state is not State.PLANNED
