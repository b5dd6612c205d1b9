"""Pieces of sentences and of objects that several commands say."""

from __future__ import annotations

import textwrap
from typing import Any

from batchgen.model import Request

#: Characters of a line: what every terminal shows.
WIDTH = 80


def money(amount: float | None) -> str:
    """An amount in the account's currency, or that it is not known."""
    return "unknown (set price_per_image to estimate it)" if amount is None else f"{amount:,.2f}"


def plural(number: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def hanging(label: str, text: str, *, indent: int) -> str:
    """A label and a text beside it, in lines of `WIDTH` characters; whatever they hold, the text is kept in order.

    Args:
        indent: the column in which the text stands.
    """
    head = f"  {label}".ljust(indent)
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=head if len(head) == indent else f"{head} ",
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )


def request_json(request: Request) -> dict[str, Any]:
    """A request as machines are told of it."""
    return {
        "request_key": request.key,
        "row_index": request.row_index,
        "repeat": request.repeat,
        "prompt": request.prompt,
        "params": dict(request.params),
        "file_prefix": request.file_prefix,
        "labels": dict(request.labels),
        "split": request.split,
    }
