"""`status --watch`: a batch at work, seen from another shell. Reads only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchgen.adapters.journal import JournalView
from batchgen.app.folder import BatchFolder
from batchgen.app.standing import BatchStatus, status
from batchgen.lifecycle import State
from batchgen.model import FailureKind, JobId, RequestKey

#: Seconds over which the rate is measured.
_WINDOW = 300.0
#: Newest events among which images are looked for: five minutes' at a hundred images a second.
_EVENTS = 100_000
#: Jobs that are shown.
_SLOWEST = 5
_AT_WORK = frozenset({State.SUBMITTING, State.SUBMITTED, State.READY})


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowJob:
    """A request that is under way for long."""

    key: RequestKey
    job_id: JobId | None
    state: State
    seconds: float  #: since it was submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """A batch at one moment."""

    status: BatchStatus
    rate: float | None  #: images stored a second, lately; None if none was
    seconds_left: float | None  #: as the rate has it; None if nobody can say
    slowest: Sequence[SlowJob]
    failures: Mapping[FailureKind, int]  #: failed requests, by kind, most frequent first


def glance(out: Path | str, *, now: float | None = None) -> Glance:
    """How the work on the batch in a folder goes.

    Args:
        now: seconds since the epoch; None: as the clock says.

    Raises:
        UsageError: the folder holds no batch, or no plan yet.
        StillPlanning: a run is making its plan.
        StorageFailed: it cannot be read.
    """
    now = time.time() if now is None else now
    found = status(out)
    with JournalView(BatchFolder(Path(out)).journal) as journal:
        stored = journal.stored_lately(events=_EVENTS, since=now - _WINDOW)
        began = max((at for _, at in journal.runs()), default=now)
        oldest = journal.oldest(_AT_WORK, at_most=_SLOWEST)
        failures = journal.failures()
    rate = stored / max(1.0, min(_WINDOW, now - began)) if stored and found.running else None
    failed = sum(failures.values())
    left = max(0, found.wanted - found.stored - failed)
    return Glance(
        status=found,
        rate=rate,
        seconds_left=None if rate is None else left / rate,
        slowest=[
            SlowJob(key=key, job_id=record.job_id, state=record.state, seconds=max(0.0, now - record.submitted_at))
            for key, record in oldest.items()
            if record.submitted_at is not None
        ],
        failures=failures,
    )
