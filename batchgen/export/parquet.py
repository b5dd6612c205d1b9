"""`parquet`: tables that hold the images themselves, `data/train-00000-of-00001.parquet`, as the Hub shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from batchgen.errors import UsageError
from batchgen.export import folders
from batchgen.export.captions import Caption
from batchgen.export.pictures import Picture
from batchgen.export.selection import Row
from batchgen.export.shards import Samples, write_shards
from batchgen.export.source import Source, stem
from batchgen.export.working import Working

#: Column of the picture.
IMAGE = "image"
_IMAGE_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
#: Without it, `datasets` takes the column for a dict.
_FEATURES = json.dumps({"info": {"features": {IMAGE: {"_type": "Image"}}}})
#: Of a row group, which readers load as a whole.
_ROWS, _BYTES = 100, 100_000_000
_ROWS_PER_PAGE = 16  # at most; else all images of a row group were one page


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet:
    """Loaded by `datasets` as images, and by everything else that reads parquet as bytes."""

    NAME: ClassVar[str] = "parquet"
    HOLDS_IMAGES: ClassVar[bool] = True

    caption: str | None = None  #: template of the column `text`; None for no such column
    shard_size: int = 500_000_000  #: bytes of images in a file, about

    def check(self, source: Source) -> None:
        """See `Format`."""
        if IMAGE in source.schema.names:
            raise UsageError(f"The batch has a label {IMAGE}, which is the column of the pictures. Rename the label.")
        folders.caption_of(source, self.caption)
        source.check_names()

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """See `Format`."""
        caption = folders.caption_of(source, self.caption)
        columns = folders.with_text(source.schema, caption)
        schema = pa.schema([pa.field(IMAGE, _IMAGE_TYPE), *columns], metadata={"huggingface": _FEATURES})
        fill = partial(self._fill, schema=schema, caption=caption)
        shards = {
            split: write_shards(source, working, split, name=partial(_unfinished, split), fill=fill)
            for split in source.counts
        }
        for split, names in shards.items():
            for number, name in enumerate(names):
                final = f"data/{split}-{number:05d}-of-{len(names):05d}.parquet"
                working.path(name).rename(working.path(final))
        data_files = {split: f"data/{split}-*.parquet" for split in source.counts}
        folders.put_card(source, working, "parquet files with images", data_files)
        return source.counts

    def _fill(self, path: Path, samples: Samples, *, schema: pa.Schema, caption: Caption | None) -> int:
        count = size = 0
        with _writer(path, schema) as writer:
            while samples.peek() is not None and size < self.shard_size:
                group = list(_row_group(samples, self.shard_size - size))
                size += sum(len(picture.content) for _, picture in group)
                count += len(group)
                rows = [_line(row, picture, caption) for row, picture in group]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        return count


def _unfinished(split: str, number: int) -> str:
    return f"data/{split}-{number:05d}.parquet"


def _row_group(samples: Samples, room: int) -> Iterator[tuple[Row, Picture]]:
    size = 0
    for _ in range(_ROWS):
        if samples.peek() is None or size >= min(_BYTES, room):
            return
        sample = samples.take()
        size += len(sample[1].content)
        yield sample


def _line(row: Row, picture: Picture, caption: Caption | None) -> dict[str, Any]:
    line = row | {IMAGE: {"bytes": picture.content, "path": f"{stem(row)}.{picture.format}"}}
    return line if caption is None else line | {folders.TEXT: caption.of(row)}


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Compresses everything but the images, which are compressed already."""
    others = [name for name in schema.names if name != IMAGE]
    return pq.ParquetWriter(
        path,
        schema,
        compression={f"{IMAGE}.bytes": "none", f"{IMAGE}.path": "zstd"} | dict.fromkeys(others, "zstd"),
        use_dictionary=others,
        write_statistics=others,
        write_batch_size=_ROWS_PER_PAGE,
    )
