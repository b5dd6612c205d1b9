"""The database under the journal: its schema, how it is opened, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pydantic import TypeAdapter

from batchgen.errors import StorageFailed, UsageError
from batchgen.lifecycle import Event, IllegalStep, Record, State, advance
from batchgen.model import RequestKey, RunId

#: "bgen": says what kind of file it is, to `file` and to us.
_APPLICATION_ID = 0x6267656E
#: Of runs, events and records together. What an older version kept of runs and events is read; its records are added up
#: anew.
_VERSION = 4
_FACTS = """
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
"""
_RECORDS = """
CREATE TABLE records (                  -- what the events of each request add up to, those in flight side by side
    request_key TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    images INTEGER NOT NULL,            -- stored
    attempts INTEGER NOT NULL,
    spent INTEGER NOT NULL,             -- images asked for that may have been paid for
    wasted INTEGER NOT NULL,            -- of those, images that will not come
    doubted INTEGER NOT NULL,           -- of those, images of which nobody knows
    record TEXT NOT NULL                -- JSON
) STRICT;
CREATE INDEX records_by_state ON records (state, images, attempts, spent, wasted, doubted);
"""
#: Bytes kept free for the answers of some hundred submissions, each of which may take a transaction of its own.
_BALLAST = 8 * 2**20
#: Keys in one query; SQLite's own limit is far above.
_KEYS_AT_ONCE = 500
#: A row stays where it is: one that moved would have the index of keys written anew at each step.
_PUT_RECORD = """
INSERT INTO records (request_key, state, images, attempts, spent, wasted, doubted, record)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (request_key) DO UPDATE SET
    state = excluded.state, images = excluded.images, attempts = excluded.attempts, spent = excluded.spent,
    wasted = excluded.wasted, doubted = excluded.doubted, record = excluded.record
"""
_STATES = {state.value: state for state in State}

event_json: TypeAdapter[Event] = TypeAdapter(Event)
record_json: TypeAdapter[Record] = TypeAdapter(Record)


def connect(path: Path) -> sqlite3.Connection:
    """The journal at *path*, made if it is not there, and brought up to date if an older version wrote it."""
    with translated(path):
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            version = _known_version(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if version == 0:
                _create(connection)
            elif version < _VERSION:
                _bring_up_to_date(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_to_look(path: Path) -> sqlite3.Connection:
    """The journal at *path*, read only."""
    if not path.parent.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent.parent}. Name a batch folder.")
    if not path.is_file():
        raise UsageError(f"{path.parent.parent} holds no batch: {path.name} is missing. Name a batch folder.")
    with translated(path):
        connection = sqlite3.connect(_address_to_look(path), uri=True, timeout=30)
        try:
            version = _known_version(connection, path)
            if version == 0:
                raise StorageFailed(f"{path} is empty: no run has begun in this folder yet.")
            if version < _VERSION:
                raise StorageFailed(
                    f"{path} was written by an older batchgen (journal version {version}, this one knows {_VERSION}). "
                    "Nothing was changed and nothing is lost; a run of the manifest brings it up to date, "
                    "with --max-images 0 without submitting anything."
                )
        except BaseException:
            connection.close()
            raise
    return connection


def _address_to_look(path: Path) -> str:
    address = f"{path.absolute().as_uri()}?mode=ro"
    writes_wait = path.with_name(f"{path.name}-wal").exists()
    if not writes_wait and not os.access(path.parent, os.W_OK):
        address += "&immutable=1"  # SQLite makes files beside it even to read, unless nobody can write
    return address


def fill(ballast: Path) -> None:
    """Take the space now, while nothing has been paid for that would need it."""
    try:
        if not ballast.exists() or ballast.stat().st_size < _BALLAST:
            with ballast.open("wb") as file:
                file.write(os.urandom(_BALLAST))  # what a disk could compress would keep no room
                os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            ballast.unlink(missing_ok=True)
        raise StorageFailed(
            f"The disk of {ballast.parent} has no room to begin: {error.strerror or error}. "
            "Nothing was sent; make room, then run the same command again."
        ) from error


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    """The journal's version; 0 if it is yet to be made."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise StorageFailed(f"{path} is not a journal of batchgen. Put the journal back, or name another --out.")
    if version > _VERSION:
        raise StorageFailed(
            f"{path} was written by a newer batchgen (journal version {version}, this one knows {_VERSION}). "
            "Nothing was changed; upgrade batchgen and run the same command again."
        )
    return version


def is_full(answer: Record | Exception) -> bool:
    """Whether something could not be written because the disk took no more."""
    cause = answer.__cause__ if isinstance(answer, StorageFailed) else None
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _create(connection: sqlite3.Connection) -> None:
    # One transaction: a crash leaves either no journal or a whole one.
    connection.executescript(
        f"BEGIN; {_FACTS} {_RECORDS}"
        f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION}; COMMIT;"
    )


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Keep runs and events as they are, and make the records anew; in one transaction, as `_create`."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("DROP TABLE IF EXISTS records")
        for statement in _RECORDS.split(";")[:-1]:
            connection.execute(statement)
        put_records(connection, added_up(connection))
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except ValueError as error:
        raise StorageFailed(
            f"{path} was written by an older batchgen, and this one cannot read all of it: {error}. "
            "Nothing was changed; go on with the batchgen that wrote it, or name another --out."
        ) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def added_up(connection: sqlite3.Connection) -> Iterator[tuple[RequestKey, Record]]:
    """What the events of each request amount to; by key, streamed.

    Raises:
        ValueError: an event cannot be read, or cannot follow those before it.
    """
    events = connection.execute("SELECT request_key, seq, at, run_id, event FROM events ORDER BY request_key, seq")
    for key, steps in groupby(events, key=lambda row: row[0]):
        record = Record()
        for _, number, at, run_id, text in steps:
            try:
                record = advance(record, event_json.validate_json(text), at=at, run_id=RunId(run_id))
            except (ValueError, IllegalStep) as error:
                raise ValueError(f"its event {number} makes no sense") from error
        yield RequestKey(key), record


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let what SQLite says, or a record that is no JSON, be a StorageFailed."""
    try:
        yield
    except (sqlite3.DatabaseError, ValueError) as error:
        raise StorageFailed(
            f"The journal {path} cannot be used: {error}. Nothing that it holds is lost; "
            "see that the disk has room and the file is whole, then run the same command again."
        ) from error


def records_of(connection: sqlite3.Connection, keys: Sequence[RequestKey]) -> dict[RequestKey, Record]:
    """The records of those keys that have any events."""
    found: dict[RequestKey, Record] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        marks = ",".join("?" * len(some))
        sql = f"SELECT request_key, record FROM records WHERE request_key IN ({marks})"
        found.update((RequestKey(key), record_json.validate_json(text)) for key, text in connection.execute(sql, some))
    return found


def put_events(connection: sqlite3.Connection, events: Iterable[tuple[RequestKey, float, RunId, Event]]) -> None:
    """Append events: of whom, when in seconds since the epoch, in which run, and what."""
    connection.executemany(
        "INSERT INTO events (request_key, at, run_id, event) VALUES (?, ?, ?, ?)",
        ((key, at, run_id, event_json.dump_json(event).decode()) for key, at, run_id, event in events),
    )


def put_records(connection: sqlite3.Connection, records: Iterable[tuple[RequestKey, Record]]) -> None:
    """Let those be the requests' records."""
    connection.executemany(_PUT_RECORD, (_row(key, record) for key, record in records))


def _row(key: RequestKey, record: Record) -> tuple[object, ...]:
    counts = (record.stored, record.attempts, record.spent, record.wasted, record.doubted)
    return key, record.state, *counts, record_json.dump_json(record).decode()


def states_of(connection: sqlite3.Connection, keys: Sequence[RequestKey]) -> dict[RequestKey, State]:
    """The states of those keys that have any events."""
    found: dict[RequestKey, State] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        marks = ",".join("?" * len(some))
        sql = f"SELECT request_key, state FROM records WHERE request_key IN ({marks})"
        found.update((RequestKey(key), _STATES[state]) for key, state in connection.execute(sql, some))
    return found


def keys_in(connection: sqlite3.Connection, states: frozenset[State]) -> list[RequestKey]:
    """The keys of the requests in any of those states."""
    marks = ",".join("?" * len(states))
    sql = f"SELECT request_key FROM records WHERE state IN ({marks})"
    return [RequestKey(key) for (key,) in connection.execute(sql, sorted(states))]
