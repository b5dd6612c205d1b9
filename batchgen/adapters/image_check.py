"""Whether bytes are a whole image, found out by decoding them, or by looking for what is missing or damaged."""

from __future__ import annotations

import hashlib
import threading
from io import BytesIO
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from batchgen import png
from batchgen.checks import Decode
from batchgen.depth import in_8_bits
from batchgen.errors import Came, ResultUnavailable
from batchgen.model import VerifiedImage

#: Pixels; no generated picture is longer, and JPEG can hold no more.
_LONGEST_SIDE = 65_535
#: Bytes of a body that are given as its beginning, and characters that tell whether it is text.
_BEGINNING, _TOLD = 480, 120
#: What ends a JPEG; bytes before it that are looked at, the blocks that they paint at most, and pixels of a large one.
_JPEG_END, _LAST_BYTES, _BLOCKS, _BLOCK = b"\xff\xd9", 4, 16, 16
#: What a decoder of JPEG paints where it has nothing.
_MIDDLE_GREY = 128
#: Steps of 255 within which colours count as one, and to which they count as black.
_ONE_COLOUR, _BLACK = 8, 12
#: Pixels of the square from which the perceptual hash is made, and the eight lowest waves across it.
_SIDE = 32
_COSINES = np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(8), 2 * np.arange(_SIDE) + 1))


class PillowCheck:
    """Verifies images with Pillow.

    Args:
        max_pixels: an image of more is refused before it is decoded.
        decode: how closely they are looked at. Only what is decoded has a perceptual hash, or is seen to be blank.
    """

    def __init__(
        self,
        max_pixels: int = 64_000_000,
        *,
        decode: Decode = Decode.FULL,
    ) -> None:
        self._max_pixels = max_pixels
        self._how = decode
        self._before = threading.local()  #: the picture that the thread has looked at last, for its memory

    def verify(self, content: bytes) -> VerifiedImage:
        """Look at the image; see `ports.ImageCheck`."""
        extension = _type_of(content)
        if extension is None:
            raise self._unusable(content, "is neither PNG, WEBP nor JPEG")
        try:
            width, height, phash, blank = self._looked_at(extension, content)
        except png.BROKEN as error:
            words = str(error) or type(error).__name__
            raise self._unusable(content, f"is a damaged {extension} image ({words})") from error
        digest = hashlib.sha256(content).hexdigest()
        return VerifiedImage(
            format=extension,
            width=width,
            height=height,
            sha256=digest,
            bytes=len(content),
            phash=phash,
            blank=blank,
        )

    def _looked_at(self, extension: str, content: bytes) -> tuple[int, int, str | None, bool]:
        if self._how is Decode.FULL:
            return self._decode(extension, content)
        width, height = _SIZES[extension](content)
        if min(width, height) < 1:
            raise ValueError("it has no pixels")
        self._check_size(content, width, height)
        if self._how is Decode.STREAM:
            _ENDS[extension](content)
        return width, height, None, False

    def _decode(self, extension: str, content: bytes) -> tuple[int, int, str, bool]:
        if extension == "webp":
            self._check_size(content, *_webp_size(content))  # its decoder takes the memory as soon as it is made
        with _opened(extension, content) as image:
            self._check_size(content, *image.size)
            shown = in_8_bits(self._loaded(image, content))
            small = _shrunk(shown)
            return *image.size, perceptual_hash(small), is_blank(shown, small)

    def _loaded(self, image: ImageFile, content: bytes) -> Image.Image:
        """The decoded picture of an opened image."""
        if isinstance(image, PngImageFile):
            return self._loaded_png(image, content)
        image.load()
        if isinstance(image, JpegImageFile) and _ends_before_its_picture(image, content):
            raise ValueError("it is cut off, and ended all the same")
        return image

    def _loaded_png(self, image: PngImageFile, content: bytes) -> Image.Image:
        before, self._before.picture = getattr(self._before, "picture", None), None
        picture = png.decoded(image, content, onto=before)
        if picture is not image and png.may_be_painted_over(picture):
            self._before.picture = picture
        return picture

    def _check_size(self, content: bytes, width: int, height: int) -> None:
        if width * height > self._max_pixels or max(width, height) > _LONGEST_SIDE:
            raise self._unusable(content, f"claims to be {width} × {height} pixels, more than is taken")

    def _unusable(self, content: bytes, what: str) -> ResultUnavailable:
        size = f"{len(content)} bytes" if content else "empty"
        return ResultUnavailable(
            f"What came ({size}) {what}.", permanent=True, came=Came.SPOILT, begins=_beginning(content)
        )


def _shrunk(image: Image.Image) -> npt.NDArray[np.float64]:
    """Its brightness in 32 × 32 places, 0 to 255."""
    if image.mode == "CMYK":  # to convert all of a large one takes as much memory again
        image = image.reduce(max(1, min(image.size) // (8 * _SIDE)))
    if image.mode == "P" and image.has_transparency_data:  # else Pillow warns of it, to the user's terminal
        image = image.convert("RGBA")
    # With a reducing gap, most of the shrinking is a plain average: a fifth of the time for the same hash.
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(small, dtype=np.float64)


def is_blank(image: Image.Image, small: npt.NDArray[np.float64]) -> bool:
    """Whether there is nothing to be seen: one colour throughout, all black, or wholly transparent.

    Compression leaves traces, so colours count as one within a few steps of 255.
    """
    # Plain to be seen, at a tenth of the cost.
    if image.mode in ("L", "RGB") and small.max() - small.min() > 4 * _ONE_COLOUR:
        return False
    plain = image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGBA")
    extremes = plain.getextrema()
    bands = cast("list[tuple[int, int]]", [extremes] if plain.mode == "L" else list(extremes))
    alpha, colours = (bands[-1], bands[:-1]) if plain.mode in ("LA", "RGBA") else ((255, 255), bands)
    if alpha[1] <= _ONE_COLOUR:
        return True
    if alpha[1] - alpha[0] > _ONE_COLOUR:
        return False
    black = all(most <= _BLACK for _, most in colours)
    return black or all(most - least <= _ONE_COLOUR for least, most in colours)


def perceptual_hash(small: npt.NDArray[np.float64]) -> str:
    """The 64-bit DCT hash of a shrunk image as 16 hex digits, as the common tools compute it (`imagehash.phash`).

    Two images that look alike differ in few bits; fewer than about 10 of 64 is a near duplicate.
    """
    low = (_COSINES @ small @ _COSINES.T).flatten()
    ordered = np.sort(low)
    bits = low > (ordered[31] + ordered[32]) / 2  # the median; numpy's own function takes longer than all the rest
    return np.packbits(bits).tobytes().hex()


def _type_of(content: bytes) -> str | None:
    if content.startswith(png.SIGNATURE):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "webp"
    return None


def _opened(extension: str, content: bytes) -> ImageFile:
    """The image with only its head read. Not `Image.open`: that warns of large images, process-wide."""
    match extension:
        case "png":
            return png.opened(content)
        case "jpg":
            _check_jpeg_ends(content)
            return JpegImageFile(BytesIO(content))
        case _:
            _check_webp_ends(content)
            return WebPImageFile(BytesIO(content))


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height in pixels as a JPEG's frame gives them.

    Raises:
        ValueError: there is no frame before the picture begins.
    """
    start = 2
    while len(head := content[start : start + 9]) == 9 and head[0] == 0xFF and head[1] != 0xDA:
        if head[1] == 0xFF:  # a byte that fills
            start += 1
            continue
        if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[7:9]), int.from_bytes(head[5:7])
        start += 2 + int.from_bytes(head[2:4])
    raise ValueError("it has no head")


def _check_jpeg_ends(content: bytes) -> None:
    scan = content.find(b"\xff\xda")
    if scan < 0 or content.find(b"\xff\xd9", scan) < 0:
        raise ValueError("it is cut off")


def _ends_before_its_picture(image: ImageFile, content: bytes) -> bool:
    """Whether a JPEG was cut off and given an end: what its last bytes paint is far above its lower edge.

    The decoder only warns of that, to nobody, and paints the rest in its middle grey. Plain JPEGs alone are looked at:
    in progressive ones, the last bytes may be about any place.
    """
    width, height = image.size
    last_rows = _BLOCK * (2 + -(-_BLOCK * _BLOCKS // width))
    if image.info.get("progressive") or image.mode not in ("L", "RGB") or height <= last_rows:
        return False
    corner = image.crop((max(0, width - 8), height - 8, width, height))
    if np.any(np.asarray(corner) != _MIDDLE_GREY):
        return False
    try:
        with JpegImageFile(BytesIO(content[: content.rfind(_JPEG_END) - _LAST_BYTES] + _JPEG_END)) as shorter:
            shorter.load()
            painted = ImageChops.difference(image, shorter).getbbox()
    except png.BROKEN:  # what was cut off here is more than its last blocks: that says nothing about the whole
        return False
    return painted is not None and painted[3] <= height - last_rows


def _check_webp_ends(content: bytes) -> None:
    if int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise ValueError("it is cut off")


def _webp_size(content: bytes) -> tuple[int, int]:
    """Width and height in pixels as the head of a WEBP file gives them.

    Raises:
        ValueError: no head that the format knows.
    """
    kind, head = content[12:16], content[20:30]
    if len(head) == 10 and kind == b"VP8X":
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if len(head) == 10 and kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    if len(head) >= 5 and kind == b"VP8L":
        sides = int.from_bytes(head[1:5], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    raise ValueError("its head is not that of a WEBP image")


#: What is read of an image that is not decoded, by its type.
_SIZES = {"png": png.size, "jpg": _jpeg_size, "webp": _webp_size}
_ENDS = {"png": png.check_stream, "jpg": _check_jpeg_ends, "webp": _check_webp_ends}


def _beginning(content: bytes) -> str | None:
    """How the body begins, if it is text: most often the words of a gateway or an image host."""
    head = content[:_BEGINNING].decode("utf-8", "replace")
    shown = " ".join("".join(char if char.isprintable() else " " for char in head).split())
    if not shown or any(char == "\ufffd" or (char < " " and char not in "\t\r\n") for char in head[:_TOLD]):
        return None
    return shown
