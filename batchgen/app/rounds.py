"""What a run asks for after the plan of its manifest: other images in place of rejected ones, round after round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from batchgen.adapters.file_store import replacing
from batchgen.adapters.journal import SQLiteJournal
from batchgen.adapters.plan_file import PlanFile, freeze
from batchgen.app.feed import PlanFeed
from batchgen.app.folder import BatchFolder
from batchgen.app.replanning import rejected_samples, several
from batchgen.app.screened import put_down
from batchgen.app.screening import Screening
from batchgen.checks import OnReject
from batchgen.lifecycle import Record
from batchgen.model import Request, RequestKey
from batchgen.planning import replacement
from batchgen.profile import Profile

#: Replacements in a round; what is more comes in the next.
_AT_ONCE = 10_000

#: An image that a manifest asks for: the key of its request, and its number among the samples of the row.
_Place = tuple[RequestKey, int]


@dataclass(slots=True, kw_only=True)
class Rounds:
    """Looks at what a run has stored, and says what to ask for in place of what was rejected.

    A round is in the frozen plan, on disk, before any of it is submitted; its keys follow from the rejected images. So
    whenever a run is killed, the next one goes on with the same requests, and pays for none of them again.
    """

    folder: BatchFolder
    profile: Profile
    journal: SQLiteJournal
    screening: Screening

    async def screen(self) -> None:
        """Have the images that are there scored and judged.

        Raises:
            StorageFailed: the disk or the journal does not take it.
        """
        await self.screening.screen(await asyncio.to_thread(PlanFile, self.folder.plan))

    async def next(self) -> PlanFeed | None:
        """Screen what there is; the requests of another round, if there is to be one.

        Raises:
            StorageFailed: the disk or the journal does not take it.
        """
        await self.screen()
        if self.screening.over():
            return None
        if self.screening.checks.on_reject is OnReject.REPLACE and (requests := await asyncio.to_thread(self._planned)):
            return PlanFeed(_Round(requests), self.journal)
        if self.screening.whole:
            await asyncio.to_thread(put_down, self.folder, self.screening.checks, self.screening.scorers)
        return None

    def _planned(self) -> list[Request]:
        """The replacements that are due, once they are in the frozen plan."""
        plan = PlanFile(self.folder.plan)
        due = list(islice(self._due(plan), _AT_ONCE))
        if due:
            with replacing(self.folder.plan) as part:
                freeze(chain(plan, due), part, plan.head)
        return due

    def _due(self, plan: PlanFile) -> Iterator[Request]:
        rejected, latest = self._rejected(plan)
        position = plan.head.samples
        for (key, sample), original in rejected.items():
            number, failed = latest.get((key, sample), (0, True))
            if failed and number < self.screening.checks.replacements:
                yield replacement(
                    self.profile, original, sample - original.sample, number=number + 1, position=position
                )
                position += 1

    def _rejected(self, plan: PlanFile) -> tuple[dict[_Place, Request], dict[_Place, tuple[int, bool]]]:
        """Places whose own image was rejected, in plan order; the latest replacement of each, and if it was, too."""
        rejected: dict[_Place, Request] = {}
        latest: dict[_Place, tuple[int, bool]] = {}
        for request, record in self._with_records(plan):
            gone = list(rejected_samples(record))
            if request.replaces is not None:
                place = (request.replaces.of, request.sample)
                latest[place] = max(latest.get(place, (0, False)), (request.replaces.number, bool(gone)))
            elif not request.kept:  # what the manifest does not ask for needs nothing in its place
                rejected |= {(request.key, request.sample + sample): request for sample in gone}
        return rejected, latest

    def _with_records(self, plan: Iterable[Request]) -> Iterator[tuple[Request, Record]]:
        for some in several(plan):
            records = self.journal.records([request.key for request in some])
            yield from ((request, records.get(request.key, Record())) for request in some)


class _Round:
    """The requests of a round, as a feed reads them."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._requests = requests

    def without(self, done: Callable[[Sequence[RequestKey]], Collection[RequestKey]]) -> Iterator[Request]:
        """Those that are not done."""
        gone = done([request.key for request in self._requests])
        return (request for request in self._requests if request.key not in gone)
