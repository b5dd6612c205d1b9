"""Batches beside a batch, and the requests that they have: for runs that ask for new ones only. Reads only.

A batch has the requests of its frozen plan, whatever became of them: what it has not finished is finished by a run of
its own, so that two batches never pay for one request, in whatever order and however close they run.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Self

from batchgen.adapters.folder_lock import is_held
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app.folder import BatchFolder
from batchgen.errors import StillPlanning, StorageFailed, UsageError
from batchgen.lifecycle import ENDED
from batchgen.model import RequestKey

#: Who has what is paid for in the batch itself.
_ITSELF = ""


class EarlierBatches(contextlib.AbstractContextManager["EarlierBatches"]):
    """The requests of other batches. Memory does not grow with their number.

    Args:
        named: folders of batches, or patterns of such; a pattern may match nothing.
        itself: the batch that is to have new requests only; it is none of the others.

    Raises:
        UsageError: a folder that is named holds no batch.
        StorageFailed: one of them cannot be read, so that nobody knows what was paid for.
        StillPlanning: a run is planning in one of them, so that nobody knows what it will ask for.
    """

    def __init__(self, named: Sequence[str], *, itself: BatchFolder) -> None:
        self.folders = others(named, itself=itself)
        self._known = SpillingFirsts()
        self._itself = itself

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._known.__exit__()

    def read(self, *, own: Iterator[RequestKey] | None = None) -> None:
        """Look up what they have.

        Two batches that plan at the same time both have a plan in the making when they look, so at least one sees it.

        Args:
            own: what is paid for in the batch itself; it stays there, whoever else has it.

        Raises: as `EarlierBatches`.
        """
        for key in own or () if self.folders else ():
            self._known.meet(key, _ITSELF)
        for folder in self.folders:
            if is_planning(folder):
                raise StillPlanning(folder.root)
            for key in PlanFile(folder.plan).keys():  # noqa: SIM118  # it is no mapping
                self._known.meet(key, str(folder.root))

    def batch_with(self, key: RequestKey) -> str | None:
        """The folder of another batch that has the request; None if none has, or it is paid for in the batch itself."""
        return self._known.find(key) or None


def others(named: Sequence[str], *, itself: BatchFolder) -> Sequence[BatchFolder]:
    """The batches that are named, each once, without the batch itself; sorted within a pattern.

    Raises: as `EarlierBatches`.
    """
    found: dict[Path, BatchFolder] = {itself.root.resolve(): itself}
    for name in named:
        pattern = _is_pattern(name)
        for path in sorted(glob.glob(name)) if pattern else [name]:  # noqa: PTH207  # it may be absolute
            folder = BatchFolder(Path(path))
            if folder.root.resolve() not in found and _has_plan(folder, by_name=not pattern):
                found[folder.root.resolve()] = folder
    return list(found.values())[1:]


def remarks(named: Sequence[str], *, itself: BatchFolder) -> Iterator[str]:
    """What is allowed among the names of earlier batches, and most likely not meant.

    In a first night no pattern matches another batch; one that is spelled right still matches the night's own folder.
    """
    for name in filter(_is_pattern, named):
        found = (BatchFolder(Path(path)) for path in glob.glob(name))  # noqa: PTH207  # it may be absolute
        if not _matches(name, itself.root) and not any(folder.plan.is_file() for folder in found):
            yield (
                f"--against {name} matches no batch, so nothing is left out for it, and all may be paid for again. "
                "If that is not meant, mend the pattern; it is read from where the command runs."
            )


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[") and not Path(name).is_dir()


def _matches(pattern: str, folder: Path) -> bool:
    """Whether a folder, which need not be there, is called so."""
    here = glob.escape(str(Path.cwd()))
    return PurePath(os.path.abspath(folder)).match(os.path.normpath(os.path.join(here, pattern)))  # noqa: PTH100, PTH118


def is_planning(folder: BatchFolder) -> bool:
    """Whether a run is making the batch's plan, the first or another."""
    return is_held(folder.root) and (not folder.plan.is_file() or any(folder.plans_in_the_making()))


def _has_plan(folder: BatchFolder, *, by_name: bool) -> bool:
    if folder.plan.is_file():
        return True
    if is_planning(folder):
        raise StillPlanning(folder.root)
    if not folder.journal.is_file():
        if by_name:
            raise UsageError(f"--against {folder.root}: there is no batch. Name a batch folder, or a pattern of such.")
        return False
    with JournalView(folder.journal) as journal:
        if journal.last_event():
            raise StorageFailed(
                f"{folder.plan} is missing, so nobody knows what {folder.root} has. Nothing was sent; "
                "put it back, run that batch's manifest again, or leave the folder out of --against."
            )
    return False  # a run that ended while it planned, and sent nothing


def unfinished(folders: Sequence[BatchFolder]) -> Sequence[Path]:
    """Those that have requests which have not ended, and no run that works on them."""
    return [folder.root for folder in folders if _is_unfinished(folder)]


def _is_unfinished(folder: BatchFolder) -> bool:
    if not folder.journal.is_file() or is_held(folder.root):  # cleaned away, or being finished
        return False
    with JournalView(folder.journal) as journal:
        ended = sum(tally.requests for state, tally in journal.tallies().items() if state in ENDED)
    return ended < PlanFile(folder.plan).head.requests
