"""Which rows of an index are exported, in what order, and in which split: filter, split, shuffle, limit, in that order.

Memory holds the position of each chosen row and little more; the rows themselves are streamed.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchgen import index
from batchgen.errors import UsageError
from batchgen.manifest import is_split
from batchgen.model import Status

#: One row of the index.
Row = dict[str, Any]
Positions = npt.NDArray[np.int64]

_FIRST_SPLITS = ("train", "validation", "test")
_POSITION = "__position__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user wants of a batch."""

    where: str | None = None  #: an SQL condition over the columns; None for all rows
    split: str | None = None  #: only this part; None for all
    seed: int | None = None  #: shuffle, and how; None for plan order
    limit: int | None = None  #: rows at most, of all splits together; None for all


class Selection:
    """The chosen rows of an index, by split.

    Args:
        path: the index.
        order: positions of all chosen rows in the order wanted.
        splits: split -> those of its rows, in that order; none is empty.
    """

    def __init__(self, path: Path, order: Positions, splits: Mapping[str, Positions]) -> None:
        self.path = path
        self._order = order
        self._splits = splits
        self._spool: Spool | None = None

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows of each split; train, validation and test come first."""
        return {name: len(positions) for name, positions in self._splits.items()}

    @property
    def fingerprint(self) -> str:
        """Equal for the same rows of an index in the same order and splits; 64 hex digits."""
        found = sha256(self._order.tobytes())
        for name, positions in self._splits.items():
            found.update(f"{name} {len(positions)}\n".encode())
            found.update(positions.tobytes())
        return found.hexdigest()

    def rows(self, split: str | None = None, *, skip: int = 0) -> Iterator[Row]:
        """The rows of a split, or of all, in the order wanted but for the first few."""
        positions = self.positions(split)[skip:]
        if bool(np.all(positions[:-1] < positions[1:])):
            return index.read(self.path, only=positions)
        if self._spool is None:
            ascending = np.sort(self._order)
            self._spool = Spool(index.read(self.path, only=ascending), ascending)
        return map(self._spool.row, positions)

    def positions(self, split: str | None = None) -> Positions:
        """Where the rows of a split, or of all, stand in the index, in the order wanted."""
        return self._order if split is None else self._splits[split]

    def survey(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """All chosen rows in the order of the index, which is the quickest way to see them."""
        return index.read(self.path, columns, only=np.sort(self._order))

    def close(self) -> None:
        """Let go of the rows on disk."""
        if self._spool is not None:
            self._spool.close()

    def only(self, split: str, positions: Positions) -> Selection:
        """Some rows of one split."""
        return Selection(self.path, positions, {split: positions})


class Spool:
    """Rows that can be had in any order: they lie in a file without a name, which dies with the process.

    Args:
        rows: as many as there are positions.
        positions: ascending.
    """

    def __init__(self, rows: Iterator[Row], positions: Positions) -> None:
        self._file = TemporaryFile()  # noqa: SIM115  # until `close`
        self._positions = positions
        starts = array("q")
        for row in rows:
            starts.append(self._file.tell())
            pickle.dump(row, self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self._starts = starts

    def row(self, position: np.int64) -> Row:
        """The row that stands at a position."""
        self._file.seek(self._starts[int(self._positions.searchsorted(position))])
        row: Row = pickle.load(self._file)
        return row

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def select(path: Path, choice: Choice, *, images_only: bool) -> Selection:
    """Choose rows.

    A shuffled order depends on the seed, the request key and the sample alone: rows keep their order among each other
    when others come or go.

    Args:
        path: the index.
        images_only: leave out rows without an image.

    Raises:
        UsageError: the condition cannot be evaluated, or a split has no row or a name that no loader takes.
        StorageFailed: the index cannot be read.
    """
    matching = None if choice.where is None else _matching(path, choice.where)
    positions, codes, draws = array("q"), array("H"), array("Q")
    names: dict[str, int] = {}
    wanted = ["status", "file_name", "split", "request_key", "sample_index"]
    for position, row in enumerate(index.read(path, wanted)):
        split = row["split"] or index.DEFAULT_SPLIT
        names.setdefault(split, len(names))
        if _is_chosen(row, choice, split, images_only) and (matching is None or matching[position]):
            positions.append(position)
            codes.append(names[split])
            draws.append(0 if choice.seed is None else _draw(choice.seed, row))
    _check_splits(names, choice)
    order = np.argsort(np.array(draws, np.uint64), kind="stable")[: choice.limit]
    chosen, code = np.array(positions, np.int64)[order], np.array(codes, np.uint16)[order]
    splits = {name: chosen[code == names[name]] for name in sorted(names, key=_place)}
    filled = {name: found for name, found in splits.items() if found.size}
    return Selection(path, chosen, filled)


def _is_chosen(row: Row, choice: Choice, split: str, images_only: bool) -> bool:
    if images_only and (row["status"] != Status.STORED or row["file_name"] is None):
        return False
    return choice.split in (None, split)


def _draw(seed: int, row: Row) -> int:
    text = f"{seed}/{row['request_key']}/{row['sample_index']}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _check_splits(names: Mapping[str, int], choice: Choice) -> None:
    for name in names:
        if not is_split(name):
            raise UsageError(
                f"The batch has a split {name!r}, which is no name that loaders take. "
                "Choose another with --split, or leave it out with --where."
            )
    if choice.split is not None and choice.split not in names:
        there = ", ".join(sorted(names)) or "none"
        raise UsageError(f"The batch has no split {choice.split!r}; it has: {there}.")


def _place(split: str) -> tuple[int, str]:
    return (_FIRST_SPLITS.index(split) if split in _FIRST_SPLITS else len(_FIRST_SPLITS), split)


def _matching(path: Path, where: str) -> npt.NDArray[np.bool_]:
    """For each row of the index whether the condition holds; the condition can reach nothing but the row."""
    try:
        import duckdb
    except ImportError as error:
        raise UsageError(
            "--where needs DuckDB, which is not installed. Run `pip install 'batchgen[duckdb]'`, or leave it out."
        ) from error
    schema = index.read_schema(path)
    numbered = pa.RecordBatchReader.from_batches(
        schema.append(pa.field(_POSITION, pa.int64())), _numbered(index.batches(path))
    )
    try:
        with duckdb.connect(config={"enable_external_access": False}) as connection:
            rows = connection.from_arrow(numbered).filter(where).project(f'"{_POSITION}"')
            found = rows.fetchnumpy()[_POSITION]
    except duckdb.Error as error:
        raise UsageError(
            f"--where {where!r} cannot be evaluated: {error}\nThe columns are: {', '.join(schema.names)}."
        ) from error
    mask = np.zeros(index.rows(path), np.bool_)
    mask[found] = True
    return mask


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = 0
    for batch in batches:
        positions = pa.array(np.arange(first, first + batch.num_rows))
        yield batch.append_column(pa.field(_POSITION, pa.int64()), positions)
        first += batch.num_rows
