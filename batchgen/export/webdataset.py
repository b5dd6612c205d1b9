"""`webdataset`: tar files of samples, each an image, its caption and its row, `train-000000.tar` and so on.

The rules are those of the readers: a sample's name has no dot, all samples of a set have the same extensions, and
every JSON has every key and no null, because readers learn the columns from the first few samples.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from batchgen.export import folders
from batchgen.export.captions import Caption, written
from batchgen.export.pictures import Picture
from batchgen.export.selection import Row
from batchgen.export.shards import Samples, write_shards
from batchgen.export.source import Source, stem
from batchgen.export.working import Working

_ENDING = 2 * tarfile.BLOCKSIZE  # bytes that end a tar, filled up to a record
_MODE = 0o644
#: Writes a value of a column into a JSON.
ToPlain = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDataset:
    """Shards for streaming; loaded by `webdataset` and `datasets`."""

    NAME: ClassVar[str] = "webdataset"
    HOLDS_IMAGES: ClassVar[bool] = True

    caption: str = "{prompt}"  #: template of the .txt
    shard_size: int = 1_000_000_000  #: bytes of a shard at most, unless a single sample is larger
    shard_count: int = 10_000  #: samples of a shard at most

    def check(self, source: Source) -> None:
        """See `Format`."""
        Caption(self.caption, source.schema.names)
        source.check_names()

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """See `Format`."""
        caption = Caption(self.caption, source.schema.names)
        source, columns = _surveyed(source)
        fill = partial(self._fill, caption=caption, columns=columns)
        for split in source.counts:
            write_shards(source, working, split, name=partial(_name, split), fill=fill)
        folders.put_card(source, working, "WebDataset shards", {split: f"{split}-*.tar" for split in source.counts})
        return source.counts

    def _fill(self, path: Path, samples: Samples, *, caption: Caption, columns: Mapping[str, ToPlain]) -> int:
        count = size = 0
        with path.open("wb") as file:
            while (sample := samples.peek()) is not None and count < self.shard_count:
                members = [part for member in _members(*sample, caption, columns) for part in _member(*member)]
                more = sum(map(len, members))
                if count and size + more > self.shard_size:
                    break
                file.writelines(members)
                samples.take()
                count, size = count + 1, size + more
            file.write(bytes(_ENDING + -(size + _ENDING) % tarfile.RECORDSIZE))
        return count


def _name(split: str, number: int) -> str:
    return f"{split}-{number:06d}.tar"


def _members(row: Row, picture: Picture, caption: Caption, columns: Mapping[str, ToPlain]) -> list[tuple[str, bytes]]:
    """The files of one sample, in the order in which they lie side by side."""
    line = {name: plain(row[name]) for name, plain in columns.items()}
    key = stem(row)
    return [
        (f"{key}.{picture.format}", picture.content),
        (f"{key}.json", json.dumps(line, ensure_ascii=False).encode()),
        (f"{key}.txt", caption.of(row).encode()),
    ]


def _member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    """A member of a tar: header, content, padding; nothing in it that another day or user would change."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(content), _MODE
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8"), content, bytes(-len(content) % tarfile.BLOCKSIZE)


def _surveyed(source: Source) -> tuple[Source, Mapping[str, ToPlain]]:
    """The source with one format for all its images, and how each column of the JSON is written.

    Mixed formats become png, which loses nothing. A column without any value is left out; one of numbers that lacks
    some is written as text, so that what is missing can be empty.
    """
    filled: Counter[str] = Counter()
    formats: set[str] = set()
    rows = 0
    for row in source.selection.survey():
        rows += 1
        filled.update(name for name, value in row.items() if not _is_null(value))
        formats.add(source.change.format_of(row))
    if len(formats) > 1:
        source = replace(source, change=replace(source.change, format="png"))
    columns = {
        field.name: _plain if pa.types.is_string(field.type) or filled[field.name] == rows else written
        for field in source.schema
        if filled[field.name]
    }
    return source, columns


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else value
