"""What a run is given: the limits it keeps, and the world as it sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchgen.budget import Allowance
from batchgen.model import Completion, InDoubt, Request
from batchgen.ports import Clock, ImageAPI, ImageFetcher, Journal, Notices, Observer


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
    downloads: int = 16  #: images downloaded, verified or written at once; more where they are small


def _as_planned(request: Request) -> Request:
    return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world as the runner sees it."""

    api: ImageAPI
    journal: Journal
    images: ImageFetcher
    clock: Clock
    observer: Observer
    as_sent: Callable[[Request], Request] = _as_planned  #: with what makes the API tell of the end of its job
    notices: Notices | None = None  #: None: nobody tells when a job has ended
