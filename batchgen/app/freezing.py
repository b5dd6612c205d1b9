"""The frozen plan of a batch: made, kept, and made anew for a changed manifest, without losing what was paid for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from batchgen.adapters.file_store import copy_atomically
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile, freeze
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app.folder import BatchFolder
from batchgen.app.settings import Settings, fingerprint
from batchgen.errors import StorageFailed, UsageError
from batchgen.lifecycle import OPEN, Record, State
from batchgen.manifest import Manifest
from batchgen.model import FailureKind, PlanHead, Request
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
    made_from = fingerprint(manifest, settings)
    old = None
    if folder.plan.is_file():
        with contextlib.suppress(StorageFailed):
            old = PlanFile(folder.plan)
    must_be_of(old, manifest.profile.endpoint, folder)
    if old is not None and _is_its_own(manifest, settings, folder):
        return old
    if old is None or old.head.fingerprint != made_from:
        plan = planned(manifest, settings, old, folder)
        freeze(_watched(plan, go_on), folder.new_plan, origin(manifest, fingerprint=made_from))
        if old is None:
            _refuse_to_forget(PlanFile(folder.new_plan), folder)
        folder.new_plan.replace(folder.plan)
        if not _is_in(folder, manifest.path):
            copy_atomically(folder.manifest(manifest.path.suffix), manifest.path)
    return PlanFile(folder.plan)


def must_be_of(old: PlanFile | None, endpoint: str, folder: BatchFolder) -> None:
    """
    Raises:
        UsageError: the folder holds a batch that was asked of another endpoint.
    """
    if old is not None and old.head.endpoint != endpoint:
        raise UsageError(
            f"{folder.root} holds a batch of {old.head.endpoint}, not of {endpoint}. Nothing was sent; "
            "name another folder with --batch-id or --out, or the profile that the batch was begun with."
        )


def planned(manifest: Manifest, settings: Settings, old: PlanFile | None, folder: BatchFolder) -> Plan:
    """What a run into the folder would ask for: the manifest's requests, and what was paid for of the *old* plan."""
    kept = _kept(old, folder) if old is not None else ()
    return Plan(manifest, limit=settings.limit, kept=kept, firsts=SpillingFirsts)


def origin(manifest: Manifest, *, fingerprint: str) -> PlanHead:
    """What a frozen plan says of where it comes from: enough to run it again without the manifest."""
    return PlanHead(
        fingerprint=fingerprint,
        endpoint=manifest.profile.endpoint,
        manifest=manifest.source,
        manifest_sha256=manifest.sha256,
        label_types=manifest.label_types,
        includes=manifest.includes,
        words=manifest.words,
        batch_id=manifest.batch_id,
        profile=manifest.profile.name,
        image_parameters=manifest.profile.image_parameters,
        concurrency=manifest.concurrency,
        rate=manifest.rate,
        in_doubt=manifest.in_doubt,
        price_per_image=manifest.price_per_image,
        budget=manifest.budget,
    )


def _is_its_own(manifest: Manifest, settings: Settings, folder: BatchFolder) -> bool:
    """Whether the batch's frozen plan itself is to be run, whole and as it is."""
    if settings.limit is not None or settings.batch_id is not None or settings.file_prefix is not None:
        return False
    return manifest.path.samefile(folder.plan)


def _is_in(folder: BatchFolder, path: Path) -> bool:
    """Whether a manifest is one that the folder keeps already."""
    return path.absolute().parent.resolve() == folder.state.resolve()


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
