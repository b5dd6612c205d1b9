"""The journal in SQLite: append-only events, and for each request the record that they add up to.

One thread writes. Events that arrive while a transaction is being made durable share the next one, so that a
thousand requests in flight cost a handful of fsyncs. WAL mode, `synchronous=FULL`: what `record` has returned
survives a power cut. Only this module knows SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from batchgen.errors import StorageFailed
from batchgen.lifecycle import OPEN, Event, IllegalStep, Record, State, advance
from batchgen.model import RequestKey, RunId

#: "bgen": says what kind of file it is, to `file` and to us.
_APPLICATION_ID = 0x6267656E
_VERSION = 1
_SCHEMA = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    started_at REAL NOT NULL,           -- seconds since the epoch, UTC
    facts TEXT NOT NULL                 -- JSON: what was run, with what
) STRICT;
CREATE TABLE events (                   -- append-only: rows are never changed or removed
    seq INTEGER PRIMARY KEY,
    request_key TEXT NOT NULL,
    at REAL NOT NULL,                   -- seconds since the epoch, UTC
    run_id TEXT NOT NULL,
    event TEXT NOT NULL                 -- JSON, its `kind` says which
) STRICT;
CREATE TABLE records (                  -- what the events of each request add up to
    request_key TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    images INTEGER NOT NULL,            -- stored
    attempts INTEGER NOT NULL,
    record TEXT NOT NULL                -- JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX records_by_state ON records (state, images, attempts);
"""
#: Keys in one query; SQLite's own limit is far above.
_KEYS_AT_ONCE = 500

_event_json: TypeAdapter[Event] = TypeAdapter(Event)
_record_json: TypeAdapter[Record] = TypeAdapter(Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many requests are in a state, and what they amount to."""

    requests: int
    images: int  #: stored
    attempts: int  #: POSTs that reached the API, or may have


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
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._reader = _connect(path)
        self._connection = _connect(path)
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
        self._entries.put(None)
        self._writer.join()
        self._reader.close()

    async def record(self, key: RequestKey, event: Event) -> Record:
        """Add the event; returns once it would survive a power cut. See `ports.Journal`."""
        written: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._entries.put(_Entry(key, event, written))
        return await written

    def records(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, Record]:
        """The records of those keys that have any events."""
        with self._reading, _translated(self._path):
            return _records(self._reader, keys)

    def unfinished(self) -> Sequence[RequestKey]:
        """The keys of requests at which the API may hold something paid for."""
        with self._reading, _translated(self._path):
            return _in_states(self._reader, OPEN)

    def trace(self, told: Callable[[str], None]) -> None:
        """Have each SQL statement of the writer told, in its thread; for tests and diagnosis."""
        self._connection.set_trace_callback(told)

    def begin_run(self, facts: str) -> None:
        """Note that this run has begun.

        Args:
            facts: a JSON object.
        """
        with self._reading, _translated(self._path), self._reader:
            row = (self._run_id, self._clock(), facts)
            self._reader.execute("INSERT INTO runs (run_id, started_at, facts) VALUES (?, ?, ?)", row)

    def _write_all(self) -> None:
        with contextlib.closing(self._connection) as connection:
            while (first := self._entries.get()) is not None:
                batch, more = self._gather(first)
                self._write(connection, batch)
                if not more:
                    return

    def _gather(self, first: _Entry) -> tuple[list[_Entry], bool]:
        """All entries that wait by now, and whether more may come."""
        batch = [first]
        while True:
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                return batch, True
            if entry is None:
                return batch, False
            batch.append(entry)

    def _write(self, connection: sqlite3.Connection, batch: list[_Entry]) -> None:
        """One transaction; each entry learns what became of it, and memory changes only if the disk did."""
        answers: list[tuple[_Entry, Record | Exception]] = []
        staged: dict[RequestKey, Record] = {}
        try:
            with _translated(self._path), connection:
                connection.execute("BEGIN IMMEDIATE")
                for entry in batch:
                    try:
                        after = self._append(connection, entry, staged)
                    except IllegalStep as illegal:
                        answers.append((entry, illegal))
                    else:
                        answers.append((entry, after))
        except StorageFailed as failed:
            answers = [(entry, failed) for entry in batch]
        else:
            self._remember(staged)
        for entry, answer in answers:
            _tell(entry.written, answer)

    def _append(self, connection: sqlite3.Connection, entry: _Entry, staged: dict[RequestKey, Record]) -> Record:
        before = staged.get(entry.key) or self._open.get(entry.key)
        if before is None:
            before = _records(connection, [entry.key]).get(entry.key, Record())
        at = self._clock()
        after = advance(before, entry.event, at=at, run_id=self._run_id)
        connection.execute(
            "INSERT INTO events (request_key, at, run_id, event) VALUES (?, ?, ?, ?)",
            (entry.key, at, self._run_id, _event_json.dump_json(entry.event).decode()),
        )
        connection.execute(
            "INSERT INTO records (request_key, state, images, attempts, record) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (request_key) DO UPDATE SET state = excluded.state, images = excluded.images,"
            " attempts = excluded.attempts, record = excluded.record",
            (entry.key, after.state, len(after.images), after.attempts, _record_json.dump_json(after).decode()),
        )
        staged[entry.key] = after
        return after

    def _remember(self, staged: Mapping[RequestKey, Record]) -> None:
        for key, record in staged.items():
            if record.state in OPEN or record.state is State.PLANNED:
                self._open[key] = record
            else:
                self._open.pop(key, None)


class JournalView:
    """A journal read from outside, while a run may be writing it. Nothing is changed.

    Raises:
        StorageFailed: there is none, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = _connect_to_look(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def records(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, Record]:
        """The records of those keys that have any events."""
        with _translated(self._path):
            return _records(self._connection, keys)

    def tallies(self) -> Mapping[State, Tally]:
        """For each state that occurs, how many requests are in it."""
        sql = "SELECT state, count(*), sum(images), sum(attempts) FROM records GROUP BY state"
        with _translated(self._path):
            rows = self._connection.execute(sql).fetchall()
        return {State(state): Tally(requests=n, images=images, attempts=tries) for state, n, images, tries in rows}

    def in_state(self, state: State, *, at_most: int) -> Mapping[RequestKey, Record]:
        """The first few requests in a state, by key."""
        sql = "SELECT request_key, record FROM records WHERE state = ? LIMIT ?"
        with _translated(self._path):
            rows = self._connection.execute(sql, (state, at_most)).fetchall()
        return {RequestKey(key): _record_json.validate_json(record) for key, record in rows}

    def runs(self) -> Sequence[tuple[RunId, float]]:
        """Every run that began, oldest first, with its time in seconds since the epoch."""
        with _translated(self._path):
            rows = self._connection.execute("SELECT run_id, started_at FROM runs ORDER BY started_at, rowid").fetchall()
        return [(RunId(run_id), at) for run_id, at in rows]

    def last_event(self) -> int:
        """The number of the newest event; 0 if there is none. Equal numbers mean an unchanged batch."""
        with _translated(self._path):
            return int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    with _translated(path):
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            version = _known_version(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if version == 0:
                _create(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _connect_to_look(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StorageFailed(f"{path.parent.parent} holds no batch: {path.name} is missing. Name a batch folder.")
    with _translated(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            if _known_version(connection, path) == 0:
                raise StorageFailed(f"{path} is empty: no run has begun in this folder yet.")
        except BaseException:
            connection.close()
            raise
    return connection


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > _VERSION:
        raise StorageFailed(
            f"{path} was written by a newer batchgen (journal version {version}, this one knows {_VERSION}). "
            "Nothing was changed; upgrade batchgen and run the same command again."
        )
    return version


def _create(connection: sqlite3.Connection) -> None:
    # One transaction: a crash leaves either no journal or a whole one.
    connection.executescript(
        f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION}; COMMIT;"
    )


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StorageFailed(
            f"The journal {path} cannot be used: {error}. Nothing that it holds is lost; "
            "see that the disk has room and the file is whole, then run the same command again."
        ) from error


def _records(connection: sqlite3.Connection, keys: Sequence[RequestKey]) -> dict[RequestKey, Record]:
    found: dict[RequestKey, Record] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        marks = ",".join("?" * len(some))
        sql = f"SELECT request_key, record FROM records WHERE request_key IN ({marks})"
        found.update((RequestKey(key), _record_json.validate_json(text)) for key, text in connection.execute(sql, some))
    return found


def _in_states(connection: sqlite3.Connection, states: frozenset[State]) -> list[RequestKey]:
    marks = ",".join("?" * len(states))
    sql = f"SELECT request_key FROM records WHERE state IN ({marks})"
    return [RequestKey(key) for (key,) in connection.execute(sql, sorted(states))]


def _tell(written: asyncio.Future[Record], answer: Record | Exception) -> None:
    """Answer a waiting coroutine from the writer's thread; one that no longer waits is left alone."""

    def tell() -> None:
        if written.done():
            return
        if isinstance(answer, Exception):
            written.set_exception(answer)
        else:
            written.set_result(answer)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        written.get_loop().call_soon_threadsafe(tell)
