"""The same members as `batchgen export --to webdataset` writes, by img2dataset's writer: `BATCH DEST`, by its Python.

Nothing of batchgen is imported: img2dataset lives in an environment of its own.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def main(batch: Path, dest: Path) -> None:
    """One shard, with the table that img2dataset puts beside each."""
    from img2dataset.writer import WebDatasetSampleWriter

    dest.mkdir()
    index = pq.read_table(batch / "metadata.parquet")
    fields = [pa.field(f.name, pa.string() if pa.types.is_timestamp(f.type) else f.type) for f in index.schema]
    writer = WebDatasetSampleWriter(0, str(dest), True, 5, pa.schema(fields), "png")
    for some in index.to_batches(max_chunksize=1_000):
        for row in some.to_pylist():
            content = (batch / row["file_name"]).read_bytes()
            writer.write(content, Path(row["file_name"]).stem, row["prompt"], _plain(row))
    writer.close()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
