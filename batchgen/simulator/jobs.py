"""The simulator's own memory: the jobs it accepted, and where each stands."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from batchgen.errors import StorageFailed
from batchgen.model import JobId, ParamValue, number_of
from batchgen.simulator.faults import Fault


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
    endpoint: str = ""  #: the path it was submitted to; empty: any
    body: Mapping[str, ParamValue]  #: the parameters as accepted, tags and defaults included, without those of delivery
    accepted_at: float  #: seconds since the epoch
    begins_at: float = 0.0  #: seconds since the epoch; until then it waits its turn
    ends_at: float  #: seconds since the epoch; infinite if it never ends
    fails: bool
    fault: Fault | None = None  #: what goes wrong with it
    webhook: str | None = None  #: who is called when it has ended; a secret, and so not in the record
    draw: int  #: makes its pictures differ from another job's of the same body, and settles the faults it meets

    @property
    def samples(self) -> int:
        """Images it was asked for, at least 1."""
        return int(number_of(self.body, "samples", 1))

    @property
    def images(self) -> int:
        """Images it makes, the first of its samples."""
        if self.fault is Fault.FAILURE_WITH_URLS:
            return max(1, self.samples - 1)
        if self.fails or self.fault is Fault.NO_URLS:
            return 0
        return self.samples - (self.fault is Fault.FEWER_URLS)

    def holds(self, sample: int, *, at: float) -> bool:
        """Whether the image of that sample is there at a time, in seconds since the epoch."""
        return at >= self.ends_at and sample < self.images

    def stage(self, at: float) -> Stage:
        """Where it stands at a time, in seconds since the epoch."""
        if at >= self.ends_at:
            return Stage.FAILED if self.fails else Stage.COMPLETED
        return Stage.RUNNING if at >= self.begins_at else Stage.QUEUED

    @property
    def fingerprint(self) -> str:
        """Equal for jobs of equal bodies at one endpoint."""
        return fingerprint(self.endpoint, self.body)

    def to_line(self) -> bytes:
        """The job as one line of the record."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "webhook"}
        return json.dumps(fields).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Job:
        """The job of one line of the record.

        Raises:
            ValueError, TypeError: the line is not such a job.
        """
        fields = json.loads(line)
        fault = fields.pop("fault", None)
        return cls(**fields, fault=None if fault is None else Fault(fault))


def fingerprint(endpoint: str, body: Mapping[str, ParamValue]) -> str:
    """Equal for equal bodies at one endpoint."""
    return f"{endpoint} {json.dumps(body, sort_keys=True)}"


class JobBook:
    """Every accepted job, by id; kept in a file as well, if one is given.

    Raises:
        StorageFailed: the file cannot be read, or is not such a record.
    """

    def __init__(self, record: Path | None) -> None:
        self._record = record
        self._jobs: dict[JobId, Job] = {}
        self._bodies: Counter[str] = Counter()
        for job in _load(record) if record is not None else ():
            self._keep(job)

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
        self._keep(job)

    def times(self, body: str) -> int:
        """How many jobs of that fingerprint there are."""
        return self._bodies[body]

    def bodies(self) -> Mapping[str, int]:
        """How many jobs there are of each fingerprint. May be called from any thread."""
        return dict(self._bodies)

    def jobs(self) -> tuple[Job, ...]:
        """All of them, in the order of their acceptance. May be called from any thread."""
        return tuple(self._jobs.values())

    def _keep(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._bodies[job.fingerprint] += 1


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
        except (ValueError, TypeError, AttributeError) as error:
            raise StorageFailed(
                f"{record}:{line_number} is not a job of the simulator ({error}). Remove the line or name another file."
            ) from error
