"""A contact sheet: the first images of a batch on one page, each with its prompt under it."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from batchgen import index
from batchgen.depth import in_8_bits
from batchgen.errors import StorageFailed, UsageError
from batchgen.model import Status

_GAP = 16  # pixels between pictures
_LINE = 20  # pixels a line of caption
_CAPTION_LINES = 2
PAPER, INK = (250, 249, 246), (40, 40, 44)


def draw(path: Path, *, columns: int = 4, at_most: int = 24, cell: int = 256) -> Image.Image:
    """The stored images of an index in plan order, as one picture.

    Args:
        path: the index.
        columns: pictures side by side, at least 1.
        at_most: pictures on the sheet.
        cell: width and height of each picture in pixels.

    Raises:
        UsageError: the batch has no stored image yet.
        StorageFailed: the index or an image cannot be read.
    """
    stored = (row for row in index.read(path, ["file_name", "prompt", "status"]) if row["status"] == Status.STORED)
    shown = list(islice(stored, at_most))
    if not shown:
        raise UsageError(f"{path.parent} has no stored image yet; run its manifest first.")
    columns = min(columns, len(shown))
    height = cell + _CAPTION_LINES * _LINE + _GAP
    size = (columns * (cell + _GAP) + _GAP, math.ceil(len(shown) / columns) * height + _GAP)
    sheet = Image.new("RGB", size, PAPER)
    for number, row in enumerate(shown):
        x, y = number % columns * (cell + _GAP) + _GAP, number // columns * height + _GAP
        sheet.paste(thumbnail(path.parent / row["file_name"], cell), (x, y))
        _caption(ImageDraw.Draw(sheet), row, (x, y + cell + 4), cell)
    return sheet


def thumbnail(path: Path, cell: int) -> Image.Image:
    """An image file in a square of so many pixels.

    Raises:
        StorageFailed: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            plain = (
                image.convert("RGBA") if image.mode == "P" else in_8_bits(image)
            )  # else Pillow warns of some palettes
            return ImageOps.pad(plain.convert("RGB"), (cell, cell), color=PAPER)
    except OSError as error:
        raise StorageFailed(f"The image {path} cannot be read: {error}.") from error


def _caption(pen: ImageDraw.ImageDraw, row: dict[str, Any], at: tuple[int, int], width: int) -> None:
    font = ImageFont.load_default(size=15)
    lines = wrapped(" ".join(row["prompt"].split()), pen, font, width)
    pen.multiline_text(at, "\n".join(lines), fill=INK, font=font, spacing=3)


def wrapped(text: str, pen: ImageDraw.ImageDraw, font: Any, width: int) -> list[str]:
    """The text in two lines of so many pixels at most; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    words = text.split(" ")
    while words and len(lines) < _CAPTION_LINES:
        line = words.pop(0)
        while words and pen.textlength(f"{line} {words[0]}", font=font) <= width:
            line = f"{line} {words.pop(0)}"
        lines.append(line)
    if words:
        lines[-1] += " …"
    return [_cut(line, pen, font, width) for line in lines]


def _cut(line: str, pen: ImageDraw.ImageDraw, font: Any, width: int) -> str:
    while line and pen.textlength(line, font=font) > width:
        line = line[:-2] + "…" if len(line) > 2 else ""
    return line
