"""`clean`: which batches are old and done, and their removal. What is unfinished, in doubt or unknown always stays."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batchgen.adapters.folder_lock import FolderLock, is_held
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.app.disputing import keep, listed
from batchgen.app.folder import BatchFolder
from batchgen.app.removing import being_forgotten, empty, is_being_forgotten, left_to_remove, mark
from batchgen.app.removing import forget as forget_all
from batchgen.errors import BatchgenError, FolderBusy, StorageFailed, UsageError
from batchgen.index import split_table
from batchgen.lifecycle import ENDED, State

_WORKING, _GONE = "a run is working on it", "it has gone meanwhile"
#: Files that macOS and Windows put into folders, unasked.
_OF_DESKTOPS = {".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OldBatch:
    """A batch, and whether it may be removed."""

    out: Path
    age: float | None = None  #: seconds since anything happened to it; None: unknown
    bytes: int = 0  #: on disk, of all its files
    kept_for: str | None = None  #: why it stays, whatever its age; None if it may go
    disputes: int = 0  #: submissions of it that are worth a word with the provider, if it is old
    old: bool = False  #: whether it may go and is older than was asked for
    cleaned: bool = False  #: whether nothing but its plan is left
    removed: bool = False


def clean(
    folder: Path | str, *, older_than: float | None = None, remove: bool = False, forget: bool = False
) -> Sequence[OldBatch]:
    """The batches in a folder, by name; those that are done and old are removed if that is asked for.

    Of a batch that is removed its frozen plan stays, so that `--only-new` still knows what it had.

    Args:
        folder: of batches, or a batch itself; or both, by a slip.
        older_than: seconds; None: none is old.
        forget: whether the plan goes, too.

    Raises:
        UsageError: there is no such folder.
        StorageFailed: the disk does not let go of a file.
    """
    now, place = time.time(), Path(folder)
    if place.name in ("", ".."):  # the working directory, or above it: what is removed needs its name
        place = place.resolve()
    seen = [_seen(batch, now, older_than, forget=forget) for batch in _batches(place)]
    return [_removed(batch, now, older_than, forget=forget) if remove and batch.old else batch for batch in seen]


def _batches(folder: Path) -> Iterator[BatchFolder]:
    try:
        places = list(being_forgotten(folder))  # of a removal of that very batch, which was cut short
        if not folder.is_dir() and not places:
            raise UsageError(f"There is no folder {folder}. Name the folder in which your batches lie.")
        if folder.is_dir():
            places += filter(_is_batch, (folder, *sorted(folder.iterdir())))  # a batch in which others lie hides none
    except OSError as error:
        raise StorageFailed(f"{folder} cannot be read: {error.strerror}. Make it readable.") from error
    yield from map(BatchFolder, places)


def _is_batch(path: Path) -> bool:
    there = BatchFolder(path)
    return (is_being_forgotten(path) and path.is_dir()) or any(
        file.exists() for file in (there.journal, there.plan, there.cleaned)
    )


def _seen(folder: BatchFolder, now: float, older_than: float | None, *, forget: bool, held: bool = False) -> OldBatch:
    """
    Args:
        held: whether we hold it.
    """
    if is_being_forgotten(folder.root):
        return _left_over(folder, older_than, held=held)
    try:
        cleaned, happened, kept_for = folder.cleaned.is_file(), _last_happening(folder), _reason(folder, held=held)
    except (BatchgenError, OSError) as error:
        return OldBatch(out=folder.root, kept_for=f"cannot be read: {error}")
    if cleaned and kept_for is None and not forget and not left_to_remove(folder):
        kept_for = "cleaned: nothing but its plan is left"
    age = max(0.0, now - happened)
    old = kept_for is None and older_than is not None and age > older_than
    try:
        disputes = len(listed(folder.root)) if old else 0
    except BatchgenError as error:
        return OldBatch(out=folder.root, kept_for=f"cannot be read: {error}")
    return OldBatch(
        out=folder.root,
        age=age,
        bytes=_size(folder.root),
        kept_for=kept_for,
        disputes=disputes,
        old=old,
        cleaned=cleaned,
    )


def _left_over(folder: BatchFolder, older_than: float | None, *, held: bool) -> OldBatch:
    """Of a batch that was old and to be forgotten when it was removed: it is so still, whenever that was cut short."""
    kept_for = _in_the_way(folder, held=held)
    return OldBatch(
        out=folder.root,
        bytes=_size(folder.root),
        kept_for=kept_for,
        old=kept_for is None and older_than is not None,
        cleaned=True,
    )


def _reason(folder: BatchFolder, *, held: bool) -> str | None:
    """Why the batch stays; None if it is done."""
    if (other := _in_the_way(folder, held=held)) is not None:
        return other
    if folder.cleaned.is_file():
        return None
    if not folder.journal.is_file():
        return "its journal is gone: nobody knows what was paid for"
    if not folder.index.is_file():
        return "it has no index"
    with JournalView(folder.journal) as journal:
        requests = {state: tally.requests for state, tally in journal.tallies().items()}
    doubts = requests.get(State.IN_DOUBT, 0) + requests.get(State.SUBMITTING, 0)
    if doubts:
        return f"{doubts:,} in doubt"
    left = PlanFile(folder.plan).head.requests - sum(requests.get(state, 0) for state in ENDED)
    under_way = sum(requests.get(state, 0) for state in (State.SUBMITTED, State.READY))
    return f"{max(left, under_way):,} not finished" if left > 0 or under_way else None


def _in_the_way(folder: BatchFolder, *, held: bool) -> str | None:
    """Why it stays, whatever it is; None if there is nothing."""
    if folder.root.is_symlink() or folder.state.is_symlink():
        return "a link: remove what it leads to where that lies"
    if not held and is_held(folder.root):
        return _WORKING
    if (other := _not_its_own(folder)) is not None:
        return f"{other} lies in it, which is none of its own"
    return None


def _not_its_own(folder: BatchFolder) -> str | None:
    """What no run of the batch has put there: another batch, an export, whatever people keep."""
    own = {folder.state, folder.index, folder.root / "images", folder.card, folder.croissant, folder.report}
    for path in sorted(folder.root.iterdir()):
        if not (path in own or path.match(split_table("*")) or _is_nobodys(path)):
            return path.name
    return next((place for place, _, _ in os.walk(folder.root / "images") if _is_batch(Path(place))), None)


def _is_nobodys(path: Path) -> bool:
    """Whether nothing is lost with it: a link, a file that was not finished, or what desktops put into every folder."""
    if path.is_symlink() or path.suffix == ".part":
        return True
    return path.is_file() and (path.name in _OF_DESKTOPS or path.name.startswith("._"))


def _last_happening(folder: BatchFolder) -> float:
    """When anything happened to the batch: seconds since the epoch."""
    files = [folder.last_run, folder.plan, folder.index]
    if folder.cleaned.is_file() and not left_to_remove(folder):  # a removal that was cut short is not a new beginning
        files.append(folder.cleaned)
    times = [file.stat().st_mtime for file in files if file.is_file()]
    if folder.journal.is_file():
        with JournalView(folder.journal) as journal:
            times += [at for _, at in journal.runs()]
    return max(times) if times else folder.root.stat().st_mtime


def _size(root: Path) -> int:
    total = 0
    for place, folders, names in os.walk(root):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):  # gone in the meantime
                total += Path(place, name).lstat().st_size
    return total


def _removed(batch: OldBatch, now: float, older_than: float | None, *, forget: bool) -> OldBatch:
    """Remove it, if it is still what it was seen to be once nobody else can work on it."""
    folder = BatchFolder(batch.out)
    if not folder.root.is_dir():  # the lock would make it anew
        return replace(batch, old=False, kept_for=_GONE)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FolderLock(folder.root))
        except FolderBusy:
            return replace(batch, old=False, kept_for=_WORKING)
        again = _seen(folder, now, older_than, forget=forget, held=True)
        if not again.old:
            return again
        if not again.cleaned:  # a removal that was cut short has kept them
            keep(folder)
        mark(folder)
        try:
            (forget_all if forget or is_being_forgotten(folder.root) else empty)(folder)
        except OSError as error:
            raise StorageFailed(
                f"{error.filename or folder.root} cannot be removed: {error.strerror}. Mend that, and clean again."
            ) from error
    return replace(again, cleaned=folder.cleaned.is_file(), removed=True)
