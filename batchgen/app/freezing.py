"""The frozen plan of a batch: made, kept, and made anew for a changed manifest, without losing what was paid for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from batchgen.adapters.file_store import write_atomically
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile, freeze
from batchgen.app.folder import BatchFolder
from batchgen.app.settings import Settings, fingerprint
from batchgen.errors import StorageFailed, UsageError
from batchgen.lifecycle import OPEN, Record, State
from batchgen.manifest import Manifest
from batchgen.model import FailureKind, Request
from batchgen.planning import Plan

_LOOKED_UP_AT_ONCE = 1_000
#: Failures of requests that were paid for, or may have been.
_PAID = (FailureKind.JOB_LOST, FailureKind.RESULT_LOST, FailureKind.ANSWER_LOST)


def frozen_plan(manifest: Manifest, settings: Settings, folder: BatchFolder, *, go_on: Callable[[], None]) -> PlanFile:
    """The batch's plan on disk: as it is, if nothing changed, else made anew with what was paid for kept.

    Args:
        go_on: called for every request; raises to end the work.

    Raises:
        UsageError: the folder holds a batch that was asked of somebody else.
        StorageFailed: something was paid for of which neither the old plan nor the manifest knows.
    """
    made_from, endpoint = fingerprint(manifest, settings), manifest.profile.endpoint
    old = None
    if folder.plan.is_file():
        with contextlib.suppress(StorageFailed):
            old = PlanFile(folder.plan)
    if old is not None and old.head.endpoint != endpoint:
        raise UsageError(
            f"{folder.root} holds a batch of {old.head.endpoint}, not of {endpoint}. Nothing was sent; "
            "name another folder with --batch-id or --out, or the profile that the batch was begun with."
        )
    if old is None or old.head.fingerprint != made_from:
        kept = _kept(old, folder) if old is not None else ()
        plan = Plan(manifest, limit=settings.limit, kept=kept)
        freeze(_watched(plan, go_on), folder.new_plan, fingerprint=made_from, endpoint=endpoint)
        if old is None:
            _refuse_to_forget(PlanFile(folder.new_plan), folder)
        folder.new_plan.replace(folder.plan)
        write_atomically(folder.manifest(manifest.path.suffix), manifest.path.read_bytes())
    return PlanFile(folder.plan)


def _watched(requests: Iterable[Request], go_on: Callable[[], None]) -> Iterator[Request]:
    for request in requests:
        go_on()
        yield request


def _kept(old: PlanFile, folder: BatchFolder) -> Iterator[Request]:
    """Requests of the earlier plan at which something was paid for, or may have been."""
    requests = iter(old)
    with JournalView(folder.journal) as journal:
        while some := list(islice(requests, _LOOKED_UP_AT_ONCE)):
            records = journal.records([request.key for request in some])
            yield from (request for request in some if _was_paid_for(records.get(request.key)))


def _was_paid_for(record: Record | None) -> bool:
    if record is None or record.state is State.PLANNED:
        return False
    return record.state is not State.FAILED or (record.failure is not None and record.failure.kind in _PAID)


def _refuse_to_forget(new: PlanFile, folder: BatchFolder) -> None:
    """Without the old plan, only the manifest can say what the journal's requests were."""
    with JournalView(folder.journal) as journal:
        paid = set(journal.keys(OPEN | {State.STORED}))
    if paid and (unknown := paid.difference(new.keys())):
        folder.new_plan.unlink()
        raise StorageFailed(
            f"{folder.plan} is missing or damaged, and the manifest does not ask for {len(unknown)} requests "
            f"that were submitted. Nothing was sent; put that file back, or run the manifest as it was: "
            f"{folder.manifest('.*')} is a copy of the last one."
        )
