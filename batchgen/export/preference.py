"""`preference`: pairs of images of which one was preferred, as two image columns that `datasets` loads.

A column says which: true and false, words such as `yes` and `no`, or numbers, where more is better.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from batchgen.errors import UsageError
from batchgen.export import folders
from batchgen.export.selection import Positions, Row, Spool
from batchgen.export.source import Source
from batchgen.export.working import Working

_YES = frozenset({"1", "true", "yes", "y", "x", "pick", "picked", "chosen", "preferred", "best", "win", "winner"})
_NO = frozenset({"", "0", "false", "no", "n", "reject", "rejected", "loser", "lose", "worst"})
_SIDES = ("chosen", "rejected")
#: Pairs of positions in the index, chosen and rejected.
Pairs = tuple[Positions, Positions]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Within a group, each of the best images is paired with each that is not among them."""

    NAME: ClassVar[str] = "preference"
    HOLDS_IMAGES: ClassVar[bool] = True

    chosen_by: str | None = None  #: the column that says which is preferred
    group_by: tuple[str, ...] = ("prompt",)  #: images are compared that have these columns in common

    def check(self, source: Source) -> None:
        """See `Format`."""
        if self.chosen_by is None:
            raise UsageError("preference needs --chosen-by COLUMN: what says which image is preferred.")
        folders.check_column(source, self.chosen_by, "--chosen-by")
        for name in self.group_by:
            folders.check_column(source, name, "--group-by")
        source.check_names()

    def write(self, source: Source, working: Working) -> Mapping[str, int]:
        """See `Format`."""
        by = str(self.chosen_by)
        pairs = {split: self._pairs(source, split, by) for split in source.counts}
        filled = {split: found for split, found in pairs.items() if found[0].size}
        if not filled:
            raise UsageError(
                f"There is no pair: no two images with the same {', '.join(self.group_by)} differ in {by}. "
                "Name other columns with --chosen-by and --group-by."
            )
        for split, found in filled.items():
            folders.put_parquet(
                working,
                f"{split}/metadata.parquet",
                self._lines(source, working, split, found, by),
                self._schema(source, by),
            )
        folders.put_card(source, working, "preference pairs", {split: f"{split}/**" for split in filled})
        return {split: len(chosen) for split, (chosen, _) in filled.items()}

    def _pairs(self, source: Source, split: str, by: str) -> Pairs:
        """The pairs of a split: groups in the order in which they begin."""
        groups: dict[bytes, int] = {}
        numbers, positions, scores = array("q"), array("q"), array("d")
        judge = _judge_of(source.schema.field(by))
        for position, row in zip(source.selection.positions(split), source.selection.rows(split), strict=True):
            score = judge(row[by])
            if score is not None:
                key = _key([row[name] for name in self.group_by])
                numbers.append(groups.setdefault(key, len(groups)))
                positions.append(position)
                scores.append(score)
        return _paired(np.array(numbers, np.int64), np.array(positions, np.int64), np.array(scores))

    def _lines(self, source: Source, working: Working, split: str, pairs: Pairs, by: str) -> Iterator[Row]:
        """Puts the images of pairs in their places, each once, and gives one row a pair."""
        used = np.unique(np.concatenate(pairs))
        source.tick(source.counts[split] - len(used))
        some = replace(source, selection=source.selection.only(split, used))
        with closing(Spool(folders.put_pictures(some, working, split, folders.Placing(None).name), used)) as placed:
            for pair in zip(*pairs, strict=True):
                rows = [placed.row(position) for position in pair]
                line = {name: rows[0][name] for name in self.group_by}
                for side, row in zip(_SIDES, rows, strict=True):
                    line |= {f"{side}_{name}": row[name] for name in self._own(by)}
                yield line

    def _schema(self, source: Source, by: str) -> pa.Schema:
        fields = [source.schema.field(name) for name in self.group_by]
        for side in _SIDES:
            fields += [source.schema.field(name).with_name(f"{side}_{name}") for name in self._own(by)]
        return pa.schema(fields)

    def _own(self, by: str) -> list[str]:
        """The columns that each image of a pair has for itself."""
        prompt = [] if "prompt" in self.group_by else ["prompt"]
        return ["file_name", *prompt, by, "sha256"]


class _Judge:
    """How good an image is by its value of a column; None if nobody said.

    Args:
        name: of the column.
        numbers: whether it holds numbers, so that a null is an image that nobody rated, and not one that nobody picked.
    """

    def __init__(self, name: str, *, numbers: bool) -> None:
        self._name = name
        self._numbers = numbers

    def __call__(self, value: Any) -> float | None:
        if self._numbers:
            return None if value is None or value != value else float(value)
        word = str(value or "").strip().casefold() if value is not True else "true"
        if word in _YES:
            return 1.0
        if word in _NO or value is False:
            return 0.0
        raise UsageError(
            f"--chosen-by {self._name}: {value!r} says neither yes nor no. "
            "Use a column of numbers, of true and false, or of words such as pick and reject."
        )


def _judge_of(field: pa.Field) -> _Judge:
    kind = field.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _Judge(field.name, numbers=True)
    if pa.types.is_boolean(kind) or pa.types.is_string(kind):
        return _Judge(field.name, numbers=False)
    raise UsageError(f"--chosen-by {field.name}: a column of {kind} says nothing about what is preferred.")


def _key(values: list[Any]) -> bytes:
    return blake2b(json.dumps(values, default=str).encode(), digest_size=16).digest()


def _paired(groups: Positions, positions: Positions, scores: np.typing.NDArray[np.float64]) -> Pairs:
    chosen, rejected = array("q"), array("q")
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if members.size:
            best = scores[members] == scores[members].max()
            for one, other in product(positions[members[best]], positions[members[~best]]):
                chosen.append(one)
                rejected.append(other)
    return np.array(chosen, np.int64), np.array(rejected, np.int64)
