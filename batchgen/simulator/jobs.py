"""The simulator's own memory: the jobs it accepted, where each stands, and what was asked of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from random import Random
from uuid import uuid4

from batchgen.errors import StorageFailed, UsageError
from batchgen.model import JobId, ParamValue

#: The share of a job's time that it spends waiting for its turn.
QUEUED_SHARE = 0.2


class Stage(Enum):
    """Where a job stands; the profile has the API's words for it."""

    QUEUED = auto()
    RUNNING = auto()
    COMPLETED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted submission. All that will come of it is settled when it is accepted."""

    number: int  #: 0 for the first job
    id: JobId  #: 32 hex digits
    body: Mapping[str, ParamValue]  #: the parameters as accepted, tags included
    accepted_at: float  #: seconds since the epoch
    ends_at: float  #: seconds since the epoch
    fails: bool
    draw: int  #: makes its pictures differ from another job's of the same body

    @property
    def samples(self) -> int:
        """Images it makes, at least 1."""
        return int(self.body.get("samples", 1))

    def stage(self, at: float) -> Stage:
        """Where it stands at a time, in seconds since the epoch."""
        if at >= self.ends_at:
            return Stage.FAILED if self.fails else Stage.COMPLETED
        begins_at = self.accepted_at + QUEUED_SHARE * (self.ends_at - self.accepted_at)
        return Stage.RUNNING if at >= begins_at else Stage.QUEUED

    def fingerprint(self) -> str:
        """Equal for jobs of equal bodies."""
        return json.dumps(self.body, sort_keys=True)

    def to_line(self) -> bytes:
        """The job as one line of the record."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Job:
        """The job of one line of the record.

        Raises:
            ValueError, TypeError: the line is not such a job.
        """
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What befalls jobs: the same job number meets the same end under the same seed."""

    latency: tuple[float, float]  #: seconds, shortest and longest
    failure_rate: float  #: share of jobs, 0 to 1
    seed: int

    def __post_init__(self) -> None:
        shortest, longest = self.latency
        if not 0 <= shortest <= longest:
            raise UsageError(
                "The simulator's latency must be two numbers of seconds, the shorter first, "
                f"not {shortest} and {longest}."
            )
        if not 0 <= self.failure_rate <= 1:
            raise UsageError(f"The simulator's failure rate must be a share from 0 to 1, not {self.failure_rate}.")

    def job(self, number: int, body: Mapping[str, ParamValue], *, at: float) -> Job:
        """The job that a submission accepted at that time becomes."""
        dice = Random(f"{self.seed}/{number}")
        duration = dice.uniform(*self.latency)
        fails = dice.random() < self.failure_rate
        return Job(
            number=number,
            id=JobId(uuid4().hex),  # never that of another life, so that a forgotten job is not mistaken for a new one
            body=body,
            accepted_at=at,
            ends_at=at + duration,
            fails=fails,
            draw=dice.getrandbits(32),
        )


class JobBook:
    """Every accepted job, by id; kept in a file as well, if one is given.

    Raises:
        StorageFailed: the file cannot be read, or is not such a record.
    """

    def __init__(self, record: Path | None) -> None:
        self._record = record
        self._jobs: dict[JobId, Job] = {}
        if record is not None:
            self._jobs = {job.id: job for job in _load(record)}

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job_id: str) -> Job | None:
        """The job of that id, if it was accepted here."""
        return self._jobs.get(JobId(job_id))

    def add(self, job: Job) -> None:
        """Keep the job; it is in the file before it can be asked for.

        Raises:
            StorageFailed: the file cannot be written; the job is not kept.
        """
        if self._record is not None:
            try:
                with self._record.open("ab", buffering=0) as file:
                    file.write(job.to_line())
            except OSError as error:
                raise StorageFailed(f"The simulator cannot write its record {self._record}: {error}.") from error
        self._jobs[job.id] = job

    def jobs(self) -> tuple[Job, ...]:
        """All of them, in the order of their acceptance. May be called from any thread."""
        return tuple(self._jobs.values())


def _load(record: Path) -> Iterable[Job]:
    try:
        content = record.read_bytes() if record.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            # A torn last line: its answer was never sent. Cut off, or the next job would be glued to it.
            with record.open("r+b") as file:
                file.truncate(whole)
    except OSError as error:
        raise StorageFailed(f"The simulator cannot read its record {record}: {error}.") from error
    for line_number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            yield Job.from_line(line)
        except (ValueError, TypeError) as error:
            raise StorageFailed(
                f"{record}:{line_number} is not a job of the simulator ({error}). Remove the line or name another file."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was asked of the simulator, as a client should be judged by."""

    accepted: int  #: POSTs answered 2xx, those of earlier lives included where there is a record
    refused: int  #: POSTs answered 4xx in this life
    duplicates: int  #: accepted POSTs whose parameters, tags included, equal those of an earlier one
    status_calls: int  #: status calls answered 200 in this life
    downloads: int  #: images handed out in this life
    peak_in_flight: int  #: jobs accepted and not yet ended, at most at one time
    polls: Mapping[JobId, int]  #: status calls of this life by job; a job never asked for is not there
    webhooks: Mapping[JobId, int]  #: tries to send a webhook, by job


def peak_in_flight(jobs: Iterable[Job]) -> int:
    """How many of the jobs ran at one time at most. One that ends as another begins does not count beside it."""
    steps = [(job.accepted_at, 1) for job in jobs]
    steps += [(job.ends_at, -1) for job in jobs]
    peak = running = 0
    for _, step in sorted(steps):
        running += step
        peak = max(peak, running)
    return peak
