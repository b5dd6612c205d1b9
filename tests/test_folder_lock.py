"""One runner at a time, by a real lock between real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batchgen.adapters.folder_lock import FolderLock, is_held
from batchgen.errors import FolderBusy, StorageFailed

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
