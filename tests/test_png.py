"""PNGs as streams: however they are decoded, what is found is the same."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from batchgen import png
from batchgen.adapters.image_check import PillowCheck
from batchgen.errors import ResultUnavailable

isal_zlib = pytest.importorskip("isal.isal_zlib")
PILLOW_TAKES = 64 * 1024


@contextmanager
def pillow_alone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(png, "inflating", zlib)
        yield


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_stream(stream: bytes, size: tuple[int, int], *, colour: int = 0, depth: int = 8, interlaced: int = 0) -> bytes:
    """A PNG of that compressed stream, in chunks of some length."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced))
    parts = [chunk(b"IDAT", stream[start : start + 5000]) for start in range(0, len(stream), 5000)]
    return png.SIGNATURE + head + b"".join(parts) + chunk(b"IEND", b"")


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def pixels(content: bytes) -> tuple[str, bytes]:
    image = png.decoded(png.opened(content), content, small=0)
    return image.mode, image.tobytes()


def verdict(content: bytes, check: PillowCheck | None = None) -> object:
    try:
        return (check or PillowCheck()).verify(content)
    except ResultUnavailable as refused:
        return refused.permanent


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (300, 200), (1, 70_000)])
def test_a_picture_is_the_same_whoever_inflates_it(mode: str, size: tuple[int, int]) -> None:
    noise = Image.effect_noise(size, 90)
    image = Image.frombytes(mode, size, noise.tobytes() * 2) if mode == "I;16" else noise.convert(mode)
    content = saved(image)
    quick = pixels(content)
    with pillow_alone():
        assert quick == pixels(content) == (image.mode, image.tobytes())


@pytest.mark.parametrize("size", [(9, 17), (300, 200)])
def test_an_interlaced_picture_is_the_same_whoever_inflates_it(size: tuple[int, int]) -> None:
    lines = bytes(value * value % 5 for value in range(size[0] * size[1] * 2))  # each is a filter that there is
    content = with_stream(zlib.compress(lines), size, interlaced=1)
    quick = pixels(content)
    with pillow_alone():
        assert quick == pixels(content)


def test_a_picture_is_decoded_quickly_and_not_left_to_pillow_alone() -> None:
    content = saved(Image.effect_noise((300, 300), 90))
    unread = png.opened(content)
    assert png.decoded(unread, content, small=0) is not unread


def test_a_small_picture_is_left_to_pillow_alone() -> None:
    content = saved(Image.effect_noise((60, 60), 90))
    unread = png.opened(content)
    assert png.decoded(unread, content) is unread


NOISE = Image.effect_noise((240, 180), 60)  # more than is left to Pillow
LINES = b"".join(b"\0" + NOISE.tobytes()[start : start + 240] for start in range(0, 240 * 180, 240))
STREAMS = [zlib.compress(LINES, level) for level in (0, 1, 9)]


@settings(max_examples=150)
@given(st.sampled_from(STREAMS), st.data())
def test_damage_that_no_checksum_tells_is_judged_the_same_whoever_inflates(stream: bytes, drawn: st.DataObject) -> None:
    damaged = bytearray(stream)
    for _ in range(drawn.draw(st.integers(1, 3))):
        damaged[drawn.draw(st.integers(0, len(stream) - 1))] ^= drawn.draw(st.integers(1, 255))
    content = with_stream(bytes(damaged[: drawn.draw(st.integers(len(stream) - 5_000, len(stream)))]), NOISE.size)
    assume(len(content) > 32 * 1024)
    quick = verdict(content)
    with pillow_alone():
        assert quick == verdict(content)


@pytest.mark.parametrize("more", range(40))
def test_a_stream_that_is_some_bytes_longer_than_what_is_counted_at_a_time_is_whole(more: int) -> None:
    width = 256 * 1024 - 20 + more
    content = with_stream(zlib.compress(bytes(1 + width)), (width, 1))
    png.check_stream(content)
    with pillow_alone():
        png.check_stream(content)


@pytest.mark.parametrize("more", range(40))
def test_a_stream_that_is_some_bytes_longer_than_what_pillow_is_given_at_a_time_is_decoded_quickly(more: int) -> None:
    width = PILLOW_TAKES - 27 + more
    content = with_stream(zlib.compress(bytes(1 + width)), (width, 1))
    unread = png.opened(content)
    assert png.decoded(unread, content, small=0) is not unread


def over(before: Image.Image, content: bytes) -> Image.Image:
    return png.decoded(png.opened(content), content, small=0, onto=before)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_picture_that_takes_the_memory_of_another_is_the_same(mode: str, interlaced: int) -> None:
    size, colour = (61, 47), {"RGB": 2, "RGBA": 6}[mode]
    length = 4 * size[0] * size[1] + 7 * size[1]
    lines = bytes(value * value % 5 for value in range(length))  # each is a filter that there is
    content = with_stream(zlib.compress(lines), size, colour=colour, interlaced=interlaced)
    before = Image.effect_noise(size, 90).convert(mode)
    after = over(before, content)
    assert after.im is before.im
    assert (after.mode, after.tobytes()) == pixels(content)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "LA", "1"])
def test_a_picture_of_another_kind_or_size_takes_nobodys_memory(mode: str) -> None:
    content = saved(Image.effect_noise((60, 40), 90).convert("RGB" if mode == "I;16" else mode))
    for before in (Image.new(mode, (60, 40)), Image.new("RGB", (60, 41))):
        assert over(before, content).im is not before.im
    assert not png.may_be_painted_over(Image.new(mode, (60, 40)))


def a_picture(mode: str, side: int, number: int) -> bytes:
    noise = Image.effect_noise((side, side), 60).convert(mode)
    noise.paste(90 * number, (number, number, side // 2, side // 2))
    return saved(noise)


CONTENTS = {
    (mode, large, number): a_picture(mode, 300 if large else 240, number)
    for mode in ("RGB", "RGBA", "L")
    for large in (False, True)
    for number in range(3)
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["RGB", "RGBA", "L"]), st.booleans(), st.integers(0, 2), st.booleans()), max_size=6
    )
)
def test_what_is_found_depends_on_no_image_before(kinds: list[tuple[str, bool, int, bool]]) -> None:
    check = PillowCheck()
    for mode, large, number, cut in kinds:
        content = CONTENTS[mode, large, number]
        content = content[:-20_000] + chunk(b"IEND", b"") if cut else content
        assert verdict(content, check) == verdict(content)
