"""A contact sheet: the first images of a batch on one page, each with its prompt under it."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

from batchgen import index
from batchgen.errors import UsageError
from batchgen.model import Status
from batchgen.review.lettering import LINES
from batchgen.review.sheet import Drawn, Sheet

_GAP = 16  # pixels between pictures
_LINE = 20  # pixels a line of caption
_LETTERS = 15  # pixels: size of the caption


def draw(path: Path, *, columns: int = 4, at_most: int = 24, cell: int = 256) -> Drawn:
    """The stored images of an index in plan order, as one picture.

    Args:
        path: the index.
        columns: pictures side by side, at least 1.
        at_most: pictures on the sheet.
        cell: width and height of each picture in pixels.

    Raises:
        UsageError: the batch has no stored image yet.
        StorageFailed: the index cannot be read.
    """
    stored = (row for row in index.read(path, ["file_name", "prompt", "status"]) if row["status"] == Status.STORED)
    shown = list(islice(stored, at_most))
    if not shown:
        raise UsageError(f"{path.parent} has no stored image yet; run its manifest first.")
    columns = min(columns, len(shown))
    height = cell + LINES * _LINE + _GAP
    sheet = Sheet(path.parent, (columns * (cell + _GAP) + _GAP, math.ceil(len(shown) / columns) * height + _GAP))
    for number, row in enumerate(shown):
        x, y = number % columns * (cell + _GAP) + _GAP, number // columns * height + _GAP
        sheet.put(row["file_name"], (x, y), cell)
        sheet.write(row["prompt"], (x, y + cell + 4), cell, size=_LETTERS)
    return sheet.done()
