"""What is old and done goes, if that is said; all else stays."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import batchgen
from batchgen import Settings
from batchgen.adapters.folder_lock import FolderLock
from batchgen.adapters.profiles import find_profile
from batchgen.app.cleaning import OldBatch, _removed, clean
from batchgen.app.disputing import listed
from batchgen.cli.words.cleaning import size
from batchgen.simulator import Behaviour, Fault, Faults, Fixed, Simulator, background
from tests.test_cli import batchgen as command
from tests.test_only_new import Nights

DAY = 86_400.0
ROOT = Path(__file__).parents[1]


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    simulator = Simulator(find_profile("simulator"), latency=(0.0, 0.01))
    with background(simulator) as url:
        yield Nights(tmp_path, simulator, url)


def age(out: Path, days: float) -> None:
    """Let nothing have happened to a batch for so long."""
    then = time.time() - days * DAY
    for path in out.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (then, then))
    with sqlite3.connect(out / ".batchgen/journal.sqlite") as journal:
        journal.execute("UPDATE runs SET started_at = ?", (then,))
    journal.close()
    for path in (out / ".batchgen").glob("journal.sqlite*"):
        os.utime(path, (then, then))


def kept(out: Path) -> list[Path]:
    """All in a batch folder but what SQLite makes to read and takes away again."""
    return sorted(path for path in out.rglob("*") if not path.name.startswith("journal.sqlite-"))


def fates(found: Sequence[OldBatch]) -> dict[str, str]:
    return {one.out.name: "removed" if one.removed else "old" if one.old else one.kept_for or "young" for one in found}


def test_old_batches_are_listed_and_removed_only_if_that_is_said(nights: Nights) -> None:
    nights.table(2)
    old = nights.run(1).out
    nights.table(3)
    young = nights.run(2).out
    age(old, 40)
    outputs = nights.folder / "outputs"
    assert fates(list(clean(outputs))) == {old.name: "young", young.name: "young"}
    assert fates(list(clean(outputs, older_than=30 * DAY))) == {old.name: "old", young.name: "young"}
    assert len(list((old / "images").iterdir())) == 2
    assert fates(list(clean(outputs, older_than=30 * DAY, remove=True))) == {old.name: "removed", young.name: "young"}
    left = sorted(path.relative_to(old).as_posix() for path in old.rglob("*") if path.is_file())
    told = ["cleaned", "history.jsonl", "last-run.json", "lock", "plan.parquet"]
    assert left == [f".batchgen/{name}" for name in told]
    assert (young / "metadata.parquet").is_file()


def test_what_a_removed_batch_had_is_not_paid_for_again(nights: Nights) -> None:
    nights.table(3)
    old = nights.run(1).out
    age(old, 40)
    clean(nights.folder / "outputs", older_than=DAY, remove=True)
    nights.table(4)
    result = nights.run(2)
    assert (result.exit_code, result.elsewhere, nights.posts(), result.unfinished) == (0, 3, 4, [])
    with pytest.raises(batchgen.UsageError, match="was cleaned away"):
        nights.run(1)
    assert nights.posts() == 4
    seen = {one.out: one for one in clean(nights.folder / "outputs", older_than=0.0)}[old]
    assert (seen.cleaned, seen.old) == (True, False)


def test_a_batch_that_is_forgotten_leaves_nothing(nights: Nights) -> None:
    nights.table(2)
    old = nights.run(1).out
    age(old, 40)
    (found,) = clean(old, older_than=DAY, remove=True, forget=True)
    assert found.removed
    assert list(old.parent.iterdir()) == []


@pytest.mark.parametrize("why", ["unfinished", "no index", "no journal", "running", "damaged plan"])
def test_what_is_not_done_or_not_known_stays_however_old_it_is(nights: Nights, why: str) -> None:
    nights.table(3)
    out = nights.run(1, max_images=2 if why == "unfinished" else None).out
    age(out, 400)
    if why == "no index":
        (out / "metadata.parquet").unlink()
    elif why == "no journal":
        (out / ".batchgen/journal.sqlite").unlink()
    elif why == "damaged plan":
        (out / ".batchgen/plan.parquet").write_bytes(b"PAR1")
        age(out, 400)
    before = kept(out)
    for forget in (False, True):
        if why == "running":
            with FolderLock(out):
                (found,) = clean(out, older_than=DAY, remove=True, forget=forget)
        else:
            (found,) = clean(out, older_than=DAY, remove=True, forget=forget)
        assert (found.old, found.removed) == (False, False)
        assert found.kept_for is not None
    assert kept(out) == before


def test_what_is_in_doubt_stays(tmp_path: Path) -> None:
    told = Behaviour(latency=Fixed(0), pictures="tiny", faults=Faults.model_validate({"submit": [Fault.RESET_AFTER]}))
    simulator = Simulator(find_profile("simulator"), behaviour=told)
    with background(simulator) as url:
        nights = Nights(tmp_path, simulator, url)
        nights.table(2)
        out = batchgen.run(nights.manifest, out=tmp_path / "out", settings=Settings(base_url=url, concurrency=1)).out
    age(out, 400)
    (found,) = clean(out, older_than=DAY, remove=True)
    assert (found.kept_for, found.removed) == ("1 in doubt", False)


@pytest.mark.parametrize("forget", [False, True])
def test_what_is_disputed_stays_on_record_or_is_told_of_before_it_is_forgotten(tmp_path: Path, forget: bool) -> None:
    told = Behaviour(latency=Fixed(0), pictures="tiny", faults=Faults.model_validate({"job": [Fault.CONTENT_POLICY]}))
    with background(Simulator(find_profile("simulator"), behaviour=told)) as url:
        nights = Nights(tmp_path, Simulator(), url)
        nights.table(2)
        batchgen.run(nights.manifest, out=tmp_path / "out", settings=Settings(base_url=url, concurrency=1))
    age(tmp_path / "out", 40)
    flags = ("clean", "out", "--older-than", "30d", *(["--forget"] if forget else []))
    asked = command(*flags, folder=tmp_path).stdout
    assert "(old; 1 disputed submission)" in asked
    assert ("would be forgotten" in asked) is forget
    before = [command("status", "out", "--disputes", *how, folder=tmp_path).stdout for how in ((), ("--json",))]
    assert before[0].count("content_policy") == 1
    assert command(*flags, "--yes", folder=tmp_path).returncode == 0
    after = [command("status", "out", "--disputes", *how, folder=tmp_path).stdout for how in ((), ("--json",))]
    assert after == before or (forget and not (tmp_path / "out").exists())


def test_links_are_never_followed_out_of_the_folder(nights: Nights) -> None:
    nights.table(1)
    outside = nights.folder / "outside"
    (outside / "album").mkdir(parents=True)
    (outside / "album/precious.png").write_text("precious")
    old = nights.run(1).out
    (old / "images/link").symlink_to(outside / "album", target_is_directory=True)
    (old / "album").symlink_to(outside / "album", target_is_directory=True)
    (old / "file").symlink_to(outside / "album/precious.png")
    age(old, 40)
    shutil.copytree(old, outside / "batch", symlinks=True)
    (nights.folder / "outputs/night-linked").symlink_to(outside / "batch", target_is_directory=True)
    found = fates(clean(nights.folder / "outputs", older_than=DAY, remove=True))
    assert found[old.name] == "removed"
    assert found["night-linked"].startswith("a link")
    assert (outside / "album/precious.png").read_text() == "precious"
    assert (outside / "batch/metadata.parquet").is_file()
    assert not (old / "album").is_symlink()


@pytest.mark.parametrize("forget", [False, True])
def test_a_removal_that_dies_at_any_step_is_ended_by_the_next(nights: Nights, forget: bool) -> None:
    nights.table(3)
    old = nights.run(1).out
    age(old, 40)
    copies = nights.folder / "copies"
    program = [sys.executable, "-m", "tests.cleaning_points", str(old), str(copies), *(["--forget"] if forget else [])]
    died = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert died.returncode == 0, died.stderr
    steps = sorted(copies.iterdir(), key=lambda path: int(path.name))
    assert len(steps) > 15
    for outputs in steps:
        asked = outputs / "night" if int(outputs.name) % 2 else outputs  # the folder of batches, or the batch itself
        if asked.exists() or any(outputs.iterdir()):  # the last died of nothing
            clean(asked, older_than=30 * DAY, remove=True, forget=forget)
        left = sorted(path.name for path in outputs.rglob("*") if path.is_file())
        told = ["cleaned", "history.jsonl", "last-run.json", "lock", "plan.parquet"]
        assert [name for name in left if name != "owner.json"] == ([] if forget else told), outputs
        assert forget is not (outputs / "night").exists(), outputs


def test_what_is_left_of_a_batch_that_was_to_be_forgotten_goes_without_being_told_again(nights: Nights) -> None:
    nights.table(1)
    old = nights.run(1).out
    outputs = old.parent
    old.rename(outputs / ".night-1.0123abcd.cleaned")  # young by its files, but it was to go
    (outputs / ".night-2.0123abcd.cleaned/images").mkdir(parents=True)
    (outputs / ".night-3.0123abcd.cleaned").mkdir()
    (outputs / ".night-4.0123abcd.cleaned").mkdir()
    (outputs / ".night-4.0123abcd.cleaned/notes.txt").write_text("mine")
    assert not any(one.removed for one in clean(outputs, remove=True))
    found = fates(clean(outputs, older_than=DAY, remove=True))
    assert [found[f".night-{n}.0123abcd.cleaned"] for n in (1, 2, 3)] == ["removed"] * 3
    assert found[".night-4.0123abcd.cleaned"] == "notes.txt lies in it, which is none of its own"
    assert [path.name for path in outputs.iterdir()] == [".night-4.0123abcd.cleaned"]


@pytest.mark.parametrize("content", ['{"disputes": 3}', '{"disputes": [3]}', '{"disputes": [{}]}', "[]", "{", "\0"])
def test_a_damaged_list_of_disputes_is_told_and_keeps_that_batch_alone(nights: Nights, content: str) -> None:
    nights.table(1)
    damaged = nights.run(1).out
    nights.table(2)
    whole = nights.run(2).out
    for out in (damaged, whole):
        age(out, 40)
    clean(damaged, older_than=DAY, remove=True)
    (damaged / ".batchgen/disputes.json").write_text(content)
    age_of_files = time.time() - 40 * DAY
    os.utime(damaged / ".batchgen/cleaned", (age_of_files, age_of_files))
    with pytest.raises(batchgen.StorageFailed, match=r"disputes.json cannot be read: .* Put it back from a backup"):
        listed(damaged)
    found = fates(clean(damaged.parent, older_than=30 * DAY, remove=True, forget=True))
    assert (found[whole.name], "disputes.json cannot be read" in found[damaged.name]) == ("removed", True)


def test_what_desktops_put_into_folders_keeps_no_batch(nights: Nights) -> None:
    nights.table(1)
    out = nights.run(1).out
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._README.md", "images/.DS_Store"):
        (out / name).write_text("")
    (out / "._mine").mkdir()
    age(out, 40)
    assert fates(clean(out, older_than=DAY, remove=True)) == {out.name: "._mine lies in it, which is none of its own"}
    (out / "._mine").rmdir()
    assert fates(clean(out, older_than=DAY, remove=True)) == {out.name: "removed"}
    assert [path.name for path in out.iterdir()] == [".batchgen"]


def test_tables_of_splits_are_the_batchs_own(nights: Nights) -> None:
    nights.table(4)
    with nights.manifest.open("a") as manifest:
        manifest.write("split: {train: 0.5, test: 0.5}\n")
    out = nights.run(1).out
    assert list(out.glob("split+*"))
    age(out, 40)
    assert fates(clean(out, older_than=DAY, remove=True)) == {out.name: "removed"}


def test_the_history_of_a_batch_that_was_cleaned_away_is_still_told(nights: Nights) -> None:
    nights.table(1)
    out = nights.run(1).out
    age(out, 40)
    clean(out, older_than=DAY, remove=True)
    told = command("history", str(out), folder=nights.folder)
    assert (told.returncode, "1 run" in told.stdout, "cleaned away" in told.stdout) == (0, True, True)
    assert json.loads(command("history", str(out), "--json", folder=nights.folder).stdout)["cleaned"] is True
    (out / ".batchgen/history.jsonl").unlink()
    assert "0 runs" in command("history", str(out), folder=nights.folder).stdout


@pytest.mark.parametrize("gone", [("journal.sqlite",), ()], ids=["after the journal", "before it"])
def test_a_removal_that_was_cut_short_is_ended_by_the_next(nights: Nights, gone: tuple[str, ...]) -> None:
    nights.table(2)
    old = nights.run(1).out
    age(old, 40)
    (old / ".batchgen/cleaned").write_text("")  # young, as it would be
    for name in gone:
        (old / ".batchgen" / name).unlink()
    assert fates(list(clean(old, older_than=DAY, remove=True))) == {old.name: "removed"}
    assert not (old / "images").exists()


def test_the_command_lists_asks_for_yes_and_removes(nights: Nights) -> None:
    nights.table(2)
    old = nights.run(1).out
    age(old, 40)
    listed = command("clean", folder=nights.folder)
    assert listed.stdout.splitlines()[-1] == "Nothing would be removed; --older-than 30d says what is old"
    asked = command("clean", "--older-than", "30d", folder=nights.folder)
    assert "Would be removed: 1 batch" in asked.stdout
    assert old.name in asked.stdout
    told = json.loads(
        command("clean", "outputs", "--older-than", "30d", "--yes", "--json", folder=nights.folder).stdout
    )
    assert [one["removed"] for one in told["batches"]] == [True]
    assert command("clean", "--yes", folder=nights.folder).returncode == 2
    assert command("clean", "nowhere", folder=nights.folder).returncode == 2


@pytest.mark.parametrize(("number", "said"), [(0, "0 B"), (999, "999 B"), (1_000, "1 KB"), (1.23e9, "1.23 GB")])
def test_sizes_are_told_in_three_digits(number: float, said: str) -> None:
    assert size(int(number)) == said


@pytest.mark.parametrize("place", ["inner", "images/inner"])
def test_a_batch_that_lies_in_another_keeps_both(nights: Nights, place: str) -> None:
    nights.table(2)
    outer = nights.run(1).out
    inner = outer / place
    batchgen.run(nights.manifest, out=inner, settings=Settings(base_url=nights.url, batch_id="inner", max_images=1))
    age(outer, 40)
    for forget in (False, True):
        fate = fates(clean(outer.parent, older_than=DAY, remove=True, forget=forget))[outer.name]
        assert "lies in it" in fate
    assert (inner / ".batchgen/journal.sqlite").is_file()


def test_a_folder_of_batches_that_has_become_one_itself_hides_none_of_them(nights: Nights) -> None:
    nights.table(2)
    done = nights.run(1).out
    begun = nights.run(2, only_new=False, against=(), max_images=1).out
    batchgen.run(nights.manifest, out=done.parent, settings=Settings(base_url=nights.url, batch_id="slip"))
    for out in (done, begun, done.parent):
        age(out, 40)
    found = fates(clean(done.parent, older_than=DAY, remove=True))
    assert found[done.name] == "removed"
    assert found[begun.name] == "1 not finished"
    assert "lies in it" in found[done.parent.name]


def test_what_people_keep_in_a_batch_folder_keeps_it(nights: Nights) -> None:
    nights.table(2)
    out = nights.run(1).out
    (out / "picks.csv").write_text("mine")
    age(out, 40)
    assert fates(clean(out, older_than=DAY, remove=True)) == {
        out.name: "picks.csv lies in it, which is none of its own"
    }


def test_the_folder_that_one_stands_in_is_removed_by_its_name(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    nights.table(2)
    out = nights.run(1).out
    age(out, 40)
    monkeypatch.chdir(out)
    assert fates(clean(".", older_than=DAY, remove=True, forget=True)) == {out.name: "removed"}
    assert not out.exists()


def test_a_batch_that_another_clean_has_forgotten_meanwhile_is_not_made_anew(nights: Nights) -> None:
    nights.table(1)
    out = nights.run(1).out
    age(out, 40)
    (seen,) = clean(out, older_than=DAY)
    shutil.rmtree(out)
    assert _removed(seen, time.time(), DAY, forget=True).kept_for == "it has gone meanwhile"
    assert not out.exists()
