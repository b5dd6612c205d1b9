"""`check` and `check --repair`: what is wrong in a folder is found, and mended for nothing where that can be."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen.adapters.folder_lock import FolderLock
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import CheckReport, check
from batchgen.lifecycle import Record, State, advance
from batchgen.model import MissingImage, RequestKey, RunId, StoredImage
from batchgen.simulator import Simulator, background
from batchgen.soundness import REMEDIES, FlawKind, Measured, judge_image, loss
from tests.factories import an_image
from tests.test_lifecycle import FAILURE, STORED_PAIR, after
from tests.test_run import MANIFEST, Place

KEY = RequestKey("k")
STORED = StoredImage(sample=0, file_name="images/a-0.png", source_url="https://host/a", image=an_image()[0])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0, 0.02))
    with background(simulator) as url:
        made = Place(tmp_path, simulator, url)
        made.run()
        yield made


def images(place: Place) -> list[Path]:
    return sorted((place.out / "images").iterdir())


def flaws_of(report: CheckReport) -> list[FlawKind]:
    return [flaw.kind for flaw in report.flaws]


def test_a_finished_batch_is_sound_and_looking_changes_nothing(place: Place) -> None:
    before = {path: path.stat().st_mtime_ns for path in place.out.rglob("*") if not path.name.startswith("journal")}
    report = check(place.out)
    assert (report.exit_code, report.images, report.flaws) == (0, 6, ())
    after_it = {path: path.stat().st_mtime_ns for path in place.out.rglob("*") if not path.name.startswith("journal")}
    assert after_it == before


def test_a_batch_that_is_not_finished_is_sound(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"), latency=(0, 0.02))
    with background(simulator) as url:
        half = Place(tmp_path, simulator, url)
        half.run(max_images=2)
    assert check(half.out).exit_code == 0


def test_images_that_are_gone_or_damaged_are_downloaded_again_and_not_paid_again(place: Place) -> None:
    gone, shorter, flipped, *_ = images(place)
    whole = {path: path.read_bytes() for path in (gone, shorter, flipped)}
    gone.unlink()
    shorter.write_bytes(whole[shorter][:-1])
    flipped.write_bytes(bytes([whole[flipped][0] ^ 1]) + whole[flipped][1:])
    found = check(place.out)
    assert (found.exit_code, sorted(flaws_of(found))) == (3, [FlawKind.IMAGE_DAMAGED] * 2 + [FlawKind.IMAGE_MISSING])
    repaired = check(place.out, repair=True)
    assert (repaired.exit_code, repaired.flaws, len(repaired.reopened)) == (6, (), 3)
    assert (place.out / ".batchgen/damaged/images" / flipped.name).read_bytes()[1:] == whole[flipped][1:]
    assert batchgen.status(place.out).stored == 3
    assert place.run().exit_code == 0
    assert place.simulator.audit().accepted == 3
    assert {path: path.read_bytes() for path in whole} == whole
    assert check(place.out).exit_code == 0


def test_images_that_the_api_no_longer_has_are_reported_and_not_paid_again(place: Place) -> None:
    images(place)[0].unlink()
    check(place.out, repair=True)
    forgetful = Simulator(find_profile("simulator"), latency=(0, 0.02))
    with background(forgetful) as url, sqlite3.connect(place.out / ".batchgen/journal.sqlite") as journal:
        text = "UPDATE records SET record = json_set(record, '$.submitted_at', 0.0)"  # a job of long ago
        journal.execute(text)
        journal.commit()
        place.url = url
        result = place.run()
    journal.close()
    assert forgetful.audit().accepted == 0
    assert result.exit_code == 3
    assert sorted(result.frame().status) == ["failed"] + ["stored"] * 5
    assert set(result.frame().query("status == 'failed'").error_class) == {"job_lost"}


def test_what_nobody_knows_is_told_and_never_deleted(place: Place) -> None:
    stranger = place.out / "images/mine.png"
    stranger.write_bytes(b"perhaps paid for")
    report = check(place.out, repair=True)
    assert (flaws_of(report), report.exit_code) == ([FlawKind.IMAGE_UNKNOWN], 3)
    assert stranger.read_bytes() == b"perhaps paid for"


@pytest.mark.parametrize(
    "left",
    ["images/.fox.0.part", ".metadata.parquet.part", ".README.md.1.part", ".batchgen/plan.new.part",
     ".batchgen/plan.new.parquet", ".batchgen/ballast"],
)  # fmt: skip
def test_what_killed_runs_left_behind_is_removed(place: Place, left: str) -> None:
    (place.out / left).write_bytes(b"half")
    assert flaws_of(check(place.out)) == [FlawKind.TEMPORARY_FILE]
    assert check(place.out, repair=True).exit_code == 0
    assert not (place.out / left).exists()


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [_remove, _empty, _flip], ids=lambda harm: harm.__name__.strip("_"))
def test_an_index_that_is_lost_or_damaged_is_made_anew_to_the_byte(place: Place, harm: Callable[[Path], None]) -> None:
    index, card = place.out / "metadata.parquet", place.out / "README.md"
    before = index.read_bytes(), card.read_bytes()
    harm(index)
    assert flaws_of(check(place.out)) == [FlawKind.INDEX_OUTDATED]
    assert check(place.out, repair=True).exit_code == 0
    assert (index.read_bytes(), card.read_bytes()) == before


def test_index_and_card_are_made_from_journal_and_plan_alone(place: Place) -> None:
    before = (place.out / "metadata.parquet").read_bytes()
    (place.out / "metadata.parquet").unlink()
    (place.out / "README.md").unlink()
    assert flaws_of(check(place.out)) == [FlawKind.INDEX_OUTDATED, FlawKind.CARD_MISSING]
    assert check(place.out, repair=True).exit_code == 0
    assert (place.out / "metadata.parquet").read_bytes() == before


@pytest.mark.parametrize("harm", [_remove, _empty, _flip], ids=lambda harm: harm.__name__.strip("_"))
def test_a_plan_that_is_lost_or_damaged_is_made_anew_by_its_manifest(
    place: Place, harm: Callable[[Path], None]
) -> None:
    harm(place.out / ".batchgen/plan.parquet")
    report = check(place.out, repair=True)
    assert (flaws_of(report), report.exit_code) == ([FlawKind.PLAN_UNUSABLE], 3)
    (place.out / ".batchgen/plan.parquet").unlink(missing_ok=True)
    assert place.run().exit_code == 0
    assert check(place.out).exit_code == 0
    assert place.simulator.audit().accepted == 3


def test_without_its_plan_a_batch_still_tells_what_the_journal_knows(place: Place) -> None:
    (place.out / ".batchgen/plan.parquet").unlink()
    with pytest.raises(batchgen.StorageFailed, match=r"plan.parquet is missing.* 3 requests and 6 stored images"):
        batchgen.status(place.out)


@pytest.mark.parametrize("leading", ["../victim.png", "images/../../victim.png"])
def test_a_journal_that_names_a_file_outside_of_the_folder_has_it_neither_read_nor_moved(
    place: Place, leading: str
) -> None:
    victim = place.folder / "victim.png"
    victim.write_bytes(b"somebody's")
    name = images(place)[0].relative_to(place.out).as_posix()
    with sqlite3.connect(place.out / ".batchgen/journal.sqlite") as connection:
        for table, column in (("events", "event"), ("records", "record")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (name, leading))
    connection.close()
    assert "leads out of the folder" in str(check(place.out).flaws)
    check(place.out, repair=True)
    assert victim.read_bytes() == b"somebody's"


def test_requests_that_were_paid_for_and_are_in_no_plan_are_named(place: Place) -> None:
    plan = place.out / ".batchgen/plan.parquet"
    other = place.folder / "other"
    place.manifest.write_text(MANIFEST.replace("  - A red fox\n", ""))
    batchgen.run(place.manifest, out=other, settings=batchgen.Settings(base_url=place.url, max_images=0))
    plan.write_bytes((other / ".batchgen/plan.parquet").read_bytes())
    report = check(place.out)
    assert FlawKind.REQUEST_UNPLANNED in flaws_of(report)
    place.manifest.write_text(MANIFEST)
    assert place.run().exit_code == 0
    assert check(place.out).exit_code == 0


@pytest.mark.parametrize("sql", ["UPDATE records SET record = '{bad'", "UPDATE records SET state = 'planned', record = "
                                 "json_set(record, '$.state', 'planned')", "DELETE FROM records"])  # fmt: skip
def test_records_that_are_not_what_the_events_add_up_to_are_put_right(place: Place, sql: str) -> None:
    with sqlite3.connect(place.out / ".batchgen/journal.sqlite") as journal:
        journal.execute(sql)
    journal.close()
    (place.out / "metadata.parquet").unlink()
    assert flaws_of(check(place.out)).count(FlawKind.RECORD_WRONG) == 3
    assert check(place.out, repair=True).exit_code == 0
    assert check(place.out).exit_code == 0
    assert place.run().exit_code == 0
    assert place.simulator.audit().accepted == 3


def test_a_journal_that_cannot_be_read_is_told_and_left_as_it_is(place: Place) -> None:
    journal = place.out / ".batchgen/journal.sqlite"
    for beside in journal.parent.glob("journal.sqlite-*"):
        beside.unlink()
    content = bytearray(journal.read_bytes())
    content[5_000:] = bytes(len(content) - 5_000)
    journal.write_bytes(content)
    for repair in (False, True):
        with pytest.raises(batchgen.StorageFailed, match="cannot be used"):
            check(place.out, repair=repair)
    assert journal.read_bytes() == bytes(content)


def test_a_folder_in_which_a_run_is_working_is_left_alone(place: Place) -> None:
    with FolderLock(place.out):
        for repair in (False, True):
            with pytest.raises(batchgen.FolderBusy):
                check(place.out, repair=repair)


def test_a_folder_without_a_batch_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(batchgen.UsageError, match="holds no batch"):
        check(tmp_path, repair=True)
    assert list(tmp_path.iterdir()) == []


def test_the_command_tells_people_and_machines_what_is_wrong_and_what_to_do(place: Place) -> None:
    gone = images(place)[0]
    gone.unlink()

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "batchgen", "check", str(place.out), *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    for_people, for_machines = command(), command("--json")
    assert (for_people.returncode, for_machines.returncode) == (3, 3)
    assert f"images/{gone.name} is not there" in for_people.stdout
    assert "--repair` has the next run download them again, at no cost" in for_people.stdout
    (flaw,) = json.loads(for_machines.stdout)["flaws"]
    assert (flaw["kind"], flaw["where"], flaw["remedy"]) == (
        "image_missing", f"images/{gone.name}", "download",
    )  # fmt: skip
    repaired = command("--repair")
    assert (repaired.returncode, "downloads them at no cost" in repaired.stdout) == (6, True)


def test_every_flaw_has_a_remedy() -> None:
    assert set(REMEDIES) == set(FlawKind)


@given(st.integers(0, 99), st.sampled_from(["same", "other", None]), st.sampled_from([None, "Input/output error"]))
def test_only_the_very_bytes_that_were_verified_are_sound(length: int, digest: str | None, error: str | None) -> None:
    image = STORED.image
    found = Measured(bytes=length, sha256=image.sha256 if digest == "same" else digest, error=error)
    right = length == image.bytes and digest == "same" and error is None
    flaw = judge_image(KEY, STORED, found)
    assert (flaw is None) == right
    assert flaw is None or (flaw.kind is FlawKind.IMAGE_UNREADABLE) == (error is not None)


def test_an_image_that_is_not_there_is_missing() -> None:
    flaw = judge_image(KEY, STORED, None)
    assert flaw is not None
    assert (flaw.kind, flaw.where, flaw.sample) == (FlawKind.IMAGE_MISSING, "images/a-0.png", 0)


def test_a_job_is_asked_and_where_there_is_none_the_links_are_tried_by_their_samples() -> None:
    record = after(*STORED_PAIR)
    assert loss(record, [1]).urls == ()
    gone = MissingImage(sample=1, failure=FAILURE, source_url="https://host/gone")
    unmade = MissingImage(sample=3, failure=FAILURE)
    images = (record.images[0], replace(record.images[1], sample=2))
    unnamed = Record(state=State.STORED, images=images, missing=(gone, unmade))
    event = loss(unnamed, [2])
    assert event.urls == ("https://host/a", "https://host/gone", "https://host/a")
    assert advance(unnamed, event, at=0.0, run_id=RunId("r")).state is State.READY
