"""`init`: an example to start from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import batchgen
from batchgen.app.starting import SCHEMA_NAME, examples, init
from batchgen.errors import UsageError
from batchgen.manifest import json_schema


@pytest.mark.parametrize("example", examples())
def test_an_example_is_laid_down_whole_and_can_be_planned_at_once(tmp_path: Path, example: str) -> None:
    start = init(tmp_path / "new", example=example)
    assert all(path.is_file() for path in start.files)
    assert batchgen.plan(start.manifest).summary.requests > 0
    assert json.loads((tmp_path / "new" / SCHEMA_NAME).read_text()) == json_schema()
    assert start.manifest.read_text().startswith(f"# yaml-language-server: $schema={SCHEMA_NAME}\n")
    assert "manifests/" not in start.manifest.read_text()


def test_there_are_six_examples_and_each_says_what_it_shows() -> None:
    assert len(examples()) == 6
    assert all(20 < len(sentence) < 100 for sentence in examples().values())


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    init(tmp_path, example="table")
    (tmp_path / "birds.csv").write_text("mine")
    (tmp_path / "table.yaml").unlink()
    with pytest.raises(UsageError, match=r"birds\.csv is there already"):
        init(tmp_path, example="table")
    assert (tmp_path / "birds.csv").read_text() == "mine"
    assert not (tmp_path / "table.yaml").exists()


def test_an_example_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are dynamic, nightly, quickstart"):
        init(tmp_path, example="../secret")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is in the way"):
        init(tmp_path / "file" / "under")
    with pytest.raises(UsageError, match="is in the way"):
        init(tmp_path / "file")


def test_no_link_is_written_through_and_no_schema_of_ones_own_is_lost(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(UsageError, match="is there already"):
        init(tmp_path)
    (tmp_path / "quickstart.yaml").unlink()
    (tmp_path / SCHEMA_NAME).write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        init(tmp_path)
    assert (tmp_path / SCHEMA_NAME).read_text() == "mine"


def test_two_examples_share_a_folder(tmp_path: Path) -> None:
    init(tmp_path, example="quickstart")
    init(tmp_path, example="dynamic")
    assert batchgen.plan(tmp_path / "dynamic.yaml").summary.requests == 12
