"""An image of a batch as it goes into an export: as it is, or in another format or size.

The same bytes, wishes and version of Pillow give the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

from PIL import ExifTags, Image, ImageOps

from batchgen.depth import in_8_bits
from batchgen.errors import StorageFailed

#: Pillow's names of the formats of the index.
_PILLOW = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
_WHITE = (255, 255, 255)
#: Quality of formats that lose something, unless the user says otherwise.
QUALITY = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large pictures are wanted, in pixels.

    With a height, the picture is scaled until it covers width × height, and what stands out is cut off on both
    sides alike. Without one, a picture whose longer side is more than *width* is scaled down until it is that.
    """

    width: int
    height: int | None = None

    def of(self, image: Image.Image) -> Image.Image:
        """The image in that size; the very same object if it has it already."""
        wanted = (self.width, self.height) if self.height is not None else self._within(*image.size)
        if image.size == wanted:
            return image
        if self.height is None:
            return image.resize(wanted, Image.Resampling.LANCZOS)
        return ImageOps.fit(image, wanted, Image.Resampling.LANCZOS)

    def _within(self, width: int, height: int) -> tuple[int, int]:
        share = min(1.0, self.width / max(width, height))
        return max(1, round(width * share)), max(1, round(height * share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image of an export."""

    #: Columns of the index that say what an image file is.
    FACTS: ClassVar[tuple[str, ...]] = ("sha256", "bytes", "format", "width", "height")

    content: bytes
    format: str  #: png, jpg or webp; also the file's extension
    width: int  #: pixels
    height: int  #: pixels
    sha256: str  #: of the content; 64 hex digits

    def facts(self) -> dict[str, Any]:
        """What the columns of the index say of the file."""
        return {
            "sha256": self.sha256,
            "bytes": len(self.content),
            "format": self.format,
            "width": self.width,
            "height": self.height,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is done to each picture. Nothing, by default: its bytes are those that the API delivered."""

    format: str | None = None  #: png, jpg or webp; None: as it is
    takes: tuple[str, ...] = tuple(_PILLOW)  #: where the format is as it is: others than these become png
    quality: int = QUALITY  #: 1 to 100, of jpg and webp
    size: Size | None = None

    def format_of(self, row: dict[str, Any]) -> str:
        """The format that the image of a row will have."""
        if self.format is not None:
            return self.format
        return str(row["format"]) if row["format"] in self.takes else "png"

    def concerns(self, row: dict[str, Any]) -> bool:
        """Whether the image of a row may become another."""
        return self.size is not None or self.format_of(row) != row["format"]

    def apply(self, content: bytes, row: dict[str, Any]) -> Picture:
        """The picture made of an image file; the file's own bytes where nothing has to change.

        Raises:
            StorageFailed: it is no image.
        """
        if not self.concerns(row):
            return self._as_it_is(content, row)
        try:
            with Image.open(BytesIO(content)) as image:
                return self._made(image, content, row)
        except (OSError, ValueError, SyntaxError) as error:
            raise StorageFailed(f"The image {row['file_name']} cannot be decoded: {error}.") from error

    def _as_it_is(self, content: bytes, row: dict[str, Any]) -> Picture:
        return Picture(
            content=content, format=row["format"], width=row["width"], height=row["height"], sha256=row["sha256"]
        )

    def _made(self, image: Image.Image, content: bytes, row: dict[str, Any]) -> Picture:
        wanted, upright = self.format_of(row), _upright(image)
        made = upright if self.size is None else self.size.of(_in_colour(upright))
        if made.size == upright.size and wanted == row["format"]:
            return self._as_it_is(content, row)
        content = self._encoded(made, wanted, icc_profile=image.info.get("icc_profile"))
        digest = hashlib.sha256(content).hexdigest()
        return Picture(content=content, format=wanted, width=made.width, height=made.height, sha256=digest)

    def _encoded(self, image: Image.Image, wanted: str, *, icc_profile: bytes | None) -> bytes:
        options = {} if wanted == "png" else {"quality": self.quality}
        image = _opaque(image) if wanted == "jpg" else _in_colour(image)
        buffer = BytesIO()
        image.save(buffer, _PILLOW[wanted], icc_profile=icc_profile, **options)
        return buffer.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says, which no file that is made here has."""
    return image if image.getexif().get(ExifTags.Base.Orientation, 1) == 1 else ImageOps.exif_transpose(image)


def _in_colour(image: Image.Image) -> Image.Image:
    """In a mode that every format and filter takes; transparency stays."""
    image = in_8_bits(image)
    if image.mode in ("RGB", "RGBA", "L"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _opaque(image: Image.Image) -> Image.Image:
    """On white where it is transparent."""
    image = _in_colour(image)
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGB", image.size, _WHITE)
    paper.paste(image, mask=image.getchannel("A"))
    return paper
