"""Row groups of a Parquet file by the memory that they take, however long the file becomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

#: Bytes in Arrow from which on rows make a row group: two to seven thousand rows. Of each group of an index Parquet
#: keeps 60 KB of what it says of it, in whoever writes the file and in whoever reads it.
GROUP = 4 * 1024 * 1024


class GroupedWriter:
    """Writes a table that comes in pieces; the same pieces give the same bytes.

    Args:
        group: bytes from which on rows make a row group.
    """

    def __init__(self, writer: pq.ParquetWriter, *, group: int = GROUP) -> None:
        self._writer = writer
        self._group = group
        self._pieces: list[pa.Table] = []

    @classmethod
    @contextmanager
    def opened(cls, path: Path, schema: pa.Schema, *, group: int = GROUP) -> Iterator[Self]:
        """Within, rows can be added; all of them are in the file once it is left without an error."""
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            grouped = cls(writer, group=group)
            yield grouped
            grouped._write()

    def add(self, rows: pa.Table) -> None:
        """Write these rows behind the others, at once or later."""
        self._pieces.append(rows)
        if sum(piece.nbytes for piece in self._pieces) >= self._group:
            self._write()

    def _write(self) -> None:
        if self._pieces:
            self._writer.write_table(pa.concat_tables(self._pieces))
            self._pieces = []
