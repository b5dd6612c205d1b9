"""What a batch has cost so far, of what it may cost: from its journal."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.adapters.journal import JournalView, Tally
from batchgen.budget import Spending
from batchgen.lifecycle import State
from batchgen.model import Budget


def spending(tallies: Mapping[State, Tally], *, running: bool = False) -> Spending:
    """What became of the images that all runs of a batch asked for.

    Args:
        tallies: of the batch's journal.
        running: whether a run is working on it.
    """
    return Spending.sum(
        Spending.of(
            state,
            spent=tally.spent,
            wasted=tally.wasted,
            doubted=tally.doubted,
            stored=tally.images,
            running=running,
        )
        for state, tally in tallies.items()
    )


def price_per_image(journal: JournalView) -> float | None:
    """In the account's currency, as the newest run was told; None if nobody said.

    Raises:
        StorageFailed: the journal cannot be read.
    """
    price = journal.facts().get("price_per_image")
    return None if price is None else float(price)


def budget(journal: JournalView) -> Budget:
    """As the newest run was told.

    Raises:
        StorageFailed: the journal cannot be read.
    """
    return Budget(**journal.facts().get("budget", {}))
