"""What the runner needs from the world. Adapters provide it; `batchgen.testing` has in-memory twins. Pure.

A port says what is promised; contract tests hold every implementation to it, twins and real ones alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from batchgen.errors import AccountBlocked
from batchgen.lifecycle import Event, Record, State
from batchgen.model import Failure, JobId, Request, RequestKey, StoredImage, VerifiedImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The API took the request; the job goes on there."""

    job_id: JobId
    early_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The images are made."""

    urls: tuple[str, ...]  #: in sample order; may be fewer than were asked for, never none
    job_id: JobId | None = None
    response: str | None = None  #: the answer as JSON text, cut and without secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job failed at the API."""

    failure: Failure  #: says of what links its answer names, too
    retryable: bool  #: whether the API's answer leaves hope for another try
    response: str | None = None  #: as of Completed
    blocked: AccountBlocked | None = None  #: set if the account is why: nothing more will be accepted
    crowded: bool = False  #: whether too much at once is why: it passes with time, and with less at once
    urls: tuple[str, ...] = ()  #: links that its answer names, unless they were asked for early
    job_id: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """The job has not ended, as far as its answer can be understood."""

    state: str  #: the API's word
    urls: tuple[str, ...] = ()  #: links beside a word that is not known: it may mean that the job has ended
    response: str | None = None  #: as of Completed, where there are such links


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """The job has made its images, but the answer names no link that can be used."""

    message: str
    http_status: int | None = None
    response: str | None = None  #: as of Completed


Submission = Accepted | Completed | Failed
JobStatus = Working | Completed | Failed | Unusable


class ImageAPI(Protocol):
    """A text-to-image API and the hosts its images lie on."""

    async def submit(self, request: Request) -> Submission:
        """Send the POST once. It costs money and is never repeated inside.

        Raises:
            AccountBlocked: nothing more will be accepted.
            RequestRefused: surely not accepted, now or later.
            TryLater: surely not accepted, perhaps later.
            AnswerInDoubt: may have been accepted.
        """

    async def status(self, job_id: JobId) -> JobStatus:
        """Where the job stands.

        Raises:
            AccountBlocked: the key no longer works.
            RequestRefused: the API does not know the job.
            TryLater: no usable answer this time; says nothing about the job.
        """


class Notices(Protocol):
    """Word from outside that a job may have ended. Anybody may have sent it: it is a reason to ask, and no more."""

    def expected(self, request: Request) -> bool:
        """Whether word of the request's job can come here."""

    async def next(self) -> RequestKey:
        """Wait for word of the job of that request; it may be wrong, double, late, or of no request of this run."""


class Journal(Protocol):
    """The append-only memory of a batch: what was paid for, and what came of it."""

    async def record(self, key: RequestKey, event: Event) -> Record:
        """Add the event; returns once it would survive a power cut.

        Raises:
            IllegalStep: the table does not allow it; nothing has changed.
            StorageFailed: it could not be made durable; nothing has changed.
        """

    def records(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, Record]:
        """The records of those keys that have any events."""

    def states(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, State]:
        """The states alone of those keys that have any events: far cheaper than their records."""

    def unfinished(self) -> Sequence[RequestKey]:
        """The keys of requests at which the API may hold something paid for (`lifecycle.OPEN`)."""


class Wanted(Enum):
    """Which pictures are kept; others are refused."""

    ANY = auto()
    OF_SIZE = auto()  # of the size asked for, as far as a size was
    PROVEN = auto()  # that, and it shows something: nobody says that there is an image


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLink:
    """The link behind which the image of a sample lies."""

    request: Request
    sample: int  #: 0-based, of this request
    url: str
    wanted: Wanted = Wanted.ANY


class ImageFetcher(Protocol):
    """Gets images from where they lie, verifies them, and keeps them."""

    async def look(self, url: str) -> VerifiedImage:
        """What the bytes behind the link are found to be; nothing is kept.

        Raises:
            ResultUnavailable: not to be had, or as of `ImageCheck`; says whether trying again makes sense.
        """

    async def fetch(self, link: SampleLink) -> StoredImage:
        """Download the image, verify, judge and keep it; returns once it would survive a power cut.

        Raises:
            ResultUnavailable: as of `look`.
            StorageFailed: as of `ImageStore`.
        """


class ImageCheck(Protocol):
    """Decides whether bytes are the image that was asked for."""

    def verify(self, content: bytes) -> VerifiedImage:
        """Look at the image as closely as the check was told to.

        Raises:
            ResultUnavailable: not an image, damaged, or of a kind that is not taken; permanent.
        """


class ImageStore(Protocol):
    """Where images are kept."""

    def keep(self, file_stem: str, image: VerifiedImage, content: bytes) -> str:
        """Write the image so that it is there whole or not at all, and survives a power cut.

        Args:
            file_stem: relative to the batch folder, without extension.

        Returns:
            The file's name relative to the batch folder, with forward slashes.

        Raises:
            StorageFailed: the disk does not take it.
        """


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request to be carried on, and where it stands."""

    request: Request
    record: Record


class Feed(Protocol):
    """The plan's requests that still need work, those already paid for first."""

    async def claim(self, count: int) -> Sequence[Claim]:
        """Up to *count* requests not claimed before; none means that there are no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How much there is to do, and how much of it is done, counted in images."""

    wanted: int
    stored: int
    concurrency: int  #: jobs in flight at most
    simulated: bool  #: whether the pictures are drawn by the simulator
    warnings: Sequence[str] = ()  #: what the manifest says and most likely does not mean
    costly: Sequence[str] = ()  #: more of that kind, to be said however quiet it is to be


class Observer:
    """Told what happens in a run; every method does nothing unless overridden. Must not raise or block."""

    def begun(self, progress: Progress) -> None:
        """The run is about to submit or to ask about the first request."""

    def changed(self, request: Request, before: Record, event: Event, after: Record) -> None:
        """A request took a step, and it is on disk."""

    def paused(self, seconds: float, reason: str) -> None:
        """No request is submitted for that long."""

    def overdue(self, request: Request, record: Record) -> None:
        """A job has not ended within its deadline and is left for a later run."""

    def left_for_later(self, request: Request, record: Record) -> None:
        """A job goes on at the API and is left to a later run, as was wanted."""

    def trouble(self, request: Request, reason: str) -> None:
        """Something failed that will be tried again."""

    def stopping(self, reason: str) -> None:
        """No request is submitted any more."""

    def untold(self, reason: str) -> None:
        """Somebody outside could not be told of the run, which is none the worse for it."""


class Observers(Observer):
    """Several observers as one, told in order. One that fails is told nothing more: a run outlives its spectators."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = list(observers)
        self.failed: list[Exception] = []  #: what those that failed raised

    def begun(self, progress: Progress) -> None:
        self._tell("begun", progress)

    def changed(self, request: Request, before: Record, event: Event, after: Record) -> None:
        self._tell("changed", request, before, event, after)

    def paused(self, seconds: float, reason: str) -> None:
        self._tell("paused", seconds, reason)

    def overdue(self, request: Request, record: Record) -> None:
        self._tell("overdue", request, record)

    def left_for_later(self, request: Request, record: Record) -> None:
        self._tell("left_for_later", request, record)

    def trouble(self, request: Request, reason: str) -> None:
        self._tell("trouble", request, reason)

    def stopping(self, reason: str) -> None:
        self._tell("stopping", reason)

    def untold(self, reason: str) -> None:
        self._tell("untold", reason)

    def _tell(self, what: str, *facts: object) -> None:
        for observer in tuple(self._observers):
            try:
                getattr(observer, what)(*facts)
            except Exception as error:  # noqa: BLE001  # a full disk under a log, a closed terminal, a bug of theirs
                self._observers.remove(observer)
                self.failed.append(error)
