"""A journal that has forgotten what was paid for is noticed before anything is paid for again."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import batchgen
from batchgen import Settings
from batchgen.adapters.profiles import find_profile
from batchgen.adapters.run_log import Logged, newest
from batchgen.app.checking import check
from batchgen.app.comparing import explain
from batchgen.app.disputing import disputed
from batchgen.model import RequestKey, RunId
from batchgen.simulator import Simulator, background
from batchgen.soundness import FlawKind, Remedy
from tests.test_interruptions import started
from tests.test_run import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with background(Simulator(find_profile("simulator"), latency=(0.02, 0.1))) as url:
        yield Place(tmp_path, Simulator(find_profile("simulator")), url)


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Place]:
    """A batch whose run was killed with three jobs at the API."""
    simulator = Simulator(find_profile("simulator"), latency=(3.0, 3.5))
    with background(simulator) as url:
        there = Place(tmp_path, simulator, url)
        run = started(there, accepted=3)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        yield there


def is_refused(place: Place, told: str) -> None:
    """Neither a run nor a look ahead takes the journal for whole, and a check names it and mends nothing."""
    told_of_each_run = ("journal", "last-run", "history")
    files = [path for path in place.out.rglob("*") if path.is_file() and not path.name.startswith(told_of_each_run)]
    before = {path: path.read_bytes() for path in files}
    looks = (
        place.run,
        lambda: explain(place.manifest, out=place.out, settings=Settings(base_url=place.url)),
        lambda: batchgen.status(place.out),
        lambda: disputed(place.out),
    )
    for look in looks:
        with pytest.raises(batchgen.StorageFailed, match=f"does not know {told}.*put the journal back whole"):
            look()
    report = check(place.out, repair=True)
    (flaw,) = (flaw for flaw in report.flaws if flaw.kind is FlawKind.EVENTS_FORGOTTEN)
    assert (flaw.remedy, report.exit_code, report.mended) == (Remedy.JOURNAL, 3, ())
    assert {path: path.read_bytes() for path in before} == before


def test_a_journal_without_the_file_that_holds_its_newest_events_is_refused(killed: Place) -> None:
    state = killed.out / ".batchgen"
    shutil.copytree(state, killed.folder / "kept")
    (state / "journal.sqlite-wal").unlink()
    (state / "journal.sqlite-shm").unlink(missing_ok=True)
    with pytest.raises(batchgen.StorageFailed, match=r"does not know the run .*-wal"):
        killed.run()
    is_refused(killed, "the run ")
    assert killed.simulator.audit().accepted == 3
    shutil.rmtree(state)
    shutil.copytree(killed.folder / "kept", state)
    assert killed.run().exit_code in (0, 6)
    assert killed.simulator.audit().accepted == 3


def test_images_without_any_journal_are_not_paid_for_again(place: Place) -> None:
    place.run()
    shutil.rmtree(place.out / ".batchgen")
    (place.out / "metadata.parquet").unlink()
    with pytest.raises(batchgen.StorageFailed, match="everything would be paid for again"):
        place.run()


def test_an_older_journal_is_refused_by_what_the_log_tells(place: Place) -> None:
    place.run(limit=1)
    shutil.copy(place.out / ".batchgen/journal.sqlite", place.folder / "older")
    place.run()
    shutil.copy(place.folder / "older", place.out / ".batchgen/journal.sqlite")
    is_refused(place, "the run ")


def forget_the_last_step(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    connection.close()


@pytest.mark.parametrize(
    ("without", "told"),
    [("metadata.parquet", "the last step in run.jsonl"), (".batchgen/run.jsonl", "the newest events")],
)
def test_a_journal_that_lacks_its_last_event_alone_is_refused(place: Place, without: str, told: str) -> None:
    place.run()
    forget_the_last_step(place.out / ".batchgen/journal.sqlite")
    (place.out / without).unlink()
    is_refused(place, told)


def test_whoever_has_nothing_better_can_go_on_with_what_there_is(place: Place) -> None:
    place.run(limit=1)
    shutil.copy(place.out / ".batchgen/journal.sqlite", place.folder / "older")
    place.run()
    shutil.copy(place.folder / "older", place.out / ".batchgen/journal.sqlite")
    (place.out / ".batchgen/run.jsonl").unlink()
    (place.out / "metadata.parquet").unlink()
    assert place.run().exit_code == 0


STEP = {"run_id": "r1", "event": "request.changed", "request_key": "k", "fact": "ImagesStored"}
BEGUN = {"run_id": "r2", "event": "run.begun"}
AT_THE_STEP = Logged(run_id=RunId("r1"), request_key=RequestKey("k"), fact="ImagesStored")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], None),
        (["", "{", "[1]", "null", '{"event": "x"}'], None),
        ([STEP], AT_THE_STEP),
        ([STEP, '{"run_id": "r1", "event": "request.cha'], AT_THE_STEP),
        ([BEGUN], Logged(run_id=RunId("r2"))),
        ([BEGUN, {**BEGUN, "event": "submit.paused"}], Logged(run_id=RunId("r2"))),
        ([STEP, BEGUN], Logged(run_id=RunId("r2"))),
    ],
)
def test_of_a_log_the_newest_run_and_its_last_step_are_read(
    tmp_path: Path, lines: list[object], found: Logged | None
) -> None:
    log = tmp_path / "run.jsonl"
    log.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    assert newest(log) == found


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()], ids=["none", "a folder"])
def test_a_log_that_cannot_be_read_tells_nothing(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "run.jsonl")
    assert newest(tmp_path / "run.jsonl") is None
