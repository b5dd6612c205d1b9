"""What a run leaves behind for who was not there: its last summary, its history, and its turn at a folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import batchgen
from batchgen import Settings
from batchgen.adapters.folder_lock import FolderLock
from batchgen.adapters.profiles import find_profile
from batchgen.app.history import history
from batchgen.cli.words.runs import history_text, took
from batchgen.ports import Observer
from batchgen.simulator import Simulator, background
from tests.test_interruptions import started
from tests.test_run import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0.02, 0.1))
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


def last_run(place: Place) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((place.out / ".batchgen/last-run.json").read_text())
    return told


def command(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(place.command(*arguments), capture_output=True, text=True, check=False)


# The last summary


def test_the_last_summary_is_what_the_run_said_and_how_it_came_to_it(place: Place) -> None:
    done = command(place, "--json", "--no-report")
    kept, said = last_run(place), json.loads(done.stdout)
    assert kept.items() >= said.items()
    assert (kept["exit_code"], kept["reason"], kept["manifest"]) == (0, None, str(place.manifest))
    assert kept["this_run"] == {"submissions": 3, "images_stored": 6, "requests_failed": 0}
    begun, ended = (datetime.fromisoformat(kept[name]) for name in ("started_at", "ended_at"))
    assert ended - begun == pytest.approx(timedelta(seconds=kept["seconds"]), abs=timedelta(milliseconds=2))


def test_a_run_that_stops_early_says_why_and_one_with_nothing_to_do_that_it_did_nothing(place: Place) -> None:
    place.run(max_images=2)
    early = last_run(place)
    assert early["exit_code"] == 6
    assert "--max-images" in early["reason"]
    place.run()
    place.run()
    assert last_run(place)["this_run"] == {"submissions": 0, "images_stored": 0, "requests_failed": 0}
    assert [run.exit_code for run in history(place.out)] == [6, 0, 0]


def test_a_run_that_is_stopped_by_a_signal_says_so(place: Place) -> None:
    place.many(200)
    with started(place, "--concurrency", "4", "--grace", "2s", accepted=5) as run:
        run.send_signal(signal.SIGTERM)
        run.communicate()
    kept = last_run(place)
    assert (run.returncode, kept["exit_code"], kept["reason"]) == (143, 143, "SIGTERM")
    assert kept["images"]["stored"] == place.simulator.audit().accepted == kept["this_run"]["submissions"]


@pytest.mark.parametrize(("loss", "code"), [("key", 4), ("journal", 5)])
def test_a_run_that_cannot_go_on_leaves_its_reason(
    place: Place, monkeypatch: pytest.MonkeyPatch, loss: str, code: int
) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "k")
    place.run(profile="sd3", max_images=2)
    if loss == "key":
        monkeypatch.delenv("IMAGEPIPELINE_API_KEY")
    else:
        (place.out / ".batchgen/journal.sqlite").unlink()
    with pytest.raises(batchgen.BatchgenError):
        place.run(profile="sd3")
    kept = last_run(place)
    assert kept["exit_code"] == code
    assert loss in kept["reason"]


def test_a_run_that_is_refused_the_folder_leaves_the_summary_of_the_other_alone(place: Place) -> None:
    place.run()
    before = (place.out / ".batchgen/last-run.json").read_bytes()
    with FolderLock(place.out), pytest.raises(batchgen.FolderBusy):
        place.run()
    assert (place.out / ".batchgen/last-run.json").read_bytes() == before


def test_a_run_that_is_refused_before_it_begins_leaves_no_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "k")
    with pytest.raises(batchgen.UsageError):
        place.run(completion=batchgen.Completion.WEBHOOK, profile="image-v1", webhook_url="nonsense")
    assert not place.out.exists()


# The history


def test_the_history_has_runs_that_ended_runs_that_were_killed_and_the_one_that_goes_on(place: Place) -> None:
    place.many(400)
    place.run(max_images=3)
    with started(place, "--concurrency", "4", accepted=8) as killed:
        killed.kill()
        killed.communicate()
    with started(place, "--concurrency", "2", accepted=20) as run:
        runs = history(place.out)
        run.send_signal(signal.SIGTERM)
        run.communicate()
    assert [(run.exit_code, run.running) for run in runs] == [(6, False), (None, False), (None, True)]
    ended = history(place.out)
    assert [run.exit_code for run in ended] == [6, None, 143]
    assert sorted(ended, key=lambda run: run.started_at) == ended
    text = history_text("out", ended, cleaned=False).splitlines()
    assert text[0] == "out: 3 runs; times in UTC"
    assert "cut off" in text[3]
    assert all(len(line) <= 80 for line in text)


def test_a_line_that_a_crash_has_torn_spoils_no_other(place: Place) -> None:
    place.run(limit=1)
    path = place.out / ".batchgen/history.jsonl"
    path.write_text(path.read_text() + '{"run_id": "tor')
    place.run()
    assert [run.exit_code for run in history(place.out)] == [0, 0]


def test_the_command_lists_the_runs_and_gives_them_as_json(place: Place) -> None:
    place.run()
    asked = [sys.executable, "-m", "batchgen", "history", str(place.out)]
    text = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    told = json.loads(subprocess.run([*asked, "--json"], capture_output=True, text=True, check=True).stdout)
    assert text.splitlines()[0].endswith("out: 1 run; times in UTC")
    assert [(run["exit_code"], run["images_stored"]) for run in told["runs"]] == [(0, 6)]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0s"), (59.4, "59s"), (60, "1m 00s"), (3_599, "59m 59s"), (86_400 * 9, "216h 00m")]
)
def test_how_long_it_took_is_told_in_eight_columns(seconds: float, said: str) -> None:
    assert took(timedelta(seconds=seconds)) == said
    assert len(said) <= 8


# Waiting for another run


def test_a_run_waits_for_another_and_then_goes_on_with_what_that_left(place: Place) -> None:
    place.run(max_images=2)
    lock = FolderLock(place.out)
    with lock, subprocess.Popen(place.command("--wait-lock", "1h"), stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert "another run is working in" in waiting.stderr.readline()
        assert place.simulator.audit().accepted == 1
        lock.__exit__()
        waiting.communicate()
    assert (waiting.returncode, place.simulator.audit().accepted) == (0, 3)
    assert [run.exit_code for run in history(place.out)] == [6, 0]


def test_a_manifest_that_names_another_batch_after_the_wait_is_not_run_in_the_folder_that_is_held(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    lock = FolderLock(place.folder / "outputs/animals")

    class Editing(Observer):
        def paused(self, seconds: float, reason: str) -> None:
            place.manifest.write_text(place.manifest.read_text().replace("batch_id: animals", "batch_id: plants"))
            lock.__exit__()

    with lock, pytest.raises(batchgen.UsageError, match="was edited while this run waited"):
        batchgen.run(place.manifest, settings=Settings(base_url=place.url, wait_lock=60), observer=Editing())
    assert place.simulator.audit().accepted == 0


def test_a_run_that_has_waited_long_enough_is_refused(place: Place) -> None:
    with FolderLock(place.out), pytest.raises(batchgen.FolderBusy):
        batchgen.run(place.manifest, out=place.out, settings=Settings(base_url=place.url, wait_lock=0.3))
    assert place.simulator.audit().accepted == 0


def test_a_run_that_waits_can_be_stopped(place: Place) -> None:
    with (
        FolderLock(place.out),
        subprocess.Popen(place.command("--wait-lock", "1h"), stderr=subprocess.PIPE, text=True) as run,
    ):
        assert run.stderr is not None
        assert "another run is working in" in run.stderr.readline()
        run.send_signal(signal.SIGTERM)
        assert "before anything was sent" in run.communicate()[1]
    assert run.returncode == 143
