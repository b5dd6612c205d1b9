"""What a batch has cost, of what it may cost, as `run` and `status` say it."""

from __future__ import annotations

from collections.abc import Iterator

from batchgen.budget import Account, in_words
from batchgen.model import NO_BUDGET


def account_facts(account: Account) -> Iterator[tuple[str, str]]:
    """For people: what each fact is called, and it. None while there is no money in it."""
    spent = account.spending
    if account.price_per_image or account.budget != NO_BUDGET or spent.wasted or spent.in_doubt:
        yield "spent", account.spent_in_words
    if account.budget != NO_BUDGET:
        left = "" if account.left is None else f"; left are {account.amount(account.left)}"
        yield "budget", in_words(account.budget, account.price_per_image) + left
