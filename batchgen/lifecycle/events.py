"""The facts in the life of a request. Each is written to the journal as it stands here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from batchgen.model import Failure, JobId, MissingImage, StoredImage


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
    """The API accepted the job and then failed it."""

    failure: Failure
    again: bool  #: whether the policy tries once more
    response: str | None = None  #: as of JobCompleted
    urls: tuple[str, ...] = ()  #: links that its answer names all the same: tried first, for they may be paid for
    job_id: JobId | None = None  #: as of JobCompleted
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
