"""A table for each split beside the index, for loaders that take a split for a set of files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchgen.errors import StorageFailed
from batchgen.flushing import flush_file
from batchgen.index.columns import DEFAULT_SPLIT
from batchgen.index.grouping import GROUP, GroupedWriter
from batchgen.index.reading import batches

#: No word that loaders guess splits from stands between their separators here: neither in this nor before a split.
_PREFIX, _SUFFIX = "split+", ".parquet"


def split_table(split: str) -> str:
    """The name of the table of a split, in the index's folder."""
    return f"{_PREFIX}{split}{_SUFFIX}"


def split_of(rows: pa.RecordBatch) -> pa.Array:
    """The split of each row; rows without one are in the first that loaders know."""
    return pc.fill_null(rows["split"], DEFAULT_SPLIT)


def splits(path: Path) -> list[str]:
    """The splits of an index, sorted; none if its batch makes none.

    Raises:
        StorageFailed: it cannot be read.
    """
    found: set[str] = set()
    some = False
    for rows in batches(path, ["split"]):
        found.update(split_of(rows).unique().to_pylist())
        some = some or rows["split"].null_count < rows.num_rows
    return sorted(found) if some else []


def write_splits(path: Path) -> None:
    """Write the tables of an index whose batch makes splits, and remove those of splits that are no more.

    Raises:
        StorageFailed: the index cannot be read, or the disk does not take them.
    """
    names = splits(path)
    try:
        if names:
            _write(path, names)
        for table in path.parent.glob(f"{_PREFIX}*{_SUFFIX}"):
            if table.name not in map(split_table, names):
                table.unlink()
    except OSError as error:
        raise StorageFailed(
            f"The tables of the splits in {path.parent} cannot be written: {error}. Nothing else is lost; "
            "make room and run the same command again."
        ) from error


def _write(path: Path, names: Sequence[str]) -> None:
    schema = pq.read_schema(path)
    parts = {split: path.with_name(f".{split_table(split)}.part") for split in names}
    with contextlib.ExitStack() as left_over:
        for part in parts.values():
            left_over.callback(part.unlink, missing_ok=True)
        with contextlib.ExitStack() as opened:
            writers = {
                split: opened.enter_context(GroupedWriter.opened(part, schema, group=GROUP // len(names)))
                for split, part in parts.items()
            }
            for split, rows in _by_split(path):
                writers[split].add(pa.Table.from_batches([rows]))
        for split, part in parts.items():
            flush_file(part)
            part.replace(path.with_name(split_table(split)))


def _by_split(path: Path) -> Iterator[tuple[str, pa.RecordBatch]]:
    for rows in batches(path):
        splits = split_of(rows)
        for split in sorted(splits.unique().to_pylist()):
            yield split, rows.filter(pc.equal(splits, split))
