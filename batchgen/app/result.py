"""What a run leaves behind, as a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen import index
from batchgen.adapters.journal import JournalView
from batchgen.app.folder import BatchFolder
from batchgen.app.standing import Doubt, status
from batchgen.budget import Account
from batchgen.lifecycle import State
from batchgen.model import RunId, Status

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A batch as a run left it."""

    out: Path  #: the batch folder
    batch_id: str
    run_id: RunId
    wanted: int = 0  #: images; those asked for in place of others count once
    samples: Mapping[Status, int]  #: images asked for or to be asked for, by what became of them
    findings: Mapping[str, int]  #: stored images of which a check found something, by what it found
    replaced: int = 0  #: rejected images that have another one in their place
    unreplaced: int = 0  #: rejected images that have none
    failed_requests: int  #: requests of which no image was stored; `retry` tries them again
    elsewhere: int = 0  #: requests that were left out because other batches had them
    unfinished: Sequence[Path] = ()  #: of those batches, the ones that a run of their own has to finish
    under_way: int = 0  #: requests whose jobs are at the API; a later run collects their images, at no further cost
    doubts: Sequence[Doubt]  #: the first few requests that may have been paid for although nobody knows
    account: Account  #: what all runs of the batch have spent, of what may be spent
    report: Path | None = None  #: the page to look at; None if there is none
    stopped: str | None  #: why the run ended before everything was submitted; None if it did not
    cut_short: bool = False  #: whether it ended before all was submitted, or tried again, that was to be
    dated: bool = False  #: whether its manifest names {date}, {env.NAME} or the like, and may mean another batch later

    @classmethod
    def of(
        cls,
        out: Path,
        *,
        run_id: RunId,
        stopped: str | None,
        account: Account,
        under_way: int = 0,
        cut_short: bool = False,
    ) -> RunResult:
        """Read from the batch's index.

        Raises:
            StorageFailed: it cannot be read.
        """
        folder = BatchFolder(out)
        path = folder.index
        facts, _ = index.read_facts(path)
        samples = index.counts(path)
        replaced, unreplaced = index.replacements(path)
        return cls(
            out=out,
            batch_id=facts.batch_id,
            run_id=run_id,
            findings=index.findings(path),
            under_way=under_way,
            samples=samples,
            replaced=replaced,
            unreplaced=unreplaced,
            doubts=status(out).doubts if samples[Status.IN_DOUBT] else (),
            failed_requests=index.failed_requests(path),
            account=account,
            report=folder.report if folder.report.is_file() else None,
            stopped=stopped,
            cut_short=cut_short,
        )

    @property
    def lacks(self) -> bool:
        """Whether rows were left out that are in batches which a run of their own has to finish."""
        return bool(self.elsewhere and self.unfinished)

    @property
    def exit_code(self) -> int:
        """What `batchgen run` ends with.

        0 all stored or replaced, 3 some failed or were rejected, 6 not all was asked for, tried again or answered.
        """
        if self.samples[Status.PENDING] or self.samples[Status.IN_DOUBT] or self.cut_short:
            return 6
        return 3 if self.samples[Status.FAILED] or self.unreplaced else 0

    def frame(self) -> pd.DataFrame:
        """The index: one row a sample, in plan order, failed ones too."""
        import pandas as pd

        return pd.read_parquet(BatchFolder(self.out).index)

    def images(self) -> Iterator[Path]:
        """The stored image files, in plan order."""
        for row in index.read(BatchFolder(self.out).index, ["file_name", "status"]):
            if row["status"] == Status.STORED:
                yield self.out / row["file_name"]


def under_way(folder: BatchFolder) -> int:
    """Requests whose jobs are at the API.

    Raises:
        StorageFailed: the journal cannot be read.
    """
    with JournalView(folder.journal) as journal:
        tallies = journal.tallies()
    return sum(tally.requests for state, tally in tallies.items() if state in (State.SUBMITTED, State.READY))
