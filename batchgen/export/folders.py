"""What the formats that are folders of image files share: names, class folders, captions, tables and the card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain, repeat
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from batchgen.errors import UsageError
from batchgen.export.captions import Caption, written
from batchgen.export.pictures import Picture
from batchgen.export.selection import Row
from batchgen.export.source import Source, ahead, stem
from batchgen.export.working import Working
from batchgen.manifest import safe_name

#: Column of the caption, as trainers call it.
TEXT = "text"
#: Files in one folder at most; the Hub takes fewer than 10,000, and captions lie beside images.
FILES_PER_FOLDER = 4_500
#: Where images lie whose class is null.
UNCLASSED = "none"
_ROWS_PER_GROUP = 2_000


class Placing:
    """Where each image of a split goes: a folder of its class, if wanted, and numbered ones where it grows too large.

    Args:
        class_by: the column that says the class; None for no class folders.
    """

    def __init__(self, class_by: str | None) -> None:
        self._class_by = class_by
        self._counts: dict[str, int] = {}

    def name(self, row: Row, extension: str) -> str:
        """The image's name relative to the split's folder; to be asked once for each row, in order."""
        folder = "" if self._class_by is None else f"{class_folder(row[self._class_by])}/"
        number = self._counts.get(folder, 0) // FILES_PER_FOLDER
        self._counts[folder] = self._counts.get(folder, 0) + 1
        numbered = f"{number:04d}/" if number else ""
        return f"{folder}{numbered}{stem(row)}.{extension}"


def class_folder(value: object) -> str:
    """The folder of a class."""
    return safe_name(written(value), fallback=UNCLASSED)


def check_classes(source: Source, class_by: str | None) -> None:
    """
    Raises:
        UsageError: there is no such column, or two classes would share a folder.
    """
    if class_by is None:
        return
    check_column(source, class_by, "--class-by")
    found: dict[str, object] = {}
    for row in source.selection.survey([class_by]):
        value = row[class_by]
        other = found.setdefault(class_folder(value).casefold(), value)
        if other != value:
            raise UsageError(f"--class-by {class_by}: {other!r} and {value!r} would be the same folder. Rename one.")


def check_column(source: Source, name: str, flag: str) -> None:
    """
    Raises:
        UsageError: the index has no such column.
    """
    if name not in source.schema.names:
        raise UsageError(f"{flag} {name}: the index has no such column; it has: {', '.join(source.schema.names)}.")


def caption_of(source: Source, template: str | None) -> Caption | None:
    """The caption that a format was told to write as a column.

    Raises:
        UsageError: it is no template over the columns, or the batch has a label of that name.
    """
    if template is None:
        return None
    if TEXT in source.schema.names:
        raise UsageError(f"--caption writes the column {TEXT}, which the batch has as a label. Leave --caption out.")
    return Caption(template, source.schema.names)


def with_text(schema: pa.Schema, caption: Caption | None) -> pa.Schema:
    """The columns, with the caption's if there is one."""
    return schema if caption is None else schema.append(pa.field(TEXT, pa.string()))


def put_pictures(source: Source, working: Working, split: str, name: Callable[[Row, str], str]) -> Iterator[Row]:
    """Put the pictures of a split in their places, and give its rows, in order, with what the pictures are.

    The column `file_name` is the place, relative to the split's folder. What an interrupted export has put is not made
    again, if it is still what it was.

    Args:
        name: the place of a row's picture, by its extension; asked once for each row, in order.
    """
    log = working.log(f"images-{split}")

    def made(pair: tuple[Row, Row | None]) -> tuple[Row, bytes | None, Row | None]:
        row, before = pair
        if before is not None and _is_whole(working, split, before):
            return row | before, None, before
        picture = source.picture(row)
        return row | picture.facts(), picture.content, before

    logged = chain(log.read(), repeat(None))
    for row, content, before in ahead(made, zip(source.rows(split), logged, strict=False)):
        placed = row | {"file_name": name(row, row["format"])}
        if content is not None:
            working.put(f"{split}/{placed['file_name']}", content)
        if before is None:
            log.append(**{column: placed[column] for column in ("file_name", *Picture.FACTS)})
        yield placed


def _is_whole(working: Working, split: str, entry: Row) -> bool:
    path = working.root / split / entry["file_name"]
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == str(entry["sha256"])


def put_parquet(working: Working, name: str, rows: Iterable[Row], schema: pa.Schema) -> None:
    """Write rows as a table, a few at a time."""
    with working.growing(name) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for some in grouped(rows, _ROWS_PER_GROUP):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def put_lines(working: Working, name: str, rows: Iterable[Row]) -> None:
    """Write rows as JSON, one a line."""
    with working.growing(name) as path, path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(to_json(row) + "\n")


def to_json(row: Mapping[str, Any]) -> str:
    """A row as one line of JSON: times in ISO 8601, what is no number as null."""
    return json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False, allow_nan=False)


def put_card(source: Source, working: Working, kind: str, data_files: Mapping[str, str]) -> None:
    """Write the README.md whose header tells loaders which files are which split, so that they need not guess.

    Args:
        kind: of the export, in words.
        data_files: split -> pattern of its files.
    """
    config = {
        "config_name": "default",
        "data_files": [{"split": split, "path": path} for split, path in data_files.items()],
    }
    header = yaml.safe_dump({"configs": [config], "tags": ["synthetic", "batchgen"]}, sort_keys=False)
    counts = "\n".join(f"| {split} | {number:,} |" for split, number in source.counts.items())
    facts = source.facts
    simulated = " The pictures are drawings of a simulator." if facts.provider == "simulator" else ""
    text = (
        f"---\n{header}---\n\n# {facts.batch_id}\n\n"
        f"Exported by batchgen as {kind}. Asked of **{facts.model}** ({facts.endpoint}).{simulated}\n\n"
        f"| split | images |\n|---|---:|\n{counts}\n"
    )
    working.put("README.md", text.encode())


def grouped(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Lists of *size* rows, the last one shorter."""
    some: list[Row] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
