"""`status`: where a batch stands, from another shell, while a run may be working on it. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batchgen.adapters.folder_lock import is_held
from batchgen.adapters.journal import JournalView, Tally
from batchgen.adapters.plan_file import PlanFile
from batchgen.app import accounting
from batchgen.app.folder import BatchFolder
from batchgen.app.opening import KnownBatch
from batchgen.budget import Account
from batchgen.errors import BatchgenError, StillPlanning, StorageFailed, UsageError
from batchgen.lifecycle import Record, State
from batchgen.model import Request

#: Requests in doubt that are shown in full.
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A request that may have been paid for although nobody knows."""

    request: Request
    since: datetime | None  #: when its last submission was started
    reason: str
    cost: float | None  #: what it may have cost, in the account's currency; None if nobody said the price


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """Where a batch stands."""

    out: Path
    running: bool  #: whether a run holds the folder now
    runs: int
    requests: Mapping[State, int]  #: by state; those never reached count as planned
    wanted: int  #: images; those asked for in place of others count once
    stored: int  #: images
    attempts: int  #: submissions that reached the API, or may have
    account: Account  #: what all runs have spent, of what may be spent
    doubts: Sequence[Doubt]  #: the first few in doubt


def status(out: Path | str) -> BatchStatus:
    """Where the batch in a folder stands.

    Raises:
        UsageError: the folder holds no batch.
        StillPlanning: a run is making its plan.
        StorageFailed: it cannot be read.
    """
    folder = BatchFolder(Path(out))
    if not folder.plan.is_file() and is_held(folder.root):
        raise StillPlanning(folder.root)
    with KnownBatch(folder) as batch:
        journal, running = batch.journal, batch.running
        if not folder.plan.is_file():
            raise _without_plan(folder, journal.tallies())
        plan = PlanFile(folder.plan)
        tallies = journal.tallies()
        doubtful = dict(journal.in_state(State.IN_DOUBT, at_most=_SHOWN))
        if not running:  # what a run was about to hear when it ended is in doubt, too
            doubtful |= journal.in_state(State.SUBMITTING, at_most=_SHOWN - len(doubtful))
        runs = len(journal.runs())
        account = Account(
            budget=accounting.budget(journal),
            price_per_image=accounting.price_per_image(journal),
            spending=accounting.spending(tallies, running=running),
        )
        dropped = _dropped(plan, journal)
    requests = {state: tally.requests - dropped.get(state, 0) for state, tally in tallies.items()}
    if not running:
        requests[State.IN_DOUBT] = requests.get(State.IN_DOUBT, 0) + requests.pop(State.SUBMITTING, 0)
    unreached = plan.head.requests - sum(requests.values())
    requests[State.PLANNED] = requests.get(State.PLANNED, 0) + max(0, unreached)
    wanted_doubts = [request for request in plan if request.key in doubtful] if doubtful else []
    return BatchStatus(
        out=folder.root,
        running=running,
        runs=runs,
        requests={state: requests.get(state, 0) for state in State},
        wanted=plan.head.wanted,
        stored=sum(tally.images for tally in tallies.values()),
        attempts=sum(tally.attempts for tally in tallies.values()),
        account=account,
        doubts=[_doubt(request, doubtful[request.key], account) for request in wanted_doubts],
    )


def _without_plan(folder: BatchFolder, tallies: Mapping[State, Tally]) -> BatchgenError:
    known, images = sum(tally.requests for tally in tallies.values()), sum(tally.images for tally in tallies.values())
    if not known:
        return UsageError(f"{folder.root} has no plan yet: no run has got past planning. Run the manifest.")
    return StorageFailed(
        f"The frozen plan {folder.plan} is missing. The journal knows {known:,} requests and {images:,} stored images. "
        "Run the manifest again: it makes the plan anew, and pays for nothing twice."
    )


def _dropped(plan: PlanFile, journal: JournalView) -> dict[State, int]:
    """How many requests of each state the plan no longer asks for: those that failed or were never taken."""
    found = {state: set(journal.keys(frozenset({state}))) for state in (State.FAILED, State.PLANNED)}
    if any(found.values()):
        for key in plan.keys():  # noqa: SIM118  # it is no mapping
            for keys in found.values():
                keys.discard(key)
    return {state: len(keys) for state, keys in found.items()}


def _doubt(request: Request, record: Record, account: Account) -> Doubt:
    since = None if record.submitted_at is None else moment(record.submitted_at)
    reason = record.failure.message if record.failure else "the run ended before the API's answer came"
    return Doubt(request=request, since=since, reason=reason, cost=account.cost(request.samples))


def moment(seconds: float) -> datetime:
    """Seconds since the epoch -> time of day, UTC."""
    return datetime.fromtimestamp(seconds, UTC)
