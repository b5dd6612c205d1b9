"""The traps that the folder and the exports are made to avoid, sprung on purpose in the real readers.

Where one of these fails, a reader has changed: what avoids that trap may then be more than is needed, or not enough.
What avoids each is shown in `test_rules`, `test_readers` and `test_batch_folder`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.export.batches import described, make_batch, picture
from tests.export.reading import Readers


def folder_of(place: Path, *names: str) -> Path:
    """A folder with images of those names."""
    for number, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(picture(number))
    return place


def table(path: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), path)


def shard(path: Path, *members: Mapping[str, bytes]) -> None:
    """A tar of samples, each of files by their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for sample in members:
            for name, content in sample.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, BytesIO(content))


def test_a_table_of_another_name_than_metadata_is_ignored(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "b.png")
    table(tmp_path / "index.parquet", file_name=["a.png", "b.png"], prompt=["x", "y"])
    loaded = readers.read("datasets", "imagefolder", data_dir=str(tmp_path))
    assert all("prompt" not in row for row in loaded["train"])


def test_two_kinds_of_table_side_by_side_are_an_error(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    table(tmp_path / "metadata.parquet", file_name=["a.png"])
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png"}\n')
    with pytest.raises(ValueError, match="metadata"):
        readers.read("datasets", "imagefolder", data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "s3://bucket/a.png"])
def test_names_that_leave_the_folder_are_not_taken(readers: Readers, tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "inside", "b.png")
    folder_of(tmp_path, "a.png")
    table(folder / "metadata.parquet", file_name=[name, "b.png"])
    with pytest.raises(ValueError, match=r"\w"):
        readers.read("datasets", "imagefolder", data_dir=str(folder))


def test_a_row_without_a_file_stays_with_none_and_one_whose_file_is_missing_does_not_decode(
    readers: Readers, tmp_path: Path
) -> None:
    folder_of(tmp_path, "a.png")
    table(tmp_path / "metadata.parquet", file_name=["a.png", None], prompt=["x", "y"])
    loaded = readers.read("datasets", "imagefolder", data_dir=str(tmp_path))
    assert [(row["image"] is None, row["prompt"]) for row in loaded["train"]] == [(False, "x"), (True, "y")]
    table(tmp_path / "metadata.parquet", file_name=["a.png", "gone.png"], prompt=["x", "y"])
    with pytest.raises(ValueError, match=r"gone\.png"):
        readers.read("datasets", "imagefolder", data_dir=str(tmp_path))


def test_one_file_whose_name_has_a_word_of_splits_drops_all_others(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path, "a-test-tube_0001.png", "fox.png", "owl.png")
    loaded = readers.read("datasets", str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == {"test": 1}


def test_a_folder_whose_name_has_a_word_of_splits_takes_all_and_drops_the_table(
    readers: Readers, tmp_path: Path
) -> None:
    folder_of(tmp_path, "model=flux-dev/a.png", "model=flux-dev/b.png")
    table(tmp_path / "metadata.parquet", file_name=["model=flux-dev/a.png", "model=flux-dev/b.png"], prompt=["x", "y"])
    loaded = readers.read("datasets", str(tmp_path))
    assert list(loaded) == ["validation"]
    assert all("prompt" not in row for row in loaded["validation"])


def test_a_text_whose_name_ends_with_file_name_is_taken_for_an_image(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    table(tmp_path / "metadata.parquet", file_name=["a.png"], source_file_name=["cat.png"])
    with pytest.raises(ValueError, match=r"cat\.png"):
        readers.read("datasets", "imagefolder", data_dir=str(tmp_path))


def test_a_split_called_all_is_an_error(readers: Readers, tmp_path: Path) -> None:
    table(tmp_path / "some.parquet", prompt=["x"])
    with pytest.raises(ValueError, match="special split keyword"):
        readers.read("datasets", "parquet", data_files={"all": str(tmp_path / "some.parquet")})


def test_a_folder_called_like_a_column_puts_its_word_into_every_row(readers: Readers, tmp_path: Path) -> None:
    (tmp_path / "model=flux-dev").mkdir()
    table(tmp_path / "model=flux-dev/metadata.parquet", model=["sd3"])
    assert readers.read("duckdb", tmp_path / "model=flux-dev/metadata.parquet")[""] == [{"model": "flux-dev"}]


def test_a_folder_whose_name_is_a_pattern_is_not_found(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path / "we[i]rd", "a.png")
    table(tmp_path / "we[i]rd/metadata.parquet", file_name=["a.png"])
    with pytest.raises(ValueError, match=r"\w"):
        readers.read("polars", tmp_path / "we[i]rd/metadata.parquet")


def test_two_files_of_a_row_are_two_images(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "b.png")
    table(tmp_path / "metadata.parquet", chosen_file_name=["a.png"], rejected_file_name=["b.png"])
    (row,) = readers.read("datasets", "imagefolder", data_dir=str(tmp_path))["train"]
    assert row["chosen"]["pixel"][0] + 1 == row["rejected"]["pixel"][0]


def test_a_number_of_64_bits_without_a_sign_is_none_that_loaders_hold(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    table(tmp_path / "metadata.parquet", file_name=["a.png"], phash=pa.array([2**63], pa.uint64()))
    with pytest.raises(ValueError, match=r"(?i)overflow|out of bounds|too large|int64"):
        readers.read("datasets", "imagefolder", data_dir=str(tmp_path))


def test_columns_of_every_other_kind_are_taken(readers: Readers, tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    table(
        tmp_path / "metadata.parquet",
        file_name=["a.png"],
        struct=[{"a": 1}],
        several=[[1, 2]],
        word=pa.array(["fox"]).dictionary_encode(),
        at=pa.array([0], pa.timestamp("us", "UTC")),
    )
    (row,) = readers.read("datasets", "imagefolder", data_dir=str(tmp_path))["train"]
    assert (row["struct"], row["several"]) == ({"a": 1}, [1, 2])
    assert str(row["at"]).startswith("1970-01-01")


@pytest.mark.parametrize("hint", [True, False])
def test_images_in_parquet_are_plain_values_unless_the_schema_says_what_they_are(
    readers: Readers, tmp_path: Path, hint: bool
) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    told = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    schema = pa.schema({"image": kind}, metadata=told if hint else None)
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"image": pa.array([{"bytes": picture(3), "path": "a.png"}], kind)}, schema=schema), path)
    if hint:
        (row,) = readers.read("datasets", str(tmp_path))["train"]
        assert row["image"]["pixel"][0] == 3
    else:
        (row,) = readers.read("datasets", str(tmp_path))["train"]
        assert set(row["image"]) == {"bytes", "path"}


def test_names_in_shards_that_agree_to_the_first_dot_are_one_sample(readers: Readers, tmp_path: Path) -> None:
    shard(tmp_path / "train-000000.tar", {"fox.1.png": picture(1)}, {"fox.2.png": picture(2)})
    (row,) = readers.read("webdataset", tmp_path)["train"]
    assert {"1.png", "2.png"} <= set(row)


def test_samples_of_other_extensions_are_an_error(readers: Readers, tmp_path: Path) -> None:
    shard(tmp_path / "train-000000.tar", {"a.png": picture(1)}, {"b.jpg": picture(2, format="jpg")})
    with pytest.raises(ValueError, match=r"\w"):
        readers.read("datasets", str(tmp_path))


def test_a_field_that_is_null_at_first_and_text_later_is_an_error_and_a_late_one_is_dropped(
    readers: Readers, tmp_path: Path
) -> None:
    def sample(number: int, line: Mapping[str, object]) -> dict[str, bytes]:
        return {f"{number}.png": picture(number), f"{number}.json": json.dumps(line).encode()}

    late = [sample(n, {"a": 1} if n < 6 else {"a": 1, "late": "text"}) for n in range(8)]
    shard(tmp_path / "late/train-000000.tar", *late)
    loaded = readers.read("datasets", str(tmp_path / "late"))
    assert all(set(row["json"]) == {"a"} for row in loaded["train"])
    null = [sample(n, {"a": None if n < 6 else "text"}) for n in range(8)]
    shard(tmp_path / "null/train-000000.tar", *null)
    with pytest.raises(ValueError, match=r"\w"):
        readers.read("datasets", str(tmp_path / "null"))


def test_a_table_beside_shards_is_loaded_in_their_place(readers: Readers, tmp_path: Path) -> None:
    shard(tmp_path / "train-000000.tar", {"a.png": picture(1)})
    table(tmp_path / "train-000000.parquet", prompt=["x"])
    (row,) = readers.read("datasets", str(tmp_path))["train"]
    assert set(row) == {"prompt"}


#: NVIDIA's DALI, by which NeMo Curator reads, is a gigabyte; where it is not installed, webdataset is asked the same.
ASKING_FOR_JPG = ["webdataset", "dali"] if find_spec("nvidia") and find_spec("nvidia.dali") else ["webdataset"]


@pytest.mark.parametrize("reader", ASKING_FOR_JPG)
def test_who_asks_for_jpg_alone_finds_nothing_else(readers: Readers, tmp_path: Path, reader: str) -> None:
    for kind in ("png", "jpg"):
        samples = [{f"{n}.{kind}": picture(n, format=kind), f"{n}.txt": b"fox"} for n in range(3)]
        shard(tmp_path / kind / "train-000000.tar", *samples)
    assert len(readers.read(reader, tmp_path / "jpg", only="jpg")["train"]) == 3
    with pytest.raises(ValueError, match=r"\w"):
        readers.read(reader, tmp_path / "png", only="jpg")


@pytest.mark.parametrize("key", ["conformsTo", "license", "datePublished"])  # of others, mlcroissant says nothing
def test_croissant_without_one_of_its_words_is_complained_of(readers: Readers, tmp_path: Path, key: str) -> None:
    batch = described(make_batch(tmp_path / "batch", 2))
    told = json.loads((batch / "croissant.json").read_text())
    del told[key]
    (batch / "croissant.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"\w"):
        readers.read("mlcroissant", batch / "croissant.json")
