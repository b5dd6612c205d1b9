"""`status --disputes`: what was paid for and not delivered, or may have been, for its provider. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batchgen.adapters.plan_file import PlanFile
from batchgen.app.accounting import price_per_image
from batchgen.app.folder import BatchFolder
from batchgen.app.opening import KnownBatch
from batchgen.app.standing import moment
from batchgen.disputes import Dispute, disputes
from batchgen.model import FailureKind, Request, RequestKey, cost_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A submission worth a word with the provider."""

    request_key: RequestKey
    request: Request | None  #: None if the frozen plan is missing, or no longer asks for it
    dispute: Dispute
    price_per_image: float | None  #: in the account's currency; None if nobody said

    @property
    def submitted_at(self) -> datetime:
        """When its POST was started, UTC."""
        return moment(self.dispute.submitted_at)

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows that it was accepted."""
        return self.dispute.failure.kind is FailureKind.ANSWER_LOST

    @property
    def images(self) -> int:
        """How many were not delivered."""
        return self.dispute.missing

    @property
    def cost(self) -> float | None:
        """Of what was not delivered, in the account's currency; None if unknown."""
        return cost_of(self.images, self.price_per_image)


def disputed(out: Path | str) -> list[Disputed]:
    """Every submission that was accepted, or may have been, and did not give all its images; oldest first.

    Raises:
        UsageError: the folder holds no batch.
        StorageFailed: it cannot be read.
    """
    folder = BatchFolder(Path(out))
    with KnownBatch(folder) as batch:
        events_of = batch.journal.disputed()
        found = [(key, one) for key, events in events_of for one in disputes(events, running=batch.running)]
        price = price_per_image(batch.journal)
    keys = {key for key, _ in found}
    planned = PlanFile(folder.plan) if keys and folder.plan.is_file() else ()
    requests = {request.key: request for request in planned if request.key in keys}
    listed = [
        Disputed(request_key=key, request=requests.get(key), dispute=one, price_per_image=price) for key, one in found
    ]
    return sorted(listed, key=lambda one: one.dispute.submitted_at)
