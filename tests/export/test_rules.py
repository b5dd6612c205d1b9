"""What the readers of datasets require, one test a rule."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchgen import index
from batchgen.errors import UsageError
from batchgen.export import Change
from batchgen.export.folders import Placing
from tests.export.batches import ODD_NAMES, Rows, make_batch
from tests.export.exports import exported, lines, members
from tests.export.reading import Readers


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_an_imagefolder_has_one_kind_of_table_and_it_is_called_metadata(batch: Path, tmp_path: Path, kind: str) -> None:
    dest = exported(batch, tmp_path / "out", "imagefolder", metadata=kind)
    tables = [path.name for path in dest.rglob("*") if path.suffix in (".parquet", ".jsonl", ".csv")]
    assert tables == [f"metadata.{kind}"] * 2


@pytest.mark.parametrize("link", ["copy", "hard", "reference"])
def test_file_names_are_relative_with_forward_slashes_and_lead_to_an_image(
    batch: Path, tmp_path: Path, link: str
) -> None:
    dest = exported(batch, tmp_path / "out", "imagefolder", link=link, class_by="class")
    for split in ("train", "validation"):
        for name in pq.read_table(dest / split / "metadata.parquet")["file_name"].to_pylist():
            assert not PurePosixPath(name).is_absolute()
            assert ".." not in name
            assert (dest / split / name).is_file()


@pytest.mark.parametrize("to", ["imagefolder", "webdataset", "parquet"])
def test_words_in_file_names_split_nothing(readers: Readers, tmp_path: Path, to: str) -> None:
    batch = make_batch(tmp_path / "batch", len(ODD_NAMES), Rows(name=lambda n: f"{ODD_NAMES[n]}-{n}"))
    loaded = readers.read("datasets", exported(batch, tmp_path / "model=flux-dev", to))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": len(ODD_NAMES)}


def test_words_in_class_folders_split_nothing(readers: Readers, tmp_path: Path) -> None:
    rows = Rows(labels=lambda n: {"class": ("test", "dev", "fox")[n % 3]}, label_types={"class": "str"})
    batch = make_batch(tmp_path / "batch", 9, rows)
    loaded = readers.read("datasets", exported(batch, tmp_path / "out", "imagefolder", class_by="class"))
    assert [row["class"] for row in loaded["train"]] == ["test", "dev", "fox"] * 3


def test_splits_of_ones_own_are_splits(readers: Readers, tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "batch", 9, Rows(split=lambda n: ("train", "holdout", "a.b")[n % 3]))
    for to in ("imagefolder", "webdataset", "parquet"):
        loaded = readers.read("datasets", exported(batch, tmp_path / to, to))
        assert {split: len(rows) for split, rows in loaded.items()} == {"train": 3, "holdout": 3, "a.b": 3}


@pytest.mark.parametrize("split", ["hold out", "all"])
def test_a_split_that_no_loader_takes_is_refused(tmp_path: Path, split: str) -> None:
    batch = make_batch(tmp_path / "batch", 1, Rows(split=lambda _: split))
    with pytest.raises(UsageError, match="no name that loaders take"):
        exported(batch, tmp_path / "out", "imagefolder")


def test_a_column_of_nulls_keeps_its_type(batch: Path, tmp_path: Path) -> None:
    schema = index.read_schema(batch / "metadata.parquet")
    dest = exported(batch, tmp_path / "folder", "imagefolder")
    assert pq.read_schema(dest / "train/metadata.parquet").equals(schema)
    dest = exported(batch, tmp_path / "parquet", "parquet")
    assert [*pq.read_schema(dest / "data/train-00000-of-00001.parquet")][1:] == [*schema]


def test_no_folder_has_ten_thousand_entries() -> None:
    placing = Placing("class")
    names = [placing.name({"file_name": f"images/{n}.png", "class": "fox"}, "png") for n in range(20_000)]
    assert len(set(names)) == 20_000
    assert max(Counter(str(PurePosixPath(name).parent) for name in names).values()) < 5_000
    assert all(name.startswith("fox/") for name in names)


def test_class_folders_become_the_label(batch: Path, readers: Readers, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "imagefolder", class_by="class")
    loaded = readers.read("datasets", "imagefolder", data_files={"train": str(dest / "train/*/*.png")})
    assert Counter(row["label"] for row in loaded["train"]) == {0: 24, 1: 18}


def test_images_in_parquet_are_a_struct_that_the_schema_calls_an_image(batch: Path, tmp_path: Path) -> None:
    path = exported(batch, tmp_path / "out", "parquet") / "data/train-00000-of-00001.parquet"
    schema = pq.read_schema(path)
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert json.loads(schema.metadata[b"huggingface"]) == {"info": {"features": {"image": {"_type": "Image"}}}}


def test_parquet_files_are_numbered_of_how_many_and_have_small_row_groups(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "batch", 250)
    dest = exported(batch, tmp_path / "out", "parquet", shard_size=15_000)
    names = sorted(path.name for path in (dest / "data").iterdir())
    assert names == [f"train-{n:05d}-of-{len(names):05d}.parquet" for n in range(len(names))]
    groups = [pq.read_metadata(dest / "data" / name).row_group(0).num_rows for name in names]
    assert max(groups) <= 100
    assert len(groups) > 1


def test_a_name_in_a_shard_has_no_dot_before_its_extension_and_files_of_a_sample_are_adjacent(
    batch: Path, tmp_path: Path
) -> None:
    dest = exported(batch, tmp_path / "out", "webdataset")
    names = [member.name for member, _ in members(dest / "train-000000.tar")]
    assert all(name.count(".") == 1 and "/" not in name for name in names)
    keys = [name.split(".")[0] for name in names]
    assert keys == [key for key in dict.fromkeys(keys) for _ in range(3)]


def test_all_samples_of_shards_have_the_same_extensions(readers: Readers, tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "batch", 12, Rows(format=lambda n: ("png", "jpg", "webp")[n % 3]))
    dest = exported(batch, tmp_path / "out", "webdataset", shard_count=5)
    suffixes = Counter(member.name.split(".")[1] for shard in dest.glob("*.tar") for member, _ in members(shard))
    assert suffixes == {"png": 12, "json": 12, "txt": 12}
    assert len(readers.read("datasets", dest)["train"]) == 12
    one = exported(make_batch(tmp_path / "one", 3, Rows(format=lambda _: "webp")), tmp_path / "webp", "webdataset")
    assert {member.name.split(".")[1] for member, _ in members(one / "train-000000.tar")} == {"webp", "json", "txt"}


def test_every_json_of_shards_has_every_key_of_one_type_and_no_null(readers: Readers, tmp_path: Path) -> None:
    rows = Rows(
        labels=lambda n: {"late": n if n > 7 else None, "never": None, "always": n, "rate": float("nan") if n else 0.5},
        label_types={"late": "int", "never": "null", "always": "int", "rate": "float"},
    )
    dest = exported(make_batch(tmp_path / "batch", 12, rows), tmp_path / "out", "webdataset")
    told = [json.loads(content) for member, content in members(dest / "train-000000.tar") if ".json" in member.name]
    assert len({tuple((name, type(value)) for name, value in row.items()) for row in told}) == 1
    assert [row["late"] for row in told] == [""] * 8 + ["8", "9", "10", "11"]
    assert [row["always"] for row in told] == list(range(12))
    assert "never" not in told[0]
    assert [row["rate"] for row in told][:2] == ["0.5", ""]
    assert [row["json"]["late"] for row in readers.read("datasets", dest)["train"]][-1] == "11"


def test_no_table_lies_beside_shards(batch: Path, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "webdataset")
    assert {path.suffix for path in dest.iterdir() if not path.name.startswith(".")} == {".tar", ".md"}


def test_shards_have_six_digits_without_a_gap_and_keep_to_their_size(batch: Path, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "webdataset", shard_size=20_000)
    names = sorted(path.name for path in dest.glob("train-*.tar"))
    assert names == [f"train-{n:06d}.tar" for n in range(len(names))]
    assert len(names) > 3
    ending = 1_024 + 10_240  # of a tar: two empty blocks, filled up to a record
    assert max(path.stat().st_size for path in dest.glob("*.tar")) < 20_000 + ending


def test_headers_in_shards_tell_nothing_of_day_or_user(batch: Path, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "webdataset")
    for member, _ in members(dest / "train-000000.tar"):
        assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
        assert (member.uname, member.gname) == ("", "")


def test_shards_converted_to_jpeg_hold_jpg_members(batch: Path, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "webdataset", change=Change(format="jpg"))
    assert {member.name.split(".")[1] for member, _ in members(dest / "train-000000.tar")} == {"jpg", "json", "txt"}


def test_kohya_finds_a_caption_of_one_line_beside_each_image(batch: Path, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "lora", caption="{prompt}, {class}", class_by="class", repeats=5)
    assert {path.name for path in (dest / "train").iterdir()} == {"5_fox", "5_owl"}
    images = [path for path in dest.rglob("*.png") if path.is_file()]
    assert len(images) == 54
    for image in images:
        text = image.with_suffix(".txt").read_text()
        assert text.count("\n") == 1
        assert text.rstrip().endswith(image.parent.name[2:])


def test_trainers_get_png_or_jpg_and_nothing_is_lost(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "batch", 6, Rows(format=lambda n: ("png", "jpg", "webp")[n % 3]))
    dest = exported(batch, tmp_path / "out", "lora", layout="diffusers")
    rows = lines(dest / "train/metadata.jsonl")
    assert [row["file_name"].rpartition(".")[2] for row in rows] == ["png", "jpg", "png"] * 2
    assert all(set(row) == {"file_name", "text"} for row in rows)
    with pytest.raises(UsageError, match="Use png or jpg"):
        exported(batch, tmp_path / "webp", "lora", change=Change(format="webp"))


def test_spreadsheets_run_no_cell_as_a_formula(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@a", "\tx", "plain", "a=1", "-"]
    rows = Rows(prompt=lambda n: texts[n], labels=lambda _: {"n": -1}, label_types={"n": "int"})
    path = exported(make_batch(tmp_path / "batch", len(texts), rows), tmp_path / "out.csv", "csv")
    with path.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["prompt"] for row in read] == ["'=1+1", "'+1", "'-1", "'@a", "'\tx", "plain", "a=1", "'-"]
    assert {row["n"] for row in read} == {"-1"}  # numbers are harmless


def test_lines_hold_every_row_in_plan_order_and_every_key(batch: Path, tmp_path: Path) -> None:
    rows = lines(exported(batch, tmp_path / "out.jsonl", "jsonl"))
    assert [row["row_index"] for row in rows] == list(range(60))
    assert {tuple(row) for row in rows} == {tuple(index.read_schema(batch / "metadata.parquet").names)}
