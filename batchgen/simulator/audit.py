"""What was asked of the simulator, and what a client may be judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchgen.model import JobId
from batchgen.simulator.jobs import Job, JobBook


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was asked of the simulator; in this life, where nothing else is said."""

    accepted: int  #: POSTs that became jobs, those of earlier lives included where there is a record
    accepted_by_body: Mapping[str, int]  #: the same by endpoint and body, tags included
    duplicates: int  #: jobs whose body equals that of an earlier one at the same endpoint
    lost_answers: int  #: POSTs that became jobs, and whose answer did not say so
    refused: int  #: POSTs answered 4xx
    status_calls: int  #: about jobs that there are
    polls: Mapping[JobId, int]  #: the same by job; a job never asked for is not there
    seen_after: Mapping[JobId, float]  #: seconds from a job's end until its submitter could know
    downloads: int  #: images given, whole and right
    downloads_by_image: Mapping[str, int]  #: the same by `job id/sample`
    too_early: int  #: calls of links whose image was not there
    peak_in_flight: int  #: jobs accepted and not yet ended, at most at one time; of earlier lives too
    webhooks: Mapping[JobId, int]  #: tries to send a webhook, by job
    keys_at_image_host: int  #: downloads that came with an API key, which is for the API alone
    faults: Mapping[str, int]  #: what went wrong and how often, as `place.fault`


class Ledger:
    """Counts as things happen. May be read from any thread."""

    def __init__(self) -> None:
        self.refused = 0
        self.lost_answers = 0
        self.keys_at_image_host = 0
        self.too_early = 0
        self.polls: Counter[JobId] = Counter()
        self.downloads: Counter[str] = Counter()
        self.webhooks: Counter[JobId] = Counter()
        self.faults: Counter[str] = Counter()
        self._seen_after: dict[JobId, float] = {}

    def seen(self, job: Job, at: float) -> None:
        """Its submitter could know from then on that the job has ended."""
        self._seen_after.setdefault(job.id, max(at - job.ends_at, 0.0))

    def audit(self, book: JobBook) -> Audit:
        """All of it so far."""
        bodies, polls, downloads = book.bodies(), dict(self.polls), dict(self.downloads)
        return Audit(
            accepted=len(book),
            accepted_by_body=bodies,
            duplicates=sum(bodies.values()) - len(bodies),
            lost_answers=self.lost_answers,
            refused=self.refused,
            status_calls=sum(polls.values()),
            polls=polls,
            seen_after=dict(self._seen_after),
            downloads=sum(downloads.values()),
            downloads_by_image=downloads,
            too_early=self.too_early,
            peak_in_flight=peak_in_flight(book.jobs()),
            webhooks=dict(self.webhooks),
            keys_at_image_host=self.keys_at_image_host,
            faults=dict(self.faults),
        )


def peak_in_flight(jobs: Iterable[Job]) -> int:
    """How many of the jobs were in flight at one time at most. One that ends as another begins does not count."""
    steps = [step for job in jobs for step in ((job.accepted_at, 1), (job.ends_at, -1))]
    peak = running = 0
    for _, step in sorted(steps):
        running += step
        peak = max(peak, running)
    return peak
