"""A batch at work, seen from another shell."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.adapters.folder_lock import FolderLock
from batchgen.adapters.journal import JournalView
from batchgen.adapters.profiles import find_profile
from batchgen.app.watching import glance
from batchgen.cli.screen import Screen, _folded
from batchgen.cli.words.phrases import cut
from batchgen.lifecycle import State
from batchgen.model import FailureKind
from batchgen.simulator import Simulator, background
from tests.test_cli import batchgen as command
from tests.test_interruptions import started
from tests.test_run import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0.05, 0.3), failure_rate=0.6, seed=1)
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


def watch(place: Place, *flags: str) -> list[str]:
    return [sys.executable, "-m", "batchgen", "status", str(place.out), "--watch", "--every", "0.1s", *flags]


def on_a_terminal(command: list[str], *, rows: int, columns: int) -> str:
    """All that a command writes on a terminal of that size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with subprocess.Popen(command, stdout=theirs, env=os.environ | {"TERM": "xterm"}):
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65_536):
                seen += chunk
        except OSError:  # how Linux says that the other end of a terminal is closed
            pass
    os.close(ours)
    return seen.decode()


def test_a_folder_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    for words in (("status",), ("status", "--watch"), ("history",)):
        done = command(*words, "nowhere", folder=tmp_path)
        assert (done.returncode, done.stderr) == (2, "batchgen: There is no folder nowhere. Name a batch folder.\n")


def test_a_watcher_sees_the_run_at_work_and_leaves_with_it(place: Place) -> None:
    place.many(60)
    with started(place, "--concurrency", "4", accepted=8) as run:
        seen = on_a_terminal(watch(place), rows=24, columns=80)
        run.communicate()
    frames = seen.split("\x1b[H")[1:]
    lines = [[re.sub(r"\x1b\[\w+", "", line) for line in frame.split("\r\n")] for frame in frames]
    assert len(frames) > 2
    assert all(len(line) < 80 for frame in lines for line in frame)
    assert all(len(frame) <= 24 for frame in lines)
    assert re.search(r"  rate +\S+ images a second; about .* to go", seen)
    assert "Longest under way:" in frames[0]
    assert re.search(r"Failed requests:\r?\n?.*\s+\d+  job_failed", re.sub(r"\x1b\[\w+", "", frames[-1]), re.DOTALL)
    assert "no run is working on it" in frames[-1]


def test_a_watcher_waits_for_a_first_run_that_is_still_planning_and_says_so(place: Place) -> None:
    with FolderLock(place.out), subprocess.Popen(watch(place, "--json"), stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline()) == {"out": str(place.out), "running": True, "planning": True}
        plain = subprocess.run(watch(place)[:-3], capture_output=True, text=True, check=False)
        watching.stdout.close()
        watching.terminate()
    assert (plain.returncode, "still planning" in plain.stderr) == (7, True)
    gone = subprocess.run(watch(place), capture_output=True, text=True, check=False)
    assert (gone.returncode, gone.stdout) == (2, "")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_watcher_that_nobody_listens_to_leaves_without_a_word(place: Place, flags: tuple[str, ...]) -> None:
    with FolderLock(place.out):
        watching = subprocess.Popen(watch(place, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert watching.stdout is not None
        watching.stdout.readline()
        watching.stdout.close()
        assert watching.stderr is not None
        assert (watching.stderr.read(), watching.wait()) == (b"", 0)
        watching.stderr.close()


def test_a_small_terminal_shows_what_it_has_room_for(place: Place) -> None:
    place.run(limit=2)
    seen = on_a_terminal(watch(place), rows=4, columns=30)
    lines = re.sub(r"\x1b\[\w+", "", seen).strip().split("\r\n")
    assert len(lines) < 5
    assert all(len(line) < 30 for line in lines)
    assert "more lines" in lines[-1]


def test_elsewhere_than_on_a_terminal_a_watcher_prints_plain_blocks_or_objects(place: Place) -> None:
    place.many(40)
    with started(place, "--concurrency", "4", accepted=8) as run:
        done = subprocess.run(watch(place, "--json"), capture_output=True, text=True, check=True)
        run.communicate()
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["running"] for one in seen[:-1]] == [True] * (len(seen) - 1)
    assert not seen[-1]["running"]
    assert sum(seen[-1]["failures"].values()) == seen[-1]["requests"]["failed"]
    assert any(one["slowest"] for one in seen)
    assert all(one["seconds"] >= 0 for shown in seen for one in shown["slowest"])
    plain = subprocess.run(watch(place), capture_output=True, text=True, check=True).stdout
    assert "\x1b" not in plain
    assert "no run is working on it" in plain


def test_a_glance_says_how_fast_it_goes_what_is_slow_and_what_failed(place: Place) -> None:
    place.many(80)
    with started(place, "--concurrency", "4", accepted=30) as run:
        seen = glance(place.out)
        run.send_signal(signal.SIGTERM)
        run.communicate()
    assert seen.status.running
    assert (seen.rate is None) == (seen.seconds_left is None)
    assert 1 <= len(seen.slowest) <= 5
    assert [job.seconds for job in seen.slowest] == sorted((job.seconds for job in seen.slowest), reverse=True)
    after = glance(place.out)
    assert (after.rate, after.seconds_left) == (None, None)
    assert after.failures.get(FailureKind.JOB_FAILED, 0) == after.status.requests[State.FAILED]


def test_the_log_has_a_line_for_each_step_of_each_request_and_for_both_ends(place: Place) -> None:
    place.run()
    lines = [json.loads(line) for line in (place.out / ".batchgen/run.jsonl").read_text().splitlines()]
    events = Counter(line["event"] for line in lines)
    with JournalView(place.out / ".batchgen/journal.sqlite") as journal:
        assert events["request.changed"] == journal.last_event()
    assert (events["run.begun"], events["run.ended"]) == (1, 1)
    assert (lines[0]["event"], lines[-1]["event"]) == ("run.begun", "run.ended")
    assert all({"timestamp", "run_id"} <= line.keys() for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("狐狐狐", 6, "狐狐狐"),
        ("狐狐狐", 5, "狐狐…"),
        ("狐狐狐", 4, "狐…"),
        ("", 0, ""),
    ],
)
def test_a_line_is_cut_by_columns(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown


def test_a_long_line_is_folded_to_a_narrow_terminal_and_nothing_of_it_is_lost() -> None:
    line = "  spent        at most 106 images (1.06 in the account's currency): 88 made, 18 wasted"
    parts = _folded(line, 39)
    assert all(len(part) <= 39 for part in parts)
    assert " ".join(" ".join(parts).split()) == " ".join(line.split())
    assert [part.startswith("    ") for part in parts] == [False, True, True]


def test_a_terminal_that_has_gone_away_ends_the_watching_and_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        screen = Screen()
        assert screen.show("at work")
        os.close(ours)
        shown = screen.show("at work")
        monkeypatch.undo()
    assert not shown
