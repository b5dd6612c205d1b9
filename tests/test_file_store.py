"""Files on a real disk: whole or not at all, and sentences for what disks do. The rest is in the contract tests."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.adapters.file_store import FileStore, write_atomically
from batchgen.errors import StorageFailed
from tests.factories import an_image

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root can make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not AS_ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_nothing_but_the_image_is_left_in_the_folder(store: FileStore, tmp_path: Path) -> None:
    store.keep("images/fox-0", *an_image())
    assert files(tmp_path) == {"images/fox-0.png"}


def test_an_image_is_flushed_before_it_is_renamed_and_its_folder_after(tmp_path: Path) -> None:
    # Seen from outside, as the system sees it.
    program = textwrap.dedent(f"""
        import sys
        seen = []
        def hook(event, arguments):
            if event in ("os.rename", "os.mkdir"): seen.append(event)
        import os
        real = os.fsync
        os.fsync = lambda handle: (seen.append("file" if os.path.isfile(f"/proc/self/fd/{{handle}}") else "folder"),
                                   real(handle))
        sys.addaudithook(hook)
        from pathlib import Path
        from batchgen.adapters.file_store import FileStore
        from tests.factories import an_image
        store = FileStore(Path({str(tmp_path)!r}))
        store.keep("images/a", *an_image())
        store.keep("images/b", *an_image())
        # Another process finds the folder there: whoever made it may not have flushed it yet.
        FileStore(Path({str(tmp_path)!r})).keep("images/c", *an_image())
        print(*seen)
    """)
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    first = "os.mkdir folder file os.rename folder"
    assert done.stdout.strip() == f"{first} file os.rename folder {first}"


def test_each_of_many_images_is_flushed_before_it_is_renamed_and_their_folder_after_all(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        from batchgen.adapters.file_store import FileStore
        from tests.factories import an_image
        store = FileStore(Path({str(tmp_path)!r}))
        store.keep("images/first", *an_image())
        real = os.fsync
        def tell(step, path):
            os.write(1, f"{{step}} {{path}}\\n".encode())
        def fsync(handle):
            real(handle)
            tell("flushed", os.readlink(f"/proc/self/fd/{{handle}}"))
        os.fsync = fsync
        sys.addaudithook(lambda event, what: tell("renamed", what[0]) if event == "os.rename" else None)
        store.keep_all([("images/" + stem, *an_image()) for stem in "abc"])
    """)
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    *steps, last = [tuple(line.split(maxsplit=1)) for line in done.stdout.splitlines()]
    renamed = [path for step, path in steps if step == "renamed"]
    assert len(set(renamed)) == 3
    assert all(steps.index(("flushed", path)) < steps.index(("renamed", path)) for path in renamed)
    assert last == ("flushed", str(tmp_path / "images"))


def test_a_file_that_grows_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    # In a process of its own: the limit would hold for whatever the tests themselves write.
    program = textwrap.dedent(f"""
        import resource, signal
        from pathlib import Path
        from batchgen.adapters.file_store import FileStore
        from batchgen.errors import StorageFailed
        from tests.factories import an_image
        image, _ = an_image()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            FileStore(Path({str(tmp_path)!r})).keep("images/fox-0", image, b"x" * 10_000)
        except StorageFailed as failed:
            print(failed)
    """)
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert re.search(r"fox-0\.png cannot be written.*run the same command again", done.stdout)
    assert files(tmp_path) == set()


def test_a_full_disk_is_named_with_what_to_do_and_keeps_what_was_there(full_disk: Path) -> None:
    path = full_disk / "index"
    write_atomically(path, b"before")
    with pytest.raises(
        StorageFailed, match=r"disk is full; free some space, then run the same command again"
    ) as caught:
        write_atomically(path, b"x" * 1_000_000)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert path.read_bytes() == b"before"
    assert files(full_disk) == {"index"}


@pytest.mark.skipif(AS_ROOT, reason="root may write anywhere")
def test_a_folder_without_permission_is_named_with_what_to_do(store: FileStore, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageFailed, match=r"Permission is denied; make the folder writable"):
        store.keep("images/fox-0", *an_image())


def test_a_file_where_a_folder_should_be_is_a_storage_failure(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("not a folder")
    with pytest.raises(StorageFailed, match="images cannot be written"):
        store.keep("images/fox-0", *an_image())


def test_a_name_that_is_too_long_is_refused_with_a_remedy(store: FileStore) -> None:
    with pytest.raises(StorageFailed, match="shorten file_prefix"):
        store.keep(f"images/{'a' * 300}", *an_image())


def test_the_longest_name_that_the_disk_takes_is_taken(store: FileStore, tmp_path: Path) -> None:
    stem = "狐" * 83  # 249 bytes, with the extension 253 of 255
    assert (tmp_path / store.keep(f"images/{stem}", *an_image())).is_file()


def test_a_folder_that_vanished_during_a_run_is_a_storage_failure(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / store.keep("images/fox-0", *an_image())).unlink()
    (tmp_path / "images").rmdir()
    with pytest.raises(StorageFailed, match="No such file or directory"):
        store.keep("images/fox-1", *an_image())


def test_a_write_that_was_killed_leaves_a_leftover_that_a_sweep_removes(store: FileStore, tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from batchgen.adapters.file_store import FileStore
        from tests.factories import an_image
        os.fsync = lambda handle: os.path.isdir(f"/proc/self/fd/{{handle}}") or os.kill(os.getpid(), signal.SIGKILL)
        FileStore(Path({str(tmp_path)!r})).keep("images/0001/fox-0", *an_image())
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == -signal.SIGKILL
    (leftover,) = store.leftovers()
    assert leftover.parent == tmp_path / "images" / "0001"
    assert store.sweep() == 1
    assert files(tmp_path) == set()


def test_a_sweep_removes_nothing_else(store: FileStore, tmp_path: Path) -> None:
    store.keep("images/.fox.part", *an_image())
    for other in ("images/mine.part", ".outside.0.part"):
        (tmp_path / other).write_text("mine")
    assert store.sweep() == 0
    assert len(files(tmp_path)) == 3


def test_what_a_kill_left_of_a_plan_is_swept_away(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / ".batchgen").mkdir()
    for name in (".plan.parquet.0123abcd.part", "plan.parquet"):
        (tmp_path / ".batchgen" / name).write_text("half of it")
    assert store.sweep() == 1
    assert files(tmp_path) == {".batchgen/plan.parquet"}


def test_there_is_nothing_to_sweep_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert FileStore(tmp_path / "never").sweep() == 0


def test_writing_atomically_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    write_atomically(path, b"a long first version")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"
    assert files(tmp_path) == {"README.md"}


def test_a_directory_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    with pytest.raises(StorageFailed, match="cannot be written"):
        write_atomically(tmp_path / "README.md", b"text")
    assert files(tmp_path) == set()


def test_of_many_images_each_is_kept_for_itself_and_those_that_cannot_be_say_why(
    store: FileStore, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0001").write_text("a file where a folder should be")
    stems = ["images/a", "images/0001/b", "../c", "images/0002/d", "images/e"]
    kept = store.keep_all([(stem, *an_image()) for stem in stems])
    assert [isinstance(one, StorageFailed) for one in kept] == [False, True, True, False, False]
    assert [one for one in kept if isinstance(one, str)] == ["images/a.png", "images/0002/d.png", "images/e.png"]
    assert files(tmp_path) == {"images/0001", "images/a.png", "images/0002/d.png", "images/e.png"}


def in_the_cache(path: Path) -> int:
    """Bytes of the file that the system has in memory."""
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_images_that_nobody_reads_again_leave_the_systems_cache(tmp_path: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, check=False, text=True).stdout
    if shutil.which("fincore") is None or "ext" not in kind:
        pytest.skip("here it cannot be seen")
    image, _ = an_image()
    for read_again in (True, False):
        name = FileStore(tmp_path, read_again=read_again).keep(f"images/{read_again}", image, bytes(1_000_000))
        assert (in_the_cache(tmp_path / name) > 0) is read_again
