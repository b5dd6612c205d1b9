"""Puts texts into image files and leaves every byte of the picture as it is: nothing is decoded and encoded again.

What a file has of that kind already stays, and nothing is added; a file of which that cannot be told stays as it is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

from batchgen.model import Request
from batchgen.profile import Profile
from batchgen.provenance import Provenance, provenance_of

_XMP_PNG = b"XML:com.adobe.xmp"
_XMP_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF = b"Exif\0\0"
_EXIF_TAGS, _USER_COMMENT = 0x8769, 0x9286
#: What a segment of a JPEG file holds, beside the two bytes of its length.
_SEGMENT = 65_533
_WEBP_EXIF, _WEBP_XMP, _WEBP_ALPHA = 0x08, 0x04, 0x10


def embedder(profile: Profile) -> Callable[[Request, int, str, bytes], bytes]:
    """What makes of the bytes of a sample's image a file that says where it comes from."""
    tool = version("batchgen")

    def with_provenance(request: Request, sample: int, extension: str, content: bytes) -> bytes:
        return embedded(content, extension, provenance_of(request, sample, profile=profile, version=tool))

    return with_provenance


def embedded(content: bytes, extension: str, told: Provenance) -> bytes:
    """The file with what is told; as it was, if it has all of that already or is not as its format says.

    Args:
        extension: png, jpg or webp.
    """
    put = {"png": _into_png, "jpg": _into_jpeg, "webp": _into_webp}[extension]
    try:
        return put(content, told)
    except (ValueError, IndexError, struct.error):
        return content


def _exif(text: str) -> bytes:
    """The text as the user's comment, where tools look for the parameters of JPEG and WEBP files; a TIFF structure."""
    comment = b"UNICODE\0" + text.encode("utf-16-be")
    directory = struct.pack(
        ">HHHIII", 1, _EXIF_TAGS, 4, 1, 26, 0
    )  # which leads to the next one, 26 bytes from the start
    tags = struct.pack(">HHHIII", 1, _USER_COMMENT, 7, len(comment), 44, 0)
    return b"MM\0*" + struct.pack(">I", 8) + directory + tags + comment


def _into_png(content: bytes, told: Provenance) -> bytes:
    there, picture = set(), None
    for kind, start, end in _png_chunks(content):
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            there.add(content[start + 8 : end].partition(b"\0")[0])
        if kind == b"IDAT" and picture is None:
            picture = start
    if picture is None:
        raise ValueError("no picture")
    texts = {b"parameters": told.parameters, _XMP_PNG: told.xmp}
    chunks = b"".join(_itxt(name, text) for name, text in texts.items() if name not in there)
    return content[:picture] + chunks + content[picture:]


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    start, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, start)
        yield kind, start, (end := start + length + 12)
        start = end


def _itxt(name: bytes, text: str) -> bytes:
    body = b"iTXt" + name + b"\0\0\0\0\0" + text.encode()  # not compressed, of no language
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _into_jpeg(content: bytes, told: Provenance) -> bytes:
    heads, place = [], 2
    for marker, start, end in _jpeg_segments(content):
        heads.append(content[start + 4 : end])
        if marker == 0xE0 and start == place:  # JFIF has to come first
            place = end
    wanted = {_EXIF: _exif(told.parameters), _XMP_JPEG: told.xmp.encode()}
    bodies = [
        head + body
        for head, body in wanted.items()
        if len(head + body) <= _SEGMENT and not any(there.startswith(head) for there in heads)
    ]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in bodies)
    return content[:place] + segments + content[place:]


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment before the first scan."""
    start = 2
    while True:
        fill, marker, length = struct.unpack_from(">BBH", content, start)
        if fill != 0xFF or marker == 0xFF:
            raise ValueError("no marker where one should be")
        if marker == 0xDA:
            return
        yield marker, start, (end := start + 2 + length)
        start = end


def _into_webp(content: bytes, told: Provenance) -> bytes:
    if struct.unpack_from("<I", content, 4)[0] + 8 != len(content):
        raise ValueError("something stands behind it")
    chunks = list(_webp_chunks(content))
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _extended_head(*chunks[0])))
    head, kinds = bytearray(chunks[0][1]), {kind for kind, _ in chunks}
    for kind, flag, body in (
        (b"EXIF", _WEBP_EXIF, _exif(told.parameters)),
        (b"XMP ", _WEBP_XMP, told.xmp.encode()),
    ):
        if kind not in kinds:
            chunks.append((kind, body))
            head[0] |= flag
    chunks[0] = (b"VP8X", bytes(head))
    return _webp(chunks)


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 12
    while start < len(content):
        kind, length = struct.unpack_from("<4sI", content, start)
        if start + 8 + length > len(content):
            raise ValueError("it is cut off")
        yield kind, content[start + 8 : start + 8 + length]
        start += 8 + length + length % 2


def _webp(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _extended_head(kind: bytes, data: bytes) -> bytes:
    """The first chunk of a file with metadata, for a picture that stood alone: whether it has alpha, and its size."""
    if kind == b"VP8L":
        (sides,) = struct.unpack_from("<I", data, 1)
        width, height = sides & 0x3FFF, sides >> 14 & 0x3FFF  # less one each, here as there
        flags = _WEBP_ALPHA if sides >> 28 & 1 else 0
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 6))
        width, height, flags = width - 1, height - 1, 0
    else:
        raise ValueError("no picture")
    return b"".join((struct.pack("<I", flags), int(width).to_bytes(3, "little"), int(height).to_bytes(3, "little")))
