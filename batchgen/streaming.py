"""Parquet files read in a stream: of each column, no more is in memory than the rows that are read together need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: Bytes of a column that are read from the disk together.
_AT_ONCE = 64 * 1024


def streamed(path: Path, *, verified: bool = False) -> pq.ParquetFile:
    """A Parquet file to be read by `iter_batches`.

    Unless it is told otherwise, Arrow reads all of a file's bytes before it gives the first row: for a plan of a
    million requests, 35 MB.

    Args:
        verified: whether its pages are held to their checksums, where they have any.

    Raises:
        OSError, pyarrow.ArrowException: it is not there or not readable.
    """
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_AT_ONCE, page_checksum_verification=verified)
