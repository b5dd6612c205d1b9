"""An export to a remote, which is no folder: made here, beside the batch, then put there; whole there or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from batchgen.app.bucket import Bucket
from batchgen.app.exporting import export, nobody
from batchgen.app.hub import Hub
from batchgen.errors import UsageError
from batchgen.export import Change, Choice, Exported, Format
from batchgen.export.source import Tick
from batchgen.export.working import disk


class Remote(Protocol):
    """Where a finished export is put.

    Args:
        dest: the remote as the user named it.

    Raises:
        UsageError: it names none of that kind, or what is needed for it is not installed or not set.
    """

    def __init__(self, dest: str) -> None: ...

    def look(self) -> None:
        """See, before anything is made, that there is nothing else.

        Raises:
            UsageError: there is.
            StorageFailed: it cannot be reached.
        """

    def put(self, made: Mapping[str, Path], begun: Callable[[int], Tick]) -> bool:
        """Put the files of an export there; gives whether all of them were there already.

        Args:
            made: each file by its name in the export, in order; "" names an export that is one file.
            begun: is told how many files there are, and gives what is told of the progress.

        Raises:
            UsageError: something else is there.
            StorageFailed: it cannot be reached, or does not take them; the same call goes on.
        """


#: What a remote's name begins with -> its kind. Others that fsspec knows were never tried.
REMOTES: Mapping[str, type[Remote]] = {"s3": Bucket, "hf": Hub}


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
    """Export the batch in a folder to a remote such as `s3://bucket/name`. As `exporting.export` otherwise.

    Raises:
        UsageError: that kind of remote is not known, or something else is there.
        StorageFailed: the remote cannot be reached, or does not take it; the same call goes on.
    """
    remote, staging = _remote(dest), _staging(Path(out), dest)
    with _removed_if_refused(staging):
        remote.look()
    made = export(out, staging, form, choice=choice, change=change, begun=begun, ours=True)
    with _removed_if_refused(staging):
        there_already = remote.put(_files(staging), begun or nobody)
    _remove(staging)
    return replace(made, place=dest, there_already=there_already)


def _remote(dest: str) -> Remote:
    scheme = scheme_of(dest) or ""
    if scheme not in REMOTES:
        known = " and ".join(f"{name}://" for name in REMOTES)
        raise UsageError(
            f"{dest}: there is no pushing to {scheme}://, only to {known}. Export to a folder, and put that where it "
            "is to go."
        )
    return REMOTES[scheme](dest)


def _staging(out: Path, dest: str) -> Path:
    """Where the export is made: beside the batch, hidden, and found again by the same command."""
    name = f".{out.resolve().name}.{hashlib.sha256(dest.encode()).hexdigest()[:10]}.push"
    return out.resolve().with_name(name)


@contextlib.contextmanager
def _removed_if_refused(staging: Path) -> Iterator[None]:
    """What a remote refuses for good is not kept to go on from."""
    try:
        yield
    except UsageError:
        _remove(staging)
        raise


def _files(staging: Path) -> Mapping[str, Path]:
    if staging.is_file():
        return {"": staging}
    paths = sorted(path for path in staging.rglob("*") if path.is_file())
    return {path.relative_to(staging).as_posix(): path for path in paths}


def _remove(path: Path) -> None:
    with disk(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
