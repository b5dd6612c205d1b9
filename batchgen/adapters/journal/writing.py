"""The journal in SQLite: append-only events, and for each request the record that they add up to.

One thread writes. Events that arrive while a transaction is being made durable share the next one, so that a
thousand requests in flight cost a handful of fsyncs. WAL mode, `synchronous=FULL`: what `record` has returned
survives a power cut. Only this module knows SQL.

Beside the journal lies a ballast: when the disk is full it is let go, so that the answers to submissions that are
on their way still find room, and from then on no new submission is taken down.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from batchgen.adapters.journal.database import (
    connect,
    fill,
    is_full,
    keys_in,
    put_events,
    put_records,
    records_of,
    states_of,
    translated,
)
from batchgen.errors import StorageFailed
from batchgen.lifecycle import OPEN, Event, IllegalStep, Record, State, advance
from batchgen.model import RequestKey, RunId


@dataclass(slots=True, eq=False)
class _Entry:
    key: RequestKey
    event: Event
    written: asyncio.Future[Record]


class SQLiteJournal:
    """A batch's journal, opened for one run. Use `SQLiteJournal.open`; `close` when done, or `async with`.

    Args:
        path: the journal file; made if it is not there.
        run_id: the run that records.
        clock: seconds since the epoch, UTC.
    """

    def __init__(self, path: Path, *, run_id: RunId, clock: Callable[[], float]) -> None:
        self._path = path
        self._run_id = run_id
        self._clock = clock
        self._open: dict[RequestKey, Record] = {}  #: what is in flight; the writer's own
        self._version = -1  #: of the database when `_open` was right
        self._coming: list[_Entry] = []  #: of this turn of the loop, which are handed over together
        self._entries: queue.SimpleQueue[list[_Entry] | None] = queue.SimpleQueue()
        self._reader = connect(path)
        self._connection = connect(path)
        self._ballast = path.with_name("ballast")
        self._full: StorageFailed | None = None  #: what the disk said when the ballast was let go
        self._reading = threading.Lock()
        self._writer = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, path: Path, *, run_id: RunId, clock: Callable[[], float]) -> Self:
        """The journal at *path*.

        Raises:
            StorageFailed: not a journal, of a newer version, or not writable.
        """
        return cls(path, run_id=run_id, clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._hand_over()
        self._entries.put(None)
        self._writer.join()
        self._reader.close()
        self._ballast.unlink(missing_ok=True)

    async def record(self, key: RequestKey, event: Event) -> Record:
        """Add the event; returns once it would survive a power cut. See `ports.Journal`."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[Record] = loop.create_future()
        if not self._coming:
            loop.call_soon(self._hand_over)
        self._coming.append(_Entry(key, event, written))
        return await written

    def _hand_over(self) -> None:
        if self._coming:
            coming, self._coming = self._coming, []
            self._entries.put(coming)

    def records(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, Record]:
        """The records of those keys that have any events."""
        with self._reading, translated(self._path):
            return records_of(self._reader, keys)

    def states(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, State]:
        """The states alone of those keys that have any events."""
        with self._reading, translated(self._path):
            return states_of(self._reader, keys)

    def unfinished(self) -> Sequence[RequestKey]:
        """The keys of requests at which the API may hold something paid for."""
        with self._reading, translated(self._path):
            return keys_in(self._reader, OPEN)

    def trace(self, told: Callable[[str], None]) -> None:
        """Have each SQL statement of the writer told, in its thread; for tests and diagnosis."""
        self._connection.set_trace_callback(told)

    def begin_run(self, facts: str) -> None:
        """Note that this run has begun.

        Args:
            facts: a JSON object.

        Raises:
            StorageFailed: the disk has no room to begin.
        """
        fill(self._ballast)
        with self._reading, translated(self._path), self._reader:
            row = (self._run_id, self._clock(), facts)
            self._reader.execute("INSERT INTO runs (run_id, started_at, facts) VALUES (?, ?, ?)", row)

    def restore(self, key: RequestKey, record: Record) -> None:
        """Put a request's record right, as its events add up to it; for one that was found damaged.

        Raises:
            StorageFailed: the disk does not take it.
        """
        with self._reading, translated(self._path), self._reader:
            put_records(self._reader, [(key, record)])

    def _write_all(self) -> None:
        with contextlib.closing(self._connection) as connection:
            while (first := self._entries.get()) is not None:
                batch, more = self._gather(first)
                self._write(connection, batch)
                if not more:
                    return

    def _gather(self, first: list[_Entry]) -> tuple[list[_Entry], bool]:
        """All entries that wait by now, and whether more may come."""
        batch = first
        while True:
            try:
                entries = self._entries.get_nowait()
            except queue.Empty:
                return batch, True
            if entries is None:
                return batch, False
            batch += entries

    def _write(self, connection: sqlite3.Connection, batch: list[_Entry]) -> None:
        """One transaction; each entry learns what became of it, and memory changes only if the disk did."""
        answers, staged = self._try_to_write(connection, batch)
        if staged is None and is_full(answers[0][1]) and self._let_ballast_go():
            answers, staged = self._try_to_write(connection, batch)
        self._remember(staged or {})
        _tell(answers)

    def _try_to_write(
        self, connection: sqlite3.Connection, batch: list[_Entry]
    ) -> tuple[list[tuple[_Entry, Record | Exception]], dict[RequestKey, Record] | None]:
        """What to tell each entry, and the records that are on disk now; None if the disk took nothing."""
        answers: list[tuple[_Entry, Record | Exception]] = []
        staged: dict[RequestKey, Record] = {}
        events: list[tuple[RequestKey, float, RunId, Event]] = []
        try:
            with translated(self._path), connection:
                connection.execute("BEGIN IMMEDIATE")
                self._forget_what_others_changed(connection)
                for entry in batch:
                    at = self._clock()
                    try:
                        after = self._after(connection, entry, staged, at)
                    except (IllegalStep, StorageFailed) as refused:
                        answers.append((entry, refused))
                    else:
                        staged[entry.key] = after
                        events.append((entry.key, at, self._run_id, entry.event))
                        answers.append((entry, after))
                put_events(connection, events)
                put_records(connection, staged.items())
        except Exception as failed:  # noqa: BLE001  # this thread must live: others wait for its answers
            return [(entry, failed) for entry in batch], None
        return answers, staged

    def _forget_what_others_changed(self, connection: sqlite3.Connection) -> None:
        """Nobody else writes while a run holds the folder; should somebody all the same, no step is built on sand."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._open.clear()
            self._version = version

    def _let_ballast_go(self) -> bool:
        """Make room on a full disk; False if that was done already."""
        if self._full is not None:
            return False
        self._full = StorageFailed(
            f"The disk of {self._path.parent.parent} is full. Nothing more is submitted and nothing is lost; "
            "make room, then run the same command again."
        )
        self._ballast.unlink(missing_ok=True)
        return True

    def _after(
        self, connection: sqlite3.Connection, entry: _Entry, staged: Mapping[RequestKey, Record], at: float
    ) -> Record:
        """The record after the entry's event, which happened at *at*, and those before it in its transaction."""
        before = staged.get(entry.key) or self._open.get(entry.key)
        if before is None:
            with translated(self._path):  # a damaged record is this entry's own trouble
                before = records_of(connection, [entry.key]).get(entry.key, Record())
        if self._full is not None and before.state is not State.SUBMITTING:
            raise self._full  # what room is left is for the answers to submissions that are on their way
        return advance(before, entry.event, at=at, run_id=self._run_id)

    def _remember(self, staged: Mapping[RequestKey, Record]) -> None:
        for key, record in staged.items():
            if record.state in OPEN or record.state is State.PLANNED:
                self._open[key] = record
            else:
                self._open.pop(key, None)


def _tell(answers: Sequence[tuple[_Entry, Record | Exception]]) -> None:
    """Answer waiting coroutines from the writer's thread, all at once; one that no longer waits is left alone."""

    def tell() -> None:
        for entry, answer in answers:
            if entry.written.done():
                continue
            if isinstance(answer, Exception):
                entry.written.set_exception(answer)
            else:
                entry.written.set_result(answer)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        answers[0][0].written.get_loop().call_soon_threadsafe(tell)
