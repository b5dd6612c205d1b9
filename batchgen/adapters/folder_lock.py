"""One runner at a time in a batch folder: an OS lock, which the system lets go when its process dies.

Between machines that share a folder the lock is as good as the file system's, and some keep it to themselves; and on
any machine somebody may delete its file. So the owner of a folder, the run that holds it, puts its name there and
touches it now and then, and a run that finds another's name fresh keeps away.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from batchgen.errors import FolderBusy, HeldElsewhere, StorageFailed

#: Seconds; `is_held` takes the lock for an instant, and no run should fail because somebody looked.
_PATIENCE = 0.2
#: Seconds between two touches, and after how many without one an owner counts as gone.
_BEAT, _SILENCE = 15.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The run that holds a folder, or held it when it was killed."""

    host: str
    pid: int
    since: str  #: ISO 8601, UTC
    token: str  #: of this one hold


class FolderLock:
    """Holds a batch folder for this process, from `with` to its end. The folder is made if it is not there.

    Args:
        lost: called, in a thread of its own, if another run has taken the folder all the same.

    Raises:
        FolderBusy: on entry, if another run holds it.
        StorageFailed: on entry, if the folder cannot be made or locked.
    """

    def __init__(self, folder: Path, *, lost: Callable[[], object] = lambda: None) -> None:
        self._folder = folder
        self._lost = lost
        self._lock = _lock(folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._me = Owner(host=socket.gethostname(), pid=os.getpid(), since=now, token=secrets.token_hex(8))
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="folder-lock", daemon=True)

    def __enter__(self) -> Self:
        try:
            _lock_file(self._folder).parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 4)
            try:
                self._put_name()
            except BaseException:
                self._lock.release()
                raise
        except Timeout as error:
            raise FolderBusy(self._folder) from error
        except OSError as error:
            raise StorageFailed(
                f"The folder {self._folder} cannot be made or locked: {error.strerror or error}. "
                "Nothing was sent; make it writable or name another with --out, then run the same command again."
            ) from error
        self._beats.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._beats.join()
        with contextlib.suppress(OSError):
            if _owner(self._folder) == self._me:
                _owner_file(self._folder).unlink()
        self._lock.release()

    def _put_name(self) -> None:
        """Be the owner, unless another is alive: by the disk's clock, which all machines share."""
        name = _owner_file(self._folder)
        part = name.with_name(f".{name.name}.part")
        part.write_text(json.dumps(asdict(self._me)), encoding="utf-8")
        if (other := _other_run(self._folder, now=part.stat().st_mtime)) is not None:
            part.unlink()
            raise HeldElsewhere(
                self._folder, host=other.host, pid=other.pid, since=other.since, silence=_SILENCE
            ) from None
        part.replace(name)

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            with contextlib.suppress(OSError):  # the next touch may do better
                if _owner(self._folder) not in (self._me, None):
                    self._lost()
                    return
                os.utime(_owner_file(self._folder))


def is_held(folder: Path) -> bool:
    """Whether a run holds the folder now. Makes no file, and no runner notices.

    False also where the lock cannot be opened, as in a batch on a read-only disk.
    """
    if not _lock_file(folder).is_file():
        return False
    if _other_run(folder, now=time.time()) is not None:
        return True
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _other_run(folder: Path, *, now: float) -> Owner | None:
    """The owner, if it is alive and no lock tells of it: on another machine, or on this one, its lock deleted."""
    try:
        age = now - _owner_file(folder).stat().st_mtime
    except OSError:
        return None
    owner = _owner(folder)
    if owner is None or abs(age) >= _SILENCE:
        return None
    return owner if owner.host != socket.gethostname() or _is_another_process(owner.pid) else None


def _is_another_process(pid: int) -> bool:
    if os.name != "posix" or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _owner(folder: Path) -> Owner | None:
    """Whose name is there; None if nobody's, or it cannot be read."""
    try:
        owner = Owner(**json.loads(_owner_file(folder).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return owner if isinstance(owner.pid, int) else None


def _owner_file(folder: Path) -> Path:
    return folder / ".batchgen" / "owner.json"


def _lock_file(folder: Path) -> Path:
    return folder / ".batchgen" / "lock"


def _lock(folder: Path) -> FileLock:
    # Not bound to a thread: a run may be begun in one thread and ended in another.
    return FileLock(_lock_file(folder), thread_local=False)
