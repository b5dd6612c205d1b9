"""The rows of a batch as the script of its report takes them: what it searches at once, and in parts what it shows.

A part is the thumbnails and all the metadata of so many rows. The parts of a small batch are inside the page; those
of a large one are files beside it, each loaded when one of its images comes into view. A file is named by its rows, so
that a page finds the parts that it was written with, or none: never those of a later report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256
from os import cpu_count
from pathlib import Path
from typing import Any

from batchgen.manifest.template import escaped
from batchgen.model import PARTS_FOLDER
from batchgen.review.facets import Column, axis_names, own_labels, params, shown
from batchgen.review.thumbnails import SIDE, data_uri

#: Rows of a part: some 300 KB.
PART_ROWS = 50
#: Rows that a page holds at most; their thumbnails take some 7 KB each.
MOST_ROWS = 20_000
#: Rows whose parts are inside the page.
_INSIDE = 250
#: Raised when the same rows make another part.
_FORM = 2
#: Of the hash in a part's name.
_DIGITS = 16
#: Columns of numbers that nobody asked for, and of which a few digits say all.
_MEASURED = frozenset({"latency_s"})
#: What YAML takes for a line break, or not at all, where JSON has it as it is.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

Row = Mapping[str, Any]


class Gallery:
    """Told the first rows of an index in turn, up to `MOST_ROWS`.

    Args:
        labels: the columns that this index has over others.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._facets: dict[str, Column] = {}
        self._texts = {name: Column() for name in ("prompt", "message", "file_prefix")}
        self._files: list[str | None] = []
        self._parts: list[str] = []

    @property
    def count(self) -> int:
        """Rows so far."""
        return len(self._files)

    def add(self, row: Row, found: Mapping[str, str | None]) -> None:
        """Take a row in, with its facets."""
        number = self.count
        self._files.append(_file(row))
        for name, value in found.items():
            self._facets.setdefault(name, Column()).put(number, value)
        self._texts["prompt"].put(number, row["prompt"])
        self._texts["message"].put(number, row["error_message"])
        self._texts["file_prefix"].put(number, row["file_prefix"])

    def lies_beside(self, name: str) -> None:
        """Take note of the file of the next part, relative to the batch folder."""
        self._parts.append(_own_name(name))

    def written(self, parts: Sequence[Sequence[dict[str, Any]]] | None) -> dict[str, Any]:
        """All of it, as the script reads it.

        Args:
            parts: what is inside the page; None: they lie beside it.
        """
        axes = set(axis_names(self._labels))
        return {
            "count": self.count,
            "files": self._files,
            **{name: self._coded(column) for name, column in self._texts.items()},
            "facets": [
                {"name": name, "axis": name in axes, **self._coded(column)} for name, column in self._facets.items()
            ],
            "parts": parts,
            "part_size": PART_ROWS,
            "folder": PARTS_FOLDER,
            "beside": self._parts,
        }

    def _coded(self, column: Column) -> dict[str, Any]:
        values, codes = column.coded(self.count)
        return {"values": values, "codes": codes}


class PartMaker:
    """Makes the parts of a gallery, as many images at a time as there are cores.

    Args:
        folder: of the batch.
        thumbnails: to make at most; a gallery shows the other images themselves. None: all.
    """

    def __init__(self, folder: Path, labels: Sequence[str], *, thumbnails: int | None) -> None:
        self._folder = folder
        self._labels = labels
        self._left = thumbnails
        self._firsts: dict[int, str] = {}  #: hash of prompt and parameters -> the request that asked for them first
        self._pool = ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="thumbnails")

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(cancel_futures=True)

    @staticmethod
    def inside(rows: int) -> bool:
        """Whether the parts of so many rows go inside the page."""
        return rows <= _INSIDE

    def inner(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """A part for the inside of a page."""
        return self._with_thumbnails(rows, [self._shown(row) for row in rows])

    def beside(self, number: int, rows: Sequence[Row]) -> tuple[str, bytes | None]:
        """A part as a file, and its name; None instead of its bytes if it is there already.

        Args:
            number: from 0.
        """
        details = [self._shown(row) for row in rows]
        digest = sha256(json.dumps([_FORM, SIDE, details]).encode()).hexdigest()
        name = f"{PARTS_FOLDER}/{number + 1:05}-{digest[:_DIGITS]}.js"
        if _first_line(self._folder / name) == f"//{digest}":
            return name, None
        part = self._with_thumbnails(rows, details)
        whole = all(one["thumbnail"] is not None for one, row in zip(part, rows, strict=True) if _file(row))
        first = f"//{digest if whole else 'without all thumbnails'}"
        given = f"{json.dumps(_own_name(name))},{json.dumps(part, separators=(',', ':'))}"
        return name, f"{first}\nbatchgenPart({given})\n".encode()

    def _with_thumbnails(self, rows: Sequence[Row], details: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        if self._left is not None:
            if self._left < len(rows):
                return [detail | {"thumbnail": None} for detail in details]
            self._left -= len(rows)
        thumbnails = self._pool.map(lambda row: data_uri(self._folder, _file(row)), rows)
        return [detail | {"thumbnail": thumbnail} for detail, thumbnail in zip(details, thumbnails, strict=True)]

    def _shown(self, row: Row) -> dict[str, Any]:
        cells = [(name, _text(name, value)) for name, value in row.items() if value is not None]
        return {"cells": cells, "manifest_row": manifest_row(row, self._labels), "again": self._again(row)}

    def _again(self, row: Row) -> bool:
        """Whether a row of a manifest cannot ask for that image: it is a repeat's, or in place of a rejected one."""
        first = self._firsts.setdefault(hash((row["prompt"], row["params_json"])), row["request_key"])
        return first != row["request_key"] or row["replaces"] is not None


def manifest_row(row: Row, labels: Sequence[str]) -> str:
    """A row of an index as an entry of a manifest's prompts that asks for the same, whatever its texts hold.

    An entry names no repeat: that of a later one asks for the first. Its split is the whole manifest's to say.
    """
    entry: dict[str, Any] = {"prompt": row["prompt"], "params": params(row), "file_prefix": row["file_prefix"]}
    if own := own_labels(row, labels):
        entry["labels"] = own
    text = json.dumps(_as_template(entry), ensure_ascii=False)
    return "- " + _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _as_template(value: Any) -> Any:
    """Braces in a text of a manifest are doubled to be shown."""
    match value:
        case str():
            return escaped(value)
        case list():
            return [_as_template(one) for one in value]
        case dict():
            return {name: _as_template(one) for name, one in value.items()}
        case _:
            return value


def in_parts(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows, so many at a time as a part has."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if len(part) == PART_ROWS:
            yield part
            part = []
    if part:
        yield part


def _own_name(part: str) -> str:
    return part.removeprefix(f"{PARTS_FOLDER}/")


def _file(row: Row) -> str | None:
    name: str | None = row["file_name"] or row["rejected_file"]
    return name


def _text(name: str, value: object) -> str | None:
    if isinstance(value, float) and name in _MEASURED:
        return f"{value:.6g}"
    return f"{value:%Y-%m-%d %H:%M:%S.%f} UTC" if isinstance(value, datetime) else shown(value)


def _first_line(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline(200).rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return None
