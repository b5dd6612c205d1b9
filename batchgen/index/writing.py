"""Writes the index, a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from batchgen.checks import DuplicateCheck
from batchgen.errors import StorageFailed
from batchgen.firsts import Firsts, FirstsInMemory
from batchgen.flushing import flush_file
from batchgen.index.columns import FACTS, SCHEMA_VERSION, STAMP, VERSION, schema
from batchgen.index.grouping import GroupedWriter
from batchgen.index.tables import table
from batchgen.lifecycle import Record
from batchgen.likeness import NONE, LookAlikes, Names
from batchgen.model import BatchFacts, Request, RequestKey

#: Requests whose rows are made together.
_AT_ONCE = 1_000


def write(
    path: Path,
    requests: Iterable[Request],
    records: Callable[[Sequence[RequestKey]], Mapping[RequestKey, Record]],
    *,
    facts: BatchFacts,
    label_types: Mapping[str, str],
    stamp: str,
    firsts: Callable[[], Firsts] = FirstsInMemory,
) -> None:
    """Write the index so that it is there whole or not at all; the same input gives the same bytes.

    Args:
        requests: in plan order; streamed.
        records: the journal's records of some keys.
        stamp: names what the index was made from; see `is_current`.
        firsts: remembers the hashes of all images; in memory, by default.

    Raises:
        StorageFailed: the disk does not take it.
    """
    arrow = schema(label_types, facts.scores).with_metadata(
        {
            VERSION: str(SCHEMA_VERSION),
            b"batchgen.version": version("batchgen"),
            b"batchgen.manifest_sha256": facts.manifest_sha256,
            FACTS: facts.to_json(),
            STAMP: stamp,
        }
    )
    part = path.with_name(f".{path.name}.part")
    try:
        with GroupedWriter.opened(part, arrow) as writer, firsts() as met:
            duplicates = _Duplicates(met)
            for some in _several(requests):
                known = records([request.key for request in some])
                rows = table(some, known, facts=facts, label_types=label_types, schema=arrow)
                writer.add(duplicates.marked(rows) if facts.duplicates is not DuplicateCheck.OFF else rows)
        flush_file(part)
        part.replace(path)
    except OSError as error:
        raise StorageFailed(
            f"The index {path} cannot be written: {error}. The images and the journal are safe; "
            "make room and run the same command again."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _several(requests: Iterable[Request]) -> Iterator[list[Request]]:
    stream = iter(requests)
    while some := list(islice(stream, _AT_ONCE)):
        yield some


class _Duplicates:
    """Which images of the rows so far are the same, and which look it.

    Args:
        firsts: remembers by its hash who had an image first.
    """

    def __init__(self, firsts: Firsts) -> None:
        self._firsts = firsts
        self._look_alikes = LookAlikes()
        self._names = Names()

    def marked(self, rows: pa.Table) -> pa.Table:
        """The rows, to be given in plan order, with what is said of duplicates."""
        positions = np.flatnonzero(rows["file_name"].is_valid())
        images = rows.select(["file_name", "delivered_sha256", "phash"]).take(pa.array(positions))
        names = images["file_name"].to_pylist()
        found = {
            "duplicate_of": list(map(self._firsts.meet, images["delivered_sha256"].to_pylist(), names)),
            "near_duplicate_of": self._alike(names, images["phash"].to_pylist()),
        }
        for column, told in found.items():
            values: list[str | None] = [None] * rows.num_rows
            for position, value in zip(positions.tolist(), told, strict=True):
                values[position] = value
            rows = rows.set_column(rows.schema.get_field_index(column), column, [pa.array(values, pa.string())])
        return rows

    def _alike(self, names: Sequence[str], hashes: Sequence[str | None]) -> list[str | None]:
        """For each image the name of the earlier one that it looks like; one that was not decoded looks like none."""
        seen = [(at, name, int(phash, 16)) for at, (name, phash) in enumerate(zip(names, hashes, strict=True)) if phash]
        self._names.extend(name for _, name, _ in seen)
        like: list[str | None] = [None] * len(names)
        numbers = self._look_alikes.meet(np.array([phash for *_, phash in seen], np.uint64))
        for (at, *_), number in zip(seen, numbers.tolist(), strict=True):
            like[at] = None if number == NONE else self._names[number]
        return like
