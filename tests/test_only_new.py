"""Batches of a table that grows: each asks for its new rows only, and no two ever pay for one request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import batchgen
from batchgen import Settings, Status
from batchgen.adapters.folder_lock import FolderLock
from batchgen.adapters.profiles import find_profile
from batchgen.app.comparing import drift, explain
from batchgen.app.earlier import EarlierBatches, remarks
from batchgen.app.folder import BatchFolder
from batchgen.app.history import history
from batchgen.app.preview import plan
from batchgen.explanation import Standing
from batchgen.ports import Observer
from batchgen.simulator import Simulator, background
from tests.test_cli import batchgen as command

MANIFEST = """\
batch_id: night-{date}
profile: simulator
params: {width: 16, height: 16}
prompts: [{file: table.csv}]
"""


class Nights:
    """A table that grows, and a batch a night."""

    def __init__(self, folder: Path, simulator: Simulator, url: str) -> None:
        self.folder, self.simulator, self.url = folder, simulator, url
        self.manifest = folder / "nightly.yaml"
        self.manifest.write_text(MANIFEST)
        self.table(0)

    def table(self, rows: int) -> None:
        (self.folder / "table.csv").write_text("prompt\n" + "".join(f"fox number {n}\n" for n in range(rows)))

    def settings(self, night: int = 1, **changes: Any) -> Settings:
        others = (str(self.folder / "outputs/night-*"),)
        told = {"only_new": True, "against": others, "moment": datetime(2026, 11, night, 2, tzinfo=UTC), **changes}
        return Settings(base_url=self.url, **told)

    @property
    def out(self) -> str:
        return str(self.folder / "outputs/{batch_id}")

    def run(self, night: int, **changes: Any) -> batchgen.RunResult:
        return batchgen.run(self.manifest, out=self.out, settings=self.settings(night, **changes))

    def posts(self) -> int:
        return self.simulator.audit().accepted


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    simulator = Simulator(find_profile("simulator"), latency=(0.0, 0.01))
    with background(simulator) as url:
        yield Nights(tmp_path, simulator, url)


def test_three_nights_of_a_growing_table_cost_their_new_rows_each(nights: Nights) -> None:
    posts = [0]
    for night, rows in ((1, 4), (2, 9), (3, 11)):
        nights.table(rows)
        result = nights.run(night)
        assert (result.exit_code, result.batch_id) == (0, f"night-2026-11-0{night}")
        assert list(result.frame().prompt) == [f"fox number {n}" for n in range(posts[-1], rows)]
        assert result.elsewhere == posts[-1]
        posts.append(nights.posts())
    assert posts == [0, 4, 9, 11]


def test_a_night_without_new_rows_is_a_success_that_costs_nothing(nights: Nights) -> None:
    nights.table(3)
    nights.run(1)
    result = nights.run(2)
    assert (result.exit_code, nights.posts(), len(result.frame()), result.elsewhere) == (0, 3, 0, 3)
    again = nights.run(2)
    assert (again.exit_code, nights.posts()) == (0, 3)
    assert batchgen.status(result.out).wanted == 0
    assert batchgen.check(result.out).flaws == ()
    nights.table(5)
    assert len(nights.run(2).frame()) == 2


def test_a_late_run_finishes_its_night_and_takes_no_row_of_another(nights: Nights) -> None:
    nights.table(6)
    first = nights.run(1, max_images=2)
    assert (first.exit_code, nights.posts()) == (6, 2)
    nights.table(8)
    second = nights.run(2)
    assert (second.exit_code, nights.posts(), len(second.frame())) == (0, 4, 2)
    assert second.unfinished == [first.out]
    late = batchgen.run(nights.manifest, out=first.out, settings=nights.settings(2))
    assert (late.exit_code, late.batch_id, nights.posts()) == (0, "night-2026-11-01", 8)
    assert list(late.frame().prompt) == [f"fox number {n}" for n in range(6)]
    assert set(late.frame().batch_id) == {"night-2026-11-01"}
    assert nights.run(3).unfinished == []
    assert nights.posts() == 8


def test_the_frozen_plan_of_a_night_finishes_it_too(nights: Nights) -> None:
    nights.table(6)
    out = nights.run(1, max_images=2).out
    nights.table(20)
    late = batchgen.run(
        out / ".batchgen/plan.parquet", out=out, settings=nights.settings(2, only_new=False, against=())
    )
    assert (late.exit_code, nights.posts(), len(late.frame())) == (0, 6, 6)


def test_what_failed_or_is_in_doubt_in_another_batch_is_not_asked_for_again(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"), latency=(0.0, 0.01), failure_rate=1.0)
    with background(simulator) as url:
        nights = Nights(tmp_path, simulator, url)
        nights.table(2)
        assert nights.run(1).exit_code == 3
        before = nights.posts()
        result = nights.run(2)
    assert (result.exit_code, result.elsewhere, nights.posts()) == (0, 2, before)


def test_what_a_batch_has_paid_for_stays_in_it_whoever_else_has_it(nights: Nights) -> None:
    nights.table(4)
    nights.run(1, only_new=False, against=())
    nights.run(2, only_new=False, against=(), limit=2)
    assert nights.posts() == 6
    again = nights.run(2)
    assert (nights.posts(), again.samples[Status.STORED], again.exit_code) == (6, 2, 0)
    assert list(again.frame().prompt) == ["fox number 0", "fox number 1"]


def test_the_plan_says_what_the_run_does(nights: Nights) -> None:
    nights.table(3)
    nights.run(1)
    nights.table(5)
    told = plan(nights.manifest, out=nights.out, settings=nights.settings(2))
    assert (told.summary.requests, told.summary.elsewhere, told.others) == (2, 3, 1)
    found = explain(nights.manifest, out=nights.out, settings=nights.settings(2))
    amounts = {standing: amount.requests for standing, amount in found.amounts.items() if amount.requests}
    assert amounts == {Standing.NEW: 2, Standing.ELSEWHERE: 3}
    assert {one.why for one in found.shown if one.standing is Standing.ELSEWHERE} == {
        f"in the batch {nights.folder}/outputs/night-2026-11-01"
    }
    nights.run(2)
    assert not drift(nights.manifest, out=nights.out, settings=nights.settings(2))
    later = explain(nights.manifest, out=nights.out, settings=nights.settings(2))
    assert (later.amounts[Standing.DONE].requests, later.amounts[Standing.ELSEWHERE].requests) == (2, 3)


def test_a_batch_that_is_named_must_be_there_and_a_pattern_may_match_nothing(nights: Nights) -> None:
    nights.table(1)
    with pytest.raises(batchgen.UsageError, match="there is no batch"):
        nights.run(1, against=(str(nights.folder / "outputs/nigth"),))
    (nights.folder / "outputs/night-notes").mkdir(parents=True)
    assert nights.run(1).exit_code == 0


def test_nobody_pays_beside_a_batch_of_which_it_is_not_known_what_it_has(nights: Nights) -> None:
    nights.table(2)
    out = nights.run(1).out
    (out / ".batchgen/plan.parquet").rename(out / ".batchgen/away")
    with pytest.raises(batchgen.StorageFailed, match="nobody knows what"):
        nights.run(2)
    with FolderLock(nights.folder / "outputs/night-that-plans"), pytest.raises(batchgen.FolderBusy):
        nights.run(2, against=(str(nights.folder / "outputs/night-that*"),))
    assert nights.posts() == 2


def test_a_run_waits_for_another_batch_that_is_still_planning(nights: Nights) -> None:
    nights.table(3)
    lock = FolderLock(nights.folder / "outputs/night-2026-11-01")
    reasons = []

    class Told(Observer):
        def paused(self, seconds: float, reason: str) -> None:
            reasons.append(reason)
            lock.__exit__()

    with lock:
        settings = nights.settings(2, wait_lock=3_600)
        result = batchgen.run(nights.manifest, out=nights.out, settings=settings, observer=Told())
    assert reasons == [f"another run is planning in {nights.folder}/outputs/night-2026-11-01"]
    assert (result.exit_code, nights.posts()) == (0, 3)
    assert [run.exit_code for run in history(result.out)] == [0]


def test_a_run_that_waits_past_midnight_stays_in_its_night(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    class Calendar(datetime):
        days = count(1)

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Calendar:
            return cls(2026, 11, next(cls.days), 23, 59, 59, tzinfo=tz)

    monkeypatch.setattr("batchgen.manifest.words.datetime", Calendar)
    monkeypatch.chdir(nights.folder)
    nights.table(2)
    busy = FolderLock(nights.folder / "outputs/night-0")

    class Told(Observer):
        def paused(self, seconds: float, reason: str) -> None:
            busy.__exit__()

    with busy:
        settings = nights.settings(wait_lock=3_600, moment=None)
        result = batchgen.run(nights.manifest, settings=settings, observer=Told())
    begun = [out.name for out in (nights.folder / "outputs").iterdir() if out.name != "night-0"]
    assert begun == [result.batch_id]


def test_batches_that_begin_in_the_same_moment_and_wait_share_the_rows(nights: Nights) -> None:
    nights.table(8)
    flags = ("--only-new", "--against", "outputs/night-*", "--wait-lock", "1h", "--base-url", nights.url, "-q")
    starts = [
        [sys.executable, "-m", "batchgen", "run", "nightly.yaml", "--batch-id", f"night-{n}", *flags] for n in "abc"
    ]
    runs = [subprocess.Popen(start, cwd=nights.folder) for start in starts]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert nights.posts() == 8


def test_two_batches_that_plan_at_the_same_time_do_not_both_go_on(nights: Nights) -> None:
    nights.table(2)
    out = nights.run(1).out
    nights.table(4)
    in_the_making = out / ".batchgen/.plan.parquet.0123abcd.part"
    in_the_making.touch()
    with FolderLock(out), pytest.raises(batchgen.FolderBusy):
        nights.run(2)
    assert nights.run(2).exit_code == 0  # a leftover of a run that was killed keeps nobody out
    assert nights.posts() == 4


def test_a_plan_in_the_making_is_seen_by_others_before_it_looks_at_theirs(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.table(2)
    nights.run(1)
    seen = []

    def look(batches: EarlierBatches, **own: Any) -> None:
        seen.append(len(list(BatchFolder(nights.folder / "outputs/night-2026-11-02").plans_in_the_making())))

    monkeypatch.setattr(EarlierBatches, "read", look)
    nights.run(2)
    assert seen == [1]


def test_the_command_takes_patterns_and_says_what_it_left_out(nights: Nights) -> None:
    nights.table(2)
    nights.run(1)
    nights.table(3)
    asked = ("nightly.yaml", "--only-new", "--against", "outputs/night-*")
    planned = command("plan", *asked, folder=nights.folder)
    assert "elsewhere   2 requests left out: what 1 other batch has already" in planned.stdout
    done = command("run", *asked, folder=nights.folder)
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "  2 requests left out: other batches have them")
    empty = command("run", *asked, "-o", "outputs/night-0", folder=nights.folder)
    assert (empty.returncode, empty.stdout.splitlines()[-1]) == (0, "Nothing was to be made")


def test_the_environment_may_say_so_and_separates_several_batches_as_a_path_does(nights: Nights) -> None:
    nights.table(2)
    nights.run(1)
    nights.table(3)
    others = os.pathsep.join(("outputs/night-*", "outputs/dusk *"))
    planned = command(
        "plan", "nightly.yaml", "--json", folder=nights.folder, BATCHGEN_ONLY_NEW="1", BATCHGEN_AGAINST=others
    )
    assert json.loads(planned.stdout)["elsewhere"] == 2, planned.stderr


@pytest.mark.parametrize("flags", [("--only-new",), ("--against", "outputs/x")])
def test_either_flag_alone_is_refused_by_a_run(nights: Nights, flags: tuple[str, ...]) -> None:
    done = command("run", "nightly.yaml", *flags, folder=nights.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "go together" in done.stderr


@pytest.mark.parametrize("where", ["{}/night-*", "{}/*", "{}/night-2026-11-0[1-9]", "{}/../outputs/night-?*"])
def test_a_first_night_whose_pattern_is_spelled_right_is_silent(nights: Nights, where: str) -> None:
    (nights.folder / "outputs/other").mkdir(parents=True)
    named = (where.format(nights.folder / "outputs"),)
    itself = BatchFolder(nights.folder / "outputs/night-2026-11-01")
    for _ in range(2):  # before there is a folder, and after
        assert list(remarks(named, itself=itself)) == []
        itself.root.mkdir(exist_ok=True)


def test_a_pattern_is_read_from_where_the_command_runs(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = nights.folder / "a [b]*"
    odd.mkdir()
    monkeypatch.chdir(odd)
    itself = BatchFolder(Path("outputs/night-1"))
    named = ("outputs/night-*", "./outputs/*", "output/night-*", "outputs/nihgt-*", "night-*")
    told = [one.split()[1] for one in remarks(named, itself=itself)]
    assert told == ["output/night-*", "outputs/nihgt-*", "night-*"]


def test_a_mistyped_pattern_is_told_however_quiet_and_in_every_file(nights: Nights) -> None:
    nights.table(2)
    nights.run(1)
    words = ("nightly.yaml", "-o", "outputs/{batch_id}", "--batch-id", "night-2", "--only-new", "--against")
    asked = command("plan", *words, "output/night-*", folder=nights.folder)
    assert "--against output/night-* matches no batch" in " ".join(asked.stdout.split())
    explained = command("plan", *words, "output/night-*", "--explain", "--json", folder=nights.folder)
    assert "output/night-*" in json.loads(explained.stdout)["warnings"][0]
    done = command("run", *words, "output/night-*", "-q", "--base-url", nights.url, folder=nights.folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n"), nights.posts()) == (0, "", 1, 4)
    assert done.stderr.startswith("batchgen: warning: --against output/night-* matches no batch")
    state = nights.folder / "outputs/night-2/.batchgen"
    (told,) = json.loads((state / "last-run.json").read_text())["warnings"]
    assert told in done.stderr
    log = map(json.loads, (state / "run.jsonl").read_text().splitlines())
    assert [line["warning"] for line in log if line["event"] == "run.warned"] == [told]


def test_a_night_that_has_others_is_silent(nights: Nights) -> None:
    nights.table(2)
    nights.run(1)
    words = ("nightly.yaml", "-o", "outputs/{batch_id}", "--batch-id", "odd", "--only-new", "--against")
    done = command("run", *words, "outputs/night-*", "-q", "--base-url", nights.url, folder=nights.folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
