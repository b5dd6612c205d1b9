"""Which rows are exported, in what order, and what becomes of their pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from batchgen import index
from batchgen.errors import StorageFailed, UsageError
from batchgen.export import Change, Choice
from batchgen.export.captions import Caption, written
from batchgen.export.pictures import Size
from batchgen.export.selection import Row, select
from tests.export.batches import Rows, make_batch, picture
from tests.export.exports import exported, lines


def chosen(batch: Path, **choice: Any) -> list[int]:
    """Numbers of the rows chosen, images or not, in order."""
    selection = select(batch / "metadata.parquet", Choice(**choice), images_only=False)
    found = [row["row_index"] for row in selection.rows()]
    selection.close()
    return found


def test_a_condition_is_sql_over_the_columns(batch: Path) -> None:
    assert chosen(batch, where="status = 'stored' and guidance_scale > 4") == [n for n in range(60) if 4 < n % 10 < 9]
    assert chosen(batch, where="class = 'fox' or note is not null") == [n for n in range(60) if n % 2 == 0 or n > 20]
    assert chosen(batch, where="submitted_at is null") == [n for n in range(60) if n % 10 == 9]
    assert chosen(batch, where="false") == []


@pytest.mark.parametrize(
    "where",
    ["nope > 1", "guidance_scale >", "1) union select 1", "prompt in (select content from read_text('/etc/passwd'))"],
)
def test_a_condition_that_is_none_is_a_sentence_that_names_the_columns(batch: Path, where: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be evaluated[\s\S]*The columns are: file_name, prompt"):
        chosen(batch, where=where)


def test_without_duckdb_a_condition_is_refused_with_what_to_install(batch: Path) -> None:
    code = (
        "import sys; sys.modules['duckdb'] = None\n"
        "from batchgen.export.selection import Choice, select\n"
        "from pathlib import Path\n"
        "select(Path(sys.argv[1]), Choice(where='true'), images_only=False)"
    )
    command = [sys.executable, "-c", code, str(batch / "metadata.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "pip install 'batchgen[duckdb]'" in done.stderr


def test_only_one_split_is_taken_if_it_is_named(batch: Path) -> None:
    assert chosen(batch, split="validation") == [n for n in range(60) if n % 5 == 0]
    with pytest.raises(UsageError, match="no split 'test'; it has: train, validation"):
        chosen(batch, split="test")


@given(seed=st.integers(0, 2**40), limit=st.one_of(st.none(), st.integers(1, 80)))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_shuffle_is_a_permutation_that_its_seed_decides_and_rows_that_come_or_go_do_not(
    batch: Path, seed: int, limit: int | None
) -> None:
    everything = chosen(batch, seed=seed)
    assert sorted(everything) == list(range(60))
    assert chosen(batch, seed=seed, limit=limit) == everything[:limit]
    assert chosen(batch, seed=seed, where="class = 'fox'") == [n for n in everything if n % 2 == 0]


def test_another_seed_is_another_order(batch: Path) -> None:
    assert len({tuple(chosen(batch, seed=seed)) for seed in range(10)}) == 10


@pytest.mark.parametrize("seed", [None, 1])
def test_the_rows_of_a_split_are_those_of_the_whole_in_the_same_order(batch: Path, seed: int | None) -> None:
    selection = select(batch / "metadata.parquet", Choice(seed=seed), images_only=True)
    everything = [row["row_index"] for row in selection.rows()]
    for split, count in selection.counts.items():
        found = [row["row_index"] for row in selection.rows(split)]
        assert found == [n for n in everything if (n % 5 == 0) == (split == "validation")]
        assert len(found) == count
        assert [row["row_index"] for row in selection.rows(split, skip=5)] == found[5:]
    selection.close()


@given(only=st.sets(st.integers(0, 59)))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_of_an_index_can_be_read_by_position(batch: Path, only: set[int]) -> None:
    wanted = np.array(sorted(only), np.int64)
    assert [row["row_index"] for row in index.read(batch / "metadata.parquet", ["row_index"], only=wanted)] == sorted(
        only
    )


def test_rows_by_position_cross_the_batches_that_are_read_at_a_time(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "batch", 4_500, Rows(fails=lambda _: True))
    wanted = np.array([0, 1_999, 2_000, 2_001, 4_499], np.int64)
    rows = index.read(batch / "metadata.parquet", ["row_index"], only=wanted)
    assert [row["row_index"] for row in rows] == list(wanted)


def test_nothing_chosen_is_refused(batch: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image was chosen"):
        exported(batch, tmp_path / "out", "imagefolder", choice=Choice(where="status = 'failed'"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("a.b", "a-b"), ("Fox", "fox"), ("images/a/fox", "images/b/fox")])
def test_names_that_would_meet_in_an_export_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = Rows(name=lambda n: names[n].removeprefix("images/"))
    batch = make_batch(tmp_path / "batch", 2, rows)
    with pytest.raises(UsageError, match="two images have names"):
        exported(batch, tmp_path / "out", "webdataset")


def test_classes_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    rows = Rows(labels=lambda n: {"class": ("a/b", "a b")[n]}, label_types={"class": "str"})
    with pytest.raises(UsageError, match="'a/b' and 'a b' would be the same folder"):
        exported(make_batch(tmp_path / "batch", 2, rows), tmp_path / "out", "imagefolder", class_by="class")


# Captions


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (7.0, "7"), (7.5, "7.5"), (float("nan"), ""), (3, "3"), ("a", "a")],
)
def test_values_are_written_as_people_write_them(value: object, text: str) -> None:
    assert written(value) == text


def test_a_caption_is_a_template_over_the_columns() -> None:
    row: Row = {"prompt": "A fox,\n at dawn", "style": None, "guidance_scale": 7.0}
    caption = Caption("{prompt} ({style}) at {guidance_scale} {{x}}", row)
    assert caption.of(row) == "A fox,\n at dawn () at 7 {x}"
    assert caption.line(row) == "A fox, at dawn () at 7 {x}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{nope}", "no column nope; it has: prompt"), ("{a|b}", "no alternatives"), ("{prompt", "--caption")],
)
def test_what_is_no_caption_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Caption(text, ["prompt"])


def test_a_caption_does_not_take_the_place_of_a_label(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "batch", 1, Rows(labels=lambda _: {"text": "mine"}, label_types={"text": "str"}))
    with pytest.raises(UsageError, match="as a label"):
        exported(batch, tmp_path / "out", "jsonl", caption="{prompt}")


# Pictures


def row_of(content: bytes, format: str, size: tuple[int, int]) -> Row:
    return {
        "file_name": "a",
        "format": format,
        "width": size[0],
        "height": size[1],
        "sha256": "0",
        "bytes": len(content),
    }


def opened(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content)) as image:
        image.load()
        return image


@pytest.mark.parametrize("wanted", ["png", "jpg", "webp"])
@pytest.mark.parametrize("given_format", ["png", "jpg", "webp"])
def test_a_picture_becomes_the_format_wanted_and_is_left_alone_if_it_is(given_format: str, wanted: str) -> None:
    content = picture(300, format=given_format)
    made = Change(format=wanted).apply(content, row_of(content, given_format, (8, 8)))
    assert (made.content == content) == (wanted == given_format)
    assert opened(made.content).format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[wanted]
    assert (made.format, made.width, made.height) == (wanted, 8, 8)


@given(width=st.integers(1, 90), height=st.integers(1, 90), longest=st.integers(1, 90))
@settings(max_examples=50, deadline=None)
def test_the_longer_side_is_scaled_down_and_never_up(width: int, height: int, longest: int) -> None:
    made = Size(width=longest).of(Image.new("L", (width, height)))
    assert max(made.size) == min(longest, max(width, height))
    assert abs(made.width * height - made.height * width) <= max(width, height)  # the proportions stay


@given(width=st.integers(1, 90), height=st.integers(1, 90), wanted=st.tuples(st.integers(1, 90), st.integers(1, 90)))
@settings(max_examples=50, deadline=None)
def test_width_and_height_are_what_was_asked_for(width: int, height: int, wanted: tuple[int, int]) -> None:
    assert Size(width=wanted[0], height=wanted[1]).of(Image.new("L", (width, height))).size == wanted


def test_what_stands_out_is_cut_off_on_both_sides_alike() -> None:
    image = Image.new("RGB", (30, 10), "red")
    image.paste("blue", (10, 0, 20, 10))
    assert Size(width=10, height=10).of(image).getcolors() == [(100, (0, 0, 255))]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "CMYK", "I;16"])
@pytest.mark.parametrize("wanted", ["jpg", "webp"])
def test_pictures_of_every_mode_can_be_converted(mode: str, wanted: str) -> None:
    buffer = BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    content = buffer.getvalue()
    made = Change(format=wanted, size=Size(width=4)).apply(content, row_of(content, "png", (8, 8)))
    assert opened(made.content).size == (4, 4)


@pytest.mark.parametrize("wanted", ["jpg", "webp", "png"])
def test_a_picture_of_16_bits_keeps_its_upper_eight(wanted: str) -> None:
    ramp = np.linspace(0, 65_535, 64 * 64).astype(np.uint16).reshape(64, 64)
    buffer = BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    row = row_of(buffer.getvalue(), "png", (64, 64))
    made = opened(Change(format=wanted, size=Size(width=32)).apply(buffer.getvalue(), row).content)
    assert 120 < np.asarray(made.convert("L")).mean() < 135


def test_a_picture_that_its_exif_says_to_turn_is_turned_once_and_only_if_another_is_made() -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    buffer = BytesIO()
    Image.new("RGB", (60, 30)).save(buffer, "JPEG", exif=turned)
    content, row = buffer.getvalue(), row_of(buffer.getvalue(), "jpg", (60, 30))
    assert Change(size=Size(width=60)).apply(content, row).content == content
    for change, size in (
        (Change(format="png"), (30, 60)),
        (Change(size=Size(width=30)), (15, 30)),
        (Change(size=Size(width=20, height=60)), (20, 60)),
    ):
        made = change.apply(content, row)
        assert ((made.width, made.height), opened(made.content).size) == (size, size)
        assert ExifTags.Base.Orientation not in opened(made.content).getexif()


def test_transparency_is_white_in_jpeg_and_stays_in_webp() -> None:
    buffer = BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(buffer, "PNG")
    row = row_of(buffer.getvalue(), "png", (8, 8))
    pixels = [
        opened(Change(format=to).apply(buffer.getvalue(), row).content).getpixel((0, 0)) for to in ("jpg", "webp")
    ]
    assert pixels[0] == (255, 255, 255)
    assert isinstance(pixels[1], tuple)
    assert pixels[1][3] == 0


def test_a_colour_profile_goes_with_the_picture() -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", icc_profile=b"profile")
    made = Change(format="jpg").apply(buffer.getvalue(), row_of(buffer.getvalue(), "png", (8, 8)))
    assert opened(made.content).info["icc_profile"] == b"profile"


def test_what_is_no_image_is_a_sentence() -> None:
    with pytest.raises(StorageFailed, match="cannot be decoded"):
        Change(format="jpg").apply(b"no image", row_of(b"no image", "png", (8, 8)))


def test_columns_say_what_the_exported_file_is(batch: Path, tmp_path: Path) -> None:
    change = Change(format="jpg", size=Size(width=4))
    dest = exported(batch, tmp_path / "out", "imagefolder", metadata="jsonl", change=change)
    for row in lines(dest / "train/metadata.jsonl"):
        content = (dest / "train" / row["file_name"]).read_bytes()
        made = {"bytes": len(content), "format": "jpg", "width": 4, "height": 4}
        assert {name: row[name] for name in made} == made
        assert opened(content).size == (4, 4)


# Preference


def pairs(tmp_path: Path, values: list[Any], kind: str) -> list[tuple[int, int]]:
    """Numbers of the images that make pairs, where all have the same prompt."""
    rows = Rows(prompt=lambda _: "same", labels=lambda n: {"pick": values[n]}, label_types={"pick": kind})
    batch = make_batch(tmp_path / "batch", len(values), rows)
    dest = exported(batch, tmp_path / "out", "preference", chosen_by="pick")
    found = [
        (row["chosen_file_name"], row["rejected_file_name"]) for row in index.read(dest / "train/metadata.parquet")
    ]
    return [tuple(int(name.removeprefix("fox-").removesuffix(".png")) for name in pair) for pair in found]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([3, 9, 5, None], "int", [(1, 0), (1, 2)]),  # not rated is not worse
        ([True, False, None], "bool", [(0, 1), (0, 2)]),  # not picked is
        (["pick", None, "", "reject"], "str", [(0, 1), (0, 2), (0, 3)]),
        (["preferred", "Yes", "no"], "str", [(0, 2), (1, 2)]),
    ],
)
def test_each_of_the_best_is_paired_with_each_other(
    tmp_path: Path, values: list[Any], kind: str, wanted: list[tuple[int, int]]
) -> None:
    assert pairs(tmp_path, values, kind) == wanted


def test_images_of_a_batch_without_a_preference_make_no_pair(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no pair"):
        pairs(tmp_path, [1, 1, None], "int")


def test_a_word_that_says_neither_yes_nor_no_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'perhaps' says neither"):
        pairs(tmp_path, ["pick", "perhaps"], "str")


def test_pairs_never_cross_splits(tmp_path: Path) -> None:
    rows = Rows(prompt=lambda _: "same", split=lambda n: ("train", "test")[n // 4])
    dest = exported(make_batch(tmp_path / "batch", 8, rows), tmp_path / "out", "preference", chosen_by="guidance_scale")
    marker = json.loads((dest / ".batchgen-export.json").read_text())
    assert marker["rows"] == {"train": 3, "test": 3}


def test_pairs_whose_prompts_may_differ_name_both(batch: Path, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "preference", chosen_by="guidance_scale", group_by=("class",))
    (first, *_) = index.read(dest / "train/metadata.parquet")
    assert first["chosen_prompt"] != first["rejected_prompt"]
    assert first["class"] in ("fox", "owl")
