"""A manifest held against a batch: what is new, done or dropped, and whether the frozen plan is still the manifest's.

Nothing is sent and nothing written. Memory does not grow with the plans.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from batchgen.adapters.folder_lock import is_held
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app.folder import BatchFolder
from batchgen.app.freezing import must_be_of, planned
from batchgen.app.preview import read_for
from batchgen.app.settings import Settings
from batchgen.errors import UsageError
from batchgen.explanation import Explained, Standing, standing, why, why_new
from batchgen.lifecycle import Record, State
from batchgen.manifest import Manifest
from batchgen.model import PlanHead, Request, RequestKey, cost_of
from batchgen.planning import Plan

_LOOKED_UP_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """So many requests, and what they come to."""

    requests: int = 0
    samples: int = 0  #: images
    cost: float | None = None  #: in the account's currency; None if no price is known

    def plus(self, request: Request, price: float | None) -> Amount:
        """With one request more."""
        samples = self.samples + request.samples
        return Amount(requests=self.requests + 1, samples=samples, cost=cost_of(samples, price))


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where each request of a plan stands in the batch it would run into."""

    manifest: Manifest
    out: Path  #: the batch folder
    begun: bool  #: whether it holds a batch
    amounts: Mapping[Standing, Amount]  #: of all; every standing is there
    shown: Sequence[Explained]  #: the first few of each, in plan order


def explain(
    manifest: Path | str, *, out: Path | str | None = None, settings: Settings | None = None, show: int = 5
) -> Explanation:
    """Say of each request whether it is new, done, failed, in doubt or under way, and why.

    Args:
        manifest: a YAML, CSV or TSV file, or a frozen plan.
        out: the batch folder; default `outputs/<batch_id>`.
        settings: what to say over the manifest.
        show: requests of each standing that are explained one by one; all are counted.

    Raises:
        UsageError: the file cannot be read.
        ManifestError: every problem found in it.
        StorageFailed: the batch folder cannot be read.
    """
    settings = settings or Settings()
    read_in, folder = read_for(manifest, out, settings)
    with _Batch(folder) as batch:
        must_be_of(batch.plan, read_in.profile.endpoint, folder)
        count = _Explaining(batch, price=read_in.price_per_image, show=show)
        for some in _several(planned(read_in, settings, batch.plan, folder)):
            count.add(some)
        shown = count.shown()
    return Explanation(
        manifest=read_in, out=folder.root, begun=batch.plan is not None, amounts=count.amounts, shown=shown
    )


class _Batch(contextlib.AbstractContextManager["_Batch"]):
    """What a folder knows of its batch; nothing, if there is none."""

    def __init__(self, folder: BatchFolder) -> None:
        self.plan = PlanFile(folder.plan) if folder.plan.is_file() else None
        self.running = is_held(folder.root) if folder.root.is_dir() else False
        self._journal = JournalView(folder.journal) if folder.journal.is_file() else None

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.__exit__()

    def states(self, requests: Sequence[Request]) -> Sequence[State | None]:
        """Of each request; None if the journal knows nothing of it."""
        known = self._journal.states([request.key for request in requests]) if self._journal else {}
        return [known.get(request.key) for request in requests]

    def records(self, requests: Sequence[Request]) -> Mapping[RequestKey, Record]:
        """Of those requests that the journal knows."""
        return self._journal.records([request.key for request in requests]) if self._journal else {}

    def paid(self) -> int:
        """Requests that were paid for, or may have been, and have not failed."""
        tallies = self._journal.tallies() if self._journal else {}
        return sum(tally.requests for state, tally in tallies.items() if _is_paid(state))


def _is_paid(state: State | None) -> bool:
    return state not in (None, State.PLANNED, State.FAILED)


def _several(requests: Iterable[Request]) -> Iterator[list[Request]]:
    stream = iter(requests)
    while some := list(islice(stream, _LOOKED_UP_AT_ONCE)):
        yield some


class _Explaining:
    def __init__(self, batch: _Batch, *, price: float | None, show: int) -> None:
        self._batch = batch
        self._price = price
        self._show = show
        self.amounts = {standing: Amount(cost=cost_of(0, price)) for standing in Standing}
        self._shown: list[tuple[Request, Standing]] = []

    def add(self, requests: Sequence[Request]) -> None:
        for request, state in zip(requests, self._batch.states(requests), strict=True):
            where = standing(state, running=self._batch.running)
            if self.amounts[where].requests < self._show:
                self._shown.append((request, where))
            self.amounts[where] = self.amounts[where].plus(request, self._price)

    def shown(self) -> list[Explained]:
        records = self._batch.records([request for request, _ in self._shown])
        alike = self._alike({request.prompt for request, _ in self._shown if request.key not in records})
        return [
            Explained(request=request, standing=where, why=self._why(request, records.get(request.key), alike))
            for request, where in self._shown
        ]

    def _why(self, request: Request, record: Record | None, alike: Mapping[str, Sequence[Request]]) -> str:
        if record is not None:
            return why(request, record, running=self._batch.running)
        if self._batch.plan is None:
            return "there is no batch yet"
        return why_new(request, alike.get(request.prompt, ()))

    def _alike(self, prompts: set[str]) -> Mapping[str, Sequence[Request]]:
        """The batch's requests with those prompts."""
        found: dict[str, list[Request]] = {}
        for request in self._batch.plan.of_prompts(prompts) if prompts and self._batch.plan else ():
            found.setdefault(request.prompt, []).append(request)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A manifest held against the batch in a folder: what it would cost to run it there."""

    manifest: Manifest
    against: Path  #: the batch folder
    new: Amount  #: not in that batch
    kept: Amount  #: in both
    dropped: Amount  #: in that batch alone
    to_pay: Amount  #: of the new and the kept ones, those that a run into that folder would submit
    dropped_paid: int  #: requests of the dropped ones that were paid for; they stay in the batch


def against(manifest: Path | str, batch: Path | str, *, settings: Settings | None = None) -> Comparison:
    """What running the manifest into the folder *batch* would cost, and what is different.

    Raises:
        UsageError: the manifest cannot be read, or the folder holds no batch.
        ManifestError: every problem found in it.
        StorageFailed: the batch cannot be read.
    """
    settings = settings or Settings()
    read_in, folder = read_for(manifest, batch, settings)
    old = _frozen(folder)
    price = read_in.price_per_image
    nothing = Amount(cost=cost_of(0, price))
    new = kept = to_pay = nothing
    paid = 0
    with _Batch(folder) as there, SpillingFirsts() as known:
        for key in old.keys():  # noqa: SIM118  # it is no mapping
            known.meet(key, "")
        for some in _several(Plan(read_in, limit=settings.limit, firsts=SpillingFirsts)):
            for request, state in zip(some, there.states(some), strict=True):
                if known.find(request.key) is None:
                    new = new.plus(request, price)
                else:
                    kept = kept.plus(request, price)
                paid += _is_paid(state)
                if standing(state, running=there.running) is Standing.NEW:
                    to_pay = to_pay.plus(request, price)
        dropped_paid = max(0, there.paid() - paid)
    samples = old.head.samples - kept.samples
    dropped = Amount(requests=old.head.requests - kept.requests, samples=samples, cost=cost_of(samples, price))
    return Comparison(
        manifest=read_in,
        against=folder.root,
        new=new,
        kept=kept,
        dropped=dropped,
        to_pay=to_pay,
        dropped_paid=dropped_paid,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What has become different between a manifest and the frozen plan that was made from it."""

    manifest: Manifest
    out: Path  #: the batch folder
    requests: int  #: in the frozen plan, without those kept from earlier manifests
    new: int = 0  #: requests of the manifest that the frozen plan does not have
    gone: int = 0  #: requests of the frozen plan that the manifest does not ask for
    renamed: int = 0  #: requests of both that have other tags, labels or splits
    files: Mapping[str, str] = field(default_factory=dict)  #: the manifest and its includes: changed, added or gone

    def __bool__(self) -> bool:
        """Whether anything is different; files that changed and still ask for the same do not count."""
        return bool(self.new or self.gone or self.renamed)


def drift(manifest: Path | str, *, out: Path | str | None = None, settings: Settings | None = None) -> Drift:
    """Hold a manifest, with the files it includes, against the frozen plan in its batch folder.

    Requests are compared by their keys, tags, labels and splits, whatever their order.

    Raises:
        UsageError: the manifest cannot be read, or the folder holds no frozen plan.
        ManifestError: every problem found in it.
        StorageFailed: the frozen plan cannot be read.
    """
    settings = settings or Settings()
    read_in, folder = read_for(manifest, out, settings)
    old = _frozen(folder)
    requests = new = same = renamed = 0
    with SpillingFirsts() as known:
        for request in old:
            if not request.kept:
                known.meet(request.key, _names(request))
                requests += 1
        for request in Plan(read_in, limit=settings.limit, firsts=SpillingFirsts):
            names = known.find(request.key)
            new += names is None
            same += names is not None
            renamed += names not in (None, _names(request))
    return Drift(
        manifest=read_in,
        out=folder.root,
        requests=requests,
        new=new,
        gone=requests - same,
        renamed=renamed,
        files=_changed_files(read_in, old.head),
    )


def _frozen(folder: BatchFolder) -> PlanFile:
    if not folder.plan.is_file():
        raise UsageError(f"{folder.root} holds no frozen plan. Name a batch folder, or run the manifest first.")
    return PlanFile(folder.plan)


def _names(request: Request) -> str:
    """Digest of what a request is called: tags, labels and split. Label names count without regard to case."""
    labels = {name.lower(): value for name, value in request.labels.items()}
    called = [request.batch_id, request.file_prefix, request.split, labels]
    return hashlib.sha256(json.dumps(called, sort_keys=True).encode()).hexdigest()[:32]


def _changed_files(manifest: Manifest, head: PlanHead) -> dict[str, str]:
    """Which of the files that a plan was made from are different now, and how."""
    then = {head.manifest: head.manifest_sha256, **head.includes} if head.manifest else {}
    now = {manifest.source: manifest.sha256, **manifest.includes}
    if head.manifest and head.manifest != manifest.source:  # the same file by another name, most likely
        then[manifest.source] = then.pop(head.manifest)
    changed = {name: "changed" for name in then if name in now and now[name] != then[name]}
    added = {name: "added" for name in now if name not in then} if then else {}
    return changed | added | {name: "gone" for name in then if name not in now}
