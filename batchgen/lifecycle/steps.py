"""The one table that says which event leads where, and the step itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import assert_never

from batchgen.lifecycle.events import (
    AnswerLost,
    Event,
    GaveUp,
    ImagesJudged,
    ImagesKept,
    ImagesLost,
    ImagesStored,
    JobCompleted,
    JobFailed,
    LinksMissing,
    Reopened,
    Resubmitted,
    ResultLost,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
)
from batchgen.lifecycle.record import Record, State
from batchgen.model import FailureKind, RunId

#: (state, event) -> the states it may lead to. Where there are two, the event itself says which; of a refusal, whether
#: an earlier submission is still in doubt.
TABLE: Mapping[tuple[State, type[Event]], tuple[State, ...]] = MappingProxyType(
    {
        (State.PLANNED, SubmitStarted): (State.SUBMITTING,),
        (State.PLANNED, GaveUp): (State.FAILED,),
        (State.SUBMITTING, SubmitAccepted): (State.SUBMITTED,),
        (State.SUBMITTING, JobCompleted): (State.READY,),
        (State.SUBMITTING, JobFailed): (State.PLANNED, State.FAILED, State.READY),
        (State.SUBMITTING, SubmitRefused): (State.PLANNED, State.IN_DOUBT),
        (State.SUBMITTING, AnswerLost): (State.IN_DOUBT,),
        (State.IN_DOUBT, Resubmitted): (State.PLANNED,),
        (State.IN_DOUBT, SubmitAccepted): (State.SUBMITTED,),
        (State.IN_DOUBT, GaveUp): (State.FAILED,),
        (State.SUBMITTED, JobCompleted): (State.READY,),
        (State.SUBMITTED, LinksMissing): (State.SUBMITTED,),
        (State.SUBMITTED, ImagesStored): (State.STORED,),
        (State.SUBMITTED, JobFailed): (State.PLANNED, State.FAILED, State.READY),
        (State.READY, ImagesKept): (State.READY,),
        (State.READY, ImagesStored): (State.STORED,),
        (State.READY, ResultLost): (State.SUBMITTED, State.PLANNED),
        (State.READY, JobFailed): (State.PLANNED, State.FAILED),
        (State.READY, GaveUp): (State.FAILED,),
        (State.FAILED, Reopened): (State.PLANNED, State.SUBMITTED),
        (State.STORED, ImagesLost): (State.SUBMITTED, State.READY),
        (State.STORED, Reopened): (State.SUBMITTED,),
        (State.STORED, ImagesJudged): (State.STORED,),
    }
)


class IllegalStep(RuntimeError):
    """An event that cannot happen in that state: a bug in batchgen, never the user's doing."""


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
    becomes = partial(replace, record, run_id=run_id)
    match event:
        case SubmitStarted():
            return becomes(
                state=State.SUBMITTING,
                attempts=record.attempts + 1,
                samples=event.samples,
                spent=record.spent + event.samples,
                submitted_at=at,
                job_id=None,
                early_urls=(),
                completed_at=None,
                results_lost=0,
                made=0,
                images=(),
                reopened=False,
            )
        case SubmitAccepted():
            known = record.samples if record.state is State.IN_DOUBT else 0  # of whose fate the API knows after all
            return becomes(
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
            becomes = partial(becomes, attempts=attempts, spent=spent)
            if record.doubted_at is not None:  # that this one was refused says nothing of the one before
                return becomes(state=State.IN_DOUBT, submitted_at=record.doubted_at)
            return becomes(state=State.PLANNED, failure=event.failure)
        case AnswerLost():
            doubted = record.doubted + record.samples
            return becomes(
                state=State.IN_DOUBT,
                failure=event.failure,
                doubted=doubted,
                doubted_at=record.submitted_at,
                job_id=event.job_id,
            )
        case Resubmitted():
            return becomes(state=State.PLANNED)
        case Reopened():
            again = record.state is State.FAILED  # what is stored in part is asked about, and never paid for anew
            state = State.PLANNED if again and not event.ask else State.SUBMITTED
            found = event.ask and record.failure is not None and record.failure.kind is FailureKind.ANSWER_LOST
            doubted = record.doubted - record.samples if found else record.doubted
            return becomes(state=state, job_failures=0, results_lost=0, reopened=again, doubted=doubted)
        case JobCompleted():
            return becomes(
                state=State.READY,
                doubted_at=None,
                job_id=record.job_id or event.job_id,
                failed=None,
                urls=event.urls,
                made=max(record.made, len(event.urls)),
                response=event.response,
                completed_at=at if record.completed_at is None else record.completed_at,
            )
        case LinksMissing():
            completed_at = at if record.completed_at is None else record.completed_at
            return becomes(failure=event.failure, response=event.response, completed_at=completed_at)
        case JobFailed():
            becomes = partial(
                becomes,
                job_id=record.job_id or event.job_id,
                doubted_at=None,
                failure=event.failure,
                response=event.response,
                completed_at=at if record.completed_at is None else record.completed_at,
            )
            if event.urls and record.state is not State.READY:
                return becomes(state=State.READY, urls=event.urls, failed=replace(event, urls=()))
            return becomes(
                state=State.PLANNED if event.again else State.FAILED,
                urls=(),
                failed=None,
                job_failures=record.job_failures + 1,
            )
        case ImagesStored():
            # What an earlier pass stored and nobody lost stays, also where it could not be had again.
            images = {image.sample: image for image in (*record.images, *event.images)}
            return becomes(
                state=State.STORED,
                images=tuple(images[sample] for sample in sorted(images)),
                missing=tuple(lost for lost in event.missing if lost.sample not in images),
                failure=None,
                failed=None,
                urls=(),
                early_urls=(),
                downloaded_at=at,
            )
        case ImagesKept() | ImagesJudged():
            return becomes(images=event.images)
        case ResultLost():
            return becomes(
                state=State.PLANNED if event.again else State.SUBMITTED,
                failure=event.failure,
                failed=None,
                urls=(),
                results_lost=record.results_lost + 1,
            )
        case GaveUp():
            return becomes(state=State.FAILED, failure=event.failure)
        case ImagesLost():
            return becomes(
                state=State.READY if event.urls else State.SUBMITTED,
                images=tuple(image for image in record.images if image.sample not in event.samples),
                urls=event.urls,
                results_lost=0,
                reopened=False,  # whatever was allowed before, nobody has said that these may be paid for anew
            )
        case _:
            assert_never(event)
