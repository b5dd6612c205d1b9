"""Images as files in the batch folder: there whole or not at all, and safe from a power cut.

Each file is written under a temporary name in its own folder, flushed to the disk, renamed, and its folder
flushed too. Of many at a time, all are written before any is flushed, and those are flushed together. What a crash
leaves behind are files named `.*.part`, which `FileStore.sweep` removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import TypeVar

from batchgen.errors import StorageFailed
from batchgen.flushing import flush_folder
from batchgen.model import REJECTED_FOLDER, VerifiedImage

Given = TypeVar("Given")
Made = TypeVar("Made")

_PART = ".part"
#: Files that are flushed at the same time: the file system then flushes many with one write of its log.
_AT_ONCE = 16
#: Bytes from which on they are written at the same time, too: to hand fewer to other threads takes longer.
_MANY = 1024 * 1024
#: Bytes of a file from which on to let go of its memory costs less than to ask for more.
_LARGE = 128 * 1024
#: Characters of the final name that the temporary one repeats; a name may be as long as the file system allows.
_STEM_SHOWN = 40
_REMEDIES = {
    errno.ENOSPC: "The disk is full; free some space",
    errno.EDQUOT: "The disk quota is used up; free some space",
    errno.EROFS: "The disk is read-only; make it writable or name another folder with --out",
    errno.EACCES: "Permission is denied; make the folder writable or name another with --out",
    errno.EPERM: "Permission is denied; make the folder writable or name another with --out",
    errno.EFBIG: "The file is larger than this disk or account may hold; raise the limit",
    errno.ENAMETOOLONG: "The name is longer than this disk allows; shorten file_prefix",
}


#: The file's stem, what it was found to be, and its bytes; as of `ports.ImageStore.keep`.
ImageFile = tuple[str, VerifiedImage, bytes]


@dataclass(frozen=True, slots=True)
class _Written:
    """A file under its temporary name, not yet on the disk."""

    name: str  #: that it is to have, relative to the batch folder
    path: Path
    part: Path
    file: FileIO


class FileStore:
    """Keeps the images of one batch.

    Args:
        folder: the batch folder.
        read_again: whether images are soon read again; if not, they leave the system's cache once they are on the disk.
    """

    def __init__(self, folder: Path, *, read_again: bool = True) -> None:
        self._folder, self._read_again = folder, read_again
        self._known: set[Path] = set()  #: folders that are on disk already
        self._writing = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="writing")  # its threads start when needed

    def keep(self, file_stem: str, image: VerifiedImage, content: bytes) -> str:
        """Write the image durably; see `ports.ImageStore`."""
        (kept,) = self.keep_all([(file_stem, image, content)])
        if isinstance(kept, StorageFailed):
            raise kept
        return kept

    def keep_all(self, images: Sequence[ImageFile]) -> list[str | StorageFailed]:
        """Write images durably; for each its name, or why it is not kept.

        Many at a time take little longer than one: the file system flushes them together.
        """
        written = list(self._spread(self._written, images, many=sum(len(content) for *_, content in images) > _MANY))
        flushed = self._spread(self._flushed, written, many=len(images) > 1)
        kept = list(map(_in_place, written, flushed))
        for folder in {_folder_of(name) for name in kept if isinstance(name, str)}:
            try:
                flush_folder(self._folder / folder)
            except OSError as error:
                failed = _failed(self._folder / folder, error)
                kept = [failed if isinstance(name, str) and _folder_of(name) == folder else name for name in kept]
        return kept

    def _spread(self, do: Callable[[Given], Made], given: Sequence[Given], *, many: bool) -> Iterable[Made]:
        return self._writing.map(do, given) if many else map(do, given)

    def _written(self, file: ImageFile) -> _Written | StorageFailed:
        """The image under a temporary name."""
        file_stem, image, content = file
        try:
            name = checked_name(file_stem, image.format)
            path = self._folder / name
            self._make(path.parent)
        except StorageFailed as refused:
            return refused
        part = _part_of(path)
        try:
            return _Written(name, path, part, _begun(part, content))
        except OSError as error:
            _remove(part)
            return _failed(path, error)

    def _flushed(self, written: _Written | StorageFailed) -> OSError | None:
        """Have the file on the disk; gives why it is not."""
        if isinstance(written, StorageFailed):
            return None
        try:
            with written.file as file:
                os.fsync(file.fileno())
                large = file.tell() > _LARGE
                if large and not self._read_again and hasattr(os, "posix_fadvise"):
                    # The next is written to the memory of this one.
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            return error
        return None

    def set_aside(self, name: str) -> str | None:
        """Move a rejected image out of sight of the dataset's readers; gives its new name, or None if it is not there.

        One that a killed run has moved and not noted down counts as moved.

        Raises:
            StorageFailed: the disk does not take it.
        """
        target = f"{REJECTED_FOLDER}/{name.rpartition('/')[2]}"
        source, path = self._folder / name, self._folder / target
        try:
            if source.is_file():
                self._make(path.parent)
                source.replace(path)
                for folder in (path.parent, source.parent):
                    flush_folder(folder)
            return target if path.is_file() else None
        except OSError as error:
            raise _failed(path, error) from error

    def leftovers(self) -> tuple[Path, ...]:
        """Temporary files that earlier crashes left where images and the plan lie, sorted."""
        state = (self._folder / REJECTED_FOLDER).parent
        walk = chain.from_iterable(os.walk(self._folder / place) for place in ("images", REJECTED_FOLDER))
        found = chain((Path(folder, name) for folder, _, names in walk for name in names), state.glob(f".*{_PART}"))
        return tuple(sorted(path for path in found if path.name.startswith(".") and path.name.endswith(_PART)))

    def sweep(self) -> int:
        """Remove the leftovers; only for who holds the folder. Gives their number.

        Raises:
            StorageFailed: one cannot be removed.
        """
        leftovers = self.leftovers()
        for path in leftovers:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _failed(path, error) from error
        return len(leftovers)

    def _make(self, folder: Path) -> None:
        """The folder and those above it, each entry flushed to the disk."""
        if folder in self._known:
            return
        try:
            # Within the batch whoever made it, a moment ago perhaps, may not have flushed it yet.
            if self._folder in folder.parents or not folder.is_dir():
                self._make(folder.parent)
                folder.mkdir(exist_ok=True)
                flush_folder(folder.parent)
        except OSError as error:
            raise _failed(folder, error) from error
        self._known.add(folder)


def checked_name(file_stem: str, extension: str) -> str:
    """The file's name relative to the batch folder, with forward slashes.

    Raises:
        StorageFailed: the name would leave the folder, or no file system takes it.
    """
    name = f"{file_stem}.{extension}"
    odd = any(part in ("", ".", "..") for part in file_stem.split("/"))
    if odd or any(char in '\\:<>"|?*' or not char.isprintable() for char in name):
        raise StorageFailed(
            f"{name!r} is not a file name inside the batch folder. Nothing was written; "
            "mend file_prefix in the manifest and run the same command again."
        )
    return name


def write_atomically(path: Path, content: bytes) -> None:
    """Put *content* at *path*, in a folder that is there, whole or not at all; returns once it survives a power cut.

    Raises:
        StorageFailed: the disk does not take it; at *path* is what was there before, or all of *content*.
    """
    with _placed(path) as part:
        _write_flushed(part, content)


def copy_atomically(path: Path, source: Path) -> None:
    """Put the content of the file *source* at *path*, as `write_atomically` does, whatever its length.

    Raises:
        StorageFailed: as `write_atomically`.
    """
    with source.open("rb") as content, replacing(path) as part, part.open("xb") as copy:
        shutil.copyfileobj(content, copy)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside *path* to write a file under, which takes the place of *path* once all of it is on the disk.

    The name is nobody else's, so two who write to one place do not write into each other's file.

    Raises:
        StorageFailed: as `write_atomically`, for what the disk says while the file is written, too.
    """
    with _placed(path) as part:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _begun(path: Path, content: bytes) -> FileIO:
    """A new file that holds the content, not yet on the disk.

    Raises:
        OSError: the disk does not take it; something of it may be there.
    """
    with contextlib.ExitStack() as closed:
        file = closed.enter_context(path.open("xb", buffering=0))
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        closed.pop_all()
    return file


def _in_place(written: _Written | StorageFailed, error: OSError | None) -> str | StorageFailed:
    """The name under which an image lies, flushed; its folder is not yet."""
    if isinstance(written, StorageFailed):
        return written
    try:
        if error is not None:
            raise error
        written.part.replace(written.path)
    except OSError as refused:
        _remove(written.part)
        return _failed(written.path, refused)
    return written.name


def _write_flushed(path: Path, content: bytes) -> None:
    """Make a new file that holds the content, and have it on the disk.

    Raises:
        OSError: as of `_begun`.
    """
    with _begun(path, content) as file:
        os.fsync(file.fileno())


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name[:_STEM_SHOWN]}.{random.getrandbits(32):08x}{_PART}")


@contextlib.contextmanager
def _placed(path: Path) -> Iterator[Path]:
    """A name for a file to be written and flushed under before it takes the place of *path*."""
    part = _part_of(path)
    try:
        yield part
        part.replace(path)
        flush_folder(path.parent)
    except BaseException as error:
        _remove(part)
        if isinstance(error, OSError):
            raise _failed(path, error) from error
        raise


def _failed(path: Path, error: OSError) -> StorageFailed:
    remedy = _REMEDIES.get(error.errno or 0, f"The disk says: {error.strerror or error}; mend that")
    return StorageFailed(f"{path} cannot be written. {remedy}, then run the same command again.")
