"""One runner at a time, by a real lock between real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batchgen.adapters import folder_lock
from batchgen.adapters.folder_lock import FolderLock, is_held
from batchgen.errors import FolderBusy, HeldElsewhere, StorageFailed

HOLD = """
import sys
from pathlib import Path
from batchgen.adapters.folder_lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        with pytest.raises(FolderBusy, match=f"Another run is working in {tmp_path}"), FolderLock(tmp_path):
            pass
        assert is_held(tmp_path)
        other.communicate()
    assert not is_held(tmp_path)


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with FolderLock(tmp_path):
            assert is_held(tmp_path)


def test_two_runs_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        with pytest.raises(FolderBusy), FolderLock(tmp_path):
            pass
        assert is_held(tmp_path)
    with FolderLock(tmp_path):
        pass


def test_an_error_inside_lets_the_folder_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path):
        raise ZeroDivisionError
    assert not is_held(tmp_path)


def test_the_lock_may_be_let_go_by_another_thread(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.__enter__()
    thread = threading.Thread(target=lock.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert not is_held(tmp_path)


def test_the_folder_is_made(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".batchgen").is_dir()


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "never")
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_looking_lets_a_run_begin_all_the_same(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        pass
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_held(tmp_path)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(20):
            with FolderLock(tmp_path):
                pass
    finally:
        over.set()
        watcher.join()


def test_a_folder_that_cannot_be_made_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match=r"cannot be made or locked.*--out"), FolderLock(tmp_path / "file"):
        pass


# Machines that share a folder, on a file system that keeps its locks to itself


def named(folder: Path, *, host: str = "other-host", seconds_ago: float = 0.0, pid: int = 7) -> Path:
    """The name that a run of another machine puts there and touches."""
    name = folder / ".batchgen" / "owner.json"
    name.parent.mkdir(exist_ok=True)
    (name.parent / "lock").touch()
    name.write_text(json.dumps({"host": host, "pid": pid, "since": "2026-11-25T03:00:00+00:00", "token": "t"}))
    then = name.stat().st_mtime - seconds_ago
    os.utime(name, (then, then))
    return name


def test_a_run_of_another_machine_that_is_alive_is_left_alone_and_told_of(tmp_path: Path) -> None:
    name = named(tmp_path, seconds_ago=30)
    before = name.read_bytes()
    told = r"A run on other-host \(process 7, since 2026-11-25T03:00:00\+00:00\) .* wait for it"
    with pytest.raises(HeldElsewhere, match=told), FolderLock(tmp_path):
        pass
    assert name.read_bytes() == before
    assert is_held(tmp_path)
    assert sorted(path.name for path in name.parent.iterdir()) == ["lock", "owner.json"]


@pytest.mark.parametrize("seconds_ago", [61, -3_600], ids=["silent", "from a clock that was ahead"])
def test_a_run_of_another_machine_that_is_silent_holds_nothing(tmp_path: Path, seconds_ago: float) -> None:
    name = named(tmp_path, seconds_ago=seconds_ago)
    assert not is_held(tmp_path)
    with FolderLock(tmp_path):
        assert json.loads(name.read_text())["pid"] == os.getpid()
    assert not name.exists()


def test_on_one_machine_the_lock_itself_tells_whatever_a_killed_run_has_left(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        host = json.loads((tmp_path / ".batchgen/owner.json").read_text())["host"]
        other.send_signal(signal.SIGKILL)
        other.wait()
    for pid in (other.pid, os.getpid(), 2**40):
        named(tmp_path, host=host, pid=pid)
        assert not is_held(tmp_path)
        with FolderLock(tmp_path):
            pass


def test_a_run_whose_lock_was_deleted_is_left_alone(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        (tmp_path / ".batchgen/lock").unlink()
        with pytest.raises(HeldElsewhere, match=f"process {other.pid}"), FolderLock(tmp_path):
            pass
        assert is_held(tmp_path)
        other.communicate()
    assert not is_held(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"host": "h"}', '{"host": "h", "pid": "7", "since": "", "token": ""}', "\0"]
)
def test_a_name_that_cannot_be_read_holds_nothing(tmp_path: Path, content: str) -> None:
    named(tmp_path).write_text(content)
    with FolderLock(tmp_path):
        pass


def test_a_run_shows_that_it_is_alive_and_hears_if_another_takes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "_BEAT", 0.001)
    touched, lost = threading.Event(), threading.Event()
    utime = os.utime

    def touch(path: Path) -> None:
        utime(path)
        touched.set()

    monkeypatch.setattr(os, "utime", touch)
    with FolderLock(tmp_path, lost=lost.set):
        assert touched.wait(10)
        assert not lost.is_set()
        name = tmp_path / ".batchgen/owner.json"
        part = name.with_name("part")
        part.write_text(name.read_text().replace('"token": "', '"token": "not-'))
        part.replace(name)
        assert lost.wait(10)
    assert name.exists()  # it is theirs
