"""One runner at a time in a batch folder: an OS lock, which the system lets go when its process dies."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from batchgen.errors import FolderBusy, StorageFailed

#: Seconds; `is_held` takes the lock for an instant, and no run should fail because somebody looked.
_PATIENCE = 0.2


class FolderLock:
    """Holds a batch folder for this process, from `with` to its end. The folder is made if it is not there.

    Raises:
        FolderBusy: on entry, if another run holds it.
        StorageFailed: on entry, if the folder cannot be made or locked.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = _lock(folder)

    def __enter__(self) -> Self:
        try:
            _lock_file(self._folder).parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 4)
        except Timeout as error:
            raise FolderBusy(self._folder) from error
        except OSError as error:
            raise StorageFailed(
                f"The folder {self._folder} cannot be made or locked: {error.strerror or error}. "
                "Nothing was sent; make it writable or name another with --out, then run the same command again."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def is_held(folder: Path) -> bool:
    """Whether a run holds the folder now. Makes no file, and no runner notices.

    False also where the lock cannot be opened, as in a batch on a read-only disk.
    """
    if not _lock_file(folder).is_file():
        return False
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _lock_file(folder: Path) -> Path:
    return folder / ".batchgen" / "lock"


def _lock(folder: Path) -> FileLock:
    # Not bound to a thread: a run may be begun in one thread and ended in another.
    return FileLock(_lock_file(folder), thread_local=False)
