"""`.batchgen/run.jsonl`: one JSON object for each step of each request, for machines and for hindsight."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batchgen.lifecycle import Event, Record
from batchgen.model import Request, RequestKey, RunId
from batchgen.ports import Observer, Progress

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=repr)
#: Seconds that lines wait, to go to the disk together.
_BEHIND = 0.5
#: Bytes at the end of a log in which its last step is looked for.
_TAIL = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """The newest run that a log tells of."""

    run_id: RunId
    request_key: RequestKey | None = None  #: whose step was its last; None if none was found
    fact: str | None = None  #: the event's kind


def newest(path: Path) -> Logged | None:
    """The newest run that a log tells of, and its last step as far as the end of the log says; None if of none."""
    run_id: RunId | None = None
    for line in reversed(_tail(path)):
        try:
            told = json.loads(line)
            run_id = run_id or RunId(told["run_id"])
            if told["run_id"] != run_id:
                break
            if told["event"] == "request.changed":
                return Logged(run_id=run_id, request_key=RequestKey(told["request_key"]), fact=told["fact"])
        except (ValueError, KeyError, TypeError):  # cut short by a kill, or by where the tail begins
            continue
    return None if run_id is None else Logged(run_id=run_id)


def _tail(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return file.read(_TAIL).splitlines()
    except OSError:
        return []


class RunLog(Observer):
    """Writes what it is told to a file; `close` when done. The file is half a second behind.

    Raises:
        OSError: the file cannot be opened for appending.
    """

    def __init__(self, path: Path, *, run_id: RunId) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._run_id = run_id
        self._due = False  #: whether the disk will soon have what waits
        self.note("run.begun")
        self._flush()  # before anything is sent, so that the log of a run that is killed at once names it

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(OSError):  # a full disk: the log is a spectator, and ends no run
            self._file.close()

    def note(self, event: str, **keys: object) -> None:
        """One more line, soon: a dotted constant and its keys."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._file.write(_ENCODER.encode({"run_id": self._run_id, **keys, "event": event, "timestamp": now}) + "\n")
        if self._due:
            return
        try:
            asyncio.get_running_loop().call_later(_BEHIND, self._flush)
        except RuntimeError:  # no loop to come back in
            self._flush()
        else:
            self._due = True

    def _flush(self) -> None:
        self._due = False
        with contextlib.suppress(OSError, ValueError):  # a full disk, or a closed file: a log ends no run
            self._file.flush()

    def begun(self, progress: Progress) -> None:
        """The run is about to submit or to ask."""
        self.note("run.planned", wanted=progress.wanted, stored=progress.stored, concurrency=progress.concurrency)
        for warning in progress.costly:
            self.note("run.warned", warning=warning)

    def changed(self, request: Request, before: Record, event: Event, after: Record) -> None:
        """A request took a step."""
        keys: dict[str, object] = {"request_key": request.key, "fact": event.kind, "state": after.state}
        if after.job_id is not None:
            keys["job_id"] = after.job_id
        failure = getattr(event, "failure", None)
        if failure is not None:
            keys |= {"kind": failure.kind, "message": failure.message, "http_status": failure.http_status}
        self.note("request.changed", **keys)

    def paused(self, seconds: float, reason: str) -> None:
        """Submitting waits."""
        self.note("submit.paused", wait_s=round(seconds, 3), reason=reason)

    def overdue(self, request: Request, record: Record) -> None:
        """A job is left for a later run."""
        self.note("job.overdue", request_key=request.key, job_id=record.job_id)

    def left_for_later(self, request: Request, record: Record) -> None:
        """A job is left for a later run, as was wanted."""
        self.note("job.left", request_key=request.key, job_id=record.job_id)

    def trouble(self, request: Request, reason: str) -> None:
        """Something is tried again."""
        self.note("request.trouble", request_key=request.key, reason=reason)

    def stopping(self, reason: str) -> None:
        """Submitting has ended."""
        self.note("run.stopping", reason=reason)
