"""`check`: whether journal, plan, index and files of a batch agree; `--repair` mends what can be mended for nothing."""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from batchgen.adapters import stored_files
from batchgen.adapters.clock import SystemClock
from batchgen.adapters.folder_lock import FolderLock, is_held
from batchgen.adapters.journal import JournalView, SQLiteJournal
from batchgen.adapters.plan_file import PlanFile
from batchgen.app import indexing
from batchgen.app.accounting import price_per_image
from batchgen.app.folder import BatchFolder
from batchgen.app.running import new_run_id
from batchgen.app.wholeness import forgotten
from batchgen.errors import FolderBusy, StorageFailed
from batchgen.lifecycle import OPEN, Record, State
from batchgen.model import RequestKey, StoredImage, cost_of
from batchgen.soundness import Flaw, FlawKind, Remedy, judge_image, loss

#: Images that are read at once.
_READERS = 4
#: Requests whose images are on their way through the readers.
_AT_ONCE = 500
#: States of requests that were paid for, or may have been.
_PAID = OPEN | {State.STORED}

#: Told how many images were checked, and how many there are.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found."""

    out: Path
    images: int  #: on disk as the journal says, rejected ones too; all of them were read
    flaws: tuple[Flaw, ...]  #: what is wrong, or still wrong after a repair
    mended: tuple[Flaw, ...] = ()  #: what a repair has put right
    reopened: tuple[Flaw, ...] = ()  #: images that the next run downloads again, for nothing
    at_stake: float | None = None  #: what making those anew would cost, should the API not have them; None: unknown

    @property
    def exit_code(self) -> int:
        """What `batchgen check` ends with: 0 sound, 3 something is wrong, 6 a run has to download again."""
        if self.flaws:
            return 3
        return 6 if self.reopened else 0


@dataclass(slots=True)
class _Found:
    """What is learnt on the way."""

    flaws: list[Flaw] = field(default_factory=list)
    names: array[int] = field(default_factory=lambda: array("q"))  #: hashes of the names of stored images
    images: int = 0
    paid: int = 0  #: requests at which something was paid for, or may have been

    def add(self, kind: FlawKind, where: str, words: str) -> None:
        self.flaws.append(Flaw(kind=kind, where=where, words=words))


def check(out: Path | str, *, repair: bool = False, progress: Progress | None = None) -> CheckReport:
    """Hold everything in a batch folder against everything else, to the last byte of each image.

    Args:
        out: the batch folder.
        repair: mend what can be mended without paying; nothing is deleted but temporary files.
        progress: told now and then how far it has got.

    Raises:
        UsageError: the folder holds no batch.
        StorageFailed: the journal cannot be read, or the disk does not take a repair.
        FolderBusy: a run is working in the folder.
    """
    folder = BatchFolder(Path(out))
    with JournalView(folder.journal):
        pass  # before anything is locked: a folder without a batch is left as it is
    if not repair and is_held(folder.root):
        raise FolderBusy(folder.root)
    with FolderLock(folder.root) if repair else nullcontext():
        found = _survey(folder, progress or (lambda done, wanted: None))
        behind = any(flaw.kind is FlawKind.EVENTS_FORGOTTEN for flaw in found.flaws)
        if not repair or behind:  # nothing is made anew from a journal that has forgotten
            return CheckReport(out=folder.root, images=found.images, flaws=tuple(found.flaws))
        return _repaired(folder, found)


def _survey(folder: BatchFolder, progress: Progress) -> _Found:
    found = _Found()
    with JournalView(folder.journal) as journal, ThreadPoolExecutor(_READERS, thread_name_prefix="check") as readers:
        if (what := forgotten(folder, journal)) is not None:
            found.add(
                FlawKind.EVENTS_FORGOTTEN, folder.journal.relative_to(folder.root).as_posix(), f"does not know {what}"
            )
        wanted = sum(tally.images for tally in journal.tallies().values())
        records = _records(journal, found)
        while some := list(islice(records, _AT_ONCE)):
            images = [(key, image) for key, record in some for image in record.images]
            verdicts = readers.map(lambda one: _judge(folder.root, *one), images)
            found.flaws += [verdict for verdict in verdicts if verdict is not None]
            found.names.extend(hash(image.file_name) for _, image in images)
            found.images += len(images)
            progress(found.images, max(found.images, wanted))
    _look_for_strangers(folder, found)
    _look_at_plan_and_index(folder, found)
    return found


def _judge(root: Path, key: RequestKey, stored: StoredImage) -> Flaw | None:
    measured = stored_files.measured(root, stored.file_name, expected_bytes=stored.image.bytes)
    return judge_image(key, stored, measured)


def _records(journal: JournalView, found: _Found) -> Iterator[tuple[RequestKey, Record]]:
    for key, kept, recounted in journal.recounted():
        if kept != recounted:
            found.add(FlawKind.RECORD_WRONG, key, "is not what the events of the request add up to")
        found.paid += recounted.state in _PAID
        yield key, recounted


def _look_for_strangers(folder: BatchFolder, found: _Found) -> None:
    import numpy as np

    known = np.sort(np.frombuffer(found.names, dtype=np.int64))
    for name in stored_files.image_files(folder.root):
        at = int(np.searchsorted(known, hash(name)))
        if at == len(known) or known[at] != hash(name):
            found.add(FlawKind.IMAGE_UNKNOWN, name, "is not of any request that the journal knows")
    for name in stored_files.temporary_files(folder.root):
        found.add(FlawKind.TEMPORARY_FILE, name, "was left behind by a run that was killed")


def _look_at_plan_and_index(folder: BatchFolder, found: _Found) -> None:
    plan = _usable_plan(folder, found)
    if plan is None:
        return
    for key in _unplanned(folder, plan, found.paid):
        found.add(FlawKind.REQUEST_UNPLANNED, key, "was paid for, or may have been, and is not in the frozen plan")
    name = folder.index.name
    if not folder.index.is_file():
        found.add(FlawKind.INDEX_OUTDATED, name, "is not there")
    elif not indexing.is_true(folder, plan):
        found.add(FlawKind.INDEX_OUTDATED, name, "is not what the plan and the journal amount to")
    for lacking in indexing.lacking(folder):
        found.add(FlawKind.CARD_MISSING, lacking, "is not there")


def _unplanned(folder: BatchFolder, plan: PlanFile, paid: int) -> list[RequestKey]:
    """Requests that were paid for and are not in the plan; held in memory only if there are any."""
    with JournalView(folder.journal) as journal:
        keys, planned = iter(plan.keys()), 0
        while some := list(islice(keys, 5_000)):
            planned += sum(state in _PAID for state in journal.states(some).values())
        if planned == paid:
            return []
        return sorted(set(journal.keys(_PAID)).difference(plan.keys()))


def _usable_plan(folder: BatchFolder, found: _Found) -> PlanFile | None:
    name = folder.plan.relative_to(folder.root).as_posix()
    if not folder.plan.is_file():
        found.add(FlawKind.PLAN_UNUSABLE, name, "is not there")
        return None
    try:
        plan = PlanFile(folder.plan)
        whole = _is_whole(plan)
    except StorageFailed:
        whole = False
    if not whole:
        found.add(FlawKind.PLAN_UNUSABLE, name, "is damaged")
        return None
    return plan


def _is_whole(plan: PlanFile) -> bool:
    requests, keys = 0, hashlib.sha256()
    for request in plan:
        requests += 1
        keys.update(request.key.encode() + b"\n")
    return (requests, keys.hexdigest()) == (plan.head.requests, plan.head.keys_sha256)


def _price(folder: BatchFolder, keys: Collection[RequestKey]) -> float | None:
    """What submitting those requests again would cost; None if nobody said the price of an image."""
    with JournalView(folder.journal) as journal:
        price = price_per_image(journal)
    return cost_of(sum(request.samples for request in PlanFile(folder.plan) if request.key in keys), price)


def _repaired(folder: BatchFolder, found: _Found) -> CheckReport:
    """Mend what has a remedy here; what has none stays found."""
    mended = tuple(flaw for flaw in found.flaws if flaw.remedy is Remedy.REPAIR)
    reopened = asyncio.run(_mend_journal(folder, found.flaws))
    for flaw in mended:
        if flaw.kind is FlawKind.TEMPORARY_FILE:
            stored_files.remove(folder.root / flaw.where)
    left = tuple(flaw for flaw in found.flaws if flaw not in mended and flaw not in reopened)
    planned = all(flaw.kind is not FlawKind.PLAN_UNUSABLE for flaw in left)
    if planned:
        indexing.rebuild(folder, PlanFile(folder.plan))
    asked_again = {flaw.request_key for flaw in reopened if flaw.request_key is not None}
    return CheckReport(
        out=folder.root,
        images=found.images,
        flaws=left,
        mended=mended,
        reopened=reopened,
        at_stake=_price(folder, asked_again) if planned else None,
    )


async def _mend_journal(folder: BatchFolder, flaws: Iterable[Flaw]) -> tuple[Flaw, ...]:
    """Put damaged records right, and note which images are lost; gives those, which the next run downloads."""
    lost: dict[RequestKey, list[Flaw]] = defaultdict(list)
    for flaw in flaws:
        if flaw.remedy is Remedy.DOWNLOAD and flaw.request_key is not None:
            lost[flaw.request_key].append(flaw)
    reopened: list[Flaw] = []
    async with SQLiteJournal.open(folder.journal, run_id=new_run_id(), clock=SystemClock().now) as journal:
        if any(flaw.kind is FlawKind.RECORD_WRONG for flaw in flaws):
            with JournalView(folder.journal) as view:
                wrong = [(key, recounted) for key, kept, recounted in view.recounted() if kept != recounted]
            for key, record in wrong:
                journal.restore(key, record)
        for key, images in lost.items():
            record = journal.records([key])[key]
            if record.state is not State.STORED:
                continue  # an image that an earlier repair left, of a request that is under way again
            for flaw in images:
                if flaw.kind is FlawKind.IMAGE_DAMAGED:
                    stored_files.set_aside(folder.root, flaw.where)
            await journal.record(key, loss(record, [one.sample for one in images if one.sample is not None]))
            reopened += images
    return tuple(reopened)
