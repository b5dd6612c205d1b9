"""A journal seen from outside, while a run may be writing it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from batchgen.adapters.journal.database import (
    added_up,
    connect_to_look,
    event_json,
    keys_in,
    record_json,
    records_of,
    states_of,
    translated,
)
from batchgen.lifecycle import Event, Record, State
from batchgen.model import FailureKind, RequestKey, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many requests are in a state, and what they amount to."""

    requests: int
    images: int  #: stored
    attempts: int  #: POSTs that reached the API, or may have
    spent: int  #: images asked for that may have been paid for
    wasted: int  #: of those, images that will not come
    doubted: int  #: of those, images of POSTs whose answers were lost


class JournalView:
    """A journal read from outside, while a run may be writing it. Nothing is changed.

    Raises:
        UsageError: there is none.
        StorageFailed: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_to_look(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def records(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, Record]:
        """The records of those keys that have any events."""
        with translated(self._path):
            return records_of(self._connection, keys)

    def states(self, keys: Sequence[RequestKey]) -> Mapping[RequestKey, State]:
        """The states alone of those keys that have any events: far cheaper than their records."""
        with translated(self._path):
            return states_of(self._connection, keys)

    def tallies(self) -> Mapping[State, Tally]:
        """For each state that occurs, how many requests are in it."""
        names = ("requests", "images", "attempts", "spent", "wasted", "doubted")
        sums = ", ".join(f"sum({name})" for name in names[1:])
        sql = f"SELECT state, count(*), {sums} FROM records GROUP BY state"
        with translated(self._path):
            rows = self._connection.execute(sql).fetchall()
        return {State(state): Tally(**dict(zip(names, counts, strict=True))) for state, *counts in rows}

    def in_state(self, state: State, *, at_most: int) -> Mapping[RequestKey, Record]:
        """The first few requests in a state, by key."""
        sql = "SELECT request_key, record FROM records WHERE state = ? LIMIT ?"
        with translated(self._path):
            rows = self._connection.execute(sql, (state, at_most)).fetchall()
        return {RequestKey(key): record_json.validate_json(record) for key, record in rows}

    def oldest(self, states: frozenset[State], *, at_most: int) -> Mapping[RequestKey, Record]:
        """The requests in any of those states that were submitted first, in that order."""
        marks = ",".join("?" * len(states))
        sql = (
            f"SELECT request_key, record FROM records WHERE state IN ({marks})"
            " ORDER BY json_extract(record, '$.submitted_at') LIMIT ?"
        )
        with translated(self._path):
            rows = self._connection.execute(sql, (*sorted(states), at_most)).fetchall()
            return {RequestKey(key): record_json.validate_json(record) for key, record in rows}

    def failures(self) -> Mapping[FailureKind, int]:
        """How many requests have failed, by kind, most frequent first."""
        sql = (
            "SELECT json_extract(record, '$.failure.kind') AS kind, count(*) FROM records"
            " WHERE state = 'failed' AND kind IS NOT NULL GROUP BY kind ORDER BY count(*) DESC, kind"
        )
        with translated(self._path):
            return {FailureKind(kind): number for kind, number in self._connection.execute(sql)}

    def stored_lately(self, *, events: int, since: float) -> int:
        """Images stored since then, seconds since the epoch, as far as the newest *events* tell."""
        sql = (
            "SELECT coalesce(sum(json_array_length(event, '$.images')), 0) FROM"
            " (SELECT at, event FROM events WHERE seq > (SELECT max(seq) FROM events) - ?)"
            " WHERE at >= ? AND json_extract(event, '$.kind') = 'ImagesStored'"
        )
        with translated(self._path):
            return int(self._connection.execute(sql, (events, since)).fetchone()[0])

    def keys(self, states: frozenset[State]) -> Sequence[RequestKey]:
        """The keys of the requests in any of those states."""
        with translated(self._path):
            return keys_in(self._connection, states)

    def runs(self) -> Sequence[tuple[RunId, float]]:
        """Every run that began, oldest first, with its time in seconds since the epoch."""
        with translated(self._path):
            rows = self._connection.execute("SELECT run_id, started_at FROM runs ORDER BY started_at, rowid").fetchall()
        return [(RunId(run_id), at) for run_id, at in rows]

    def facts(self) -> Mapping[str, Any]:
        """What the newest run noted of itself when it began; empty if none ever did."""
        with translated(self._path):
            row = self._connection.execute("SELECT facts FROM runs ORDER BY started_at DESC, rowid DESC").fetchone()
            return {} if row is None else dict(json.loads(row[0]))

    def disputed(self) -> Iterator[tuple[RequestKey, list[tuple[float, Event]]]]:
        """All events, with their times, of each request that may have been paid for and not delivered; by key."""
        suspect = (
            "SELECT request_key FROM events"
            " WHERE json_extract(event, '$.kind') IN ('AnswerLost', 'JobFailed', 'GaveUp', 'ResultLost')"
            " OR coalesce(json_array_length(event, '$.missing'), 0) > 0"
            " UNION SELECT request_key FROM records WHERE state = 'submitting'"
        )
        sql = f"SELECT request_key, at, event FROM events WHERE request_key IN ({suspect}) ORDER BY request_key, seq"
        with translated(self._path):
            for key, steps in groupby(self._connection.execute(sql), key=lambda row: row[0]):
                yield RequestKey(key), [(at, event_json.validate_json(text)) for _, at, text in steps]

    def recounted(self) -> Iterator[tuple[RequestKey, Record | None, Record]]:
        """Each request's record as it is kept, and what its events add up to; by key, streamed.

        A record that is missing or cannot be read is None.

        Raises:
            StorageFailed: the file is damaged, or an event cannot be read.
        """
        with translated(self._path):
            self._must_be_whole()
            for key, record in added_up(self._connection):
                yield key, self._kept(key), record

    def _must_be_whole(self) -> None:
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)

    def _kept(self, key: str) -> Record | None:
        row = self._connection.execute("SELECT record FROM records WHERE request_key = ?", (key,)).fetchone()
        try:
            return None if row is None else record_json.validate_json(row[0])
        except ValueError:
            return None

    def has_run(self, run_id: RunId) -> bool:
        """Whether that run was begun."""
        with translated(self._path):
            return self._connection.execute("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)).fetchone() is not None

    def has_event(self, key: RequestKey, kind: str, *, run_id: RunId) -> bool:
        """Whether that run noted such an event of the request; quick if it is among the newest."""
        sql = (
            "SELECT 1 FROM events WHERE request_key = ? AND run_id = ? AND json_extract(event, '$.kind') = ?"
            " ORDER BY seq DESC LIMIT 1"
        )
        with translated(self._path):
            return self._connection.execute(sql, (key, run_id, kind)).fetchone() is not None

    def last_event(self) -> int:
        """The number of the newest event; 0 if there is none. Equal numbers mean an unchanged batch."""
        with translated(self._path):
            return int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])
