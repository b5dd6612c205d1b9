"""What images must stand before they are part of the dataset, and what becomes of those that do not."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from batchgen import index
from batchgen.adapters.file_store import FileStore
from batchgen.adapters.image_check import PillowCheck
from batchgen.app.result import RunResult
from batchgen.budget import Account
from batchgen.checks import BlankCheck, Checks, Decode, Finding, SizeCheck
from batchgen.cli import words
from batchgen.lifecycle import Record, State
from batchgen.model import REJECTED_FOLDER, BatchFacts, RunId, Status, StoredImage, VerifiedImage
from batchgen.policy import STAYED_AS_IT_WAS, SecondLooks, judge
from batchgen.testing import MemoryImageAPI, tiny_png
from tests.factories import a_request, an_image
from tests.test_runner import Scene, requests

STRICT = Checks(size=SizeCheck.EXACT, blank=BlankCheck.REJECT)
NONE = Checks(size=SizeCheck.OFF, blank=BlankCheck.OFF)


# --- Blank pictures


def verified(image: Image.Image) -> VerifiedImage:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return PillowCheck().verify(buffer.getvalue())


def is_blank(image: Image.Image, kind: str = "PNG", **options: Any) -> bool:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return PillowCheck().verify(buffer.getvalue()).blank


def with_dot(image: Image.Image, colour: Any) -> Image.Image:
    """The picture with something to be seen."""
    ImageDraw.Draw(image).rectangle((8, 8, 24, 24), fill=colour)
    return image


FORMATS = [("PNG", {}), ("JPEG", {"quality": 60}), ("WEBP", {"quality": 60}), ("WEBP", {"lossless": True})]


@pytest.mark.parametrize(("kind", "options"), FORMATS)
@pytest.mark.parametrize("colour", ["black", "white", (13, 120, 200)])
def test_a_picture_of_one_colour_is_blank_however_it_was_compressed(kind: str, options: Any, colour: Any) -> None:
    assert is_blank(Image.new("RGB", (64, 48), colour), kind, **options)


@pytest.mark.parametrize(("kind", "options"), FORMATS)
@pytest.mark.parametrize("colour", ["black", "white", (13, 120, 200)])
def test_a_picture_with_something_in_it_is_not(kind: str, options: Any, colour: Any) -> None:
    assert not is_blank(with_dot(Image.new("RGB", (64, 48), colour), (120, 60, 90)), kind, **options)


def test_black_with_the_noise_of_a_camera_is_blank_and_a_dark_scene_is_not() -> None:
    assert is_blank(Image.effect_noise((64, 64), 3).point(lambda value: min(12, max(0, value - 126))).convert("RGB"))
    assert not is_blank(with_dot(Image.new("RGB", (64, 64), (4, 4, 4)), (40, 30, 20)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_blank_is_told_in_every_kind_of_png(mode: str) -> None:
    assert is_blank(Image.new(mode, (32, 32)))


def test_a_shape_cut_out_of_one_colour_is_not_blank_and_a_wholly_transparent_picture_is() -> None:
    shape = with_dot(Image.new("RGBA", (32, 32), (255, 0, 0, 0)), (255, 0, 0, 255))
    assert not is_blank(shape)
    assert is_blank(with_dot(Image.new("RGBA", (32, 32), (255, 0, 0, 0)), (0, 255, 0, 0)))
    assert is_blank(with_dot(Image.new("RGBA", (32, 32), (255, 0, 0, 0)), (0, 255, 0, 5)))


def test_a_bright_grey_picture_of_16_bits_is_seen_as_it_is() -> None:
    bright = Image.fromarray(np.linspace(30_000, 60_000, 32 * 32, dtype=np.uint16).reshape(32, 32))
    shown = Image.fromarray((np.asarray(bright) >> 8).astype(np.uint8))
    assert not is_blank(bright)
    assert verified(bright).phash == verified(shown).phash
    assert is_blank(Image.new("I;16", (32, 32), 40_000))


# --- The verdict

IMAGE, _ = an_image(width=64, height=48)
WRONG = {"width": 64, "height": 64}


def test_what_stands_every_check_has_no_finding() -> None:
    verdict = judge(IMAGE, {"width": 64, "height": 48}, STRICT)
    assert (verdict.findings, verdict.rejected) == ((), None)


def test_another_size_is_rejected_told_or_passed_over_as_was_said() -> None:
    exact = judge(IMAGE, WRONG, STRICT)
    assert exact.findings == (Finding.SIZE,)
    assert exact.rejected == "The image was made and is kept aside: it has 64 × 48 pixels instead of 64 × 64."
    warned = judge(IMAGE, WRONG, Checks())
    assert (warned.findings, warned.rejected) == ((Finding.SIZE,), None)
    assert judge(IMAGE, WRONG, NONE).findings == ()


def test_a_blank_picture_is_rejected_told_or_passed_over_as_was_said() -> None:
    blank = replace(IMAGE, blank=True)
    assert judge(blank, {}, STRICT).rejected == "The image was made and is kept aside: it is blank."
    assert (judge(blank, {}, Checks()).findings, judge(blank, {}, Checks()).rejected) == ((Finding.BLANK,), None)
    assert judge(blank, {}, NONE).findings == ()


def test_a_side_that_was_not_asked_for_cannot_be_wrong() -> None:
    assert judge(IMAGE, {}, STRICT).findings == ()
    assert judge(IMAGE, {"width": 64}, STRICT).findings == ()
    assert judge(IMAGE, {**WRONG, "upscale": "2x"}, STRICT).findings == ()
    assert "instead of any × 9" in (judge(IMAGE, {"height": 9}, STRICT).rejected or "")


@given(st.sampled_from(SizeCheck), st.sampled_from(BlankCheck), st.booleans(), st.integers(1, 2), st.integers(1, 2))
def test_only_what_was_found_is_rejected_and_only_where_it_was_said(
    size: SizeCheck, blank: BlankCheck, is_blank: bool, width: int, asked: int
) -> None:
    verdict = judge(replace(IMAGE, width=width, blank=is_blank), {"width": asked}, Checks(size=size, blank=blank))
    assert (Finding.SIZE in verdict.findings) == (width != asked and size is not SizeCheck.OFF)
    assert (Finding.BLANK in verdict.findings) == (is_blank and blank is not BlankCheck.OFF)
    rejects = {Finding.SIZE: size is SizeCheck.EXACT, Finding.BLANK: blank is BlankCheck.REJECT}
    assert (verdict.rejected is not None) == any(rejects[finding] for finding in verdict.findings)


def test_checks_are_read_from_words() -> None:
    assert Checks.of({}) == Checks()
    assert Checks.of({"size": "exact", "blank": "reject", "decode": "full"}) == STRICT
    assert Checks.of({"decode": "stream"}).decode is Decode.STREAM


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"size": "exakt"}, "size: must be exact or warn or off, not 'exakt'"),
        ({"blank": True}, "blank: must be reject or flag or off, not True"),
        ({"sice": "exact"}, "sice: is no check; there are size, blank, decode"),
        ({"blank": "reject", "decode": "stream"}, "blank: reject needs decode: full; with stream no picture is looked"),
    ],
)
def test_checks_that_are_none_are_refused_with_what_there_is(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Checks.of(given)


# --- What becomes of a rejected image


def test_a_rejected_image_is_kept_aside_for_it_was_paid_for_and_its_sisters_are_stored() -> None:
    api = MemoryImageAPI(download=lambda url: tiny_png(9, 8) if url.endswith("/1") else None)
    scene = Scene(api, checks=Checks(size=SizeCheck.EXACT))
    request = a_request(params={**a_request().params, "samples": 2, "width": 8, "height": 8})
    assert scene.run([request]) == [State.STORED]
    record = scene.record(request)
    assert [image.rejected is None for image in record.images] == [True, False]
    assert sorted(scene.store.files) == [f"{REJECTED_FOLDER}/fox-0123456789-1.png", "images/fox-0123456789-0.png"]
    assert (record.stored, record.missing) == (1, ())
    assert len(scene.api.submitted) == 1


def test_an_api_that_gives_another_size_than_it_is_asked_for_is_soon_believed() -> None:
    scene = Scene(MemoryImageAPI(size=(9, 8)))
    wanted = requests(1000, params={**a_request().params, "samples": 1, "width": 8, "height": 8})
    assert set(scene.run(wanted)) == {State.STORED}
    assert all(Finding.SIZE in scene.record(one).images[0].findings for one in wanted)
    assert len(scene.api.downloaded) < 1.5 * len(wanted)


def test_what_came_whole_once_is_never_believed_at_once() -> None:
    looks = SecondLooks(2)
    for _ in range(STAYED_AS_IT_WAS):
        assert looks.worth(2)
        looks.believed(3, whole=False)
    assert not looks.worth(1)
    looks.believed(1, whole=True)
    assert looks.worth(2)
    assert not looks.worth(3)


FACTS = BatchFacts(batch_id="b", profile="p", provider="p", model="m", endpoint="e", price_per_image=0.5)


def index_of(folder: Path, *images: StoredImage) -> Path:
    """The index of one request of as many samples."""
    request = a_request(params={**a_request().params, "samples": len(images)})
    record = Record(state=State.STORED, images=images)
    path = folder / "metadata.parquet"
    index.write(path, [request], lambda _: {request.key: record}, facts=FACTS, label_types={}, stamp="s")
    return path


def an_image_with(sample: int, *findings: Finding, rejected: str | None = None) -> StoredImage:
    name = f"images/{sample}.png" if rejected is None else f"{REJECTED_FOLDER}/{sample}.png"
    return StoredImage(
        sample=sample, file_name=name, source_url="https://a", image=IMAGE, findings=findings, rejected=rejected
    )


def test_the_index_names_a_rejected_image_outside_of_the_dataset_and_what_it_cost(tmp_path: Path) -> None:
    path = index_of(
        tmp_path, an_image_with(0), an_image_with(1, Finding.SIZE), an_image_with(2, Finding.BLANK, rejected="blank.")
    )
    rows = list(index.read(path))
    assert [row["status"] for row in rows] == ["stored", "stored", "rejected"]
    assert [row["checks"] for row in rows] == [None, "size", "blank"]
    assert [row["file_name"] for row in rows] == ["images/0.png", "images/1.png", None]
    assert [row["rejected_file"] for row in rows] == [None, None, f"{REJECTED_FOLDER}/2.png"]
    assert [(row["error_class"], row["cost"]) for row in rows] == [(None, 0.5), (None, 0.5), ("rejected", 0.5)]
    assert rows[2]["width"] == 64
    assert index.findings(path) == {"size": 1}
    assert index.failed_requests(path) == 0


def test_an_image_that_was_not_decoded_looks_like_none(tmp_path: Path) -> None:
    undecoded = replace(IMAGE, phash=None)
    images = [replace(an_image_with(n), image=IMAGE if n in (1, 3) else undecoded) for n in range(4)]
    rows = list(index.read(index_of(tmp_path, *images)))
    assert [row["phash"] for row in rows] == [None, IMAGE.phash, None, IMAGE.phash]
    assert [row["near_duplicate_of"] for row in rows] == [None, None, None, "images/1.png"]


def test_a_run_says_what_checks_found_and_ends_with_the_code_of_failures(tmp_path: Path) -> None:
    index_of(tmp_path, an_image_with(0, Finding.BLANK), an_image_with(1, rejected="no."))
    result = RunResult.of(tmp_path, run_id=RunId("r"), stopped=None, account=Account())
    assert (result.exit_code, result.samples[Status.REJECTED]) == (3, 1)
    told = words.result_text(result, again=["batchgen"])
    assert f"1 rejected by a check: kept in {tmp_path}/{REJECTED_FOLDER}" in told
    assert "1 image stored with the finding 'blank'" in told
    assert words.result_json(result)["findings"] == {"blank": 1}


def test_what_a_crash_leaves_beside_rejected_images_is_swept_too(tmp_path: Path) -> None:
    for place in ("images", REJECTED_FOLDER):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / ".a.png.1234.part").touch()
    assert FileStore(tmp_path).sweep() == 2


def test_a_record_of_an_earlier_version_has_no_findings() -> None:
    image = VerifiedImage(format="png", width=1, height=1, sha256="0", bytes=1, phash="0")
    old = StoredImage(sample=0, file_name="a", source_url="b", image=image)
    assert (image.blank, old.findings, old.rejected) == (False, (), None)
