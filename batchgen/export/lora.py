"""`lora`: images and captions as fine-tuning trainers take them, in the layout of kohya's scripts or of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import ClassVar

from batchgen.errors import UsageError
from batchgen.export import folders
from batchgen.export.captions import Caption
from batchgen.export.selection import Row
from batchgen.export.source import Source, stem
from batchgen.export.working import Working
from batchgen.manifest import safe_name

#: Formats that every trainer takes; the rest becomes png, which loses nothing.
_TAKEN = ("png", "jpg")


class Layout(StrEnum):
    """Whose trainer it is for."""

    KOHYA = "kohya"
    DIFFUSERS = "diffusers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """kohya: `train/10_fox/NAME.png` and `NAME.txt`. diffusers: `train/NAME.png` and `train/metadata.jsonl`."""

    NAME: ClassVar[str] = "lora"
    HOLDS_IMAGES: ClassVar[bool] = True

    layout: Layout = Layout.KOHYA
    caption: str = "{prompt}"  #: template
    class_by: str | None = None  #: kohya: the column whose values name the folders
    repeats: int = 10  #: kohya: how often an epoch shows each image
    concept: str | None = None  #: kohya: name of the folder where there is no class; None for the batch_id

    def check(self, source: Source) -> None:
        """See `Format`."""
        if source.change.format not in (None, *_TAKEN):
            raise UsageError(f"--convert {source.change.format}: not every trainer takes it. Use png or jpg.")
        Caption(self.caption, source.schema.names)
        folders.check_classes(source, self.class_by)
        source.check_names()

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """See `Format`."""
        caption = Caption(self.caption, source.schema.names)
        source = replace(source, change=replace(source.change, takes=_TAKEN))
        for split in source.counts:
            if self.layout is Layout.KOHYA:
                self._write_kohya(source, working, split, caption)
            else:
                placing = folders.Placing(self.class_by)
                placed = folders.put_pictures(source, working, split, placing.name)
                lines = ({"file_name": row["file_name"], "text": caption.line(row)} for row in placed)
                folders.put_lines(working, f"{split}/metadata.jsonl", lines)
        return source.counts

    def _write_kohya(self, source: Source, working: Working, split: str, caption: Caption) -> None:
        for row in folders.put_pictures(source, working, split, partial(self._kohya_name, source)):
            text = f"{split}/{row['file_name'].rpartition('.')[0]}.txt"
            working.put(text, f"{caption.line(row)}\n".encode())

    def _kohya_name(self, source: Source, row: Row, extension: str) -> str:
        if self.class_by is None:
            folder = safe_name(self.concept or source.facts.batch_id, fallback="concept")
        else:
            folder = folders.class_folder(row[self.class_by])
        return f"{self.repeats}_{folder}/{stem(row)}.{extension}"
