"""`{date}`, `{datetime}` and `{env.NAME}` are resolved when a batch is begun, and stay what they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import batchgen
from batchgen.adapters.plan_file import PlanFile
from batchgen.app import comparing
from batchgen.app.preview import read_for
from batchgen.app.settings import Settings

MANIFEST = """\
batch_id: "nightly-{date}"
file_prefix: "{env.NIGHT}-{datetime}"
profile: simulator
params: {width: 16, height: 16}
prompts: ["A fox on {date}"]
"""


FIRST = Settings(moment=datetime(2026, 11, 24, 23, 59, tzinfo=UTC))
SECOND = Settings(moment=datetime(2026, 11, 25, 0, 1, tzinfo=UTC))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIGHT", "first")
    (tmp_path / "m.yaml").write_text(MANIFEST)
    return tmp_path


def prompts(out: Path) -> list[str]:
    return list(pq.read_table(out / "metadata.parquet").column("prompt").to_pylist())


def test_a_run_that_goes_on_the_next_day_into_its_folder_pays_nothing_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batchgen.run("m.yaml", out="night", settings=FIRST)
    monkeypatch.setenv("NIGHT", "second")
    (folder / "m.yaml").write_text(MANIFEST + "# a comment, so that the plan is made anew\n")
    result = batchgen.run("m.yaml", out="night", settings=SECOND)
    assert result.batch_id == "nightly-2026-11-24"
    assert prompts(folder / "night") == ["A fox on 2026-11-24"]
    assert [path.name[:21] for path in result.images()] == ["first-20261124T235900"]
    assert batchgen.status("night").attempts == 1


def test_a_batch_id_with_a_date_makes_a_folder_a_day_and_yesterdays_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = batchgen.run("m.yaml", settings=FIRST)
    monkeypatch.setenv("NIGHT", "second")
    second = batchgen.run("m.yaml", settings=SECOND)
    again = batchgen.run("m.yaml", settings=replace(SECOND, batch_id="nightly-2026-11-24"))
    assert [result.out.name for result in (first, second, again)] == [
        "nightly-2026-11-24",
        "nightly-2026-11-25",
        "nightly-2026-11-24",
    ]
    assert prompts(first.out) == ["A fox on 2026-11-24"]
    assert batchgen.status(first.out).attempts == 1


def test_looking_into_a_batch_the_next_day_finds_it_unchanged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batchgen.run("m.yaml", out="night", settings=FIRST)
    monkeypatch.setenv("NIGHT", "second")
    assert not comparing.drift("m.yaml", out="night", settings=SECOND)
    assert comparing.against("m.yaml", "night", settings=SECOND).new.requests == 0
    manifest, _ = read_for("m.yaml", "night", SECOND)
    assert dict(manifest.words) == {
        "date": "2026-11-24",
        "datetime": "20261124T235900",
        "env.NIGHT": "first",
    }


def test_only_what_texts_name_is_recorded(folder: Path) -> None:
    (folder / "m.yaml").write_text("profile: simulator\nparams: {width: 16, height: 16}\nprompts: [A fox]")
    batchgen.run("m.yaml", out="plain")
    assert PlanFile(folder / "plain/.batchgen/plan.parquet").head.words == {}


def test_a_column_that_is_all_null_has_the_type_that_the_manifest_declares(folder: Path) -> None:
    (folder / "rows.csv").write_text("prompt,year\nA fox,\n")
    (folder / "m.yaml").write_text(
        "profile: simulator\nparams: {width: 16, height: 16}\n"
        "prompts: {file: rows.csv, columns: {year: {label: year, type: integer}}}"
    )
    batchgen.run("m.yaml", out="typed")
    assert str(pq.read_schema(folder / "typed/metadata.parquet").field("year").type) == "int64"
