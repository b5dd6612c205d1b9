"""The life of one request: events, states, and one table that says which event leads where. Pure.

An event is a fact; the state is what the facts add up to. `advance` is the only way from one record to the
next, for the journal as for its in-memory twin, and an event that the table does not allow raises and changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, assert_never

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitStarted:
    """A POST is about to be sent. On disk before it is."""

    samples: int = 1  #: images that it asks for
    kind: Literal["SubmitStarted"] = "SubmitStarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAccepted:
    """The API took the request and named its job."""

    job_id: JobId
    early_urls: tuple[str, ...] = ()
    kind: Literal["SubmitAccepted"] = "SubmitAccepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRefused:
    """The API surely did not take the request; nothing was paid."""

    failure: Failure
    kind: Literal["SubmitRefused"] = "SubmitRefused"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLost:
    """The POST may have arrived, but no answer says so."""

    failure: Failure
    job_id: JobId | None = None  #: what the broken answer names, if anything: perhaps the job
    kind: Literal["AnswerLost"] = "AnswerLost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resubmitted:
    """The user's policy is to submit again what is in doubt."""

    kind: Literal["Resubmitted"] = "Resubmitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCompleted:
    """The images are made and wait at these links."""

    urls: tuple[str, ...]
    job_id: JobId | None = None  #: where a POST was answered by the result itself, if it named the job
    response: str | None = None  #: the API's answer, cut and without secrets; JSON text
    kind: Literal["JobCompleted"] = "JobCompleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksMissing:
    """The job has made its images, says an answer that names no link that can be used; the answer is kept."""

    failure: Failure
    response: str | None = None  #: as of JobCompleted
    kind: Literal["LinksMissing"] = "LinksMissing"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """The API accepted the job and then gave no images."""

    failure: Failure
    again: bool  #: whether the policy tries once more
    response: str | None = None  #: as of JobCompleted
    kind: Literal["JobFailed"] = "JobFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesStored:
    """Every image that the job made is verified and safe on disk; samples it did not make are named."""

    images: tuple[StoredImage, ...]
    missing: tuple[MissingImage, ...] = ()
    kind: Literal["ImagesStored"] = "ImagesStored"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesKept:
    """Some of the job's images are verified and safe on disk; others are not there yet."""

    images: tuple[StoredImage, ...]  #: all that are
    kind: Literal["ImagesKept"] = "ImagesKept"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLost:
    """A link gave no usable image; the job is asked for fresh ones, or the request is submitted anew."""

    failure: Failure
    again: bool = False  #: whether to submit anew, which the user asked for by reopening the request
    kind: Literal["ResultLost"] = "ResultLost"


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp:
    """Nothing more is tried."""

    failure: Failure
    kind: Literal["GaveUp"] = "GaveUp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """The user asked to try again what had failed: by asking about its job, if it may still have images."""

    ask: bool = False
    kind: Literal["Reopened"] = "Reopened"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesLost:
    """Stored images are no longer on the disk as they were; their job is asked for fresh links, and not paid again."""

    samples: tuple[int, ...]
    urls: tuple[str, ...] = ()  #: the links that they came from, where there is no job to ask
    kind: Literal["ImagesLost"] = "ImagesLost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesJudged:
    """Stored images were scored, or a check that knows the whole batch found something of them."""

    images: tuple[StoredImage, ...]  #: all that are stored, with what is said of them
    kind: Literal["ImagesJudged"] = "ImagesJudged"


Event = (
    SubmitStarted
    | SubmitAccepted
    | SubmitRefused
    | AnswerLost
    | Resubmitted
    | JobCompleted
    | LinksMissing
    | JobFailed
    | ImagesStored
    | ImagesKept
    | ResultLost
    | GaveUp
    | Reopened
    | ImagesLost
    | ImagesJudged
)

#: (state, event) -> the states it may lead to. Where there are two, the event itself says which; of a refusal, whether
#: an earlier submission is still in doubt.
TABLE: Mapping[tuple[State, type[Event]], tuple[State, ...]] = MappingProxyType(
    {
        (State.PLANNED, SubmitStarted): (State.SUBMITTING,),
        (State.PLANNED, GaveUp): (State.FAILED,),
        (State.SUBMITTING, SubmitAccepted): (State.SUBMITTED,),
        (State.SUBMITTING, JobCompleted): (State.READY,),
        (State.SUBMITTING, JobFailed): (State.PLANNED, State.FAILED),
        (State.SUBMITTING, SubmitRefused): (State.PLANNED, State.IN_DOUBT),
        (State.SUBMITTING, AnswerLost): (State.IN_DOUBT,),
        (State.IN_DOUBT, Resubmitted): (State.PLANNED,),
        (State.IN_DOUBT, SubmitAccepted): (State.SUBMITTED,),
        (State.IN_DOUBT, GaveUp): (State.FAILED,),
        (State.SUBMITTED, JobCompleted): (State.READY,),
        (State.SUBMITTED, LinksMissing): (State.SUBMITTED,),
        (State.SUBMITTED, ImagesStored): (State.STORED,),
        (State.SUBMITTED, JobFailed): (State.PLANNED, State.FAILED),
        (State.READY, ImagesKept): (State.READY,),
        (State.READY, ImagesStored): (State.STORED,),
        (State.READY, ResultLost): (State.SUBMITTED, State.PLANNED),
        (State.READY, GaveUp): (State.FAILED,),
        (State.FAILED, Reopened): (State.PLANNED, State.SUBMITTED),
        (State.STORED, ImagesLost): (State.SUBMITTED, State.READY),
        (State.STORED, Reopened): (State.SUBMITTED,),
        (State.STORED, ImagesJudged): (State.STORED,),
    }
)

#: The states that end a request's life, unless the user reopens it or its images are lost.
ENDED = frozenset({State.STORED, State.FAILED})
#: The states in which the API may hold something that was paid for.
OPEN = frozenset({State.SUBMITTING, State.IN_DOUBT, State.SUBMITTED, State.READY})
#: Failures of requests that were paid for all the same, or may have been.
_PAID = (FailureKind.JOB_LOST, FailureKind.RESULT_LOST, FailureKind.ANSWER_LOST)
#: Failures after which the API may still have what was paid for.
MAY_STILL_EXIST = frozenset({FailureKind.JOB_LOST, FailureKind.RESULT_LOST})


class IllegalStep(RuntimeError):
    """An event that cannot happen in that state: a bug in batchgen, never the user's doing."""


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


def advance(record: Record, event: Event, *, at: float, run_id: RunId) -> Record:
    """The record after *event*.

    Args:
        at: when it happened, seconds since the epoch.
        run_id: the run that saw it happen.

    Raises:
        IllegalStep: the table has no such step; nothing has changed.
    """
    allowed = TABLE.get((record.state, type(event)))
    if allowed is None:
        raise IllegalStep(f"{event.kind} cannot happen to a request that is {record.state}")
    record = replace(record, run_id=run_id)
    match event:
        case SubmitStarted():
            return replace(
                record,
                state=State.SUBMITTING,
                attempts=record.attempts + 1,
                samples=event.samples,
                spent=record.spent + event.samples,
                submitted_at=at,
                job_id=None,
                completed_at=None,
                results_lost=0,
                made=0,
                images=(),
                reopened=False,
            )
        case SubmitAccepted():
            known = record.samples if record.state is State.IN_DOUBT else 0  # of whose fate the API knows after all
            return replace(
                record,
                state=State.SUBMITTED,
                job_id=event.job_id,
                early_urls=event.early_urls,
                doubted=record.doubted - known,
                doubted_at=None,
            )
        case SubmitRefused():
            counts = event.failure.kind not in (FailureKind.BUSY, FailureKind.UNREACHABLE)
            attempts = record.attempts if counts else record.attempts - 1
            spent = record.spent - record.samples
            record = replace(record, attempts=attempts, spent=spent)
            if record.doubted_at is not None:  # that this one was refused says nothing of the one before
                return replace(record, state=State.IN_DOUBT, submitted_at=record.doubted_at)
            return replace(record, state=State.PLANNED, failure=event.failure)
        case AnswerLost():
            doubted = record.doubted + record.samples
            return replace(
                record,
                state=State.IN_DOUBT,
                failure=event.failure,
                doubted=doubted,
                doubted_at=record.submitted_at,
                job_id=event.job_id,
            )
        case Resubmitted():
            return replace(record, state=State.PLANNED)
        case Reopened():
            again = record.state is State.FAILED  # what is stored in part is asked about, and never paid for anew
            state = State.PLANNED if again and not event.ask else State.SUBMITTED
            found = event.ask and record.failure is not None and record.failure.kind is FailureKind.ANSWER_LOST
            doubted = record.doubted - record.samples if found else record.doubted
            return replace(record, state=state, job_failures=0, results_lost=0, reopened=again, doubted=doubted)
        case JobCompleted():
            return replace(
                record,
                state=State.READY,
                doubted_at=None,
                job_id=record.job_id or event.job_id,
                urls=event.urls,
                made=max(record.made, len(event.urls)),
                response=event.response,
                completed_at=at if record.completed_at is None else record.completed_at,
            )
        case LinksMissing():
            completed_at = at if record.completed_at is None else record.completed_at
            return replace(record, failure=event.failure, response=event.response, completed_at=completed_at)
        case JobFailed():
            return replace(
                record,
                state=State.PLANNED if event.again else State.FAILED,
                doubted_at=None,
                failure=event.failure,
                response=event.response,
                completed_at=at,
                job_failures=record.job_failures + 1,
            )
        case ImagesStored():
            # What an earlier pass stored and nobody lost stays, also where it could not be had again.
            images = {image.sample: image for image in (*record.images, *event.images)}
            return replace(
                record,
                state=State.STORED,
                images=tuple(images[sample] for sample in sorted(images)),
                missing=tuple(lost for lost in event.missing if lost.sample not in images),
                failure=None,
                urls=(),
                early_urls=(),
                downloaded_at=at,
            )
        case ImagesKept() | ImagesJudged():
            return replace(record, images=event.images)
        case ResultLost():
            return replace(
                record,
                state=State.PLANNED if event.again else State.SUBMITTED,
                failure=event.failure,
                urls=(),
                results_lost=record.results_lost + 1,
            )
        case GaveUp():
            return replace(record, state=State.FAILED, failure=event.failure)
        case ImagesLost():
            return replace(
                record,
                state=State.READY if event.urls else State.SUBMITTED,
                images=tuple(image for image in record.images if image.sample not in event.samples),
                urls=event.urls,
                results_lost=0,
                reopened=False,  # whatever was allowed before, nobody has said that these may be paid for anew
            )
        case _:
            assert_never(event)


def was_paid_for(record: Record) -> bool:
    """Whether something was paid for a request, or may have been."""
    if record.state is State.FAILED:
        return record.doubted_at is not None or (record.failure is not None and record.failure.kind in _PAID)
    return record.state is not State.PLANNED
