"""What a batch has cost, of what it may cost, as `run` and `status` say it."""

from __future__ import annotations

from collections.abc import Iterator

from batchgen.budget import Account, in_words
from batchgen.cli.words.phrases import money, plural
from batchgen.model import NO_BUDGET


def account_facts(account: Account) -> Iterator[tuple[str, str]]:
    """For people: what each fact is called, and it. None while there is no money in it."""
    spent = account.spending
    if account.price_per_image or account.budget != NO_BUDGET or spent.wasted or spent.in_doubt:
        shares = {
            "made": spent.made,
            "under way": spent.under_way,
            "wasted on failures": spent.wasted,
            "in doubt": spent.in_doubt,
        }
        told = ", ".join(f"{images:,} {what}" for what, images in shares.items() if images)
        yield "spent", f"at most {_amount(account, spent.total)}" + (f": {told}" if told else "")
    if account.budget != NO_BUDGET:
        left = "" if account.left is None else f"; left are {_amount(account, account.left)}"
        yield "budget", in_words(account.budget, account.price_per_image) + left


def _amount(account: Account, images: int) -> str:
    cost = account.cost(images)
    return plural(images, "image") + ("" if cost is None else f" ({money(cost)})")
