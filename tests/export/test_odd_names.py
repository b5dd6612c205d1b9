"""Names of split words, scripts, dots, quotes and 200 letters: every export loads in its reader, with all it holds.

python -m pytest -n 0 -m campaign tests/export/test_odd_names.py       # 2,000 images, about a minute
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.export.batches import described, odd_batch, odd_prompt
from tests.export.exports import exported
from tests.export.reading import Readers, Rows

#: Split -> the number that each image shows, and its caption.
Held = Mapping[str, list[tuple[int, str]]]


class Odd:
    """An odd batch: one in five rows is for validation, one in ten failed."""

    def __init__(self, folder: Path, count: int) -> None:
        self.batch = described(odd_batch(folder, count))
        self.count = count
        self.splits = {
            "train": [n for n in range(count) if n % 5 and n % 10 != 9],
            "validation": [n for n in range(count) if n % 5 == 0],
        }

    @property
    def held(self) -> Held:
        return {split: [(n, odd_prompt(n)) for n in numbers] for split, numbers in self.splits.items()}

    @property
    def in_a_line(self) -> Held:
        """With captions of one line, as trainers take them."""
        return {split: [(n, " ".join(caption.split())) for n, caption in pairs] for split, pairs in self.held.items()}


@pytest.fixture(
    scope="module", params=[60, pytest.param(2_000, marks=pytest.mark.campaign)], ids=lambda count: f"{count:,} rows"
)
def odd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Odd:
    return Odd(tmp_path_factory.mktemp("odd") / "batch", request.param)


def number(image: dict[str, Any]) -> int:
    red, green, _ = image["pixel"]
    return int(red + 256 * green)


def held(loaded: Mapping[str, Rows], image: str, caption: Callable[[dict[str, Any]], str]) -> Held:
    return {split: [(number(row[image]), caption(row)) for row in rows] for split, rows in loaded.items()}


def test_the_batch_folder_itself(odd: Odd, readers: Readers) -> None:
    loaded = readers.read("datasets", odd.batch)
    there = {split: [row for row in rows if row["image"] is not None] for split, rows in loaded.items()}
    assert held(there, "image", lambda row: row["prompt"]) == odd.held
    assert sum(map(len, loaded.values())) == odd.count


@pytest.mark.parametrize("to", ["imagefolder", "parquet"])
def test_images_with_a_table(odd: Odd, readers: Readers, tmp_path: Path, to: str) -> None:
    dest = exported(odd.batch, tmp_path / "out", to, caption="{prompt}")
    assert held(readers.read("datasets", dest), "image", lambda row: row["text"]) == odd.held


@pytest.mark.parametrize("reader", ["webdataset", "datasets"])
def test_webdataset(odd: Odd, readers: Readers, tmp_path: Path, reader: str) -> None:
    dest = exported(odd.batch, tmp_path / "out", "webdataset", shard_count=300)
    loaded = readers.read(reader, dest)
    assert held(loaded, "png", lambda row: row["txt"]) == odd.held
    assert held(loaded, "png", lambda row: row["json"]["prompt"]) == odd.held


def test_lora_for_diffusers(odd: Odd, readers: Readers, tmp_path: Path) -> None:
    dest = exported(odd.batch, tmp_path / "out", "lora", layout="diffusers")
    for split in odd.splits:  # one folder at a time, as its scripts do
        loaded = readers.read("datasets", "imagefolder", data_files={split: str(dest / split / "**")})
        assert held(loaded, "image", lambda row: row["text"]) == {split: odd.in_a_line[split]}


def test_lora_for_kohya(odd: Odd, tmp_path: Path) -> None:
    """Its scripts cannot be installed beside the rest: images and captions are paired by their stems, as those do."""
    dest = exported(odd.batch, tmp_path / "out", "lora", layout="kohya")
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for path in sorted(dest.rglob("*.png")):
        with Image.open(path) as image:
            pixel = {"pixel": image.convert("RGB").getpixel((0, 0))}
        found[path.relative_to(dest).parts[0]].append(
            (number(pixel), path.with_suffix(".txt").read_text().rstrip("\n"))
        )
    assert {split: sorted(pairs) for split, pairs in found.items()} == odd.in_a_line


@pytest.mark.parametrize("to", ["jsonl", "csv"])
@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_lines(odd: Odd, readers: Readers, tmp_path: Path, reader: str, to: str) -> None:
    (rows,) = readers.read(reader, exported(odd.batch, tmp_path / f"out.{to}", to)).values()
    assert [row["prompt"].removeprefix("'") for row in rows] == [odd_prompt(n) for n in range(odd.count)]
    stored = {n: split for split, numbers in odd.splits.items() for n in numbers}
    assert [row["status"] == "stored" for row in rows] == [n in stored for n in range(odd.count)]
    assert [row["split"] for n, row in enumerate(rows) if n in stored] == [split for _, split in sorted(stored.items())]
    assert all((odd.batch / row["file_name"]).is_file() for row in rows if row["status"] == "stored")


def test_preference(odd: Odd, readers: Readers, tmp_path: Path) -> None:
    dest = exported(odd.batch, tmp_path / "out", "preference", chosen_by="guidance_scale", group_by=("ten",))
    best = {"train": 8, "validation": 5}
    for split, rows in readers.read("datasets", dest).items():
        pairs = [(number(row["chosen"]), number(row["rejected"])) for row in rows]
        assert sorted(pairs) == [(n - n % 10 + best[split], n) for n in odd.splits[split] if n % 10 != best[split]]
        assert [(row["chosen_prompt"], row["rejected_prompt"]) for row in rows] == [
            (odd_prompt(chosen), odd_prompt(rejected)) for chosen, rejected in pairs
        ]
