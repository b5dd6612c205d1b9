"""Thumbnails: small, and as the image looks."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from batchgen.review.thumbnails import data_uri


def thumbnail(folder: Path, name: str, **kept: int) -> Image.Image:
    uri = data_uri(folder, name, **kept)
    assert uri is not None
    return Image.open(BytesIO(b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_thumbnail_shows_the_image_in_the_size_that_is_wanted(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGB", (640, 320), (200, 30, 30))
    image.paste((20, 20, 160), (320, 0, 640, 320))
    image.save(tmp_path / f"a.{kind}")
    small = thumbnail(tmp_path, f"a.{kind}", side=100).convert("RGB")
    assert small.size == (100, 50)
    left, right = small.getpixel((20, 25)), small.getpixel((80, 25))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > 180 > 60 > left[2]
    assert right[2] > 140 > 60 > right[0]


def test_what_is_transparent_stays_so(tmp_path: Path) -> None:
    image = Image.new("P", (300, 300), 0)
    image.save(tmp_path / "a.png", transparency=0)
    assert thumbnail(tmp_path, "a.png").getchannel("A").getextrema() == (0, 0)


def test_a_damaged_image_has_no_thumbnail(tmp_path: Path) -> None:
    Image.effect_noise((300, 300), 90).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    assert data_uri(tmp_path, "a.png") is None
