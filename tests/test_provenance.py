"""What image files say of where they come from: read back by the tools that people have, beside untouched pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

import batchgen
from batchgen import Settings
from batchgen.adapters.embedding import embedded, embedder
from batchgen.adapters.image_check import PillowCheck
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import check
from batchgen.provenance import DIGITAL_SOURCE, Provenance, provenance_of
from batchgen.simulator import Behaviour, Fixed, Simulator, background
from tests.factories import a_request

KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {"quality": 80}),
    "webp": ("WEBP", {"quality": 60}),
    "webp lossless": ("WEBP", {"lossless": True}),
}
TOLD = Provenance(parameters="A “fox”, 狐\nSteps: 29", xmp="<x>ü</x>")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    form, usual = KINDS[kind]
    image.save(buffer, form, **usual, **options)
    return buffer.getvalue()


def pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(BytesIO(content)) as image:
        image.load()
        return image.mode, image.size, image.tobytes()


def told_by(content: bytes) -> tuple[str, str]:
    """The parameters and the XMP packet, as Pillow reads them."""
    with Image.open(BytesIO(content)) as image:
        if isinstance(image, PngImagePlugin.PngImageFile):
            return image.text["parameters"], image.text["XML:com.adobe.xmp"]
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        assert comment.startswith(b"UNICODE\0")
        return comment[8:].decode("utf-16-be"), image.info["xmp"].decode()


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(
    kind=st.sampled_from(sorted(KINDS)), mode=st.sampled_from(["RGB", "RGBA", "L", "P"]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 99), text=TEXTS, xmp=TEXTS.filter(bool),
)  # fmt: skip
def test_the_picture_is_the_same_and_what_was_told_is_read_back(
    kind: str, mode: str, size: tuple[int, int], seed: int, text: str, xmp: str
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), np.uint8)
    image = Image.fromarray(noise, "RGBA").convert("RGBA" if mode == "RGBA" and kind != "jpg" else "RGB")
    image = image.convert(mode) if mode in ("L", "P") and kind != "jpg" else image
    before = encoded(image, kind)
    after = embedded(before, kind.split()[0], Provenance(parameters=text, xmp=xmp))
    assert pixels(after) == pixels(before)
    assert told_by(after) == (text, xmp)
    assert PillowCheck().verify(after).phash == PillowCheck().verify(before).phash
    assert embedded(after, kind.split()[0], Provenance(parameters="other", xmp="other")) == after


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@given(content=st.binary(max_size=80), cut=st.integers(0, 400))
def test_a_file_that_is_not_as_its_format_says_stays_as_it_is_or_keeps_its_bytes(
    kind: str, content: bytes, cut: int
) -> None:
    assert embedded(content, kind, TOLD) == content
    whole = encoded(Image.new("RGB", (8, 8), "red"), kind)
    part = whole[:cut]
    after = embedded(part, kind, TOLD)
    assert after == part or len(after) > len(part)


def test_metadata_that_came_with_the_image_stays() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "the API"
    for kind in ("jpg", "webp"):
        before = encoded(Image.new("RGB", (8, 8)), kind, exif=exif)
        after = embedded(before, kind, TOLD)
        with Image.open(BytesIO(after)) as image:
            assert image.getexif()[ExifTags.Base.Artist] == "the API"
            assert ExifTags.Base.UserComment not in image.getexif().get_ifd(ExifTags.IFD.Exif)
            assert image.info["xmp"].decode() == TOLD.xmp
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "the API's")
    after = embedded(encoded(Image.new("RGB", (8, 8)), "png", pnginfo=text), "png", TOLD)
    assert told_by(after) == ("the API's", TOLD.xmp)


def test_texts_too_long_for_a_segment_are_left_out_of_a_jpeg() -> None:
    before = encoded(Image.new("RGB", (8, 8)), "jpg")
    after = embedded(before, "jpg", Provenance(parameters="x" * 40_000, xmp="<x/>"))
    with Image.open(BytesIO(after)) as image:
        assert image.info["xmp"] == b"<x/>"
        assert not image.getexif()
    assert pixels(after) == pixels(before)


SDXL = find_profile("sdxl")


def test_the_parameters_are_in_the_form_that_image_tools_read() -> None:
    request = a_request(
        prompt="A fox\nat dawn",
        params={
            "negative_prompt": "blurry, dark", "num_inference_steps": 20, "guidance_scale": 7.5, "seed": 3,
            "width": 512, "height": 768, "samples": 2, "lora_models": ("ink", "line"), "webhook": "https://secret",
        },
    )  # fmt: skip
    told = provenance_of(request, 1, profile=SDXL, version="9")
    assert told.parameters == (
        "A fox\nat dawn\nNegative prompt: blurry, dark\n"
        f"Steps: 20, CFG scale: 7.5, Seed: 3, Size: 512x768, Model: {SDXL.model}, "
        'lora_models: "ink, line", Version: batchgen 9, Request key: 0123456789bcdfgh/1'
    )
    assert DIGITAL_SOURCE in told.xmp
    assert "secret" not in told.parameters + told.xmp


@given(TEXTS)
def test_the_packet_is_xml_whatever_the_prompt(prompt: str) -> None:
    from xml.etree import ElementTree

    told = provenance_of(a_request(prompt=prompt), 0, profile=find_profile("sd3"), version="1")
    root = ElementTree.fromstring(told.xmp.partition("?>")[2].rpartition("<?")[0])
    assert root.tag == "{adobe:ns:meta/}xmpmeta"


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_it_back_without_a_warning(tmp_path: Path) -> None:
    request = a_request(prompt="A “fox” & <owl>, 狐")
    for kind in KINDS:
        extension = kind.split()[0]
        content = encoded(Image.new("RGB", (33, 17), "red"), kind)
        name = f"{kind.replace(' ', '-')}.{extension}"
        (tmp_path / name).write_bytes(embedder(find_profile("sd3"))(request, 0, extension, content))
    names = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(["exiftool", "-j", "-n", *names], capture_output=True, text=True, check=True)
    for told in json.loads(done.stdout):
        assert "Warning" not in told
        assert told["DigitalSourceType"] == DIGITAL_SOURCE
        assert told["Identifier"] == "0123456789bcdfgh/0"
        assert told["Description"] == "A “fox” & <owl>, 狐"
        assert told.get("Parameters", told.get("UserComment")).startswith("A “fox” & <owl>, 狐\nSteps: 29")


def test_a_batch_keeps_both_hashes_stands_its_checks_and_finds_duplicates_by_what_was_delivered(
    tmp_path: Path,
) -> None:
    manifest = tmp_path / "m.yaml"
    written = "profile: simulator\nparams: {samples: 2, width: 32, height: 32}\nprompts: [A fox, An owl]\n"
    behaviour = Behaviour(latency=Fixed(0), faults={"image": {"blank": 1.0}})
    with background(Simulator(find_profile("simulator"), behaviour=behaviour)) as url:
        settings = Settings(base_url=url, report=False)
        manifest.write_text(written)
        plain = batchgen.run(manifest, out=tmp_path / "plain", settings=settings).frame()
        manifest.write_text(written + "provenance: true\n")
        told = batchgen.run(manifest, out=tmp_path / "told", settings=settings).frame()
        assert check(tmp_path / "told").flaws == ()
        (tmp_path / "told" / told.file_name[1]).write_bytes(b"broken")
        assert check(tmp_path / "told", repair=True).exit_code == 6
        mended = batchgen.run(manifest, out=tmp_path / "told", settings=settings).frame()
        assert check(tmp_path / "told").exit_code == 0
    assert list(plain.delivered_sha256) == list(plain.sha256) == list(told.delivered_sha256)
    assert set(told.sha256).isdisjoint(told.delivered_sha256)
    assert told.sha256.nunique() == 4
    assert set(told.duplicate_of[1:]) == {told.file_name[0]}
    assert list(mended.sha256) == list(told.sha256)
    for frame, folder in ((plain, "plain"), (told, "told")):
        assert len({pixels((tmp_path / folder / name).read_bytes()) for name in frame.file_name}) == 1
    parameters, xmp = told_by((tmp_path / "told" / told.file_name[2]).read_bytes())
    assert parameters.startswith("An owl\n")
    assert f"{told.request_key[2]}/0" in parameters
    assert DIGITAL_SOURCE in xmp
