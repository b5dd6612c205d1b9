"""What is found out about images once they are stored: what scorers say of them, and which are rejected for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from batchgen.adapters.file_store import FileStore
from batchgen.adapters.journal import SQLiteJournal
from batchgen.adapters.scorers import InstalledScorer, find_scorers
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app.replanning import several
from batchgen.checks import Checks, OnReject
from batchgen.errors import UsageError
from batchgen.lifecycle import ImagesJudged, Record, State
from batchgen.model import Request, RequestKey, Scored, StoredImage
from batchgen.policy import Verdict
from batchgen.scoring import Picture, believed

#: Requests whose images are scored before what was said of them is put on disk.
_SCORED_AT_ONCE = 32
#: Images in a row of which a scorer may fail to say anything before it is let be for this run.
_FAILURES_IN_A_ROW = 25

#: Told a dotted constant and its keys.
Note = Callable[..., None]
#: Requests whose images are not, or no longer, what the journal says of them, each with the event that says it.
_Judged = list[tuple[RequestKey, ImagesJudged]]


def scorers_for(checks: Checks) -> tuple[InstalledScorer, ...]:
    """The scorers that the checks name.

    Raises:
        UsageError: one cannot be had, or a limit is of no score that they give.
    """
    scorers = find_scorers(checks.score)
    numbers = [name for one in scorers for name, kind in one.columns.items() if kind != "str"]
    for name in checks.limits:
        if name not in numbers:
            known = f"There are {', '.join(numbers)}." if numbers else "No scorer under checks.score gives any."
            raise UsageError(f"checks.limits: {name} is no score that has limits. {known} Nothing was sent; mend it.")
    return scorers


@dataclass(slots=True, kw_only=True)
class Screening:
    """Looks at the stored images of a batch, at those that have not been looked at before.

    Args:
        root: the batch folder.
        note: told which image a scorer failed at, and why.
        over: whether somebody waits for the run to end.
    """

    root: Path
    journal: SQLiteJournal
    checks: Checks
    scorers: Sequence[InstalledScorer]
    note: Note
    over: Callable[[], bool]
    whole: bool = True  #: whether nothing was left that a later run is to try again
    _failures: dict[str, int] = field(default_factory=dict)  #: in a row, by scorer

    async def screen(self, plan: Iterable[Request]) -> None:
        """Have each image scored, once, and set those aside that do not stand a check.

        What is found is on disk before it is acted on, but for the place of an image: one that a killed run has moved
        is found where it was moved to.

        Raises:
            StorageFailed: the disk or the journal does not take it.
        """
        if self.scorers:
            await self._put_down(self._scored(plan))
        if (self.checks.rejects_duplicates or self.checks.limits) and not self.over():
            await self._put_down(self._rejected(plan))

    async def _put_down(self, found: Iterator[_Judged]) -> None:
        while (judged := await asyncio.to_thread(next, found, None)) is not None:
            await asyncio.gather(*(self.journal.record(key, event) for key, event in judged))

    def _records(self, plan: Iterable[Request]) -> Iterator[list[tuple[Request, Record]]]:
        """The plan's requests whose images are stored, some at once."""
        for some in several(plan):
            records = self.journal.records([request.key for request in some])
            known = ((request, records.get(request.key, Record())) for request in some)
            yield [(request, record) for request, record in known if record.state is State.STORED]

    def _scored(self, plan: Iterable[Request]) -> Iterator[_Judged]:
        judged: _Judged = []
        for request, record in chain.from_iterable(self._records(plan)):
            if self.over():
                break
            images = tuple(self._seen(request, image) for image in record.images)
            if images != record.images:
                judged.append((request.key, ImagesJudged(images=images)))
            if len(judged) == _SCORED_AT_ONCE:
                yield judged
                judged = []
        yield judged

    def _seen(self, request: Request, image: StoredImage) -> StoredImage:
        """The image, with what those scorers say that have not seen it."""
        for one in self.scorers:
            if not self._lacks(image, one):
                continue
            try:
                values = believed(one.columns, one.scorer.score(self._picture(request, image)))
            except (Exception, SystemExit) as error:  # noqa: BLE001  # the code of others: it never ends a run
                self._failed(one, image, error)
            else:
                self._failures[one.name] = 0
                image = replace(image, scores={**image.scores, one.name: Scored(version=one.version, values=values)})
        return image

    def _lacks(self, image: StoredImage, one: InstalledScorer) -> bool:
        scored = image.scores.get(one.name)
        if image.rejected is not None or (scored is not None and scored.version == one.version):
            return False
        return self._failures.get(one.name, 0) < _FAILURES_IN_A_ROW

    def _failed(self, one: InstalledScorer, image: StoredImage, error: BaseException) -> None:
        self.whole = False
        failures = self._failures[one.name] = self._failures.get(one.name, 0) + 1
        reason = f"{type(error).__name__}: {error}"
        self.note("scorer.failed", scorer=one.name, file_name=image.file_name, reason=reason)
        if failures == _FAILURES_IN_A_ROW:
            self.note("scorer.let_be", scorer=one.name, failures=failures)

    def _picture(self, request: Request, image: StoredImage) -> Picture:
        return Picture(
            path=str(self.root / image.file_name),
            prompt=request.prompt,
            sha256=image.image.sha256,
            format=image.image.format,
            width=image.image.width,
            height=image.image.height,
            labels=request.labels,
        )

    def _rejected(self, plan: Iterable[Request]) -> Iterator[_Judged]:
        from batchgen.app.verdicts import Verdicts  # brings numpy

        store = FileStore(self.root)
        with SpillingFirsts() as firsts:
            verdicts = Verdicts(self.checks, firsts)
            for some in self._records(plan):
                found = verdicts.of([image for _, record in some for image in record.images])
                judged = {name: self._after(store, image, verdict) for name, (image, verdict) in found.items()}
                yield [(request.key, event) for request, record in some if (event := _event(record, judged))]

    def _after(self, store: FileStore, image: StoredImage, verdict: Verdict) -> StoredImage:
        """The image as it is after the verdict; as it was, too, if it is not on the disk: `check` tells of that."""
        findings = tuple(dict.fromkeys((*image.findings, *verdict.findings)))
        if self.checks.on_reject is OnReject.KEEP:
            return replace(image, findings=findings)
        moved = store.set_aside(image.file_name)
        if moved is None:
            self.whole = False
            return image
        return replace(image, file_name=moved, findings=findings, rejected=verdict.rejected)


def _event(record: Record, judged: Mapping[str, StoredImage]) -> ImagesJudged | None:
    images = tuple(judged.get(image.file_name, image) for image in record.images)
    return None if images == record.images else ImagesJudged(images=images)
