"""What an index amounts to, counted in one pass, a few thousand rows at a time."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchgen import index
from batchgen.budget import Account, Spending
from batchgen.model import BatchFacts, Status

#: Different values of a parameter or axis that are kept; of more, only the least and the greatest.
_KEPT = 12
#: Pictures that stand for the whole.
_SHOWN = 4
_COLUMNS = (
    "status", "file_name", "prompt", "params_json", "format", "width", "height", "error_class", "downloaded_at",
    "submitted_at", "cost", "split", "duplicate_of", "near_duplicate_of",
)  # fmt: skip


@dataclass(slots=True)
class Values:
    """Different values of one parameter or axis."""

    kept: dict[Any, None] = field(default_factory=dict)  #: the first few, in order of appearance
    more: bool = False  #: whether there are others
    least: Any = None
    greatest: Any = None

    def add(self, value: Any) -> None:
        """Take note of one."""
        value = tuple(value) if isinstance(value, list) else value
        if isinstance(value, int | float):
            self.least = value if self.least is None else min(self.least, value)
            self.greatest = value if self.greatest is None else max(self.greatest, value)
        if value not in self.kept:
            if len(self.kept) < _KEPT:
                self.kept[value] = None
            else:
                self.more = True


class Different:
    """How many different texts there are, in eight bytes for each that is told."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, texts: Iterable[str]) -> None:
        """Tell some; each as often as may be."""
        self._hashes.extend(map(hash, texts))

    def count(self) -> int:
        """Their number."""
        hashes = np.frombuffer(self._hashes, np.int64)
        hashes.sort()  # where they are: their order says nothing
        return int(np.count_nonzero(hashes[1:] != hashes[:-1])) + (hashes.size > 0)


@dataclass(slots=True)
class Found:
    """What is in an index."""

    facts: BatchFacts
    labels: tuple[str, ...]
    counts: dict[str, Counter[str]] = field(default_factory=dict)  #: column -> value -> rows
    splits: Counter[str] = field(default_factory=Counter)  #: rows; none if the batch makes none
    params: dict[str, Values] = field(default_factory=dict)
    axes: dict[str, Values] = field(default_factory=dict)
    shown: list[tuple[str, str]] = field(default_factory=list)  #: file and prompt of some images
    sizes: Counter[str] = field(default_factory=Counter)
    cost: float | None = None  #: of all images, in the account's currency; None if unknown
    duplicates: int = 0  #: images with the bytes of an earlier one
    look_alikes: int = 0  #: images that look like an earlier one, and are not the same
    begun: datetime | None = None  #: when the first request was submitted
    ended: datetime | None = None  #: when the last image came
    prompts: int = 0  #: different ones

    @property
    def images(self) -> int:
        """Stored ones."""
        return self.counts["status"][Status.STORED]

    @property
    def account(self) -> Account:
        """What all of the batch may have cost, failures too, as the journal had it when the index was written."""
        noted, statuses = self.facts.spending, self.counts["status"]
        if noted:
            spending = Spending(**{share.name: noted.get(share.name, 0) for share in fields(Spending)})
        else:  # an index of an earlier version
            made = statuses[Status.STORED] + statuses[Status.REJECTED]
            spending = Spending(made=made, in_doubt=statuses[Status.IN_DOUBT])
        return Account(price_per_image=self.facts.price_per_image, spending=spending)


def count(path: Path) -> Found:
    """Count an index.

    Raises:
        StorageFailed: it cannot be read.
    """
    facts, labels = index.read_facts(path)
    found = Found(facts=facts, labels=labels)
    found.axes = {name: Values() for name in labels if name.startswith("axis_")}
    found.counts = {name: Counter() for name in ("status", "format", "error_class")}
    some_split, prompts = False, Different()
    for rows in index.batches(path, [*_COLUMNS, *found.axes]):
        for name, counter in found.counts.items():
            counter.update(_counted(rows[name]))
        for name, values in found.axes.items():
            _add_all(values, rows[name])
        some_split = some_split or rows["split"].null_count < rows.num_rows
        found.splits.update(_counted(index.split_of(rows)))
        prompts.add(rows["prompt"].unique().to_pylist())
        _add(found, rows)
    found.prompts = prompts.count()
    if not some_split:
        found.splits.clear()
    return found


def _add(found: Found, rows: pa.RecordBatch) -> None:
    for text in rows["params_json"].unique().to_pylist():
        for name, value in json.loads(text).items():
            found.params.setdefault(name, Values()).add(value)
    stored = rows.filter(pc.equal(rows["status"], Status.STORED.value))
    sides = zip(stored["width"].to_pylist(), stored["height"].to_pylist(), strict=True)
    found.sizes.update(f"{width} × {height}" for width, height in sides)
    found.duplicates += stored.num_rows - stored["duplicate_of"].null_count
    alike = pc.and_(pc.is_valid(stored["near_duplicate_of"]), pc.is_null(stored["duplicate_of"]))
    found.look_alikes += pc.sum(alike).as_py() or 0
    cost = pc.sum(rows["cost"]).as_py()
    if cost is not None:
        found.cost = (found.cost or 0.0) + cost
    found.begun = _least(found.begun, pc.min(rows["submitted_at"]).as_py())
    ended = [at for at in (found.ended, pc.max(rows["downloaded_at"]).as_py()) if at is not None]
    found.ended = max(ended, default=None)
    _show(found, stored)


def _show(found: Found, stored: pa.RecordBatch) -> None:
    """The first image of each of the first few prompts."""
    if len(found.shown) < _SHOWN:
        told = {prompt for _, prompt in found.shown}
        for name, prompt in zip(stored["file_name"].to_pylist(), stored["prompt"].to_pylist(), strict=True):
            if prompt not in told and len(found.shown) < _SHOWN:
                told.add(prompt)
                found.shown.append((name, prompt))


def _counted(column: pa.Array) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in column.drop_null().value_counts().to_pylist()}


def _add_all(values: Values, column: pa.Array) -> None:
    for value in column.drop_null().unique().to_pylist():
        values.add(value)


def _least(one: datetime | None, other: datetime | None) -> datetime | None:
    there: Iterable[datetime] = (at for at in (one, other) if at is not None)
    return min(there, default=None)
