"""What a run is given: the limits it keeps, and the world as it sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.budget import Allowance
from batchgen.checks import Checks
from batchgen.model import Completion, InDoubt, Request
from batchgen.ports import Clock, ImageAPI, ImageCheck, ImageStore, Journal, Notices, Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a run may do at once, how long it waits, and how much it may ask for."""

    concurrency: int  #: jobs in flight
    rate: float | None = None  #: submissions a second
    completion: Completion = Completion.POLL
    in_doubt: InDoubt = InDoubt.HOLD
    max_images: int | None = None  #: images asked for by this run, repeated submissions included
    allowance: Allowance | None = None  #: what the batch's budget leaves this run; None: there is none
    job_deadline: float = 900.0  #: seconds from submission until a job is left for a later run
    max_wait: float = 900.0  #: seconds that the API may refuse everything before the run stops
    grace: float = 30.0  #: seconds that jobs in flight are waited for once the run is stopping
    status_rate: float | None = None  #: status calls a second
    downloads: int = 16  #: images downloaded, decoded or written at once
    decoders: int = 2  #: images decoded at once
    checks: Checks = field(default_factory=Checks)  #: what images must stand


def _as_planned(request: Request) -> Request:
    return request


def as_delivered(request: Request, sample: int, extension: str, content: bytes) -> bytes:
    """The bytes of an image, for a run that adds nothing to them."""
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world as the runner sees it."""

    api: ImageAPI
    journal: Journal
    store: ImageStore
    check: ImageCheck
    clock: Clock
    observer: Observer
    as_sent: Callable[[Request], Request] = _as_planned  #: with what makes the API tell of the end of its job
    #: request, sample, extension, bytes of an image -> bytes of the file to keep, which show the same picture
    as_kept: Callable[[Request, int, str, bytes], bytes] = as_delivered
    notices: Notices | None = None  #: None: nobody tells when a job has ended
