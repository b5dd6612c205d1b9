"""The image check, on real bytes, whole and broken."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile

from batchgen.adapters.image_check import PillowCheck
from batchgen.checks import Decode
from batchgen.errors import ResultUnavailable
from batchgen.review.sheet import thumbnail
from batchgen.testing import tiny_png

CHECK = PillowCheck()


def drawn(size: tuple[int, int] = (48, 32), *, mode: str = "RGB") -> Image.Image:
    """Noise, so that no format can make it small."""
    return Image.effect_noise(size, 90).convert(mode)


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = BytesIO()
    (image or drawn()).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """The PNG with one more chunk behind its head."""
    return png[:33] + chunk(kind, body) + png[33:]


def refusal(content: bytes, check: PillowCheck = CHECK) -> str:
    with pytest.raises(ResultUnavailable) as caught:
        check.verify(content)
    assert caught.value.permanent
    return caught.value.message


def beginning(content: bytes) -> str | None:
    with pytest.raises(ResultUnavailable) as caught:
        CHECK.verify(content)
    return caught.value.begins


WHOLE = {
    "png": saved("PNG"),
    "jpg": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True),
    "webp": saved("WEBP"),
    "lossless": saved("WEBP", lossless=True),
    "extended": saved("WEBP", drawn(mode="RGBA"), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_image_is_verified_by_its_bytes(name: str) -> None:
    content = WHOLE[name]
    image = CHECK.verify(content)
    assert image.format == {"progressive": "jpg", "lossless": "webp", "extended": "webp"}.get(name, name)
    assert (image.width, image.height) == (48, 32)
    assert image.sha256 == sha256(content).hexdigest()
    assert image.bytes == len(content)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_of_any_colour_type_is_taken(mode: str) -> None:
    assert CHECK.verify(saved("PNG", Image.new(mode, (5, 4)))).width == 5


def test_a_palette_with_transparent_colours_warns_nobody_and_changes_no_hash(tmp_path: Path) -> None:
    picture = Image.new("P", (64, 64))
    picture.putpalette([(7 * n) % 256 for n in range(768)])
    picture.putdata([n % 256 for n in range(64 * 64)])
    seen_through = saved("PNG", picture, transparency=bytes(range(256)))
    assert CHECK.verify(seen_through).phash == CHECK.verify(saved("PNG", picture)).phash
    (tmp_path / "a.png").write_bytes(seen_through)
    assert thumbnail(tmp_path / "a.png", 32).size == (32, 32)


def test_a_picture_of_one_pixel_is_taken() -> None:
    assert CHECK.verify(tiny_png(1, 1)).height == 1


@pytest.mark.parametrize("name", WHOLE)
def test_bytes_after_the_end_do_no_harm(name: str) -> None:
    assert CHECK.verify(WHOLE[name] + b"\0\xff trailing").width == 48


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    content = saved(kind, save_all=True, append_images=[drawn()])
    assert CHECK.verify(content).width == 48


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_truncated_image_is_refused_wherever_it_is_cut(name: str, data: st.DataObject) -> None:
    content = WHOLE[name]
    refusal(content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize("name", WHOLE)
def test_an_image_that_lacks_its_last_byte_is_refused(name: str) -> None:
    refusal(WHOLE[name][:-1])


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_damage_raises_anything_but_a_refusal(name: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ResultUnavailable):
        CHECK.verify(bytes(content))


@given(head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"]), rest=st.binary())
def test_no_bytes_raise_anything_but_a_refusal(head: bytes, rest: bytes) -> None:
    refusal(head + rest)


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    content = bytearray(WHOLE["png"])
    content[len(content) // 2] ^= 1
    assert "wrong checksum in its chunk IDAT" in refusal(bytes(content))


def test_truncation_is_refused_by_the_decoder_too() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    picture = zlib.compress(b"\0" * 100)
    head = struct.pack(">IIBBBBB", 1000, 1000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", picture) + chunk(b"IEND", b"")
    assert "damaged png" in refusal(content)


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (2**31 - 1, 1), (1, 70_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert f"claims to be {width} × {height} pixels" in refusal(bomb)


def test_a_webp_of_absurd_size_is_refused_before_its_decoder_takes_the_memory() -> None:
    content = bytearray(WHOLE["extended"])
    content[24:30] = b"\xff\x3f\x00\xff\x3f\x00"
    assert "claims to be 16384 × 16384 pixels" in refusal(bytes(content))


@pytest.mark.parametrize("name", WHOLE)
def test_the_most_pixels_may_be_set(name: str) -> None:
    assert PillowCheck(max_pixels=48 * 32).verify(WHOLE[name]).width == 48
    assert "claims to be 48 × 32 pixels" in refusal(WHOLE[name], PillowCheck(max_pixels=48 * 32 - 1))


def test_pillows_own_limits_warn_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for content in WHOLE.values():
            assert CHECK.verify(content).width == 48
    assert caught == []


def test_a_broken_animation_chunk_or_a_text_bomb_neither_warns_nor_harms_the_picture() -> None:
    bomb = b"key\0\0" + zlib.compress(b"\0" * 80_000_000)
    content = with_chunk(with_chunk(tiny_png(), b"acTL", b"\0" * 8), b"zTXt", bomb)
    assert CHECK.verify(content).width == 8


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
def test_other_image_types_are_not_taken(kind: str) -> None:
    assert "is neither PNG, WEBP nor JPEG" in refusal(saved(kind))


PLAIN: dict[str, tuple[str, dict[str, object]]] = {
    "usual": ("RGB", {}),
    "full colour": ("RGB", {"subsampling": "4:4:4"}),
    "half colour": ("RGB", {"subsampling": "4:2:2"}),
    "own tables": ("RGB", {"optimize": True}),
    "grey": ("L", {"optimize": True}),
    "restarts": ("RGB", {"restart_marker_blocks": 3}),
    "coarse": ("RGB", {"quality": 5}),
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_a_jpeg_that_was_cut_off_and_given_an_end_is_refused(name: str, share: float) -> None:
    mode, options = PLAIN[name]
    content = saved("JPEG", drawn((200, 300), mode=mode), **options)
    assert CHECK.verify(content).height == 300
    assert "ended all the same" in refusal(content[: int(len(content) * share)] + b"\xff\xd9")


@pytest.mark.parametrize("name", [*PLAIN, "progressive"])
@given(width=st.integers(1, 150), height=st.integers(1, 150), grey=st.integers(0, 150))
@settings(max_examples=40, deadline=None)
def test_a_whole_jpeg_whose_lower_part_is_the_decoders_grey_is_taken(
    name: str, width: int, height: int, grey: int
) -> None:
    mode, options = PLAIN.get(name, ("RGB", {"progressive": True}))
    picture = drawn((width, height), mode=mode)
    picture.paste((128, 128, 128) if mode == "RGB" else 128, (0, max(0, height - grey), width, height))
    assert CHECK.verify(saved("JPEG", picture, **options)).width == width


@pytest.mark.parametrize(("ink", "blank"), [((0, 0, 0, 0), True), ((0, 0, 0, 255), True), ((90, 0, 40, 0), True)])
def test_a_picture_in_the_colours_of_print_is_judged_like_any_other(ink: tuple[int, ...], blank: bool) -> None:
    one = Image.new("CMYK", (64, 64), ink)
    assert CHECK.verify(saved("JPEG", one)).blank is blank
    one.paste((0, 200, 200, 0), (8, 8, 40, 40))
    assert not CHECK.verify(saved("JPEG", one)).blank


def test_how_a_page_instead_of_an_image_begins_is_told() -> None:
    page = b"<html>\n  <title>502 Bad Gateway</title></html>" + b" " * 1000
    assert beginning(page) == "<html> <title>502 Bad Gateway</title></html>"


def test_json_instead_of_an_image_is_quoted_in_its_own_script() -> None:
    assert "не готово" in (beginning('{"error": "не готово"}'.encode()) or "")


def test_of_a_long_text_only_the_beginning_is_quoted() -> None:
    assert len(refusal(b"word " * 10_000)) < 250


def test_bytes_that_are_no_text_are_not_quoted() -> None:
    assert beginning(bytes(range(256))) is None


def test_an_empty_body_is_called_empty() -> None:
    assert "(empty)" in refusal(b"")


def test_the_perceptual_hash_is_the_one_that_the_common_tools_compute_and_size_does_not_change_it() -> None:
    picture = Image.new("RGB", (300, 200), (200, 80, 40))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((40, 30, 160, 150), fill=(20, 60, 220))
    pen.rectangle((180, 90, 290, 190), fill=(240, 240, 90))
    for size in ((300, 200), (150, 100)):
        image = CHECK.verify(saved("PNG", picture.resize(size)))
        assert image.phash == "b748c8b487c748b7"  # by imagehash 4.3


def test_two_pictures_have_different_perceptual_hashes() -> None:
    assert CHECK.verify(WHOLE["png"]).phash != CHECK.verify(tiny_png()).phash


STREAM, HEADER = PillowCheck(decode=Decode.STREAM), PillowCheck(decode=Decode.HEADER)


@pytest.mark.parametrize("check", [STREAM, HEADER], ids=["stream", "header"])
@pytest.mark.parametrize("name", WHOLE)
def test_what_is_not_decoded_is_described_the_same_but_for_what_only_its_pixels_tell(
    name: str, check: PillowCheck
) -> None:
    assert check.verify(WHOLE[name]) == replace(CHECK.verify(WHOLE[name]), phash=None)


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_truncated_image_is_refused_without_being_decoded(name: str, data: st.DataObject) -> None:
    content = WHOLE[name]
    refusal(content[: data.draw(st.integers(0, len(content) - 1))], STREAM)


@given(place=st.integers(0, len(WHOLE["png"]) - 1), flipped=st.integers(1, 255))
@settings(deadline=None)
def test_a_png_with_any_byte_changed_is_refused_without_being_decoded(place: int, flipped: int) -> None:
    content = bytearray(WHOLE["png"])
    content[place] ^= flipped
    refusal(bytes(content), STREAM)


def test_only_the_head_is_read_where_that_is_wanted() -> None:
    for name, content in WHOLE.items():
        damaged = content[:-200] + bytes(100) + content[-100:]
        assert HEADER.verify(damaged).width == 48, name
        assert HEADER.verify(damaged[:-60]).height == 32, name


@pytest.mark.parametrize("check", [STREAM, HEADER], ids=["stream", "header"])
@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_damage_raises_anything_but_a_refusal_where_nothing_is_decoded(
    check: PillowCheck, name: str, data: st.DataObject
) -> None:
    content = bytearray(WHOLE[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ResultUnavailable):
        check.verify(bytes(content))


@given(head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"]), rest=st.binary())
def test_no_bytes_without_a_head_are_taken_for_an_image(head: bytes, rest: bytes) -> None:
    refusal(head + rest, STREAM)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("how", [Decode.STREAM, Decode.HEADER])
def test_the_most_pixels_hold_for_what_is_not_decoded(name: str, how: Decode) -> None:
    assert "claims to be" in refusal(WHOLE[name], PillowCheck(max_pixels=48 * 32 - 1, decode=how))


def made_png(lines: bytes, *, size: tuple[int, int], depth: int, colour: int, interlaced: int) -> bytes:
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    body = zlib.compress(lines)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body[:9]) + chunk(b"IDAT", body[9:])) + chunk(
        b"IEND", b""
    )


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (8, 6)])
@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (9, 17)])
def test_a_png_is_as_long_as_its_head_says_to_the_byte(
    depth: int, colour: int, interlaced: int, size: tuple[int, int]
) -> None:
    form: dict[str, Any] = {"size": size, "depth": depth, "colour": colour, "interlaced": interlaced}
    whole = next(n for n in range(1, 2_000) if _is_taken(made_png(bytes(n), **form)))
    assert CHECK.verify(made_png(bytes(whole), **form)).width == size[0]  # as Pillow counts
    refusal(made_png(bytes(whole - 1), **form), CHECK)


def _is_taken(content: bytes) -> bool:
    try:
        STREAM.verify(content)
    except ResultUnavailable:
        return False
    return True


@pytest.mark.parametrize("library", ["zlib", "isal.isal_zlib"])
def test_whichever_library_inflates_finds_the_same(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgen.png.inflating", pytest.importorskip(library))
    content = WHOLE["png"]
    assert STREAM.verify(content).width == 48
    refusal(content[: len(content) // 2], STREAM)
    short: dict[str, Any] = {"size": (9, 17), "depth": 8, "colour": 2, "interlaced": 0}
    assert "its picture is cut off" in refusal(made_png(bytes(400), **short), STREAM)
    broken = b"\x89PNG\r\n\x1a\n" + content[8:33] + chunk(b"IDAT", b"x\x9c" + b"\xff" * 50) + chunk(b"IEND", b"")
    assert "damaged png" in refusal(broken, STREAM)


@pytest.mark.parametrize("rows", [0, 1, 16, 31])
def test_a_png_whose_stream_is_whole_and_has_too_few_rows_is_refused(rows: int) -> None:
    lines = b"".join(b"\0" + bytes([90 + n, 1, 2] * 48) for n in range(rows))
    png = made_png(lines, size=(48, 32), depth=8, colour=2, interlaced=0)
    assert "is a damaged png image" in refusal(png)


def test_a_png_that_ends_in_black_is_whole() -> None:
    image = drawn()
    image.paste((0, 0, 0), (0, 16, 48, 32))
    assert CHECK.verify(saved("PNG", image)).height == 32
