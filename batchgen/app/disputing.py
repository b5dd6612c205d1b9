"""`status --disputes`: what was paid for and not delivered, or may have been, for its provider. Reads only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from batchgen.adapters.file_store import write_atomically
from batchgen.adapters.plan_file import PlanFile
from batchgen.app.accounting import price_per_image
from batchgen.app.as_json import DISPUTE_NAMES, dispute_json
from batchgen.app.folder import BatchFolder
from batchgen.app.opening import KnownBatch
from batchgen.app.standing import moment
from batchgen.disputes import Dispute, disputes
from batchgen.errors import StorageFailed
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


def listed(out: Path | str) -> list[dict[str, Any]]:
    """As `disputed`, in the form that machines are told; of a batch that was cleaned away what was kept of it.

    Raises: as `disputed`.
    """
    folder = BatchFolder(Path(out))
    if not folder.cleaned.is_file():
        return [dispute_json(one) for one in disputed(out)]
    try:
        kept = json.loads(folder.disputes.read_text(encoding="utf-8"))["disputes"]
        return [{name: one[name] for name in DISPUTE_NAMES} for one in kept]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageFailed(f"{folder.disputes} cannot be read: {error}. Put it back from a backup.") from error


def keep(folder: BatchFolder) -> None:
    """Keep what is disputed beside the plan of a batch that is to be cleaned away.

    Raises: as `disputed`; StorageFailed, too, if it cannot be written.
    """
    if rows := [dispute_json(one) for one in disputed(folder.root)]:
        content = json.dumps({"disputes": rows}, indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder.disputes, content.encode())
