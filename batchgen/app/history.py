"""`history`: every run of a batch, and how it ended. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from batchgen.adapters.folder_lock import is_held
from batchgen.adapters.journal import JournalView
from batchgen.app.folder import BatchFolder
from batchgen.app.standing import moment
from batchgen.errors import StorageFailed
from batchgen.model import RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run of a batch."""

    run_id: RunId
    started_at: datetime
    running: bool = False  #: whether it goes on
    ended_at: datetime | None = None  #: None if it goes on, or was cut off: killed, or out of power or disk
    exit_code: int | None = None  #: None as above
    reason: str | None = None  #: why not all was well, where counts do not say it
    submissions: int | None = None  #: that reached the API, or may have; None if nobody counted
    images_stored: int | None = None
    requests_failed: int | None = None


def history(out: Path | str) -> Sequence[PastRun]:
    """Every run of the batch in a folder, oldest first.

    Those that ended are told as they put themselves down; of those that were cut off the journal knows the beginning,
    until the batch is cleaned away.

    Raises:
        UsageError: the folder holds no batch.
        StorageFailed: it cannot be read.
    """
    folder = BatchFolder(Path(out))
    ended = {run.run_id: run for run in _ended(folder)}
    if folder.cleaned.is_file() and not folder.journal.exists():
        return sorted(ended.values(), key=lambda run: run.started_at)
    with JournalView(folder.journal) as journal:
        running = is_held(folder.root)
        begun = [PastRun(run_id=run_id, started_at=moment(at)) for run_id, at in journal.runs()]
    runs = {run.run_id: run for run in begun} | ended
    newest = begun[-1].run_id if begun else None
    if running and newest is not None and newest not in ended:
        runs[newest] = PastRun(run_id=newest, started_at=runs[newest].started_at, running=True)
    return sorted(runs.values(), key=lambda run: run.started_at)


def is_cleaned(out: Path | str) -> bool:
    """Whether the batch in a folder is cleaned away, but for its plan."""
    return BatchFolder(Path(out)).cleaned.is_file()


def _ended(folder: BatchFolder) -> Iterator[PastRun]:
    """Of each run that put its ending down; a line that a crash has torn is none."""
    if not folder.history.is_file():
        return
    try:
        lines = folder.history.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise StorageFailed(f"{folder.history} cannot be read: {error}. Make it readable.") from error
    for line in lines:
        try:
            yield _past_run(json.loads(line))
        except (KeyError, TypeError, ValueError):
            continue


def _past_run(told: Mapping[str, Any]) -> PastRun:
    counted = told["this_run"]
    return PastRun(
        run_id=RunId(told["run_id"]),
        started_at=datetime.fromisoformat(told["started_at"]),
        ended_at=datetime.fromisoformat(told["ended_at"]),
        exit_code=int(told["exit_code"]),
        reason=told["reason"],
        submissions=int(counted["submissions"]),
        images_stored=int(counted["images_stored"]),
        requests_failed=int(counted["requests_failed"]),
    )
