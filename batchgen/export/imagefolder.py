"""`imagefolder`: a folder for each split, with image files and `metadata.parquet` or `.jsonl`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from batchgen.errors import UsageError
from batchgen.export import folders
from batchgen.export.captions import Caption
from batchgen.export.selection import Row
from batchgen.export.source import Source
from batchgen.export.working import Working


class Link(StrEnum):
    """How an image file of the export comes from that of the batch."""

    COPY = "copy"
    HARD = "hard"  # one file with two names; on the same disk
    REFERENCE = "reference"  # a symbolic link to the batch's file


class Metadata(StrEnum):
    """The kind of table beside the images."""

    PARQUET = "parquet"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """Loaded by `datasets` with all columns, and by torchvision's ImageFolder where there are class folders."""

    NAME: ClassVar[str] = "imagefolder"
    HOLDS_IMAGES: ClassVar[bool] = True

    caption: str | None = None  #: template of the column `text`; None for no such column
    link: Link = Link.COPY
    class_by: str | None = None  #: the column whose values become folders
    metadata: Metadata = Metadata.PARQUET

    def check(self, source: Source) -> None:
        """See `Format`."""
        if self.link is not Link.COPY and (source.change.format or source.change.size):
            raise UsageError(f"--link {self.link} leaves images as they are; leave out --convert and --resize.")
        folders.caption_of(source, self.caption)
        folders.check_classes(source, self.class_by)
        source.check_names()

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """See `Format`."""
        caption = folders.caption_of(source, self.caption)
        schema = folders.with_text(source.schema, caption)
        for split in source.counts:
            rows = self._placed(source, working, split, caption)
            if self.metadata is Metadata.PARQUET:
                folders.put_parquet(working, f"{split}/metadata.parquet", rows, schema)
            else:
                folders.put_lines(working, f"{split}/metadata.jsonl", rows)
        folders.put_card(source, working, "a folder of images", {split: f"{split}/**" for split in source.counts})
        return source.counts

    def _placed(self, source: Source, working: Working, split: str, caption: Caption | None) -> Iterator[Row]:
        """Puts the images of a split in their places, and gives the rows that say where."""
        placing = folders.Placing(self.class_by)
        if self.link is Link.COPY:
            placed = folders.put_pictures(source, working, split, placing.name)
        else:
            placed = self._linked(source, working, split, placing)
        return placed if caption is None else (row | {folders.TEXT: caption.of(row)} for row in placed)

    def _linked(self, source: Source, working: Working, split: str, placing: folders.Placing) -> Iterator[Row]:
        for row, image in source.intact_files(split):
            name = placing.name(row, row["format"])
            self._link_to(image.resolve(), working.path(f"{split}/{name}"))
            yield row | {"file_name": name}

    def _link_to(self, image: Path, path: Path) -> None:
        path.unlink(missing_ok=True)
        if self.link is Link.REFERENCE:
            path.symlink_to(image)
            return
        try:
            os.link(image, path)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP):
                raise
            raise UsageError(
                f"--link hard: {path.parent} cannot share files with the batch ({error.strerror}). "
                "Name a place on the same disk, or use --link copy."
            ) from error
