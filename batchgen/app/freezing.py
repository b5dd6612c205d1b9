"""The frozen plan of a batch: made, kept, and made anew for a changed manifest, without losing what was paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from batchgen.adapters.file_store import copy_atomically, replacing
from batchgen.adapters.plan_file import PlanFile, freeze
from batchgen.app.folder import BatchFolder
from batchgen.app.opening import OpenedBatch
from batchgen.app.settings import Settings, fingerprint
from batchgen.manifest import Manifest
from batchgen.model import PlanHead, Request
from batchgen.planning import Elsewhere


def frozen_plan(manifest: Manifest, settings: Settings, folder: BatchFolder, *, go_on: Callable[[], None]) -> PlanFile:
    """The batch's plan on disk: as it is, if nothing changed, else made anew with what was paid for kept.

    Args:
        go_on: called for every request; raises to end the work.

    Raises:
        UsageError: the folder holds a batch that was asked of somebody else.
        StorageFailed: something was paid for of which neither the old plan nor the manifest knows.
    """
    made_from = fingerprint(manifest, settings)
    with OpenedBatch(folder, manifest, settings) as batch:
        old = batch.plan
        if old is not None and (old.head.fingerprint == made_from or _is_run_as_it_is(batch, settings)):
            return old
        head = origin(manifest, fingerprint=made_from)
        if old is not None:  # words that an edit drops may come back
            head = replace(head, words={**old.head.words, **head.words})
        folder.state.mkdir(parents=True, exist_ok=True)
        with replacing(folder.plan) as part:
            freeze(_watched(batch.entries(), go_on), part, head)
    if not _is_in(folder, manifest.path):
        copy_atomically(folder.manifest(manifest.path.suffix), manifest.path)
    return PlanFile(folder.plan)


def origin(manifest: Manifest, *, fingerprint: str) -> PlanHead:
    """What a frozen plan says of where it comes from: enough to run it again without the manifest.

    One that is made from another names what that one was made from.
    """
    first = manifest.frozen if manifest.frozen is not None and manifest.frozen.manifest else None
    return PlanHead(
        fingerprint=fingerprint,
        endpoint=manifest.profile.endpoint,
        manifest=manifest.source if first is None else first.manifest,
        manifest_sha256=manifest.sha256 if first is None else first.manifest_sha256,
        label_types=manifest.label_types,
        includes=manifest.includes if first is None else first.includes,
        words=manifest.words,
        batch_id=manifest.batch_id,
        profile=manifest.profile.name,
        image_parameters=manifest.profile.image_parameters,
        concurrency=manifest.concurrency,
        rate=manifest.rate,
        in_doubt=manifest.in_doubt,
        price_per_image=manifest.price_per_image,
        checks=manifest.checks,
        provenance=manifest.provenance,
        card=manifest.card,
        budget=manifest.budget,
    )


def _is_run_as_it_is(batch: OpenedBatch, settings: Settings) -> bool:
    """Whether the batch's frozen plan itself is to be run, with the tags that it has."""
    return batch.is_the_manifest and settings.batch_id is None and settings.file_prefix is None


def _is_in(folder: BatchFolder, path: Path) -> bool:
    """Whether a manifest is one that the folder keeps already."""
    return path.absolute().parent.resolve() == folder.state.resolve()


def _watched(entries: Iterable[Request | Elsewhere], go_on: Callable[[], None]) -> Iterator[Request | Elsewhere]:
    for entry in entries:
        go_on()
        yield entry
