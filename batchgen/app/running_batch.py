"""A batch that a run has in hand, with all that its parts need to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.scorers import InstalledScorer
from batchgen.app import accounting
from batchgen.app.folder import BatchFolder
from batchgen.app.settings import Settings
from batchgen.budget import Account
from batchgen.checks import Checks
from batchgen.manifest import Manifest
from batchgen.model import BatchFacts, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBatch:
    """Everything one pass needs to know."""

    manifest: Manifest
    settings: Settings
    folder: BatchFolder
    plan: PlanFile
    run_id: RunId
    scorers: Sequence[InstalledScorer] = ()

    @property
    def checks(self) -> Checks:
        """What images must stand."""
        return self.settings.checks or self.manifest.checks

    def account(self) -> Account:
        """What all runs have spent by now, of what may be spent."""
        with JournalView(self.folder.journal) as journal:
            spending = accounting.spending(journal.tallies())
        return Account(budget=self.manifest.budget, price_per_image=self.manifest.price_per_image, spending=spending)

    @property
    def facts(self) -> BatchFacts:
        """What its index says of the batch as a whole."""
        profile = self.manifest.profile
        return BatchFacts(
            batch_id=self.manifest.batch_id,
            profile=profile.name,
            provider=profile.provider,
            model=profile.model,
            endpoint=profile.endpoint,
            price_per_image=self.manifest.price_per_image,
            manifest_sha256=self.plan.head.manifest_sha256,
            duplicates=self.checks.duplicates,
            scores={name: kind for scorer in self.scorers for name, kind in scorer.columns.items()},
            card=self.manifest.card,
        )
