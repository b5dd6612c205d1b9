"""Where an export goes: it grows in a hidden folder beside its destination, and is there whole or not at all.

The hidden folder, `.NAME.part`, knows what it is made from. An export that was interrupted finds it again and goes on;
one that is made from something else begins anew. A destination that holds anything but this very export is refused.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from batchgen.errors import ExportBusy, UsageError
from batchgen.export.working import MAKING, Working, disk, flush
from batchgen.flushing import flush_folder
from batchgen.named_files import place_of

#: Says what an export was made from; hidden, so that no loader takes it for data.
MARKER = ".batchgen-export.json"
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
        ours: whatever is there is an earlier export that nobody else knows of, and may be replaced.

    Raises:
        UsageError: something else is there, or the place cannot be.
        ExportBusy: on entry, if another export is at it.
        StorageFailed: the disk does not take it.
    """

    def __init__(self, path: Path, batch: Path, *, single_file: bool, ours: bool = False) -> None:
        self.path = path.resolve()
        self._ours = ours
        self._single_file = single_file
        self._was_there = True  #: whether an interrupted export had begun
        self._refuse_overlap(batch.resolve())
        if single_file and self.path.is_dir():
            raise UsageError(f"{path} is a folder; name the file to write, such as {path / 'images.jsonl'}.")
        if single_file:
            self.path = place_of(path, by="DEST")
        if not single_file and self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{path} is a file; name a folder that is not there yet.")
        self.folder = self.path.with_name(f".{self.path.name}.part")
        self._lock = FileLock(self.folder / MAKING / "lock", thread_local=False)

    def __enter__(self) -> Self:
        with disk(self.folder):
            self._was_there = self.folder.is_dir()
            if self._was_there and not self._is_ours():
                raise UsageError(f"{self.folder} is in the way and was not made by batchgen; move it.")
            (self.folder / MAKING).mkdir(parents=True, exist_ok=True)
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
            return dict(found.get("rows", {}))
        if self._ours:
            return None
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
            return Path(shutil.copyfile(index, self.folder / MAKING / "index.parquet"))

    def begin(self, origin: Origin) -> Working:
        """The folder to work in: as an interrupted export of the same origin left it, or empty."""
        with disk(self.folder):
            if (self.folder / MARKER).is_file() and not _marker_of(self.folder).items() >= asdict(origin).items():
                self._clear()
            working = Working(self.folder)
            _mark(working, origin, {})
        return working

    def publish(self, working: Working, origin: Origin, rows: Mapping[str, int], *, made: str | None) -> None:
        """Put what was made in its place, once it is safe on disk.

        Args:
            rows: what it has, by split.
            made: the one file, of a destination that is a file.

        Raises:
            UsageError: another file is there.
        """
        with disk(self.path):
            _mark(working, origin, rows)
            flush(self.folder)
            if made is None:
                self._publish_folder()
            else:
                self._publish_file(self.folder / made)
            flush_folder(self.path.parent)

    def _publish_folder(self) -> None:
        self._lock.release()
        shutil.rmtree(self.folder / MAKING)
        if self.path.is_dir() and self._ours:
            shutil.rmtree(self.path)
        elif self.path.is_dir():
            self.path.rmdir()  # only if it is empty
        self.folder.rename(self.path)

    def _publish_file(self, made: Path) -> None:
        if self.path.exists() and not self._ours:
            same = filecmp.cmp(made, self.path, shallow=False)
            self.drop()
            if not same:
                raise UsageError(f"{self.path} holds something else. Nothing was changed; name another or remove it.")
        else:
            made.replace(self.path)
            self.drop()

    def _refuse_overlap(self, batch: Path) -> None:
        if self.path == batch or batch in self.path.parents or self.path in batch.parents:
            raise UsageError(
                f"{self.path} and the batch {batch} lie in each other, and loaders would read both. "
                "Name a place outside."
            )

    def _is_ours(self) -> bool:
        names = {path.name for path in self.folder.iterdir()}
        return MARKER in names or names <= {MAKING}

    def _clear(self) -> None:
        """Remove what was made. The marker stays until there is another, so that the folder is known to be ours."""
        made = [path for path in self.folder.iterdir() if path.name not in (MAKING, MARKER)]
        for path in [*made, *(self.folder / MAKING).glob("*.jsonl")]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _what_it_holds(self) -> str:
        if (self.path / MARKER).is_file():
            return "an export of other images or with other options"
        return "files that are no export"


def _mark(working: Working, origin: Origin, rows: Mapping[str, int]) -> None:
    """Say what the export is made from, and, once it is whole, what it has by split."""
    working.put(MARKER, (json.dumps(asdict(origin) | {"rows": dict(rows)}, sort_keys=True) + "\n").encode())


def _marker_of(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
