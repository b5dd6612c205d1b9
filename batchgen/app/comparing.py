"""A manifest held against a batch: what is new, done or dropped, and whether the frozen plan is still the manifest's.

Nothing is sent and nothing written. Memory does not grow with the plans.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app.earlier import EarlierBatches, remarks
from batchgen.app.folder import BatchFolder
from batchgen.app.freezing import origin
from batchgen.app.opening import OpenedBatch
from batchgen.app.preview import read_for
from batchgen.app.settings import Settings
from batchgen.budget import Account
from batchgen.errors import UsageError
from batchgen.explanation import Explained, Standing, nearer, submits, why, why_new
from batchgen.manifest import Manifest
from batchgen.model import InDoubt, PlanHead, Request, RequestKey, cost_of
from batchgen.planning import Plan


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
    in_doubt: InDoubt  #: what a run does with requests in doubt
    amounts: Mapping[Standing, Amount]  #: of all; every standing is there
    shown: Sequence[Explained]  #: the first few of each, in plan order
    account: Account  #: what runs have spent, of what may be spent
    costly: tuple[str, ...] = ()  #: warnings of what a run would say however quiet

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and most likely not meant."""
        return (*self.costly, *self.manifest.warnings)

    @property
    def to_pay(self) -> int:
        """Images that a run would submit."""
        return sum(amount.samples for where, amount in self.amounts.items() if submits(where, self.in_doubt))


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
    in_doubt = settings.in_doubt or read_in.in_doubt
    with OpenedBatch(folder, read_in, settings) as batch:
        count = _Explaining(batch, price=read_in.price_per_image, show=show)
        for request, where, _ in batch.standings(batch.entries()):
            count.add(request, where)
        shown, account = count.shown(in_doubt), batch.account()
    return Explanation(
        manifest=read_in,
        out=folder.root,
        begun=batch.begun,
        in_doubt=in_doubt,
        amounts=count.amounts,
        shown=shown,
        account=account,
        costly=tuple(remarks(settings.against, itself=folder)) if settings.only_new else (),
    )


class _Explaining:
    def __init__(self, batch: OpenedBatch, *, price: float | None, show: int) -> None:
        self._batch = batch
        self._price = price
        self._show = show
        self.amounts = {standing: Amount(cost=cost_of(0, price)) for standing in Standing}
        self._shown: list[tuple[Request, Standing]] = []

    def add(self, request: Request, where: Standing) -> None:
        if self.amounts[where].requests < self._show:
            self._shown.append((request, where))
        self.amounts[where] = self.amounts[where].plus(request, self._price)

    def shown(self, in_doubt: InDoubt) -> list[Explained]:
        records = self._batch.records([request for request, _ in self._shown])
        nearest = self._nearest([request for request, _ in self._shown if request.key not in records])

        def reason(request: Request) -> str:
            if (record := records.get(request.key)) is not None:
                return why(request, record, running=self._batch.running, in_doubt=in_doubt)
            if (other := self._batch.batch_with(request.key)) is not None:
                return f"in the batch {other}"
            return why_new(request, nearest.get(request.key)) if self._batch.begun else "there is no batch yet"

        return [Explained(request=request, standing=where, why=reason(request)) for request, where in self._shown]

    def _nearest(self, requests: Sequence[Request]) -> Mapping[RequestKey, Request]:
        """Of the batch's requests with the same prompt the one that is most like each, if there is any."""
        of_prompt: dict[str, list[Request]] = {}
        for request in requests:
            of_prompt.setdefault(request.prompt, []).append(request)
        found: dict[RequestKey, Request] = {}
        for other in self._batch.plan.of_prompts(of_prompt) if of_prompt and self._batch.plan else ():
            for request in of_prompt[other.prompt]:
                found[request.key] = nearer(request, found.get(request.key), other)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A manifest held against the batch in a folder: what it would cost to run it there."""

    manifest: Manifest
    against: Path  #: the batch folder
    new: Amount  #: not in that batch
    kept: Amount  #: in both
    dropped: Amount  #: in that batch alone
    to_pay: Amount  #: what a run into that folder would submit; of the dropped ones too, what it submits again
    dropped_paid: int  #: requests of the dropped ones that were paid for, or may have been; they stay in the batch
    account: Account  #: what runs into that folder have spent, of what may be spent


def against(manifest: Path | str, batch: Path | str, *, settings: Settings | None = None) -> Comparison:
    """What running the manifest into the folder *batch* would cost, and what is different.

    Raises:
        UsageError: the manifest cannot be read, or the folder holds no batch.
        ManifestError: every problem found in it.
        StorageFailed: the batch cannot be read.
    """
    settings = settings or Settings()
    read_in, folder = read_for(manifest, batch, settings)
    price, in_doubt = read_in.price_per_image, settings.in_doubt or read_in.in_doubt
    nothing = Amount(cost=cost_of(0, price))
    new = kept = to_pay = nothing
    dropped_paid = 0
    with OpenedBatch(folder, read_in, settings) as there, SpillingFirsts() as known:
        if not there.begun:
            raise _nothing_in(folder)
        for key in there.plan.keys() if there.plan else ():  # it is no mapping
            known.meet(key, "")
        for request, where, has_lived in there.standings(there.requests()):
            if request.kept:
                dropped_paid += 1
            elif known.find(request.key) is not None or (has_lived and there.plan is None):
                kept = kept.plus(request, price)
            else:
                new = new.plus(request, price)
            if submits(where, in_doubt):
                to_pay = to_pay.plus(request, price)
        account = there.account()
    return Comparison(
        manifest=read_in,
        against=folder.root,
        new=new,
        kept=kept,
        dropped=nothing if there.plan is None else _rest(there.plan.head, kept, price),
        to_pay=to_pay,
        dropped_paid=dropped_paid,
        account=account,
    )


def _rest(head: PlanHead, kept: Amount, price: float | None) -> Amount:
    samples = head.samples - kept.samples
    cost = None if price is None else price * samples
    return Amount(requests=head.requests - kept.requests, samples=samples, cost=cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What has become different between a manifest and the frozen plan that was made from it."""

    manifest: Manifest
    out: Path  #: the batch folder
    requests: int  #: in the frozen plan, without those kept from earlier manifests
    new: int = 0  #: requests of the manifest that the frozen plan does not have
    gone: int = 0  #: requests of the frozen plan that the manifest does not ask for
    renamed: int = 0  #: requests of both that have other tags, labels or splits, or another way of delivery
    files: Mapping[str, str] = field(default_factory=dict)  #: the manifest and its includes: changed, added or gone

    def __bool__(self) -> bool:
        """Whether anything is different; files that changed and still ask for the same do not count."""
        return bool(self.new or self.gone or self.renamed)


def drift(manifest: Path | str, *, out: Path | str | None = None, settings: Settings | None = None) -> Drift:
    """Hold a manifest, with the files it includes, against the frozen plan in its batch folder.

    Requests are compared by their keys, tags, labels, splits and delivery parameters, whatever their order.

    Raises:
        UsageError: the manifest cannot be read, or the folder holds no frozen plan.
        ManifestError: every problem found in it.
        StorageFailed: the frozen plan cannot be read.
    """
    settings = settings or Settings()
    read_in, folder = read_for(manifest, out, settings)
    others = EarlierBatches(settings.against if settings.only_new else (), itself=folder)
    old, called = _frozen(folder), partial(_names, of_image=frozenset(read_in.profile.image_parameters))
    requests = new = same = renamed = 0
    with others, SpillingFirsts() as known:
        for request in old:
            if not request.kept and request.replaces is None:
                known.meet(request.key, called(request))
                requests += 1
        others.read(own=old.keys())
        for request in Plan(read_in, limit=settings.limit, firsts=SpillingFirsts, elsewhere=others.batch_with):
            if request.kept or request.replaces is not None:  # the manifest is a frozen plan itself
                continue
            names = known.find(request.key)
            new += names is None
            same += names is not None
            renamed += names not in (None, called(request))
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
        raise _nothing_in(folder)
    return PlanFile(folder.plan)


def _nothing_in(folder: BatchFolder) -> UsageError:
    return UsageError(f"{folder.root} holds no frozen plan. Name a batch folder, or run the manifest first.")


def _names(request: Request, of_image: frozenset[str]) -> str:
    """Digest of all that is not in a request's key: tags, labels, split, and parameters that change no image.

    Label names count without regard to case.
    """
    labels = {name.lower(): value for name, value in request.labels.items()}
    delivery = {name: value for name, value in request.params.items() if name not in of_image}
    called = [request.batch_id, request.file_prefix, request.split, labels, delivery]
    return hashlib.sha256(json.dumps(called, sort_keys=True).encode()).hexdigest()[:32]


def _changed_files(manifest: Manifest, head: PlanHead) -> dict[str, str]:
    """Which of the files that a plan was made from are different now, and how."""
    made_from = origin(manifest, fingerprint="")
    then = {head.manifest: head.manifest_sha256, **head.includes} if head.manifest else {}
    now = {made_from.manifest: made_from.manifest_sha256, **made_from.includes}
    if head.manifest and head.manifest != made_from.manifest:  # the same file by another name, most likely
        then[made_from.manifest] = then.pop(head.manifest)
    changed = {name: "changed" for name in then if name in now and now[name] != then[name]}
    added = {name: "added" for name in now if name not in then} if then else {}
    return changed | added | {name: "gone" for name in then if name not in now}
