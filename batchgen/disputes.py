"""What was paid for and not delivered, or may have been: told from a request's events, submission by submission. Pure.

A submission that the API refused cost nothing. Every other one is worth a line to the provider's support if it ended
without all of its images: the job failed, was forgotten, lost its images, made too few, or its answer never came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from batchgen.lifecycle import (
    AnswerLost,
    Event,
    GaveUp,
    ImagesStored,
    JobCompleted,
    JobFailed,
    ResultLost,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
)
from batchgen.model import Failure, FailureKind, JobId

_UNHEARD = Failure(kind=FailureKind.ANSWER_LOST, message="the run ended before the API's answer came")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One submission that was accepted, or may have been, and did not give all of its images."""

    submitted_at: float  #: seconds since the epoch, UTC
    job_id: JobId | None  #: None if no answer named it
    failure: Failure
    missing: int  #: images that it did not give


@dataclass(frozen=True, slots=True)
class _Submission:
    at: float
    samples: int  #: images that it asked for
    job_id: JobId | None = None
    failure: Failure | None = None  #: how it ended, if it did not end well
    missing: int | None = None  #: images that it did not give, where it gave some

    def dispute(self) -> Dispute | None:
        if self.failure is None:
            return None
        missing = self.samples if self.missing is None else self.missing
        return Dispute(submitted_at=self.at, job_id=self.job_id, failure=self.failure, missing=missing)


def disputes(events: Iterable[tuple[float, Event]], *, running: bool = False) -> Iterator[Dispute]:
    """The submissions of one request that are worth a dispute, oldest first.

    Args:
        events: all of them, in order, each with its time in seconds since the epoch.
        running: whether a run is working on it, so that an answer may still come.
    """
    open_: _Submission | None = None
    waits = False
    for at, event in events:
        if isinstance(event, SubmitStarted):
            yield from _told(open_)
            open_, waits = _Submission(at, event.samples), True
        elif open_ is not None:
            open_, waits = _after(open_, event), False
    if open_ is not None and waits and not running:
        open_ = replace(open_, failure=_UNHEARD)
    yield from _told(open_)


def _told(submission: _Submission | None) -> Iterator[Dispute]:
    if submission is not None and (dispute := submission.dispute()) is not None:
        yield dispute


def _after(submission: _Submission, event: Event) -> _Submission | None:
    """The submission after one of its events; None if it surely was never accepted."""
    match event:
        case SubmitRefused():
            return None
        case SubmitAccepted():
            return replace(submission, job_id=event.job_id, failure=None)
        case JobCompleted():  # the images are there again, whatever had been said before
            return replace(submission, job_id=event.job_id or submission.job_id, failure=None)
        case AnswerLost():
            return replace(submission, job_id=event.job_id, failure=event.failure)
        case JobFailed():
            failure = None if event.urls else event.failure  # what its links give is yet to be seen
            return replace(submission, job_id=event.job_id or submission.job_id, failure=failure)
        case GaveUp():
            return replace(submission, failure=event.failure)
        case ResultLost(again=True):
            return replace(submission, failure=event.failure)
        case ImagesStored(missing=missing):
            failure = missing[0].failure if missing else None
            return replace(submission, failure=failure, missing=len(missing) if missing else None)
        case _:
            return submission
