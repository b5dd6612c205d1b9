"""What lies in a batch folder: read, measured and set aside; nothing is ever deleted but temporary files."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

from batchgen.errors import StorageFailed
from batchgen.model import REJECTED_FOLDER
from batchgen.soundness import Measured

_PART = ".part"


def measured(folder: Path, name: str, *, expected_bytes: int) -> Measured | None:
    """What the file is; its bytes are read only where its length is right. None if there is no file.

    Args:
        name: relative to the batch folder, with forward slashes. A journal from elsewhere may say anything: a file
            outside of the folder is not looked at.
        expected_bytes: its length as it should be.
    """
    if _leads_out(name):
        return Measured(bytes=0, sha256=None, error="its name leads out of the folder")
    try:
        with (folder / name).open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            right = length == expected_bytes
            return Measured(bytes=length, sha256=hashlib.file_digest(file, "sha256").hexdigest() if right else None)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Measured(bytes=0, sha256=None, error=error.strerror or str(error))


def _leads_out(name: str) -> bool:
    return PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or ":" in name


def image_files(folder: Path) -> Iterator[str]:
    """The files where images lie, relative to the batch folder, with forward slashes; temporary ones left out."""
    for place, _, names in _places(folder):
        inside = Path(place).relative_to(folder).as_posix()
        yield from (f"{inside}/{name}" for name in names if not _is_temporary(name))


def temporary_files(folder: Path) -> Iterator[str]:
    """What killed runs left behind, relative to the batch folder, with forward slashes."""
    state = folder / ".batchgen"
    for place in (folder, state, *(Path(found) for found, _, _ in _places(folder))):
        with contextlib.suppress(OSError):
            for entry in os.scandir(place):
                left = _is_temporary(entry.name) or (place == state and entry.name in _LEFT_BY_RUNS)
                if left and entry.is_file(follow_symlinks=False):
                    yield Path(entry.path).relative_to(folder).as_posix()


def _places(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    return chain.from_iterable(os.walk(folder / place) for place in ("images", REJECTED_FOLDER))


#: In the state folder, of no use once no run is working.
_LEFT_BY_RUNS = ("ballast", "plan.part", "plan.new.part", "plan.new.parquet")


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(_PART)


def remove(path: Path) -> None:
    """Take a temporary file away.

    Raises:
        StorageFailed: the disk does not let it go.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"{path} cannot be removed: {error.strerror or error}. Mend that, check again.") from error


def set_aside(folder: Path, name: str) -> None:
    """Move a damaged image out of the way, into `.batchgen/damaged/`; what lies outside of the folder stays there.

    Raises:
        StorageFailed: the disk does not let it go.
    """
    if _leads_out(name):
        return
    target = folder / ".batchgen" / "damaged" / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (folder / name).replace(target)
    except OSError as error:
        message = f"{folder / name} cannot be moved to {target}: {error.strerror or error}. Mend that, check again."
        raise StorageFailed(message) from error
