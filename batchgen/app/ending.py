"""How a run ended, put down in its folder: the last one whole, and a line for each."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from batchgen.adapters.file_store import write_atomically
from batchgen.app.as_json import result_json
from batchgen.app.folder import BatchFolder
from batchgen.app.switch import Stopped
from batchgen.errors import BatchgenError, StillPlanning, StorageFailed
from batchgen.lifecycle import Event, Record, State, SubmitRefused, SubmitStarted
from batchgen.manifest import Manifest
from batchgen.model import Request, RunId
from batchgen.ports import Observer

if TYPE_CHECKING:
    from batchgen.app.result import RunResult

#: What an ending is that no error of ours explains: a bug.
_BUG = 1


class RunCount(Observer):
    """What one run has done, by what it is told."""

    def __init__(self) -> None:
        self.submissions = 0  #: but for those that were surely not accepted
        self.images_stored = 0
        self.requests_failed = 0

    def changed(self, request: Request, before: Record, event: Event, after: Record) -> None:
        """Count a step."""
        self.submissions += isinstance(event, SubmitStarted) - isinstance(event, SubmitRefused)
        self.images_stored += max(0, after.stored - before.stored)
        self.requests_failed += after.state is State.FAILED

    def as_json(self) -> dict[str, int]:
        """The three counts."""
        return dict(vars(self))


@dataclass(slots=True, kw_only=True)
class Ending:
    """One run, from its beginning to its end."""

    folder: BatchFolder
    run_id: RunId
    manifest: Manifest
    warnings: Sequence[str] = ()  #: what it was told to do, may cost money and is most likely not meant
    count: RunCount = field(default_factory=RunCount)
    started_at: float = field(default_factory=time.time)  #: seconds since the epoch
    ended_at: float | None = None  #: the same; None while it goes on
    result: RunResult | None = None  #: what it left behind, if it got so far
    exit_code: int = 0
    reason: str | None = None  #: why not all is well; None if it is, or the counts say it

    @contextlib.contextmanager
    def recorded(self, *, stopped_with: Callable[[], int | None]) -> Iterator[None]:
        """Within, the run goes on; whatever ends it is put down in its folder, if the disk takes that.

        A run that is kept out, since another is still planning, leaves no line: it has not begun.

        Args:
            stopped_with: the exit code of a run that was told to stop; None if it was not.
        """
        try:
            yield
        except StillPlanning as busy:
            self._end(busy.exit_code, str(busy))
            raise
        except BaseException as error:
            self._end(exit_code_of(error, stopped_with=stopped_with()), str(error) or type(error).__name__)
            self._write()
            raise
        told = stopped_with()
        assert self.result is not None
        self._end(self.result.exit_code if told is None else told, self.result.stopped)
        self._write()

    def _end(self, exit_code: int, reason: str | None) -> None:
        self.ended_at, self.exit_code, self.reason = time.time(), exit_code, reason

    def as_json(self) -> dict[str, Any]:
        """What machines are told: the result as `run --json` tells it, and how it came to it."""
        ended_at = self.ended_at or time.time()
        left = {"out": str(self.folder.root), "batch_id": self.manifest.batch_id, "run_id": self.run_id}
        if self.result is not None:
            left = result_json(self.result)
        return {
            **left,
            "manifest": self.manifest.source,
            "started_at": _iso(self.started_at),
            "ended_at": _iso(ended_at),
            "seconds": round(ended_at - self.started_at, 3),
            "this_run": self.count.as_json(),
            "exit_code": self.exit_code,
            "reason": self.reason,
            "warnings": list(self.warnings),
        }

    def _write(self) -> None:
        told = self.as_json()
        with contextlib.suppress(StorageFailed, OSError):
            write_atomically(self.folder.last_run, (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())
            _append(self.folder, {name: told[name] for name in _KEPT})


def exit_code_of(error: BaseException, *, stopped_with: int | None) -> int:
    """What a run ends with that this error has ended: what is to be mended says more than that it was told to stop."""
    if isinstance(error, BatchgenError) and (stopped_with is None or not isinstance(error, Stopped)):
        return error.exit_code
    return _BUG if stopped_with is None else stopped_with


#: Of an ending, what a line of the history holds.
_KEPT = ("run_id", "started_at", "ended_at", "exit_code", "reason", "this_run")


def _append(folder: BatchFolder, line: Mapping[str, Any]) -> None:
    """One line more, whatever a crash left of the one before."""
    text = json.dumps(line, ensure_ascii=False)
    handle = os.open(folder.history, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, f"{chr(10) if torn else ''}{text}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
