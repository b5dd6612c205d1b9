"""What a batch has cost, of what it may cost, as `run` and `status` say it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

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


def account_json(account: Account) -> dict[str, Any]:
    """For machines: images, and what they cost where a price is known."""
    spent = account.spending
    told = {
        "price_per_image": account.price_per_image,
        "budget": asdict(account.budget),
        "spent": _amount_json(account, spent.total),
        "wasted": _amount_json(account, spent.wasted),
        "in_doubt": _amount_json(account, spent.in_doubt),
        "left": None if account.left is None else _amount_json(account, account.left),
    }
    return {"account": told}


def _amount_json(account: Account, images: int) -> dict[str, Any]:
    return {"images": images, "cost": account.cost(images)}
