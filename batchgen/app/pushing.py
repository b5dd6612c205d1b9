"""An export into an object store: made beside the batch, then put there file by file; whole once its marker says so.

Object stores rename nothing, so the marker is put first without counts, and last with them. Objects beside a marker of
the same export are its own: its bytes are always the same, so one of the right length stays.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.app.exporting import export
from batchgen.errors import StorageFailed, UsageError
from batchgen.export import Change, Choice, Exported, Format
from batchgen.export.destination import MARKER
from batchgen.export.source import Tick

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: What a place begins with that is pushed to; others that fsspec knows were never tried.
SCHEMES = ("s3",)
#: Put last, so that no loader finds a header whose files are not there.
_LAST = ("README.md",)


def scheme_of(dest: str) -> str | None:
    """What stands before `://`; None for a place on this machine."""
    scheme, separator, _ = dest.partition("://")
    return scheme.lower() if separator else None


def push(
    out: Path | str,
    dest: str,
    form: Format,
    *,
    choice: Choice | None = None,
    change: Change | None = None,
    begun: Callable[[int], Tick] | None = None,
) -> Exported:
    """Export the batch in a folder to a place such as `s3://bucket/name`. As `exporting.export` otherwise.

    Raises:
        UsageError: that kind of place is not known, or something else is there.
        StorageFailed: the store cannot be reached, or does not take it; the same call goes on.
    """
    files, root = _store(dest)
    staging = _staging(Path(out), dest)
    made = export(out, staging, form, choice=choice, change=change, begun=begun)
    try:
        there_already = _put_folder(files, root, staging) if staging.is_dir() else _put_file(files, root, staging)
    except (OSError, ValueError) as error:  # what s3fs makes of the store's answers
        raise StorageFailed(
            f"{dest} cannot be written: {error}. What is there is no whole export yet; mend that, and the same command "
            "goes on."
        ) from error
    if staging.is_dir():
        shutil.rmtree(staging)
    else:
        staging.unlink()
    return replace(made, place=dest, there_already=there_already)


def _store(dest: str) -> tuple[AbstractFileSystem, str]:
    scheme = scheme_of(dest)
    if scheme not in SCHEMES:
        known = " and ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(
            f"{dest}: there is no pushing to {scheme}://, only to {known}. Export to a folder, and put that where it "
            "is to go, such as with `hf upload NAME FOLDER --repo-type dataset`."
        )
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(dest)
    except ImportError as error:
        raise UsageError(f"{dest}: that needs s3fs. Run pip install 'batchgen[s3]' first.") from error
    if "/" not in root.strip("/"):
        raise UsageError(f"{dest} is a whole bucket. Name a place in it, such as {dest.rstrip('/')}/animals.")
    return files, root.rstrip("/")


def _staging(out: Path, dest: str) -> Path:
    """Where the export is made: beside the batch, hidden, and found again by the same command."""
    name = f".{out.resolve().name}.{hashlib.sha256(dest.encode()).hexdigest()[:10]}.push"
    return out.resolve().with_name(name)


def _put_file(files: AbstractFileSystem, root: str, made: Path) -> bool:
    """Whether it was there already."""
    if files.exists(root):
        if bytes(files.cat_file(root)) == made.read_bytes():
            return True
        raise UsageError(f"{root} holds something else. Nothing was changed; name another place or remove it.")
    files.put_file(str(made), root)
    return False


def _put_folder(files: AbstractFileSystem, root: str, made: Path) -> bool:
    """Whether it was there already, and whole."""
    whole = json.loads((made / MARKER).read_text(encoding="utf-8"))
    there = _sizes(files, root)
    found: dict[str, Any] = json.loads(files.cat_file(f"{root}/{MARKER}")) if MARKER in there else {}
    if found == whole:
        return True
    begun = {**whole, "rows": {}}
    if there and found != begun:
        raise UsageError(f"{root} holds something else. Nothing was changed; name another place or remove it.")
    files.pipe_file(f"{root}/{MARKER}", json.dumps(begun).encode())
    for path in _in_order(made):
        name = path.relative_to(made).as_posix()
        if there.get(name) != path.stat().st_size:
            files.put_file(str(path), f"{root}/{name}")
    files.pipe_file(f"{root}/{MARKER}", json.dumps(whole).encode())
    return False


def _sizes(files: AbstractFileSystem, root: str) -> dict[str, int]:
    files.invalidate_cache()
    found: dict[str, dict[str, Any]] = files.find(root, detail=True)
    return {name.removeprefix(f"{root}/"): int(about["size"]) for name, about in found.items()}


def _in_order(made: Path) -> Iterator[Path]:
    paths = sorted(path for path in made.rglob("*") if path.is_file() and path.name != MARKER)
    yield from (path for path in paths if path.name not in _LAST)
    yield from (path for path in paths if path.name in _LAST)
