"""The batch folder: what lies where. The layout is a promise to everything that reads a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batchgen.model import INDEX_NAME, PARTS_FOLDER, REPORT_NAME


@dataclass(frozen=True, slots=True)
class BatchFolder:
    """Paths in one batch's folder; nothing is made or checked."""

    root: Path

    def remarks(self) -> Iterator[str]:
        """What readers take the folder's path for although it is hardly meant."""
        for part in self.root.parts:
            name, is_one, _ = part.partition("=")
            if name and is_one:
                yield (
                    f"{self.root}: DuckDB takes {part} for a column {name} of every row; name another --out, or read "
                    "it with read_parquet(…, hive_partitioning = false)."
                )
        if set(str(self.root)) & set("*?[]"):
            yield f"{self.root}: datasets and polars take *, ? and [ in a path for patterns; name another --out."

    @property
    def index(self) -> Path:
        """One row a sample."""
        return self.root / INDEX_NAME

    @property
    def card(self) -> Path:
        """The dataset card."""
        return self.root / "README.md"

    @property
    def croissant(self) -> Path:
        """What the dataset is, for programs; not there while the batch has no image."""
        return self.root / "croissant.json"

    @property
    def report(self) -> Path:
        """The report, a page."""
        return self.root / REPORT_NAME

    @property
    def report_parts(self) -> Path:
        """What the report of a large batch loads, in numbered files."""
        return self.root / PARTS_FOLDER

    @property
    def state(self) -> Path:
        """What batchgen needs to go on; readers of the dataset need none of it."""
        return self.root / ".batchgen"

    @property
    def journal(self) -> Path:
        """What was paid for, and what came of it."""
        return self.state / "journal.sqlite"

    @property
    def plan(self) -> Path:
        """The frozen plan."""
        return self.state / "plan.parquet"

    def plans_in_the_making(self) -> Iterator[Path]:
        """What is to take the plan's place; left behind, too, by a run that was killed."""
        return self.state.glob(f".{self.plan.name}.*.part")

    @property
    def screened(self) -> Path:
        """As what, and by what, all images of the batch were screened."""
        return self.state / "screened"

    @property
    def log(self) -> Path:
        """One JSON object for each step."""
        return self.state / "run.jsonl"

    @property
    def last_run(self) -> Path:
        """How the last run that ended did so: one JSON object."""
        return self.state / "last-run.json"

    @property
    def history(self) -> Path:
        """One JSON object for each run that ended."""
        return self.state / "history.jsonl"

    @property
    def disputes(self) -> Path:
        """What was disputed of a batch that was cleaned away: one JSON object."""
        return self.state / "disputes.json"

    @property
    def cleaned(self) -> Path:
        """There if the batch was cleaned away, but for its plan."""
        return self.state / "cleaned"

    @property
    def simulator(self) -> Path:
        """Jobs of the built-in simulator, so that it survives a kill as the real API would."""
        return self.state / "simulator.jsonl"

    def manifest(self, suffix: str) -> Path:
        """The manifest as given."""
        return self.state / f"manifest{suffix}"
