"""The lettering on a picture: its prompt, its settings, and the mark that says it is no generation."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

#: Pixels; a shorter side than this has no room for letters.
SMALLEST_SIDE = 96
MARK = "SIMULATED"
_LINES = 3
_INK = (16, 18, 30, 168)
_TEXT = (255, 255, 255, 240)
_FAINT = (255, 255, 255, 178)
_LOOKALIKES = str.maketrans("øØłŁıđ×", "oOlLidx", "") | str.maketrans({"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe"})

Font = ImageFont.FreeTypeFont


def write_caption(picture: Image.Image, prompt: str | None, settings: str) -> None:
    """Put the lettering onto the picture, if there is room for it.

    Args:
        prompt: None leaves the panel out; the mark stays.
    """
    width, height = picture.size
    side = min(width, height)
    if side < SMALLEST_SIDE:
        return
    pen = ImageDraw.Draw(picture, "RGBA")
    margin = side // 36
    small = _font(max(8, side // 48))
    _mark(pen, (width - margin, margin), small)
    if prompt is None:
        return
    size = max(9, side // 30)
    inside = width - 4 * margin
    lines = wrapped(legible(prompt, size), inside, size)
    _panel(pen, (width, height), margin, lines, size, settings, small)


def _mark(pen: ImageDraw.ImageDraw, corner: tuple[int, int], font: Font) -> None:
    text = " ".join(MARK) if font.size >= 12 else MARK
    left, top, right, bottom = font.getbbox(text)
    pad = font.size * 0.6
    box = (corner[0] - (right - left) - 2 * pad, corner[1], corner[0], corner[1] + (bottom - top) + 1.3 * pad)
    pen.rounded_rectangle(box, radius=pad, fill=_INK)
    pen.text((box[0] + pad - left, box[1] + 0.65 * pad - top), text, font=font, fill=_FAINT)


def _panel(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    margin: int,
    lines: Sequence[str],
    letters: int,
    settings: str,
    small: Font,
) -> None:
    leading = round(letters * 1.28)
    footer = round(small.size * 1.5)
    tall = leading * len(lines) + footer + margin
    top = size[1] - margin - tall
    pen.rounded_rectangle((margin, top, size[0] - margin, size[1] - margin), radius=margin * 0.8, fill=_INK)
    y = top + margin * 0.45
    for line in lines:
        pen.text((2 * margin, y), line, font=_font(letters), fill=_TEXT)
        y += leading
    pen.text((2 * margin, y + small.size * 0.1), settings, font=small, fill=_FAINT)


def wrapped(text: str, width: float, size: int) -> list[str]:
    """The text in at most three lines of that width, in pixels; what does not fit ends in an ellipsis."""
    font = _font(size)
    lines: list[str] = []
    rest = text.split()
    while rest and len(lines) < _LINES:
        count = 1
        while count < len(rest) and font.getlength(" ".join(rest[: count + 1])) <= width:
            count += 1
        lines.append(_cut(" ".join(rest[:count]), width, font))
        rest = rest[count:]
    if rest and lines:
        lines[-1] = _cut(lines[-1].rstrip("…") + " …", width, font)
    return lines


def _cut(line: str, width: float, font: Font) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"


def legible(text: str, size: int = 20) -> str:
    """The text in letters that the font has: accents dropped if need be, other scripts as an ellipsis."""
    plain = unicodedata.normalize("NFKD", text.translate(_LOOKALIKES))
    letters = [letter for letter in plain if not unicodedata.combining(letter)]
    runs = groupby(letters, key=lambda letter: letter.isspace() or _drawable(letter))
    return "".join("".join(run) if drawable else "…" for drawable, run in runs)


@lru_cache(maxsize=16)
def _font(size: int) -> Font:
    font = ImageFont.load_default(size)
    assert isinstance(font, Font), "Pillow's wheels are built with FreeType"
    return font


@lru_cache(maxsize=2048)
def _drawable(letter: str) -> bool:
    return " " <= letter <= "~" or (letter.isprintable() and _shape(letter) != _shape("\uffff"))


def _shape(letter: str) -> bytes:
    return bytes(_font(20).getmask(letter.encode("utf-8", "replace").decode()))
