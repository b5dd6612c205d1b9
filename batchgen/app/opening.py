"""The batch in a folder as every command finds it: whether it is whole, may be gone on with, and what it keeps.

`status` and its disputes look at a batch here; a run, `plan --explain` and `plan --against` open it for a manifest. So
they refuse the same folders and count the same requests as paid for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Self, TypeVar

from batchgen.adapters.folder_lock import is_held
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app import accounting
from batchgen.app.earlier import EarlierBatches
from batchgen.app.folder import BatchFolder
from batchgen.app.replanning import planned_anew, several
from batchgen.app.settings import Settings
from batchgen.app.wholeness import must_have_forgotten_nothing
from batchgen.budget import NOTHING_SPENT, Account
from batchgen.errors import StorageFailed, UsageError
from batchgen.explanation import Standing, standing, submits
from batchgen.lifecycle import OPEN, Record, State, was_paid_for
from batchgen.manifest import Manifest
from batchgen.model import Request, RequestKey
from batchgen.planning import Duplicate, Elsewhere, Plan

_LOOKED_UP_AT_ONCE = 1_000
_Entry = TypeVar("_Entry")


class KnownBatch(contextlib.AbstractContextManager["KnownBatch"]):
    """What a folder knows of its batch; nothing, if none was begun there.

    Raises:
        StorageFailed: its journal is gone, or has forgotten what was paid for.
    """

    def __init__(self, folder: BatchFolder) -> None:
        must_have_its_journal(folder)
        self._folder = folder
        self.plan = _plan_in(folder)  #: None if there is none, or it is damaged
        self.running = is_held(folder.root) if folder.root.is_dir() else False
        self._journal = JournalView(folder.journal) if folder.journal.is_file() else None
        self._journal_must_be_whole()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.__exit__()

    @property
    def journal(self) -> JournalView:
        """Its journal.

        Raises:
            UsageError: there is none, since no batch was begun.
        """
        return self._journal or JournalView(self._folder.journal)

    def _journal_must_be_whole(self) -> None:
        if self._journal is None:
            return
        try:
            must_have_forgotten_nothing(self._folder, self._journal)
        except StorageFailed:
            self._journal.__exit__()
            raise


class OpenedBatch(KnownBatch):
    """The batch that a manifest is to be run into.

    Raises:
        StorageFailed: as KnownBatch.
        UsageError: it was asked of another endpoint, or its own plan would be cut short.
        Others, from `EarlierBatches`, if only new requests are wanted.
    """

    def __init__(self, folder: BatchFolder, manifest: Manifest, settings: Settings) -> None:
        super().__init__(folder)
        self._manifest, self._settings = manifest, settings
        with contextlib.ExitStack() as stack:
            stack.callback(super().__exit__)
            self._must_be_of(manifest.profile.endpoint)
            self._must_stay_whole()
            self._others = EarlierBatches(settings.against if settings.only_new else (), itself=folder)
            stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._others.__exit__()
        super().__exit__()

    @property
    def begun(self) -> bool:
        """Whether there is a batch at all."""
        return self.plan is not None or self._journal is not None

    @property
    def is_the_manifest(self) -> bool:
        """Whether the batch's own frozen plan is what is to be run."""
        return self.plan is not None and self._manifest.path.samefile(self._folder.plan)

    def requests(self) -> Iterator[Request]:
        """As `entries`, what a run would ask for alone."""
        return (entry for entry in self.entries() if isinstance(entry, Request))

    def batch_with(self, key: RequestKey) -> str | None:
        """The folder of the other batch because of which the request is left out; None if it is not."""
        return self._others.batch_with(key)

    def entries(self) -> Iterator[Request | Elsewhere]:
        """What a run would ask for: the manifest's requests, and what was paid for of the plan so far.

        In between stands what is left out because other batches have it, if only new requests are wanted.

        Raises:
            ManifestError: at the end, with every problem of the manifest's rows.
            StorageFailed: at the end; the plan is lost, and something was paid for of which the manifest knows nothing.
        """
        unknown = set(self._paid()) if self.plan is None else set()
        planned = (entry for entry in self._planned().entries() if not isinstance(entry, Duplicate))
        if unknown:
            yield from planned_anew(planned, self.records, self._manifest.profile, unknown=unknown)
        else:
            yield from planned
        if unknown:
            raise StorageFailed(
                f"{self._folder.plan} is missing or damaged, and the manifest does not ask for {len(unknown)} requests "
                f"that were submitted. Nothing was sent; put that file back, or run the manifest as it was: "
                f"{self._folder.manifest('.*')} is a copy of the last one."
            )

    def _planned(self) -> Plan:
        self._others.read(own=self._paid() if self.plan is None else (request.key for request in self._kept()))
        return Plan(
            self._manifest,
            limit=self._settings.limit,
            kept=self._kept,
            firsts=SpillingFirsts,
            elsewhere=self._others.batch_with,
        )

    def standings(self, entries: Iterable[Request | Elsewhere]) -> Iterator[tuple[Request, Standing, bool]]:
        """Each request, where it stands, and whether the journal knows it."""
        for some in several(entries):
            keys = [entry.key for entry in some if isinstance(entry, Request)]
            states = self._journal.states(keys) if self._journal else {}
            for entry in some:
                if isinstance(entry, Elsewhere):
                    yield entry.request, Standing.ELSEWHERE, False
                    continue
                state = states.get(entry.key)
                yield entry, standing(state, running=self.running), state is not None

    def account(self) -> Account:
        """What all runs have spent, of what the manifest allows."""
        spent = accounting.spending(self._journal.tallies(), running=self.running) if self._journal else NOTHING_SPENT
        return Account(budget=self._manifest.budget, price_per_image=self._manifest.price_per_image, spending=spent)

    def to_submit(self) -> int:
        """Images that a run would ask for, as long as nothing fails."""
        in_doubt = self._settings.in_doubt or self._manifest.in_doubt
        standings = self.standings(self.requests())
        return sum(request.samples for request, where, _ in standings if submits(where, in_doubt))

    def records(self, requests: Sequence[Request]) -> Mapping[RequestKey, Record]:
        """Of those requests that the journal knows."""
        return self._journal.records([request.key for request in requests]) if self._journal else {}

    def _kept(self) -> Iterator[Request]:
        """Requests of the plan so far at which something was paid for, or may have been."""
        for some in several(self.plan or ()):
            records = self.records(some)
            yield from (request for request in some if was_paid_for(records.get(request.key, Record())))

    def _paid(self) -> Iterator[RequestKey]:
        """All that the journal knows to be paid for, or possibly so."""
        if self._journal is None:
            return
        yield from self._journal.keys(OPEN | {State.STORED})
        failed = iter(self._journal.keys(frozenset({State.FAILED})))
        while some := list(islice(failed, _LOOKED_UP_AT_ONCE)):
            yield from (key for key, record in self._journal.records(some).items() if was_paid_for(record))

    def _must_be_of(self, endpoint: str) -> None:
        if self.plan is not None and self.plan.head.endpoint != endpoint:
            raise UsageError(
                f"{self._folder.root} holds a batch of {self.plan.head.endpoint}, not of {endpoint}. Nothing was sent; "
                "name another folder with --batch-id or --out, or the profile that the batch was begun with."
            )

    def _must_stay_whole(self) -> None:
        if self._settings.limit is not None and self.is_the_manifest:
            raise UsageError(
                f"{self._manifest.path} is the plan of the batch in {self._folder.root} itself, and --limit would cut "
                "it short for good. Nothing was sent; submit less with --max-images, or name another --out."
            )


def must_have_its_journal(folder: BatchFolder) -> None:
    """A batch whose journal is gone would be paid for anew, from its first request.

    Raises:
        StorageFailed: it is gone.
        UsageError: the batch was cleaned away.
    """
    if folder.cleaned.exists():
        raise UsageError(
            f"The batch in {folder.root} was cleaned away; its plan is left, so that --only-new knows what it had. "
            "Nothing was sent; name another --out, or remove that folder to have everything made, and paid for, anew."
        )
    journal = folder.journal
    gone = not journal.is_file() or journal.stat().st_size == 0
    if gone and (folder.plan.is_file() or folder.index.is_file() or _holds_images(folder)):
        raise StorageFailed(
            f"{folder.root} holds a batch, but its journal {journal} is missing or empty, and without it everything "
            "would be paid for again. Nothing was sent; put the journal back, or name another --out."
        )


def _holds_images(folder: BatchFolder) -> bool:
    with contextlib.suppress(OSError):
        return any((folder.root / "images").iterdir())
    return False


def _plan_in(folder: BatchFolder) -> PlanFile | None:
    if folder.plan.is_file():
        with contextlib.suppress(StorageFailed):
            return PlanFile(folder.plan)
    return None
