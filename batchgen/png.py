"""PNGs as streams: what they are made of, whether it is whole, and their pictures, decoded in half of Pillow's time.

Inflating is most of decoding. Where isal is installed it inflates, and Pillow is given the stream as blocks that are
stored as they are; what it makes of them is the same. Only that isal is content with a stream is never enough: what
goes wrong on this way goes Pillow's own way from the beginning, and that is what counts.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Protocol, cast

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

try:
    from isal import igzip_lib
    from isal import isal_zlib as inflating  # as zlib, in a third of the time
except ImportError:
    import zlib as inflating  # type: ignore[no-redef]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: What Pillow's decoders, and what inflates, are known to raise on bytes that are not what they seem.
BROKEN = (
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
#: The chunks that make the picture. Only they are decoded: text, profiles and animations are where
#: decompression bombs and warnings come from.
_PICTURE_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
#: Values of a pixel, by the type of colour.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: The seven passes of an interlaced PNG: the first column and row of each, and how far apart they are.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Bytes of a PNG up to which Pillow's own way is as quick.
_SMALL = 32 * 1024
#: Bytes that are inflated at a time, to be counted.
_INFLATED = 256 * 1024
#: Modes of pictures whose memory the next may take, and of how many pixels at most. In others, more than pixels stays.
_PLAIN, _KEPT = ("RGB", "RGBA"), 4 * 1024 * 1024
#: Bytes of a stored block: with its head as many as Pillow reads at a time.
_BLOCK = 64 * 1024 - 7
#: What SHA-512 takes at a time.
_A_BLOCK = bytes(128)
#: How a stream of zlib begins; and the head of a stored block that is not the last: its length, and that inverted.
_ZLIB, _STORED = b"\x78\x01", struct.Struct("<xHH")


class _Stream(Protocol):
    """What inflates, of either library; it keeps what it is given until it is asked for the rest, with nothing more."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes: ...


class _Zlib:
    """A stream of zlib's, which gives back what it has not inflated."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    @property
    def eof(self) -> bool:
        return self._stream.eof

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        return self._stream.decompress(data or self._stream.unconsumed_tail, max_length)


def size(content: bytes) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        ValueError: it has no head.
    """
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise ValueError("it has no head")
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def check_stream(content: bytes) -> None:
    """Each chunk's checksum, and that the compressed picture can be inflated to its end and is long enough.

    Raises:
        ValueError, or an error of zlib: cut off or damaged.
    """
    stream, inflated, seen = _stream(), 0, memoryview(content)
    for kind, start, end in _chunks(content):
        _check_sum(content, kind, start, end)
        if kind == b"IDAT":
            inflated += sum(map(len, _inflated(stream, seen[start + 8 : end - 4], _INFLATED)))
    if not stream.eof or inflated < _length(content):
        raise ValueError("its picture is cut off")


def opened(content: bytes) -> PngImageFile:
    """The image with only its head read, but every chunk of its picture checked.

    Raises:
        ValueError: cut off, or a checksum is wrong; or another of `BROKEN`.
    """
    return PngImageFile(BytesIO(_picture(content)))


def decoded(
    image: PngImageFile, content: bytes, *, small: int = _SMALL, onto: Image.Image | None = None
) -> Image.Image:
    """The picture.

    Args:
        image: as `opened` of the content.
        small: bytes of a PNG up to which Pillow does all of it.
        onto: a picture that nobody looks at any more; if it is of the same kind, this one takes its memory.

    Raises:
        one of `BROKEN`: cut off or damaged.
    """
    picture = (_quickly_decoded(content, onto) if len(content) > small else None) or _slowly_decoded(image, content)
    # isal leaves the upper halves of the vector registers in use, which makes what Pillow reckons next, as when it
    # shrinks a picture, five times as slow: 0.4 ms instead of 0.07. OpenSSL clears them.
    hashlib.sha512(_A_BLOCK)
    return picture


def _slowly_decoded(image: PngImageFile, content: bytes) -> Image.Image:
    image.load()
    if _ends_in_nothing(image):
        check_stream(content)  # the decoder takes a whole stream of too few rows for all of them
    return image


def may_be_painted_over(picture: Image.Image) -> bool:
    """Whether a picture may be kept for its memory, once nobody looks at it any more."""
    width, height = picture.size
    return picture.mode in _PLAIN and width * height <= _KEPT


def _quickly_decoded(content: bytes, onto: Image.Image | None) -> Image.Image | None:
    """The picture, unless it is better decoded by Pillow alone."""
    if inflating is zlib:
        return None
    try:
        # It has no end, so that Pillow finds one of too few rows cut off.
        image = PngImageFile(cast(IO[bytes], _Pieces(_stored(content))))
        if onto is not None and image.mode in _PLAIN and (onto.mode, onto.size) == (image.mode, image.size):
            image.im = onto.im  # else it would be made black first, and each of its pages fetched
        image.load()
    except BROKEN:
        return None
    return image


class _Pieces:
    """A file that is read once, from the first byte to the last, and made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left, self._place = pieces, b"", 0

    def read(self, length: int) -> bytes:
        """The next bytes; fewer where there are no more."""
        while len(self._left) < length and (piece := next(self._pieces, b"")):
            self._left = self._left + piece if self._left else piece
        found, self._left = self._left[:length], self._left[length:]
        self._place += len(found)
        return found

    def tell(self) -> int:
        """The place of the next byte."""
        return self._place

    def seek(self, place: int) -> int:
        """Stay; there is no other place to go to."""
        if place != self._place:
            raise OSError("it is read only once")
        return place


def _stored(content: bytes) -> Iterator[bytes]:
    """The PNG's picture with its stream inflated, in pieces as they are read; sums of chunks are left out."""
    stream, head, seen = _stream(), _ZLIB, memoryview(content)
    yield SIGNATURE
    for kind, start, end in _chunks(content):
        if kind == b"IDAT":
            for block in _inflated(stream, seen[start + 8 : end - 4], _BLOCK):
                head += _STORED.pack(len(block), len(block) ^ 0xFFFF)
                yield struct.pack(">I4s", len(head) + len(block), kind)
                yield head + block
                yield bytes(4)  # a sum that Pillow passes over
                head = b""
        elif kind in _PICTURE_CHUNKS:
            yield content[start:end]


def _stream() -> _Stream:
    # isal's other interface, that of zlib, makes its blocks grow: three times as many calls, each with a copy, and each
    # gives the interpreter away and waits for it.
    return _Zlib() if inflating is zlib else igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)


def _inflated(stream: _Stream, part: bytes | memoryview, most: int) -> Iterator[bytes]:
    """What is in that part of the stream, at most so many bytes at a time."""
    while not stream.eof and (block := stream.decompress(part, most)):
        yield block
        if len(block) < most:  # else it may have kept some, even after the last byte
            break
        part = b""


def _picture(content: bytes) -> bytes:
    """The PNG without what does not make its picture, each chunk checked.

    Raises:
        ValueError: cut off, or a checksum is wrong.
    """
    kept, others = [SIGNATURE], 0
    for kind, start, end in _chunks(content):
        if kind in _PICTURE_CHUNKS:
            _check_sum(content, kind, start, end)
            kept.append(content[start:end])
        else:
            others += 1
    return b"".join(kept) if others else content


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk, to the one that ends the image."""
    start, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        kind = content[start + 4 : start + 8]
        end = start + int.from_bytes(content[start : start + 4]) + 12
        if end > len(content):
            raise ValueError("it is cut off")
        yield kind, start, end
        start = end


def _length(content: bytes) -> int:
    """Bytes of the inflated picture as its head gives them: each line has one more than its pixels take."""
    width, height = size(content)
    depth, colour, interlaced = content[24], content[25], content[28]
    bits = depth * _CHANNELS[colour]
    if not interlaced:
        return height * (1 + (width * bits + 7) // 8)
    passes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _PASSES)
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in passes if columns > 0 and rows > 0)


def _ends_in_nothing(image: Image.Image) -> bool:
    """Whether its lowest row is what a decoder leaves where nothing came."""
    width, height = image.size
    last = image.getpixel((width - 1, height - 1))  # of most pictures it says enough
    if any(last) if isinstance(last, tuple) else last:
        return False
    return not any(image.crop((0, height - 1, width, height)).tobytes())


def _check_sum(content: bytes, kind: bytes, start: int, end: int) -> None:
    if inflating.crc32(memoryview(content)[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
        raise ValueError(f"wrong checksum in its chunk {kind.decode('latin-1')}")
