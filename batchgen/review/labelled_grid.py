"""A labelled grid: the images of a sweep on one picture, a column a value of one facet, a row a value of another."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchgen import index
from batchgen.errors import UsageError
from batchgen.model import INDEX_NAME, Status
from batchgen.review.facets import facets, in_order, shown
from batchgen.review.sheet import Drawn, Sheet

_GAP = 8  # pixels between pictures
_HEAD, _SIDE = 64, 180  # pixels for the labels above and beside
_LONGEST = 16_000  # pixels: what every picture format and viewer takes
_LETTERS = 17  # pixels: size of the labels

Value = str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Which image stands where."""

    x: str | None  #: the facet of the columns; None: there is one column
    y: str | None  #: the facet of the rows; None: there is one row
    across: Sequence[Value]  #: its values, in order
    down: Sequence[Value]
    files: Mapping[tuple[Value, Value], str] = field(repr=False)  #: x and y -> the first image of that cell
    most: int  #: images of the fullest cell
    lacking: Mapping[tuple[Value, Value], str] = field(repr=False, default_factory=dict)  #: x and y -> status of a row


def lay_out(folder: Path, *, x: str | None, y: str | None, select: Mapping[str, str]) -> Cells:
    """Find the stored image of each cell: the first in plan order.

    Args:
        folder: of the batch.
        x, y: facets: an axis, a label, a parameter, `prompt` or `split`; not both None.
        select: facet -> the value that an image must have; `7.0` is `7` where there is no other.

    Raises:
        UsageError: no image has such a facet or value.
        StorageFailed: the index cannot be read.
    """
    path = folder / INDEX_NAME
    _, labels = index.read_facts(path)
    files: dict[tuple[Value, Value], list[str]] = {}
    lacking: dict[tuple[Value, Value], str] = {}
    known: dict[str, dict[Value, None]] = {}
    for row in index.read(path):
        found = {"prompt": shown(row["prompt"])} | facets(row, labels)
        there, place = row["status"] == Status.STORED, (_at(found, x), _at(found, y))
        for name in {x, y, *select} & found.keys() if there else ():
            known.setdefault(str(name), {})[found[str(name)]] = None
        if any(found.get(name) != value for name, value in select.items()):
            continue
        if there:
            files.setdefault(place, []).append(row["file_name"])
        else:
            lacking.setdefault(place, row["status"])
    meant = {name: _meant(value, known.get(name, {})) for name, value in select.items()}
    if meant != select:
        return lay_out(folder, x=x, y=y, select=meant)
    _check(folder, [name for name in (x, y) if name is not None], select, known, labels)
    if not files:
        raise UsageError(f"{folder} has no stored image with all of {_listed(select)}; leave one --select out.")
    return Cells(
        x=x,
        y=y,
        across=in_order(list(dict.fromkeys(at for at, _ in files))),
        down=in_order(list(dict.fromkeys(at for _, at in files))),
        files={place: names[0] for place, names in files.items()},
        most=max(map(len, files.values())),
        lacking=lacking,
    )


def draw(folder: Path, cells: Cells, *, cell: int = 256) -> Drawn:
    """The cells as one picture, with the value of each column above and of each row beside it.

    Args:
        cell: width and height of each image in pixels.

    Raises:
        UsageError: it would be larger than pictures may be.
    """
    left, top = _SIDE if cells.y else _GAP, _HEAD if cells.x else _GAP
    step = cell + _GAP
    size = (left + len(cells.across) * step, top + len(cells.down) * step)
    if max(size) > _LONGEST:
        raise UsageError(
            f"A grid of {len(cells.across)} x {len(cells.down)} images of {cell} pixels would be {size[0]} x {size[1]} "
            f"pixels, and the longest side may be {_LONGEST}. Name a smaller --cell, or fewer values with --select."
        )
    sheet = Sheet(folder, size)
    for column, value in enumerate(cells.across if cells.x else ()):
        sheet.write(f"{cells.x}: {_word(value)}", (left + column * step, _GAP), cell, size=_LETTERS)
    for line, value in enumerate(cells.down if cells.y else ()):
        sheet.write(f"{cells.y}: {_word(value)}", (_GAP, top + line * step), _SIDE - 2 * _GAP, size=_LETTERS)
    for column, across in enumerate(cells.across):
        for line, down in enumerate(cells.down):
            at = (left + column * step, top + line * step)
            if (name := cells.files.get((across, down))) is None:
                sheet.leave_out(at, cell, why=cells.lacking.get((across, down), "").replace("_", " "))
            else:
                sheet.put(name, at, cell)
    return sheet.done()


def _at(found: Mapping[str, Value], name: str | None) -> Value:
    return None if name is None else found.get(name)


def _check(
    folder: Path,
    asked: Sequence[str],
    select: Mapping[str, str],
    known: Mapping[str, Mapping[Value, None]],
    labels: Sequence[str],
) -> None:
    for name in [*asked, *select]:
        if name not in known:
            there = sorted(_facets_there(folder, labels))
            if not there:
                raise UsageError(f"{folder} has no stored image yet; run its manifest first.")
            raise UsageError(f"{folder} has no axis, label or parameter {name}. There are: {', '.join(there)}.")
    for name, value in select.items():
        if value not in known[name]:
            values = ", ".join(_word(one) for one in in_order(list(known[name]))[:20])
            raise UsageError(f"No stored image in {folder} has {name}={value}. There are: {values}.")


def _facets_there(folder: Path, labels: Sequence[str]) -> set[str]:
    stored = (row for row in index.read(folder / INDEX_NAME) if row["status"] == Status.STORED)
    return {name for row in stored for name, value in facets(row, labels).items() if value is not None}


def _meant(asked: str, known: Mapping[Value, None]) -> str:
    """The value as the facet has it, where another way to write the same number was asked for."""
    with contextlib.suppress(ValueError):
        number = shown(float(asked))
        return asked if asked in known or number is None or number not in known else number
    return asked


def _word(value: Value) -> str:
    return "none" if value is None else value or "(empty)"


def _listed(select: Mapping[str, str]) -> str:
    return " and ".join(f"{name}={value}" for name, value in select.items())
