"""A sheet: one picture of many images of a batch, with words; and what could not be drawn on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from batchgen.depth import in_8_bits
from batchgen.errors import StorageFailed
from batchgen.review.lettering import drawable, font_for, wrapped
from batchgen.review.thumbnails import within

PAPER, INK = (250, 249, 246), (40, 40, 44)
_FRAME, _TROUBLE = (225, 223, 216), (161, 38, 13)
_SMALL = 13  # pixels: size of what stands in an empty cell
_MARGIN = 6  # pixels around it

Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A sheet that is done."""

    picture: Image.Image
    unreadable: tuple[str, ...]  #: image files that could not be read, relative to the batch folder
    lacking: str  #: letters that no font of this machine has


class Sheet:
    """An empty sheet of so many pixels, for the images of the batch in a folder."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder = folder
        self._picture = Image.new("RGB", size, PAPER)
        self._pen = ImageDraw.Draw(self._picture)
        self._unreadable: list[str] = []
        self._lacking: dict[str, None] = {}

    def put(self, name: str, at: Place, cell: int) -> None:
        """An image file in a square; where it cannot be read, the square says so."""
        path = within(self._folder, name)
        try:
            if path is None:
                raise StorageFailed(f"The index names {name}, which is outside of {self._folder}.")
            self._picture.paste(thumbnail(path, cell), at)
        except StorageFailed:
            self._unreadable.append(name)
            self.leave_out(at, cell, why="the image file cannot be read")

    def leave_out(self, at: Place, cell: int, *, why: str = "") -> None:
        """An empty square, with the reason in it."""
        self._pen.rectangle((*at, at[0] + cell, at[1] + cell), outline=_FRAME, width=2)
        if why:
            inside = (at[0] + _MARGIN, at[1] + _MARGIN)
            self.write(why, inside, cell - 2 * _MARGIN, size=_SMALL, ink=_TROUBLE)

    def write(self, text: str, at: Place, width: int, *, size: int, ink: tuple[int, int, int] = INK) -> None:
        """A text in at most two lines of so many pixels."""
        text = drawable(text)
        font, lacking = font_for(text, size)
        lines = "\n".join(wrapped(text, font, width))
        self._lacking |= dict.fromkeys(letter for letter in lacking if letter in lines)
        self._pen.multiline_text(at, lines, fill=ink, font=font, spacing=3)

    def done(self) -> Drawn:
        """What has become of it."""
        return Drawn(picture=self._picture, unreadable=tuple(self._unreadable), lacking="".join(self._lacking))


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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise StorageFailed(f"The image {path} cannot be read: {error}.") from error
