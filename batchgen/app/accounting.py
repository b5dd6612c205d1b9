"""What a batch has cost so far, of what it may cost: from its journal."""

from __future__ import annotations

from batchgen.adapters.journal import JournalView
from batchgen.budget import Account, Spending
from batchgen.model import Budget


def spending(journal: JournalView, *, running: bool = False) -> Spending:
    """What became of the images that all runs of a batch asked for.

    Args:
        running: whether a run is working on it.

    Raises:
        StorageFailed: the journal cannot be read.
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
        for state, tally in journal.tallies().items()
    )


def price_per_image(journal: JournalView) -> float | None:
    """In the account's currency, as the newest run was told; None if nobody said.

    Raises:
        StorageFailed: the journal cannot be read.
    """
    price = journal.facts().get("price_per_image")
    return None if price is None else float(price)


def account(journal: JournalView, *, running: bool) -> Account:
    """As its newest run was told: budget and price. Before the first there are none.

    Raises:
        StorageFailed: the journal cannot be read.
    """
    return Account(
        budget=Budget(**journal.facts().get("budget", {})),
        price_per_image=price_per_image(journal),
        spending=spending(journal, running=running),
    )
