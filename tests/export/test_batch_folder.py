"""The batch folder itself is the dataset: what its readers require of it, one test a rule."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from batchgen import index
from batchgen.app import proving
from batchgen.app.proving import Verdict, difference, prove
from batchgen.app.readers import Loaded, Reader
from batchgen.errors import UsageError
from batchgen.model import CardFacts
from batchgen.review import rules
from tests.export.batches import FACTS, ODD_NAMES, Rows, described, make_batch, odd_prompt
from tests.export.reading import Readers

PARTS = ("train", "validation", "test")


def odd_rows(**changes: object) -> Rows:
    """Names that spell splits, prompts with quotes and line ends, three splits, a failure in ten rows."""
    values = {
        "name": lambda n: f"{ODD_NAMES[n % len(ODD_NAMES)]}-{n}",
        "prompt": odd_prompt,
        "split": lambda n: PARTS[n % 3],
        "fails": lambda n: n % 10 == 9,
    }
    return Rows(**values | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of 45 rows in a folder whose name spells a split; only to be read."""
    return described(make_batch(tmp_path_factory.mktemp("out") / "model=flux-dev", 45, odd_rows()))


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_gives_all_images_prompts_and_splits(readers: Readers, folder: Path, streaming: bool) -> None:
    loaded = readers.read("datasets", folder, streaming=streaming)
    assert {split: [row["prompt"] for row in rows] for split, rows in loaded.items()} == {
        part: [odd_prompt(n) for n in range(45) if PARTS[n % 3] == part] for part in PARTS
    }
    for rows in loaded.values():
        for row in rows:
            number = row["row_index"]
            assert row["image"] == (None if number % 10 == 9 else {"pixel": [number, 0, 7], "size": [8, 8]})


@pytest.mark.parametrize("stored", [0, 1, 2])
def test_splits_are_right_however_few_images_there_are(readers: Readers, tmp_path: Path, stored: int) -> None:
    batch = described(make_batch(tmp_path / "batch", 9, odd_rows(fails=lambda n: n >= stored)))
    loaded = readers.read("datasets", batch)
    assert {split: len(rows) for split, rows in loaded.items()} == dict.fromkeys(PARTS, 3)
    images = [row.get("image", row.get("file_name")) for rows in loaded.values() for row in rows]
    assert sum(image is not None for image in images) == stored


@pytest.mark.parametrize("stored", [0, 1, 5])
def test_without_splits_all_rows_are_train(readers: Readers, tmp_path: Path, stored: int) -> None:
    rows = odd_rows(split=lambda _: None, fails=lambda n: n >= stored)
    loaded = readers.read("datasets", described(make_batch(tmp_path / "test-dev", 5, rows)))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 5}


def test_splits_of_ones_own_and_rows_without_one_are_loaded(readers: Readers, tmp_path: Path) -> None:
    rows = odd_rows(split=lambda n: ("holdout", "a.b", None)[n % 3])
    loaded = readers.read("datasets", described(make_batch(tmp_path / "batch", 9, rows)))
    assert {split: len(rows) for split, rows in loaded.items()} == {"holdout": 3, "a.b": 3, "train": 3}


def test_images_of_several_formats_are_loaded(readers: Readers, tmp_path: Path) -> None:
    rows = odd_rows(format=lambda n: ("png", "jpg", "webp")[n % 3], fails=lambda _: False)
    loaded = readers.read("datasets", described(make_batch(tmp_path / "batch", 9, rows)))
    assert all(row["image"]["size"] == [8, 8] for rows in loaded.values() for row in rows)


@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_tables_have_every_row_in_plan_order_failures_included(readers: Readers, folder: Path, reader: str) -> None:
    rows = readers.read(reader, folder / "metadata.parquet")[""]
    assert [row["prompt"] for row in rows] == [odd_prompt(n) for n in range(45)]
    assert [row["row_index"] for row in rows if row["file_name"] is None] == [9, 19, 29, 39]


def test_croissant_is_valid_and_its_records_load(readers: Readers, folder: Path) -> None:
    loaded = readers.read("mlcroissant", folder / "croissant.json")
    assert [row["splits/name"] for row in loaded["splits"]] == sorted(PARTS)
    rows = loaded["samples"]
    assert [row["samples/prompt"] for row in rows] == [odd_prompt(n) for n in range(45)]
    assert [row["samples/image"]["pixel"][0] if row["samples/image"] else None for row in rows] == [
        None if n % 10 == 9 else n for n in range(45)
    ]


def test_croissant_of_images_that_are_all_webp_loads(readers: Readers, tmp_path: Path) -> None:
    batch = described(make_batch(tmp_path / "batch", 3, odd_rows(format=lambda _: "webp")))
    rows = readers.read("mlcroissant", batch / "croissant.json")["samples"]
    assert [row["samples/image"]["size"] for row in rows] == [[8, 8]] * 3


def test_croissant_takes_labels_of_any_name(readers: Readers, tmp_path: Path) -> None:
    names = ["with space", "naïve col", 'quo"ted', "a|b", "{braces}", "a/b", "a%20b", "#"]
    labels = {name: number for number, name in enumerate(names)}
    types = dict.fromkeys(names, "int")
    batch = described(make_batch(tmp_path / "batch", 2, Rows(labels=lambda _: labels, label_types=types)))
    fields = json.loads((batch / "croissant.json").read_text())["recordSet"][-1]["field"]
    ids = {field["name"]: field["@id"] for field in fields}
    (first, _) = readers.read("mlcroissant", batch / "croissant.json")["samples"]
    assert {name: first[ids[name]] for name in names} == labels


def test_croissant_has_every_word_that_is_required_or_recommended(folder: Path) -> None:
    told = json.loads((folder / "croissant.json").read_text())
    required = {"@context", "@type", "conformsTo", "name", "description", "license", "url", "creator", "datePublished"}
    assert required | {"version", "prov:wasGeneratedBy"} <= told.keys()
    assert (told["@type"], told["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.1")
    hashes = [one.get("sha256") for one in told["distribution"] if one["@type"] == "cr:FileObject"]
    assert hashes == [hashlib.sha256((folder / "metadata.parquet").read_bytes()).hexdigest()]


def test_croissant_says_where_the_images_come_from(folder: Path) -> None:
    told = json.loads((folder / "croissant.json").read_text())
    activity = told["prov:wasGeneratedBy"]
    assert activity["@type"] == "prov:Activity"
    assert activity["prov:wasAssociatedWith"][0]["prov:atLocation"] == "e/sd3"
    assert told["license"] == told["creator"]["name"] == "not stated"


# The rules, without a reader


def test_no_column_is_a_number_that_loaders_do_not_hold(folder: Path) -> None:
    kinds = {str(field.type) for field in index.read_schema(folder / "metadata.parquet")}
    assert [kind for kind in kinds if kind.startswith("uint")] == []


def test_the_index_has_the_columns_that_were_promised(folder: Path) -> None:
    promised = """
        request_key row_index sample_index batch_id file_prefix run_id manifest_sha256 file_name sha256 bytes
        format width height phash prompt negative_prompt provider model endpoint num_inference_steps
        guidance_scale requested_width requested_height seed params_json job_id source_url response_json
        status error_class error_message http_status attempts submitted_at completed_at downloaded_at
        latency_s cost split
    """
    assert set(promised.split()) <= set(index.read_schema(folder / "metadata.parquet").names)


def test_a_whole_batch_breaks_no_rule(folder: Path) -> None:
    assert {words: rule(folder) for words, rule in rules.RULES.items()} == dict.fromkeys(rules.RULES)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("images/a b.png", True),
        ("images/…/ü.png", True),
        ("/etc/passwd", False),
        ("../a.png", False),
        ("images/../../a.png", False),
        ("images\\a.png", False),
        ("C:/a.png", False),
        ("s3://bucket/a.png", False),
        ("", False),
    ],
)
def test_loaders_take_names_within_the_folder_only(name: str, plain: bool) -> None:
    assert rules.is_plain(name) is plain


def test_what_breaks_a_rule_is_named(tmp_path: Path) -> None:
    batch = described(make_batch(tmp_path / "batch", 6, odd_rows(name=lambda n: f"a-{n}")))
    (batch / "metadata.jsonl").touch()
    (batch / "images/a-1.png").unlink()
    (batch / "README.md").write_text("---\nconfigs: []\n---\n")
    broken = [complaint for rule in rules.RULES.values() if (complaint := rule(batch))]
    assert broken == [
        "metadata.jsonl beside metadata.parquet: remove it",
        "images/a-1.png",
        "the header of README.md is not that of this index",
    ]
    (batch / "README.md").unlink()
    assert rules.splits_are_not_guessed(batch) == "README.md has no header"


def test_a_folder_with_too_many_files_for_the_hub_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_ENTRIES", 41)
    assert rules.few_files(folder) == "images has 41 files"


# Every installed reader


def test_each_installed_reader_is_tried_on_the_folder_and_on_exports(folder: Path) -> None:
    verdicts = prove(folder)
    assert [verdict for verdict in verdicts if verdict.complaint or verdict.skipped] == []
    tried = {(verdict.what, verdict.who.split(" ")[0]) for verdict in verdicts if verdict.what != "folder"}
    assert tried == {
        *(("metadata.parquet", reader) for reader in ("pandas", "polars", "duckdb")),
        ("croissant.json", "mlcroissant"),
        ("export --to imagefolder", "datasets"),
        ("export --to parquet", "datasets"),
        ("export --to webdataset", "datasets"),
        ("export --to webdataset", "webdataset"),
        *(("export --to jsonl", reader) for reader in ("pandas", "polars", "duckdb")),
    }


def test_a_batch_whose_labels_and_title_look_like_something_else_is_sound(tmp_path: Path) -> None:
    names = ("json", "png", "webp", "jpg")
    rows = Rows(labels=lambda n: dict.fromkeys(names, n), label_types=dict.fromkeys(names, "int"))
    facts = replace(FACTS, card=CardFacts(title="a --- b\n---\nc"))
    batch = described(make_batch(tmp_path / "batch", 3, rows, facts=facts))
    assert [verdict for verdict in prove(batch) if verdict.complaint] == []


def test_what_a_reader_does_not_take_is_said_in_its_words(tmp_path: Path) -> None:
    batch = described(make_batch(tmp_path / "batch", 6, odd_rows(name=lambda n: f"a-{n}")))
    (batch / "images/a-1.png").write_bytes(b"no image")
    complaints = {(verdict.what, verdict.who.split(" ")[0]) for verdict in prove(batch) if verdict.complaint}
    assert ("folder", "datasets") in complaints
    assert ("export --to parquet", "batchgen") in complaints
    assert ("metadata.parquet", "pandas") not in complaints


def test_a_reader_that_is_not_installed_is_skipped(folder: Path) -> None:
    absent = Reader(package="no-such-reader", load=lambda _: {})
    verdict = proving._tried(absent, "folder", folder, {})
    assert verdict == Verdict(what="folder", who="no-such-reader", skipped="not installed")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"train": [("a", True), ("b", False)]}, None),
        ({"train": [("a", True)]}, "split train: 1 rows instead of 2"),
        ({"test": [("a", True), ("b", False)]}, "split test: 2 rows instead of 0"),
        ({"train": [("a", True), ("c", False)]}, "split train: row 1 has another prompt than the index says"),
        ({"train": [("a", True), ("b", True)]}, "split train: row 1 has another image than the index says"),
    ],
)
def test_what_was_loaded_is_compared_row_by_row(found: Loaded, words: str | None) -> None:
    assert difference({"train": [("a", True), ("b", False)]}, found) == words


def checked(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "batchgen", "check", *map(str, arguments), "--readers"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_of_each_rule_and_reader_whether_it_holds(folder: Path, tmp_path: Path) -> None:
    done = checked(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}
    batch = described(make_batch(tmp_path / "batch", 3, odd_rows()))
    (batch / "metadata.csv").touch()
    told = checked(batch, "--json")
    assert told.returncode == 3
    broken = [verdict for verdict in json.loads(told.stdout)["verdicts"] if verdict["complaint"]]
    assert broken[0]["complaint"] == "metadata.csv beside metadata.parquet: remove it"
    assert checked(batch, "--repair").returncode == 2


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no index yet"):
        prove(tmp_path)
