"""Each export, loaded by the programs that it is for: all images, captions and splits are right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.export.batches import odd_prompt
from tests.export.exports import exported
from tests.export.reading import Readers, Rows

MANIFEST = """\
batch_id: zoo
profile: simulator
file_prefix: "test-{animal}"
params: {width: 24, height: 16, samples: 2}
variables: {animal: [fox, owl]}
labels: {animal: "{animal}"}
axes: {grid: {guidance_scale: [4, 7.5]}}
split: {train: 0.5, validation: 0.5}
prompts: ["An {animal} at dawn"]
"""
#: Splits of the odd batch: one in five rows is for validation, one in ten failed.
SPLITS = {
    "train": [n for n in range(60) if n % 5 and n % 10 != 9],
    "validation": [n for n in range(60) if n % 5 == 0],
}


def numbers(rows: Rows, image: str = "image") -> list[int]:
    return [row[image]["pixel"][0] + 256 * row[image]["pixel"][1] for row in rows]


@pytest.mark.parametrize(
    "options", [{}, {"class_by": "class"}, {"link": "reference"}, {"link": "hard"}, {"metadata": "jsonl"}], ids=str
)
def test_imagefolder_in_datasets(batch: Path, readers: Readers, tmp_path: Path, options: dict[str, Any]) -> None:
    dest = exported(batch, tmp_path / "out", "imagefolder", caption="{prompt} by {class}", **options)
    for how in ({"path": dest}, {"path": "imagefolder", "data_dir": str(dest)}):
        loaded = readers.read("datasets", **how)
        assert {split: numbers(rows) for split, rows in loaded.items()} == SPLITS
        for split, rows in loaded.items():
            assert [row["prompt"] for row in rows] == [odd_prompt(n) for n in SPLITS[split]]
            assert [row["text"] for row in rows] == [
                f"{odd_prompt(n)} by {('fox', 'owl')[n % 2]}" for n in SPLITS[split]
            ]


def test_webdataset_in_webdataset(batch: Path, readers: Readers, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "webdataset", shard_count=7)
    loaded = readers.read("webdataset", dest)
    assert {split: numbers(rows, "png") for split, rows in loaded.items()} == SPLITS
    for split, rows in loaded.items():
        assert [row["txt"] for row in rows] == [row["json"]["prompt"] for row in rows]
        assert [row["txt"] for row in rows] == [odd_prompt(n) for n in SPLITS[split]]


def test_webdataset_in_datasets(batch: Path, readers: Readers, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "webdataset", shard_count=7)
    loaded = readers.read("datasets", dest)
    assert {split: numbers(rows, "png") for split, rows in loaded.items()} == SPLITS
    for split, rows in loaded.items():
        assert [row["txt"] for row in rows] == [odd_prompt(n) for n in SPLITS[split]]
        assert [row["json"]["note"] for row in rows] == [f"=late {n}" if n > 20 else "" for n in SPLITS[split]]


def test_parquet_in_datasets(batch: Path, readers: Readers, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "parquet", shard_size=1_000, caption="{class}")
    assert len(list((dest / "data").iterdir())) > 4
    loaded = readers.read("datasets", dest)
    assert {split: numbers(rows) for split, rows in loaded.items()} == SPLITS
    for split, rows in loaded.items():
        assert [row["prompt"] for row in rows] == [odd_prompt(n) for n in SPLITS[split]]
        assert [row["text"] for row in rows] == [("fox", "owl")[n % 2] for n in SPLITS[split]]


@pytest.mark.parametrize("reader", ["duckdb", "polars", "pandas"])
def test_parquet_and_lines_in_tables(batch: Path, readers: Readers, tmp_path: Path, reader: str) -> None:
    tables = [exported(batch, tmp_path / f"out.{to}", to) for to in ("jsonl", "csv")]
    tables += [exported(batch, tmp_path / "folder", "imagefolder") / "train/metadata.parquet"]
    for path, wanted in zip(tables, (range(60), range(60), SPLITS["train"]), strict=True):
        (rows,) = readers.read(reader, path).values()
        assert [row["prompt"].removeprefix("'") for row in rows] == [odd_prompt(n) for n in wanted]
        assert [row["status"] for row in rows] == ["failed" if n % 10 == 9 else "stored" for n in wanted]
        assert [row["guidance_scale"] for row in rows] == [n % 10 for n in wanted]


def test_lora_for_diffusers_in_datasets(batch: Path, readers: Readers, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "lora", layout="diffusers", caption="a {class}")
    loaded = readers.read(
        "datasets", "imagefolder", data_files={"train": str(dest / "train" / "**")}
    )  # as its scripts do
    assert numbers(loaded["train"]) == SPLITS["train"]
    assert [row["text"] for row in loaded["train"]] == [f"a {('fox', 'owl')[n % 2]}" for n in SPLITS["train"]]


def test_preference_pairs_are_two_image_columns_in_datasets(batch: Path, readers: Readers, tmp_path: Path) -> None:
    dest = exported(batch, tmp_path / "out", "preference", chosen_by="guidance_scale", group_by=("batch_id",))
    loaded = readers.read("datasets", dest)
    assert set(loaded) == {"train", "validation"}
    for rows in loaded.values():
        pairs = list(zip(numbers(rows, "chosen"), numbers(rows, "rejected"), strict=True))
        assert pairs
        assert all(chosen % 10 > rejected % 10 for chosen, rejected in pairs)


def test_what_a_run_made_is_exported_and_loaded(readers: Readers, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "batchgen", "run", "m.yaml", "-q"]
    subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    batch = tmp_path / "outputs/zoo"
    wanted = sorted(f"{animal}, {scale}" for animal in ("fox", "owl") for scale in (4, 7.5) for _ in range(2))
    for to, image, text in (
        ("imagefolder", "image", "text"),
        ("parquet", "image", "text"),
        ("webdataset", "webp", "txt"),
    ):
        loaded = readers.read("datasets", exported(batch, tmp_path / to, to, caption="{animal}, {axis_guidance_scale}"))
        rows = [row for split in loaded.values() for row in split]
        assert sorted(row[text] for row in rows) == wanted
        assert all(row[image]["size"] == [24, 16] for row in rows)
