"""Whole runs, over real HTTP: manifest in, dataset out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import batchgen
from batchgen import Settings
from batchgen.adapters.folder_lock import FolderLock
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import check
from batchgen.index import COLUMNS
from batchgen.simulator import Simulator, background

MANIFEST = """\
version: 1
batch_id: animals
profile: simulator
params: {samples: 2, width: 64, height: 48, num_inference_steps: 5}
prompts:
  - A red fox
  - {prompt: A toucan, params: {guidance_scale: 9}, labels: {class: bird, legs: 2}, file_prefix: toucan}
  - A robot
"""


class Place:
    """A manifest in a folder of its own, and a simulator that outlives the runs."""

    def __init__(self, folder: Path, simulator: Simulator, url: str) -> None:
        self.folder, self.simulator, self.url = folder, simulator, url
        self.manifest = folder / "animals.yaml"
        self.manifest.write_text(MANIFEST)
        self.out = folder / "out"

    def many(self, requests: int, *, samples: int = 1) -> None:
        prompts = "\n".join(f"  - prompt number {n}" for n in range(requests))
        params = f"{{samples: {samples}, width: 16, height: 16}}"
        self.manifest.write_text(f"profile: simulator\nbatch_id: many\nparams: {params}\nprompts:\n{prompts}\n")

    def run(self, **settings: object) -> batchgen.RunResult:
        return batchgen.run(self.manifest, out=self.out, settings=Settings(base_url=self.url, **settings))  # type: ignore[arg-type]

    def command(self, *arguments: str) -> list[str]:
        named = ["--out", str(self.out), "--base-url", self.url]
        return [sys.executable, "-m", "batchgen", "run", str(self.manifest), *named, *arguments]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0.02, 0.1))
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


def test_a_manifest_becomes_a_folder_of_verified_images_and_their_index(place: Place) -> None:
    result = place.run()
    frame = result.frame()
    assert result.exit_code == 0
    assert list(frame.status) == ["stored"] * 6
    assert list(frame.prompt) == ["A red fox"] * 2 + ["A toucan"] * 2 + ["A robot"] * 2
    assert [path.relative_to(place.out).as_posix() for path in result.images()] == list(frame.file_name)
    for row in frame.itertuples():
        with Image.open(place.out / str(row.file_name)) as image:
            image.load()
        assert (image.width, image.height) == (row.width, row.height) == (64, 48)
    assert frame.file_name.str.startswith("images/toucan-").tolist() == [False, False, True, True, False, False]
    assert frame.guidance_scale.tolist() == [7, 7, 9, 9, 7, 7]
    assert frame["class"].tolist()[2:4] == ["bird", "bird"]
    assert place.simulator.audit().accepted == 3


def test_the_index_has_every_column_in_order_and_then_the_labels(place: Place) -> None:
    assert list(place.run().frame().columns) == [*COLUMNS, "class", "legs"]


def test_a_finished_batch_costs_nothing_to_run_again(place: Place) -> None:
    place.run()
    before, index = place.simulator.audit(), (place.out / "metadata.parquet").read_bytes()
    result = place.run()
    assert result.exit_code == 0
    assert place.simulator.audit() == before
    assert (place.out / "metadata.parquet").read_bytes() == index


def test_a_finished_batch_needs_no_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "k")
    place.run(profile="sd3")
    monkeypatch.delenv("IMAGEPIPELINE_API_KEY")
    assert place.run(profile="sd3").exit_code == 0


def test_a_key_that_is_missing_stops_everything_before_anything_is_sent(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGEPIPELINE_API_KEY", raising=False)
    with pytest.raises(batchgen.AccountBlocked, match="export IMAGEPIPELINE_API_KEY"):
        place.run(profile="sd3")
    assert place.simulator.audit().accepted == 0


def test_a_key_that_is_refused_ends_the_run_and_leaves_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "wrong")
    simulator = Simulator(find_profile("sd3"), key="right")
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        with pytest.raises(batchgen.AccountBlocked, match="IMAGEPIPELINE_API_KEY"):
            place.run(profile="sd3")
        assert set(pd.read_parquet(place.out / "metadata.parquet").status) == {"pending"}
        monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "right")
        assert place.run(profile="sd3").exit_code == 0
    assert simulator.audit().accepted == 3


def test_rows_that_are_added_cost_only_themselves(place: Place) -> None:
    place.run()
    place.manifest.write_text(MANIFEST.replace("- A red fox", "- A blue whale\n  - A red fox"))
    assert place.run().samples[batchgen.Status.STORED] == 8
    assert place.simulator.audit().accepted == 4


def test_images_that_were_paid_for_stay_in_the_index_when_their_row_is_gone(place: Place) -> None:
    place.run()
    place.manifest.write_text(MANIFEST.replace("  - A red fox\n", ""))
    frame = place.run().frame()
    assert list(frame.prompt) == ["A toucan"] * 2 + ["A robot"] * 2 + ["A red fox"] * 2
    assert set(frame.status) == {"stored"}
    assert place.simulator.audit().accepted == 3


def test_a_folder_is_refused_to_another_endpoint(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run()
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "k")
    with pytest.raises(batchgen.UsageError, match=r"holds a batch of simulator/sd3/v1, not of imagepipeline"):
        place.run(profile="sd3")
    assert place.simulator.audit().accepted == 3


@pytest.mark.parametrize("loss", ["empty", "missing", "foreign"])
def test_a_batch_whose_journal_is_lost_is_not_paid_for_again(place: Place, loss: str) -> None:
    place.run()
    journal = place.out / ".batchgen/journal.sqlite"
    journal.unlink()
    if loss == "empty":
        journal.touch()
    elif loss == "foreign":
        with sqlite3.connect(journal) as connection:
            connection.execute("CREATE TABLE theirs (a)")
        connection.close()
    with pytest.raises(batchgen.StorageFailed, match=r"[Pp]ut the journal back"):
        place.run()
    assert place.simulator.audit().accepted == 3


def test_a_batch_of_an_older_version_goes_on_and_pays_for_nothing_again(place: Place) -> None:
    place.run(limit=2)
    with sqlite3.connect(place.out / ".batchgen/journal.sqlite") as connection:
        connection.executescript(
            "CREATE TABLE old AS SELECT request_key, state, record FROM records; DROP TABLE records;"
            "ALTER TABLE old RENAME TO records; PRAGMA user_version = 1"
        )
    connection.close()
    with pytest.raises(batchgen.StorageFailed, match="a run of the manifest brings it up to date"):
        batchgen.status(place.out)
    result = place.run()
    assert (result.exit_code, place.simulator.audit().accepted) == (0, 3)
    assert check(place.out).exit_code == 0


def test_a_plan_that_is_lost_is_made_anew_if_the_manifest_still_asks_for_what_was_paid(place: Place) -> None:
    place.run()
    plan = place.out / ".batchgen/plan.parquet"
    plan.write_bytes(b"")
    assert place.run().exit_code == 0
    plan.unlink()
    place.manifest.write_text(MANIFEST.replace("  - A red fox\n", ""))
    with pytest.raises(batchgen.StorageFailed, match="does not ask for 1 requests that were submitted"):
        place.run()
    place.manifest.write_text(MANIFEST)
    assert place.run().exit_code == 0
    assert place.simulator.audit().accepted == 3


def test_a_plan_that_is_damaged_inside_is_a_sentence_and_no_bug(place: Place) -> None:
    place.run(limit=1)
    place.run(max_images=2)
    plan = place.out / ".batchgen/plan.parquet"
    content = bytearray(plan.read_bytes())
    content[4:400] = bytes(396)
    plan.write_bytes(content)
    with pytest.raises(batchgen.StorageFailed, match="Remove it and run the manifest again"):
        place.run()


def test_an_observer_that_fails_ends_no_run(place: Place) -> None:
    class Broken(batchgen.Observer):
        def changed(self, *_: object) -> None:
            raise OSError("no space left on device")

    result = batchgen.run(place.manifest, out=place.out, settings=Settings(base_url=place.url), observer=Broken())
    assert result.exit_code == 0


def test_ctrl_c_in_the_library_waits_for_jobs_in_flight_and_writes_the_index(place: Place) -> None:
    place.many(60)
    code = (
        "import sys, batchgen\n"
        "settings = batchgen.Settings(base_url=sys.argv[3], concurrency=4)\n"
        "try: batchgen.run(sys.argv[1], out=sys.argv[2], settings=settings)\n"
        "except KeyboardInterrupt: sys.exit(77)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(place.manifest), str(place.out), place.url]) as run:
        while place.simulator.audit().accepted < 10:
            assert run.poll() is None
            time.sleep(0.005)
        run.send_signal(signal.SIGINT)
    frame = pd.read_parquet(place.out / "metadata.parquet")
    assert run.returncode == 77
    assert (frame.status == "stored").sum() == place.simulator.audit().accepted < 60


def test_a_limit_tries_the_first_requests_and_the_rest_follow_later(place: Place) -> None:
    assert len(place.run(limit=1).frame()) == 2
    assert len(place.run().frame()) == 6
    assert place.simulator.audit().accepted == 3


def test_a_run_ends_before_it_asks_for_more_images_than_it_may(place: Place) -> None:
    result = place.run(max_images=5)
    assert (result.exit_code, place.simulator.audit().accepted) == (6, 2)
    assert result.stopped is not None
    assert "--max-images" in result.stopped
    assert place.run().exit_code == 0


def test_jobs_that_fail_are_tried_again_and_then_reported(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"), latency=(0, 0.01), failure_rate=1.0)
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        result = place.run(limit=1)
    frame = result.frame()
    assert result.exit_code == 3
    assert list(frame.error_class) == ["job_failed"] * 2
    assert frame.file_name.isna().all()
    assert list(frame.attempts) == [3, 3]
    assert simulator.audit().accepted == 3


def test_failed_requests_are_tried_again_only_when_asked(tmp_path: Path) -> None:
    broken = Simulator(find_profile("simulator"), latency=(0, 0.01), failure_rate=1.0)
    with background(broken) as url:
        Place(tmp_path, broken, url).run()
    mended = Simulator(find_profile("simulator"), latency=(0, 0.01))
    with background(mended) as url:
        place = Place(tmp_path, mended, url)
        assert place.run().exit_code == 3
        assert mended.audit().accepted == 0
        assert place.run(retry=frozenset(batchgen.FailureKind)).exit_code == 0
    assert mended.audit().accepted == 3


def test_a_folder_that_another_run_holds_is_refused_at_once(place: Place) -> None:
    with FolderLock(place.out), pytest.raises(batchgen.FolderBusy, match="batchgen status"):
        place.run()
    assert place.simulator.audit().accepted == 0


def test_a_bad_manifest_writes_nothing(place: Place) -> None:
    place.manifest.write_text(MANIFEST.replace("samples: 2", "samples: 5"))
    with pytest.raises(batchgen.ManifestError, match="from 1 to 4"):
        place.run()
    table = place.folder / "rows.csv"
    table.write_text("prompt,samples\nfox,2\nowl,5\n")
    with pytest.raises(batchgen.ManifestError, match="from 1 to 4"):
        batchgen.run(table, out=place.out, settings=Settings(profile="simulator", base_url=place.url))
    assert sorted(path.name for path in place.folder.iterdir()) == ["animals.yaml", "rows.csv"]


def test_a_kill_in_the_middle_loses_nothing_and_pays_nothing_twice(place: Place) -> None:
    """`kill -9` of a run of 200 requests; the next run ends it, and the simulator's own count is the judge."""
    place.many(200)
    with subprocess.Popen(
        place.command("--concurrency", "32"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as run:
        while place.simulator.audit().accepted < 90:
            assert run.poll() is None
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    held = place.run()
    frame = held.frame()
    in_doubt = int((frame.status == "in_doubt").sum())
    assert in_doubt <= 32
    assert (frame.status == "stored").sum() == 200 - in_doubt
    assert held.exit_code == (6 if in_doubt else 0)
    assert place.simulator.audit().accepted <= 200
    ended = place.run(in_doubt=batchgen.InDoubt.RETRY)
    assert set(ended.frame().status) == {"stored"}
    assert len(list((place.out / "images").iterdir())) == 200
    assert place.simulator.audit().accepted <= 200 + in_doubt
    assert place.simulator.audit().duplicates <= in_doubt


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_submitting_waits_for_jobs_in_flight_and_leaves_nothing_in_doubt(
    place: Place, number: signal.Signals, code: int
) -> None:
    place.many(120)
    with subprocess.Popen(
        place.command("--concurrency", "8", "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        while place.simulator.audit().accepted < 20:
            assert run.poll() is None
            time.sleep(0.005)
        run.send_signal(number)
        output, _ = run.communicate()
    told = json.loads(output)
    assert (run.returncode, told["exit_code"]) == (code, code)
    accepted = place.simulator.audit().accepted
    assert accepted < 120
    assert told["images"] == {"stored": accepted, "rejected": 0, "failed": 0, "in_doubt": 0, "pending": 120 - accepted}
    assert place.run().exit_code == 0
    assert place.simulator.audit().accepted == 120


async def test_the_async_form_runs_beside_other_work(place: Place) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    other = asyncio.ensure_future(tick())
    result = await batchgen.run_async(place.manifest, out=place.out, settings=Settings(base_url=place.url))
    other.cancel()
    assert result.exit_code == 0
    assert ticks > 1


def test_status_tells_what_stands_where(place: Place) -> None:
    place.run(max_images=4)
    found = batchgen.status(place.out)
    assert (found.wanted, found.stored, found.attempts, found.running) == (6, 4, 2, False)
    assert {state.value: n for state, n in found.requests.items() if n} == {"stored": 2, "planned": 1}
    with FolderLock(place.out):
        assert batchgen.status(place.out).running


def test_status_counts_only_what_the_plan_asks_for(tmp_path: Path) -> None:
    broken = Simulator(find_profile("simulator"), latency=(0, 0.01), failure_rate=1.0)
    with background(broken) as url:
        place = Place(tmp_path, broken, url)
        place.run()
        place.manifest.write_text(MANIFEST.replace("A red fox", "A hare").replace("A robot", "A hen"))
        place.run(max_images=0)
    found = batchgen.status(place.out)
    assert {state.value: n for state, n in found.requests.items() if n} == {"failed": 1, "planned": 2}


def test_the_simulators_profile_needs_no_server_and_survives_a_kill(tmp_path: Path) -> None:
    """The built-in simulator dies with the run; its jobs do not."""
    manifest, out = tmp_path / "animals.yaml", tmp_path / "out"
    manifest.write_text(MANIFEST)
    command = [sys.executable, "-m", "batchgen", "run", str(manifest), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        record = out / ".batchgen" / "simulator.jsonl"
        while not record.exists() or record.read_bytes().count(b"\n") < 3:
            assert run.poll() is None
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    result = batchgen.run(manifest, out=out, settings=Settings(in_doubt=batchgen.InDoubt.RETRY))
    assert result.exit_code == 0
    assert record.read_bytes().count(b"\n") <= 6


def test_the_output_loads_in_the_datasets_library_with_prompts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run(file_prefix="test-train")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = (
        "import sys, datasets\n"
        "rows = datasets.load_dataset(sys.argv[1], split='train')\n"
        "print(len(rows), rows[0]['image'].size, rows[0]['prompt'], rows[0]['request_key'])"
    )
    environment = os.environ | {"HF_HOME": str(place.folder / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(place.out)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout.startswith("6 (64, 48) A red fox "), done.stderr
