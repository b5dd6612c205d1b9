"""An index that is there: its rows, what they amount to, and what it says of itself."""

from __future__ import annotations

# pyarrow imports it in the midst of reading, and takes an interrupt there for a sign that it is not installed.
import zoneinfo  # noqa: F401
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchgen.errors import StorageFailed
from batchgen.index.columns import COLUMNS, FACTS, SCHEMA_VERSION, STAMP, VERSION
from batchgen.model import BatchFacts, Status
from batchgen.streaming import streamed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Rows that are dicts at one time; 2,000 of them would be 6 MB.
_DICTS = 200


def read(
    path: Path, columns: Sequence[str] | None = None, *, only: npt.NDArray[np.int64] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of an index, one dict each, streamed.

    Args:
        columns: None for all.
        only: positions of the rows wanted, 0-based, ascending; None for all.

    Raises:
        StorageFailed: not there or not readable.
    """
    for batch in batches(path, columns, only=only):
        for first in range(0, batch.num_rows, _DICTS):
            yield from batch.slice(first, _DICTS).to_pylist()


def batches(
    path: Path, columns: Sequence[str] | None = None, *, only: npt.NDArray[np.int64] | None = None
) -> Iterator[pa.RecordBatch]:
    """As `read`, as record batches of at most 2,000 rows."""
    first = 0
    try:
        with streamed(path) as file:
            for batch in file.iter_batches(batch_size=2_000, columns=columns):
                if only is None:
                    yield batch
                else:
                    wanted = only[slice(*only.searchsorted([first, first + batch.num_rows]))] - first
                    if wanted.size:
                        yield batch.take(pa.array(wanted))
                first += batch.num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from error


def read_schema(path: Path) -> pa.Schema:
    """The columns of an index and their types, without metadata.

    Raises:
        StorageFailed: not there or not readable.
    """
    try:
        return pq.read_schema(path).remove_metadata()
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from error


def rows(path: Path) -> int:
    """How many rows an index has.

    Raises:
        StorageFailed: not there or not readable.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from error


def is_current(path: Path, stamp: str) -> bool:
    """Whether there is an index with the columns of this version, made from just that."""
    return _metadata(path).get(VERSION) == str(SCHEMA_VERSION).encode() and stamp_of(path) == stamp


def stamp_of(path: Path) -> str | None:
    """From what an index was made, as it was told when it was written; None if nothing there says so."""
    stamp = _metadata(path).get(STAMP)
    return None if stamp is None else stamp.decode()


def _metadata(path: Path) -> Mapping[bytes, bytes]:
    """What an index says of itself; nothing if there is none."""
    try:
        return pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return {}


def counts(path: Path) -> dict[Status, int]:
    """Samples by status; every status is there, if only with 0.

    Raises:
        StorageFailed: not there or not readable.
    """
    found = dict.fromkeys(Status, 0)
    for batch in batches(path, ["status"]):
        for status, number in zip(*pc.value_counts(batch.column(0)).flatten(), strict=True):
            found[Status(status.as_py())] += number.as_py()
    return found


def findings(path: Path) -> dict[str, int]:
    """How many stored images have each finding of a check; none where there is none.

    Raises:
        StorageFailed: not there or not readable.
    """
    found: Counter[str] = Counter()
    for row in read(path, ["status", "checks"]):
        if row["checks"] and row["status"] == Status.STORED:
            found.update(row["checks"].split(","))
    return dict(sorted(found.items()))


def replacements(path: Path) -> tuple[int, int]:
    """How many rejected images have another one in their place, and how many have none.

    Raises:
        StorageFailed: not there or not readable.
    """
    if not counts(path)[Status.REJECTED]:
        return 0, 0
    rejected, filled = set(), set()
    for row in read(path, ["request_key", "sample_index", "status", "replaces"]):
        place = (row["replaces"] or row["request_key"], row["sample_index"])
        if row["status"] == Status.REJECTED:
            rejected.add(place)
        elif row["status"] == Status.STORED and row["replaces"]:
            filled.add(place)
    return len(rejected & filled), len(rejected - filled)


def failed_requests(path: Path) -> int:
    """Requests of which no sample was stored although the API was asked: those that can be tried again.

    Raises:
        StorageFailed: not there or not readable.
    """
    if not counts(path)[Status.FAILED]:  # as most often, and far quicker to know
        return 0
    samples = groupby(read(path, ["request_key", "status"]), key=lambda row: row["request_key"])
    return sum(all(row["status"] == Status.FAILED for row in rows) for _, rows in samples)


def read_facts(path: Path) -> tuple[BatchFacts, tuple[str, ...]]:
    """What an index says of its batch, and the names of its label columns.

    Raises:
        StorageFailed: not there, or not written by batchgen.
    """
    try:
        arrow = pq.read_schema(path)
        facts = BatchFacts.from_json((arrow.metadata or {})[FACTS])
    except KeyError as error:
        raise _unreadable(path, "it was not written by batchgen") from error
    except (OSError, pa.ArrowInvalid, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    return facts, tuple(name for name in arrow.names if name not in COLUMNS)


def _unreadable(path: Path, why: object) -> StorageFailed:
    return StorageFailed(
        f"The index {path} cannot be read ({why}). `batchgen check {path.parent} --repair` makes it anew, for nothing; "
        "so does a run of the manifest."
    )
