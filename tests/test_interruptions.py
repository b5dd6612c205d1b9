"""What befalls folders, clocks and processes between the runs of a batch and in the middle of them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from aiohttp import web

import batchgen
from batchgen.adapters.journal import JournalView
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import check
from batchgen.lifecycle import State
from batchgen.simulator import Simulator, background
from tests.test_run import Place

YEAR = 365 * 86_400


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0.02, 0.1))
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(3.0, 3.5))
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


def started(place: Place, *arguments: str, accepted: int) -> subprocess.Popen[bytes]:
    """A run that has had so many submissions accepted."""
    run = subprocess.Popen(place.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while place.simulator.audit().accepted < accepted:
        assert run.poll() is None
        time.sleep(0.005)
    return run


def until_submitted(place: Place, number: int) -> None:
    """Wait until the run has put down that so many jobs are at the API: one it has not heard of would be in doubt."""
    while True:
        with JournalView(place.out / ".batchgen/journal.sqlite") as journal:
            tally = journal.tallies().get(State.SUBMITTED)
        if tally is not None and tally.requests == number:
            return
        time.sleep(0.005)


def test_a_batch_goes_on_wherever_its_folder_is_moved_or_copied(place: Place) -> None:
    place.run(max_images=2)
    moved = place.folder / "elsewhere" / "renamed"
    moved.parent.mkdir()
    place.out.rename(moved)
    place.out = moved
    place.run(max_images=2)
    copied = place.folder / "copied"
    shutil.copytree(moved, copied)
    shutil.rmtree(moved)
    place.out = copied
    assert place.run().exit_code == 0
    assert place.simulator.audit().accepted == 3
    assert check(copied).exit_code == 0


@pytest.mark.parametrize("shift", [-YEAR, YEAR], ids=["back", "ahead"])
def test_a_clock_that_was_set_between_two_runs_changes_nothing(place: Place, shift: float) -> None:
    place.many(12)
    with started(place, "--concurrency", "4", accepted=6) as run:
        run.kill()
        run.communicate()
    with sqlite3.connect(place.out / ".batchgen/journal.sqlite") as journal:  # as if written by the clock before
        journal.execute("UPDATE events SET at = at - ?", (shift,))
        for name in ("submitted_at", "completed_at", "downloaded_at"):
            journal.execute(
                f"UPDATE records SET record = json_set(record, '$.{name}', json_extract(record, '$.{name}') - ?)"
                f" WHERE json_extract(record, '$.{name}') IS NOT NULL",
                (shift,),
            )
        journal.execute("UPDATE runs SET started_at = started_at - ?", (shift,))
    journal.close()
    held = place.run()
    doubts = len(held.doubts)
    assert held.samples[batchgen.Status.STORED] == 12 - doubts
    ended = place.run(in_doubt=batchgen.InDoubt.RETRY)
    assert ended.exit_code == 0
    assert (ended.frame().latency_s >= 0).all()
    assert place.simulator.audit().accepted <= 12 + doubts


def test_of_two_runs_that_are_started_together_one_works_and_the_other_says_so(place: Place) -> None:
    place.many(40)
    runs = [subprocess.Popen(place.command("-q"), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate()[1] for run in runs]
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 7], [0, 0])  # the slower one may have come when all was done
    assert any("Another run is working in" in words for words in said) == (codes == [0, 7])
    assert place.simulator.audit().accepted == 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_wait_for_the_jobs_and_loses_none(slow: Place, number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever started the tests has it ignored, and so do the runs that they start")
    slow.many(5)
    with started(slow, "--concurrency", "4", accepted=4) as run:
        until_submitted(slow, 4)
        run.send_signal(number)
        assert run.stderr is not None
        assert any(line.startswith(b"stopping: ") for line in run.stderr)  # and it waits for the jobs in flight
        run.send_signal(number)
        run.communicate()
    assert run.returncode == (130 if number is signal.SIGINT else 143)
    status = set(pd.read_parquet(slow.out / "metadata.parquet").status)
    assert status <= {"pending", "stored"}
    assert slow.run().exit_code == 0
    assert slow.simulator.audit().accepted == 5


def test_a_signal_while_every_slot_is_busy_ends_within_the_grace_and_leaves_the_jobs_to_the_next_run(
    slow: Place,
) -> None:
    slow.many(5)
    with started(slow, "--concurrency", "4", "--grace", "0.2s", "--json", accepted=4) as run:
        run.send_signal(signal.SIGTERM)
        output, _ = run.communicate()
    told = json.loads(output)
    assert (run.returncode, {status: n for status, n in told["images"].items() if n}) == (143, {"pending": 5})
    assert slow.run().exit_code == 0
    assert slow.simulator.audit().accepted == 5


async def test_no_grace_at_all_leaves_no_submission_in_doubt_whose_answer_comes(tmp_path: Path) -> None:
    """The API answers sixteen submissions once the run says that it stops."""
    waiting, stopping = 0, asyncio.Event()
    all_there = asyncio.Event()

    async def take(_: web.BaseRequest) -> web.Response:
        nonlocal waiting
        waiting += 1
        if waiting == 16:
            all_there.set()
        await stopping.wait()
        return web.json_response({"id": secrets.token_hex(8), "status": "PENDING"})

    api = web.ServerRunner(web.Server(take))
    await api.setup()
    await web.TCPSite(api, "127.0.0.1", 0).start()
    place = Place(tmp_path, Simulator(find_profile("simulator")), f"http://127.0.0.1:{api.addresses[0][1]}")
    place.many(40)
    command = place.command("--concurrency", "16", "--grace", "0s", "--json")
    run = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await all_there.wait()
    run.send_signal(signal.SIGTERM)
    assert run.stderr is not None
    while not (await run.stderr.readline()).startswith(b"stopping: "):
        assert not run.stderr.at_eof()
    stopping.set()
    output, _ = await run.communicate()
    await api.cleanup()
    told = json.loads(output)
    assert (run.returncode, told["under_way"], told["images"]["in_doubt"]) == (143, 16, 0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_journal_that_was_cut_short_is_told_and_nothing_is_sent(place: Place, share: float) -> None:
    place.run()
    journal = place.out / ".batchgen/journal.sqlite"
    for beside in journal.parent.glob("journal.sqlite-*"):
        beside.unlink()
    content = journal.read_bytes()
    journal.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(batchgen.StorageFailed):
        place.run(retry=frozenset(batchgen.FailureKind))
    assert place.simulator.audit().accepted == 3


@pytest.fixture
def read_only(place: Place) -> Iterator[Place]:
    """A finished batch on a disk that takes nothing; only root can make one."""
    disk = place.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        place.out = disk / "out"
        place.run()
        for beside in place.out.glob(".batchgen/journal.sqlite-*"):  # as in a copy of the finished batch
            beside.unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield place
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_batch_on_a_read_only_disk_can_be_looked_at_and_checked_and_is_not_run(read_only: Place) -> None:
    assert batchgen.status(read_only.out).stored == 6
    assert check(read_only.out).exit_code == 0
    with pytest.raises(batchgen.StorageFailed, match=r"[Rr]ead-only"):
        check(read_only.out, repair=True)
    with pytest.raises(batchgen.StorageFailed, match=r"Read-only.*Nothing was sent"):
        read_only.run()
    assert read_only.simulator.audit().accepted == 3
