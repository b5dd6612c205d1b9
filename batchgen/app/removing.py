"""The removal of a batch: in an order that can be cut short anywhere, and is then ended by the next `clean`."""

from __future__ import annotations

import glob
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from batchgen.adapters.file_store import write_atomically
from batchgen.app.folder import BatchFolder

#: Bytes of a batch's name that are repeated in that of the folder in which it is forgotten.
_NAME_SHOWN = 200
_FORGOTTEN = re.compile(r"\..+\.[0-9a-f]{8}\.cleaned")


def is_being_forgotten(folder: Path) -> bool:
    """Whether it is what is left of a batch that was to be forgotten, by its name alone: nothing else need be left."""
    return _FORGOTTEN.fullmatch(folder.name) is not None


def being_forgotten(folder: Path) -> Sequence[Path]:
    """What is left beside *folder* of one of that name that was to be forgotten; sorted."""
    beside = sorted(folder.parent.glob(f"{glob.escape(_hidden(folder))}.*.cleaned"))
    return [path for path in beside if is_being_forgotten(path) and not path.is_symlink()]


def mark(folder: BatchFolder) -> None:
    """From here on no run goes on with it, whatever becomes of us.

    Raises:
        StorageFailed: the disk does not take it.
    """
    write_atomically(folder.cleaned, b"Removed by `batchgen clean`. The plan says what the batch had.\n")


def forget(folder: BatchFolder) -> None:
    """Remove all of it, from a hidden name that says so, for `being_forgotten`.

    Raises:
        OSError: the disk does not let go of a file.
    """
    away = folder.root
    if not is_being_forgotten(away):
        away = away.with_name(f"{_hidden(away)}.{secrets.token_hex(4)}.cleaned")
        folder.root.rename(away)
    for path in away.iterdir():
        if path != BatchFolder(away).state:  # where the lock is
            _remove(path)
    shutil.rmtree(away)


def empty(folder: BatchFolder) -> None:
    """Remove everything but what stays of a batch that is cleaned away.

    Raises:
        OSError: the disk does not let go of a file.
    """
    for path in left_to_remove(folder):
        _remove(path)


def left_to_remove(folder: BatchFolder) -> Sequence[Path]:
    """What `empty` removes, the journal first: all but the plan, what tells of the batch, and who holds it."""
    told = {folder.disputes, folder.cleaned, folder.last_run, folder.history}
    stay = {folder.state, folder.plan, folder.state / "lock", folder.state / "owner.json"} | told
    journal_first = sorted(folder.state.glob(f"{folder.journal.name}*"), reverse=True)
    rest = [path for place in (folder.state, folder.root) for path in place.iterdir()]
    return [*journal_first, *(path for path in rest if path not in stay and path not in journal_first)]


def _remove(path: Path) -> None:
    """Links are removed, and not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _hidden(folder: Path) -> str:
    return "." + folder.name.encode()[:_NAME_SHOWN].decode(errors="ignore")
