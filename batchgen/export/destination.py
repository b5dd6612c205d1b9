"""Where an export goes: it grows in a hidden folder beside its destination, and is there whole or not at all.

The hidden folder, `.NAME.part`, knows what it is made from. An export that was interrupted finds it again and goes on;
one that is made from something else begins anew. A destination that holds anything but this very export is refused.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from batchgen.errors import ExportBusy, StorageFailed, UsageError

#: Says what an export was made from; hidden, so that no loader takes it for data.
MARKER = ".batchgen-export.json"
_MAKING = ".making"  # folder of all that is needed only while an export grows
_AT_A_TIME = 32  # files that are flushed to the disk
_PATIENCE = 0.2  # seconds that a lock is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What decides the bytes of an export."""

    made_from: str  #: hash of the index, the format, its options and the choice; 64 hex digits
    made_by: str  #: versions of batchgen and of what encodes for it


class Destination:
    """A folder or a file that is to be made. With `with`, it is held against other exports.

    Args:
        path: where it will be.
        batch: the batch folder; neither may lie in the other.
        single_file: whether it is a file.

    Raises:
        UsageError: something else is there, or the place cannot be.
        ExportBusy: on entry, if another export is at it.
        StorageFailed: the disk does not take it.
    """

    def __init__(self, path: Path, batch: Path, *, single_file: bool) -> None:
        self.path = path.resolve()
        self._single_file = single_file
        self._was_there = True  #: whether an interrupted export had begun
        self._refuse_overlap(batch.resolve())
        if single_file and self.path.is_dir():
            raise UsageError(f"{path} is a folder; name the file to write, such as {path / 'images.jsonl'}.")
        if not single_file and self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{path} is a file; name a folder that is not there yet.")
        self.folder = self.path.with_name(f".{self.path.name}.part")
        self._lock = FileLock(self.folder / _MAKING / "lock", thread_local=False)

    def __enter__(self) -> Self:
        with disk(self.folder):
            self._was_there = self.folder.is_dir()
            if self._was_there and not self._is_ours():
                raise UsageError(f"{self.folder} is in the way and was not made by batchgen; move it.")
            (self.folder / _MAKING).mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=_PATIENCE)
            except Timeout as error:
                raise ExportBusy(self.path) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._lock.release()
        if kind is not None and issubclass(kind, UsageError) and not self._was_there:
            shutil.rmtree(self.folder, ignore_errors=True)

    def finished(self, origin: Origin) -> Mapping[str, int] | None:
        """What the finished export of that origin has, by split, if it is there, so that nothing is left to do.

        Raises:
            UsageError: something else is there.
        """
        if self._single_file or not self.path.is_dir() or not any(self.path.iterdir()):
            return None
        found = _marker_of(self.path)
        if found.get("made_from") == origin.made_from:
            return dict(found["rows"])
        raise UsageError(
            f"{self.path} holds something else: {self._what_it_holds()}. "
            "Nothing was changed; name another place or remove it."
        )

    def drop(self) -> None:
        """Leave nothing beside the destination."""
        self._lock.release()
        with disk(self.folder):
            shutil.rmtree(self.folder)

    def snapshot(self, index: Path) -> Path:
        """A copy of the index, so that a run that goes on meanwhile changes nothing under the export."""
        with disk(self.folder):
            return Path(shutil.copyfile(index, self.folder / _MAKING / "index.parquet"))

    def begin(self, origin: Origin) -> Working:
        """The folder to work in: as an interrupted export of the same origin left it, or empty."""
        with disk(self.folder):
            if (self.folder / MARKER).is_file() and not _marker_of(self.folder).items() >= asdict(origin).items():
                self._clear()
            working = Working(self.folder)
            working.mark(origin, {})
        return working

    def publish(self, made: str | None = None) -> None:
        """Put what was made in its place, once it is safe on disk.

        Args:
            made: the one file, of a destination that is a file.

        Raises:
            UsageError: another file is there.
        """
        with disk(self.path):
            _flush(self.folder)
            if made is None:
                self._publish_folder()
            else:
                self._publish_file(self.folder / made)
            _flush_folder(self.path.parent)

    def _publish_folder(self) -> None:
        self._lock.release()
        shutil.rmtree(self.folder / _MAKING)
        if self.path.is_dir():
            self.path.rmdir()  # only if it is empty
        self.folder.rename(self.path)

    def _publish_file(self, made: Path) -> None:
        if self.path.exists():
            same = filecmp.cmp(made, self.path, shallow=False)
            self.drop()
            if not same:
                raise UsageError(f"{self.path} holds something else. Nothing was changed; name another or remove it.")
        else:
            made.rename(self.path)
            self.drop()

    def _refuse_overlap(self, batch: Path) -> None:
        if self.path == batch or batch in self.path.parents or self.path in batch.parents:
            raise UsageError(
                f"{self.path} and the batch {batch} lie in each other, and loaders would read both. "
                "Name a place outside."
            )

    def _is_ours(self) -> bool:
        names = {path.name for path in self.folder.iterdir()}
        return MARKER in names or names <= {_MAKING}

    def _clear(self) -> None:
        """Remove what was made; the lock and the snapshot stay."""
        for path in [*self.folder.iterdir(), *(self.folder / _MAKING).glob("*.jsonl")]:
            if path.is_dir() and not path.is_symlink():
                if path.name != _MAKING:
                    shutil.rmtree(path)
            else:
                path.unlink()

    def _what_it_holds(self) -> str:
        if (self.path / MARKER).is_file():
            return "an export of other images or with other options"
        return "files that are no export"


class Working:
    """The folder that an export grows in; each file of it is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._part = root / _MAKING / "part"
        self._known: set[Path] = {root}

    def path(self, name: str) -> Path:
        """Where a file lies, in a folder that is there. *name* has forward slashes."""
        path = self.root / name
        if path.parent not in self._known:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._known.add(path.parent)
        return path

    def log(self, name: str) -> Log:
        """What an interrupted export says it has done, to be gone on with."""
        return Log(self.root / _MAKING / f"{name}.jsonl")

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        path = self.path(name)
        self._part.write_bytes(content)
        self._part.replace(path)

    def mark(self, origin: Origin, rows: Mapping[str, int]) -> None:
        """Say what the export is made from, and, once it is whole, what it has by split."""
        self.put(MARKER, (json.dumps(asdict(origin) | {"rows": dict(rows)}, sort_keys=True) + "\n").encode())

    @contextlib.contextmanager
    def growing(self, name: str) -> Iterator[Path]:
        """A path to write a large file to; at the end of `with` it gets its name, and is safe on disk."""
        path, part = self.path(name), self._part.with_name("growing")
        yield part
        _flush_file(part)
        part.replace(path)


class Log:
    """Objects in a file, one a line, of which only whole ones count."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Iterator[dict[str, Any]]:
        """What is there now, streamed; a line that was cut off by a kill is removed."""
        if not self._path.is_file():
            return iter(())
        with self._path.open("rb") as file:
            lines = sum(line.endswith(b"\n") for line in file)
        self.keep(lines)
        return self._entries(lines)

    def keep(self, entries: int) -> None:
        """Forget all but the first few."""
        if self._path.is_file():
            with self._path.open("rb+") as file:
                file.truncate(sum(len(line) for line in islice(file, entries)))

    def _entries(self, lines: int) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            yield from map(json.loads, islice(file, lines))

    def append(self, **entry: Any) -> None:
        """Add an object."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _marker_of(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Errors of the disk, said as a sentence.

    Raises:
        StorageFailed: one happened.
    """
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"The export cannot be written: {error.strerror or error} ({error.filename or path}). "
            "Nothing half-made is at its destination; mend that and run the same command again to go on."
        ) from error


def _flush(folder: Path) -> None:
    """Make all that is in a folder survive a power cut: many files at a time, which is as quick as the disk."""
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for place, _, names in os.walk(folder):
            paths = [Path(place, name) for name in names]
            deque(pool.map(_flush_file, [path for path in paths if not path.is_symlink()]), maxlen=0)
            _flush_folder(Path(place))


def _flush_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the folder's entries survive a power cut; Windows offers no such call, and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
