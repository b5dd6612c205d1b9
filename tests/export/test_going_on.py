"""An export is there whole or not at all, has the same bytes each time, and goes on after any interruption."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.app.exporting import export, find_format
from batchgen.errors import ExportBusy, StorageFailed, UsageError
from batchgen.export import Change, Choice
from batchgen.export.destination import Destination
from batchgen.export.pictures import Size
from batchgen.export.working import Log
from tests.export.batches import make_batch
from tests.export.exports import contents, exported, members

#: Format, its options, and what is done to the pictures.
EXPORTS: dict[str, dict[str, Any]] = {
    "imagefolder": {"class_by": "class"},
    "webdataset": {"shard_count": 4},
    "parquet": {"shard_size": 1_000},
    "lora": {"layout": "kohya"},
    "preference": {"chosen_by": "guidance_scale", "group_by": ("class",)},
    "jsonl": {},
    "csv": {},
}
CHANGE = Change(format="webp", size=Size(width=16, height=12))


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


class Interrupted(BaseException):
    """What ends an export in its middle."""


@pytest.mark.parametrize("to", EXPORTS)
def test_exporting_twice_gives_the_same_bytes(batch: Path, tmp_path: Path, to: str) -> None:
    places = [exported(batch, tmp_path / name, to, choice=Choice(seed=3), **EXPORTS[to]) for name in ("one", "two")]
    assert contents(places[0]) == contents(places[1])
    assert names(tmp_path) == ["one", "two"]  # nothing is left beside them


@pytest.mark.parametrize("to", ["imagefolder", "webdataset", "parquet"])
@given(ticks=st.lists(st.integers(1, 60), max_size=3))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_export_interrupted_anywhere_has_the_same_bytes_once_it_is_done(
    batch: Path, tmp_path: Path, to: str, ticks: list[int]
) -> None:
    wanted = tmp_path / "wanted"
    if not wanted.exists():
        exported(batch, wanted, to, change=CHANGE, **EXPORTS[to])
    dest = tmp_path / "out"
    form = find_format(to, EXPORTS[to])
    for after in ticks:
        try:
            export(batch, dest, form, change=CHANGE, begun=interrupting(after))
        except Interrupted:
            assert not dest.exists()
    export(batch, dest, form, change=CHANGE)
    assert contents(dest) == contents(wanted)
    assert names(tmp_path) == ["out", "wanted"]
    shutil.rmtree(dest)


def interrupting(after: int) -> Callable[[int], Callable[[int], None]]:
    """Interrupts an export after so many pictures."""
    done = 0

    def tick(steps: int) -> None:
        nonlocal done
        done += steps
        if done >= after:
            raise Interrupted

    return lambda _: tick


@pytest.mark.parametrize("to", ["imagefolder", "webdataset", "parquet"])
def test_an_export_killed_in_its_middle_goes_on_to_the_same_bytes(tmp_path: Path, to: str) -> None:
    batch = make_batch(tmp_path / "batch", 120)
    options = ["--resize", "200x200", "--convert", "png", *(["--shard-count", "10"] if to == "webdataset" else [])]
    options += ["--shard-size", "5KB"] if to == "parquet" else []

    def command(dest: str) -> list[str]:
        return [sys.executable, "-m", "batchgen", "export", str(batch), str(tmp_path / dest), "--to", to, *options]

    subprocess.run(command("wanted"), check=True, stdout=subprocess.DEVNULL)
    whole = len(made(tmp_path / "wanted"))
    kept: dict[str, int] = {}
    for wanted in (whole // 4, whole // 2):
        with subprocess.Popen(command("out"), stdout=subprocess.DEVNULL) as process:
            while len(kept := made(tmp_path / ".out.part")) < wanted:
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        assert not (tmp_path / "out").exists()
    subprocess.run(command("out"), check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "out") == contents(tmp_path / "wanted")
    assert not (tmp_path / ".out.part").exists()
    finished = {path.stat().st_ino for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert len(finished & set(kept.values())) >= whole // 4  # what was made was not made again


def made(folder: Path) -> dict[str, int]:
    """Name and inode of each large file that an export has finished."""
    found = {}
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                if name.endswith((".png", ".tar", ".parquet")) and ".making" not in place:
                    found[name] = (Path(place) / name).stat().st_ino
    return found


@pytest.mark.parametrize("to", ["imagefolder", "webdataset", "parquet"])
def test_a_condition_of_chance_never_pairs_what_was_made_with_other_rows(batch: Path, tmp_path: Path, to: str) -> None:
    form, choice = find_format(to, EXPORTS[to]), Choice(where="random() < 0.5")
    with pytest.raises(Interrupted):
        export(batch, tmp_path / "out", form, choice=choice, begun=interrupting(10))
    export(batch, tmp_path / "out", form, choice=choice)
    shown = pd.DataFrame(rows_of(tmp_path / "out", to))
    stored = pd.read_parquet(batch / "metadata.parquet").set_index("request_key")
    assert list(shown.sha256) == list(stored.loc[shown.request_key, "sha256"])
    with pytest.raises(UsageError, match="holds something else"):
        export(batch, tmp_path / "out", form, choice=choice)


def rows_of(place: Path, to: str) -> list[dict[str, Any]]:
    """All rows of an export, each with the hash of the image that lies there for it."""
    if to == "webdataset":
        found: dict[str, dict[str, Any]] = {}
        for shard in sorted(place.glob("*.tar")):
            for member, content in members(shard):
                key, kind = member.name.split(".")
                told = json.loads(content) if kind == "json" else {}
                found[key] = found.get(key, {}) | told
                if kind == "png":
                    found[key]["sha256"] = hashlib.sha256(content).hexdigest()
        return list(found.values())
    tables = sorted(place.rglob("*.parquet"))
    rows = [(table, row) for table in tables for row in pq.read_table(table).to_pylist()]
    contents = (
        row["image"]["bytes"] if to == "parquet" else (table.parent / row["file_name"]).read_bytes()
        for table, row in rows
    )
    return [
        row | {"sha256": hashlib.sha256(content).hexdigest()} for (_, row), content in zip(rows, contents, strict=True)
    ]


def test_an_export_that_is_there_already_is_left_as_it_is(batch: Path, tmp_path: Path) -> None:
    first = export(batch, tmp_path / "out", find_format("webdataset", {}))
    before = {path: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    again = export(batch, tmp_path / "out", find_format("webdataset", {}))
    assert (first.there_already, again.there_already) == (False, True)
    assert first.rows == again.rows == {"train": 42, "validation": 12}
    assert {path: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == before
    assert names(tmp_path) == ["out"]


def test_a_place_that_holds_something_else_is_refused_and_unchanged(batch: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="files that are no export"):
        exported(batch, mine, "imagefolder")
    exported(batch, tmp_path / "other", "webdataset")
    with pytest.raises(UsageError, match="with other options"):
        exported(batch, tmp_path / "other", "webdataset", caption="{class}")
    with pytest.raises(UsageError, match="is a file"):
        exported(batch, mine / "thesis.txt", "imagefolder")
    with pytest.raises(UsageError, match="holds something else"):
        exported(batch, mine / "thesis.txt", "csv")
    with pytest.raises(UsageError, match="is a folder"):
        exported(batch, mine, "csv")
    assert contents(mine).keys() == {"thesis.txt"}
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert names(tmp_path) == ["mine", "other"]


def test_an_empty_folder_is_as_good_as_none(batch: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert len(contents(exported(batch, tmp_path / "out", "imagefolder"))) == 54 + 4


def test_a_hidden_folder_of_somebody_elses_is_refused_and_unchanged(batch: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part/thesis.txt").touch()
    with pytest.raises(UsageError, match="in the way"):
        exported(batch, tmp_path / "out", "imagefolder")
    assert names(tmp_path / ".out.part") == ["thesis.txt"]


@pytest.mark.parametrize("place", [".", "images", "sub/deep", ".."])
def test_an_export_never_lies_in_its_batch_nor_around_it(batch: Path, place: str) -> None:
    with pytest.raises(UsageError, match="lie in each other"):
        exported(batch, batch / place, "imagefolder")


def test_two_exports_to_one_place_do_not_meet(batch: Path, tmp_path: Path) -> None:
    with (
        Destination(tmp_path / "out", batch, single_file=False),
        pytest.raises(ExportBusy, match="Another export is writing"),
    ):
        exported(batch, tmp_path / "out", "imagefolder")


def test_an_interrupted_export_with_other_options_begins_anew(batch: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        export(batch, tmp_path / "out", find_format("imagefolder", {}), begun=interrupting(20))
    exported(batch, tmp_path / "out", "imagefolder", choice=Choice(split="validation"))
    wanted = exported(batch, tmp_path / "wanted", "imagefolder", choice=Choice(split="validation"))
    assert contents(tmp_path / "out") == contents(wanted)


def test_a_wrong_option_costs_an_interrupted_export_nothing(batch: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        export(batch, tmp_path / "out", find_format("imagefolder", {}), begun=interrupting(20))
    before = made(tmp_path / ".out.part")
    with pytest.raises(UsageError, match="no column nope"):
        exported(batch, tmp_path / "out", "imagefolder", caption="{nope}")
    assert made(tmp_path / ".out.part") == before


@pytest.mark.parametrize("link", ["copy", "hard", "reference"])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_missing_or_damaged_image_ends_the_export_with_its_name(tmp_path: Path, link: str, damage: str) -> None:
    batch = make_batch(tmp_path / "batch", 5)
    image = batch / "images/fox-3.png"
    content = image.read_bytes()
    image.unlink()
    if damage != "missing":
        image.write_bytes(content[:-1] if damage == "cut" else content[:-9] + bytes(9))
    with pytest.raises(StorageFailed, match=r"images/fox-3\.png"):
        exported(batch, tmp_path / "out", "imagefolder", link=link)
    assert not (tmp_path / "out").exists()
    image.write_bytes(content)
    assert len(contents(exported(batch, tmp_path / "out", "imagefolder", link=link))) == 5 + 3


@pytest.mark.parametrize("kind", ["cut", "foreign"])
def test_an_index_that_is_none_is_named_with_what_mends_it_and_nothing_is_left(tmp_path: Path, kind: str) -> None:
    batch = make_batch(tmp_path / "batch", 2)
    path = batch / "metadata.parquet"
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(StorageFailed, match=r"batch/metadata\.parquet cannot be read .*batchgen check .*--repair"):
        exported(batch, tmp_path / "out", "imagefolder")
    assert names(tmp_path) == ["batch"]


def test_a_place_that_cannot_be_is_a_sentence(batch: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match="cannot be written"):
        exported(batch, tmp_path / "file/out", "imagefolder")


@pytest.mark.parametrize("torn", [b'{"na', b"\0\0\0\n", b"\0\0\0", b'[1]\n{"n": 9}\n', b""])
def test_of_a_log_only_what_is_whole_counts_and_the_rest_is_removed(tmp_path: Path, torn: bytes) -> None:
    log = Log(tmp_path / "log.jsonl")
    assert list(log.read()) == []
    for n in range(3):
        log.append(n=n)
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(torn)
    assert list(log.read()) == [{"n": 0}, {"n": 1}, {"n": 2}]
    log.append(n=3)
    log.keep(4)
    assert list(log.read()) == [{"n": n} for n in range(4)]


def test_an_image_that_a_power_cut_emptied_is_made_again(batch: Path, tmp_path: Path) -> None:
    for interrupted in (30, 10):
        with pytest.raises(Interrupted):
            export(batch, tmp_path / "out", find_format("imagefolder", {}), begun=interrupting(interrupted))
        victim = next((tmp_path / ".out.part/train").glob("*.png"))
        victim.write_bytes(b"")
    assert contents(exported(batch, tmp_path / "out", "imagefolder")) == contents(
        exported(batch, tmp_path / "wanted", "imagefolder")
    )
