"""Whether bytes are a whole image, found out by decoding them, or by looking for what is missing or damaged."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from batchgen.checks import Decode
from batchgen.depth import in_8_bits
from batchgen.errors import Came, ResultUnavailable
from batchgen.model import VerifiedImage

try:
    from isal import isal_zlib as inflating  # as zlib, in a third of the time
except ImportError:
    import zlib as inflating  # type: ignore[no-redef]

_PNG = b"\x89PNG\r\n\x1a\n"
#: The chunks of a PNG that make its picture. Only they are decoded: text, profiles and animations are where
#: decompression bombs and warnings come from.
_PICTURE_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
#: Pixels; no generated picture is longer, and JPEG can hold no more.
_LONGEST_SIDE = 65_535
#: Bytes of a body that are given as its beginning, and characters that tell whether it is text.
_BEGINNING, _TOLD = 480, 120
#: What ends a JPEG; bytes before it that are looked at, the blocks that they paint at most, and pixels of a large one.
_JPEG_END, _LAST_BYTES, _BLOCKS, _BLOCK = b"\xff\xd9", 4, 16, 16
#: What a decoder of JPEG paints where it has nothing.
_MIDDLE_GREY = 128
#: Values of a pixel, by a PNG's type of colour.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: The seven passes of an interlaced PNG: the first column and row of each, and how far apart they are.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Bytes that are inflated at a time.
_INFLATED = 256 * 1024
#: Steps of 255 within which colours count as one, and to which they count as black.
_ONE_COLOUR, _BLACK = 8, 12
#: Pixels of the square from which the perceptual hash is made, and the eight lowest waves across it.
_SIDE = 32
_COSINES = np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(8), 2 * np.arange(_SIDE) + 1))
#: What Pillow's decoders are known to raise on bytes that are not what they seem.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    cast("type[Exception]", inflating.error),
    Image.DecompressionBombError,
)


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

    def verify(self, content: bytes) -> VerifiedImage:
        """Look at the image; see `ports.ImageCheck`."""
        extension = _type_of(content)
        if extension is None:
            raise self._unusable(content, "is neither PNG, WEBP nor JPEG")
        try:
            width, height, phash, blank = self._looked_at(extension, content)
        except _BROKEN as error:
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
            image.load()
            if extension == "png" and _ends_in_nothing(image):
                _check_png_stream(content)  # the decoder takes a whole stream of too few rows for all of them
            if extension == "jpg" and _ends_before_its_picture(image, content):
                raise ValueError("it is cut off, and ended all the same")
            shown = in_8_bits(image)
            small = _shrunk(shown)
            return *image.size, perceptual_hash(small), is_blank(shown, small)

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
    if content.startswith(_PNG):
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
            return PngImageFile(BytesIO(_picture_of_png(content)))
        case "jpg":
            _check_jpeg_ends(content)
            return JpegImageFile(BytesIO(content))
        case _:
            _check_webp_ends(content)
            return WebPImageFile(BytesIO(content))


def _picture_of_png(content: bytes) -> bytes:
    """The PNG without what does not make its picture, each chunk checked.

    Raises:
        ValueError: cut off, or a checksum is wrong.
    """
    kept = [_PNG]
    for kind, start, end in _png_chunks(content):
        if kind not in _PICTURE_CHUNKS:
            continue
        _check_sum(content, kind, start, end)
        kept.append(content[start:end])
    return b"".join(kept)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk, to the one that ends the image."""
    start, kind = len(_PNG), b""
    while kind != b"IEND":
        kind = content[start + 4 : start + 8]
        end = start + int.from_bytes(content[start : start + 4]) + 12
        if end > len(content):
            raise ValueError("it is cut off")
        yield kind, start, end
        start = end


def _png_size(content: bytes) -> tuple[int, int]:
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise ValueError("it has no head")
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def _check_png_stream(content: bytes) -> None:
    """Each chunk's checksum, and that the compressed picture can be inflated to its end and is long enough.

    Raises:
        ValueError, or an error of zlib: cut off or damaged.
    """
    stream, inflated = inflating.decompressobj(), 0
    for kind, start, end in _png_chunks(content):
        _check_sum(content, kind, start, end)
        left = content[start + 8 : end - 4] if kind == b"IDAT" else b""
        while left and not stream.eof:
            inflated += len(stream.decompress(left, _INFLATED))
            left = stream.unconsumed_tail
    if not stream.eof or inflated < _png_length(content):
        raise ValueError("its picture is cut off")


def _png_length(content: bytes) -> int:
    """Bytes of the inflated picture as its head gives them: each line has one more than its pixels take."""
    width, height = _png_size(content)
    depth, colour, interlaced = content[24], content[25], content[28]
    bits = depth * _CHANNELS[colour]
    if not interlaced:
        return height * (1 + (width * bits + 7) // 8)
    passes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _PASSES)
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in passes if columns > 0 and rows > 0)


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


def _ends_in_nothing(image: Image.Image) -> bool:
    """Whether its lowest row is what a decoder leaves where nothing came."""
    width, height = image.size
    return not np.any(np.asarray(image.crop((0, height - 1, width, height))))


def _check_sum(content: bytes, kind: bytes, start: int, end: int) -> None:
    if inflating.crc32(memoryview(content)[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
        raise ValueError(f"wrong checksum in its chunk {kind.decode('latin-1')}")


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
    except _BROKEN:  # what was cut off here is more than its last blocks: that says nothing about the whole
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
_SIZES = {"png": _png_size, "jpg": _jpeg_size, "webp": _webp_size}
_ENDS = {"png": _check_png_stream, "jpg": _check_jpeg_ends, "webp": _check_webp_ends}


def _beginning(content: bytes) -> str | None:
    """How the body begins, if it is text: most often the words of a gateway or an image host."""
    head = content[:_BEGINNING].decode("utf-8", "replace")
    shown = " ".join("".join(char if char.isprintable() else " " for char in head).split())
    if not shown or any(char == "\ufffd" or (char < " " and char not in "\t\r\n") for char in head[:_TOLD]):
        return None
    return shown
