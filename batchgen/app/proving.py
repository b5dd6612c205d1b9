"""`check --readers`: the batch folder, and exports of its first images, loaded by every reader that is installed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from batchgen import index
from batchgen.app.exporting import export, find_format
from batchgen.app.folder import BatchFolder
from batchgen.app.readers import (
    DATASETS,
    DUCKDB,
    MLCROISSANT,
    PANDAS,
    POLARS,
    WEBDATASET,
    Loaded,
    Reader,
    Row,
    in_quiet,
)  # fmt: skip
from batchgen.errors import BatchgenError, UsageError
from batchgen.export import Choice
from batchgen.review.rules import RULES

#: Images of each export that is tried.
_TRIED = 24
#: Rows that mlcroissant is asked for at most: it holds all images of a batch in memory.
_MOST_RECORDS = 2_000
#: Letters of what a reader complained of.
_LONGEST = 300
_TABLES = (PANDAS, POLARS, DUCKDB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One export, and who reads it."""

    to: str
    options: Mapping[str, Any]
    readers: tuple[Reader, ...]


_TRIALS = (
    Trial(to="imagefolder", options={}, readers=(DATASETS,)),
    Trial(to="parquet", options={}, readers=(DATASETS,)),
    Trial(to="webdataset", options={}, readers=(DATASETS, WEBDATASET)),
    Trial(to="jsonl", options={}, readers=_TABLES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a rule holds, or a reader loads what is there."""

    what: str  #: the folder, or an export of it
    who: str  #: the reader with its version, or a rule
    complaint: str | None = None  #: None: it holds, or was not tried
    skipped: str | None = None  #: why it was not tried; None if it was


def prove(out: Path | str) -> list[Verdict]:
    """Hold a batch folder to the rules of its readers, and let those that are installed load it and its exports.

    Raises:
        UsageError: the folder holds no index.
        StorageFailed: the index cannot be read.
    """
    folder = BatchFolder(Path(out))
    if not folder.index.is_file():
        raise UsageError(f"{out} holds no index yet. Name a batch folder, or run its manifest first.")
    return [*_held_to_rules(folder), *_loaded(folder), *_exported(folder)]


def _held_to_rules(folder: BatchFolder) -> Iterator[Verdict]:
    for words, rule in RULES.items():
        yield Verdict(what="folder", who=words, complaint=rule(folder.root))


def _loaded(folder: BatchFolder) -> Iterator[Verdict]:
    wanted = _rows(folder, stored_only=False)
    everything = {"": [row for rows in _in_plan_order(folder) for row in rows]}
    for reader in _TABLES:
        yield _tried(reader, "metadata.parquet", folder.index, everything)
    yield _tried(DATASETS, "folder", folder.root, wanted)
    if len(everything[""]) > _MOST_RECORDS:
        yield Verdict(what="croissant.json", who="mlcroissant", skipped="it would hold all images in memory")
    elif folder.croissant.is_file():
        yield _tried(MLCROISSANT, "croissant.json", folder.root, everything)


def _exported(folder: BatchFolder) -> Iterator[Verdict]:
    images = _rows(folder, stored_only=True, limit=_TRIED)
    rows = {"": [row for rows in _in_plan_order(folder) for row in rows][:_TRIED]}
    with tempfile.TemporaryDirectory(prefix="batchgen-") as elsewhere:
        for trial in _TRIALS if images else ():
            form = find_format(trial.to, trial.options)
            dest = Path(elsewhere) / f"export.{trial.to}"
            what = f"export --to {trial.to}"
            try:
                export(folder.root, dest, form, choice=Choice(limit=_TRIED))
            except BatchgenError as error:
                yield Verdict(what=what, who="batchgen", complaint=str(error))
                continue
            for reader in trial.readers:
                yield _tried(reader, what, dest, images if form.HOLDS_IMAGES else rows)


def _tried(reader: Reader, what: str, path: Path, wanted: Loaded) -> Verdict:
    version = reader.version
    if version is None:
        return Verdict(what=what, who=reader.package, skipped="not installed")
    try:
        with in_quiet():
            complaint = difference(wanted, reader.load(path))
    except Exception as error:  # noqa: BLE001  # whatever a reader does not like is what is asked for
        complaint = shorten(f"{type(error).__name__}: {error} {error.__cause__ or ''}", _LONGEST, placeholder=" …")
    return Verdict(what=what, who=f"{reader.package} {version}", complaint=complaint)


def difference(wanted: Loaded, found: Loaded) -> str | None:
    """How what was loaded differs from what is there, in words; None if it does not."""
    for name in sorted({*wanted, *found}):
        rows, seen = wanted.get(name, []), found.get(name, [])
        named = f"split {name}: " if name else ""
        if len(rows) != len(seen):
            return f"{named}{len(seen):,} rows instead of {len(rows):,}"
        for number, (row, other) in enumerate(zip(rows, seen, strict=True)):
            if row != other:
                what = "prompt" if row[0] != other[0] else "image"
                return f"{named}row {number:,} has another {what} than the index says"
    return None


def _rows(folder: BatchFolder, *, stored_only: bool, limit: int | None = None) -> Loaded:
    """The rows by split, in plan order."""
    found: dict[str, list[Row]] = {}
    taken = 0
    for rows in index.batches(folder.index, ["split", "prompt", "file_name"]):
        splits = index.split_of(rows).to_pylist()
        for split, row in zip(splits, _of(rows), strict=True):
            if (row[1] or not stored_only) and (limit is None or taken < limit):
                found.setdefault(split, []).append(row)
                taken += 1
    return found


def _in_plan_order(folder: BatchFolder) -> Iterator[list[Row]]:
    for rows in index.batches(folder.index, ["prompt", "file_name"]):
        yield _of(rows)


def _of(rows: Any) -> list[Row]:
    return list(zip(rows["prompt"].to_pylist(), rows["file_name"].is_valid().to_pylist(), strict=True))
