"""`jsonl` and `csv`: the index alone, one row a line, in a form that everything reads."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from batchgen.export import folders
from batchgen.export.captions import written
from batchgen.export.source import Source
from batchgen.export.working import Working

#: Text that begins so is run as a formula by spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """One JSON object a row, with every key."""

    NAME: ClassVar[str] = "jsonl"
    HOLDS_IMAGES: ClassVar[bool] = False

    caption: str | None = None  #: template of the key `text`; None for no such key

    def check(self, source: Source) -> None:
        """See `Format`."""
        folders.caption_of(source, self.caption)

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """See `Format`."""
        caption = folders.caption_of(source, self.caption)
        rows = source.rows()
        if caption is not None:
            rows = (row | {folders.TEXT: caption.of(row)} for row in rows)
        folders.put_lines(working, self.NAME, rows)
        return source.counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """A table for spreadsheets. Text that they would run as a formula has an apostrophe before it."""

    NAME: ClassVar[str] = "csv"
    HOLDS_IMAGES: ClassVar[bool] = False

    caption: str | None = None  #: template of the column `text`; None for no such column

    def check(self, source: Source) -> None:
        """See `Format`."""
        folders.caption_of(source, self.caption)

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """See `Format`."""
        caption = folders.caption_of(source, self.caption)
        names = folders.with_text(source.schema, caption).names
        with working.growing(self.NAME) as path, path.open("w", encoding="utf-8", newline="") as file:
            # As RFC 4180 ends lines: before Python 3.13, a text with an end of line that is not in use is not quoted.
            table = csv.writer(file)
            table.writerow(map(spreadsheet_cell, names))
            for row in source.rows():
                text = {} if caption is None else {folders.TEXT: caption.of(row)}
                table.writerow(map(spreadsheet_cell, (row | text).values()))
        return source.counts


def spreadsheet_cell(value: Any) -> str:
    """The text of a cell that no spreadsheet runs as a formula."""
    text = written(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
