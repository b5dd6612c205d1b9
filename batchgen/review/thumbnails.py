"""Thumbnails: images as small as a gallery shows them, inside the page as data URIs."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from batchgen import png
from batchgen.depth import in_8_bits

#: Longer side in pixels: sharp at 160 on most screens, and some 4 KB.
SIDE = 192
#: How much larger than a thumbnail the plain averages are that it is made from: half the time, and no eye sees it.
_GAP = 1.3


def data_uri(folder: Path, name: str | None, *, side: int = SIDE) -> str | None:
    """An image file of a batch, made small; None if there is none that can be read.

    Args:
        folder: of the batch.
        name: as the index has it, relative to the folder.
        side: longer side in pixels; smaller images stay as they are.
    """
    path = within(folder, name)
    if path is None:
        return None
    try:
        with _opened(path.read_bytes()) as image:
            image.draft("RGB", (2 * side, 2 * side))  # a JPEG is decoded no larger than needed
            plain = in_8_bits(image)
            plain.thumbnail((side, side), reducing_gap=_GAP)
            kept = plain.convert("RGBA" if plain.has_transparency_data else "RGB")
    except png.BROKEN:
        return None
    buffer = BytesIO()
    kept.save(buffer, "WEBP", quality=72, method=2)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def _opened(content: bytes) -> Image.Image:
    if content.startswith(png.SIGNATURE):
        return png.decoded(png.opened(content), content)
    return Image.open(BytesIO(content))


def within(folder: Path, name: str | None) -> Path | None:
    """Where an image file lies; None if the index names none, or one outside of the folder."""
    if not name:
        return None
    relative = PurePosixPath(name)
    return None if relative.is_absolute() or ".." in relative.parts else folder / relative
