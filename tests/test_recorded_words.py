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
from batchgen.errors import ManifestError, UsageError

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


@pytest.mark.parametrize("out", ["night", None])
def test_a_variable_that_is_gone_says_what_it_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, out: str | None
) -> None:
    (folder / "m.yaml").write_text(MANIFEST.replace("nightly-{date}", "nightly"))
    first = batchgen.run("m.yaml", out=out, settings=FIRST)
    monkeypatch.delenv("NIGHT")
    again = batchgen.run("m.yaml", out=out, settings=SECOND)
    assert list(again.images()) == list(first.images())
    with pytest.raises(ManifestError, match=r"env\.NIGHT"):
        batchgen.run("m.yaml", out="another", settings=SECOND)


def test_a_word_that_an_edit_drops_and_another_brings_back_is_not_forgotten(folder: Path) -> None:
    batchgen.run("m.yaml", out="night", settings=FIRST)
    (folder / "m.yaml").write_text(MANIFEST.replace(" on {date}", "").replace("-{date}", ""))
    batchgen.run("m.yaml", out="night", settings=SECOND)
    (folder / "m.yaml").write_text(MANIFEST)
    batchgen.run("m.yaml", out="night", settings=SECOND)
    assert sorted(prompts(folder / "night")) == ["A fox", "A fox on 2026-11-24"]
    assert batchgen.status("night").attempts == 2


def test_the_name_of_a_manifest_is_what_it_is_now(folder: Path) -> None:
    (folder / "m.yaml").write_text(MANIFEST.replace("{date}", "{manifest}"))
    batchgen.run("m.yaml", out="night", settings=FIRST)
    (folder / "m.yaml").rename(folder / "n.yaml")
    assert batchgen.run("n.yaml", out="night", settings=SECOND).batch_id == "nightly-n"
    assert "manifest" not in PlanFile(folder / "night/.batchgen/plan.parquet").head.words


def test_tags_that_a_frozen_plan_is_given_name_words_too(folder: Path) -> None:
    batchgen.run("m.yaml", out="night", settings=FIRST)
    own = "night/.batchgen/plan.parquet"
    tags = replace(SECOND, batch_id="x-{date}", file_prefix="p-{date}-{env.NIGHT}-{manifest}")
    result = batchgen.run(own, out="elsewhere", settings=tags)
    assert result.batch_id == "x-2026-11-24"
    assert next(iter(result.images())).name.startswith("p-2026-11-24-first-m-")
    with pytest.raises(UsageError, match=r"there is no \{style\} for all of it"):
        batchgen.run(own, out="elsewhere", settings=replace(SECOND, file_prefix="{style}"))


def test_a_batch_that_is_called_by_a_variable_is_found_by_its_folder_once_that_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "m.yaml").write_text(MANIFEST.replace('{date}"\nfile', '{env.NIGHT}"\nfile'))
    assert batchgen.run("m.yaml").batch_id == "nightly-first"
    monkeypatch.delenv("NIGHT")
    with pytest.raises(ManifestError, match=r"batch_id: \{env.NIGHT\} is not set, .* the folder will do: --out"):
        batchgen.run("m.yaml")
    assert batchgen.run("m.yaml", out="outputs/nightly-first").batch_id == "nightly-first"
