"""Pieces of sentences that several commands say."""

from __future__ import annotations

import textwrap
import unicodedata

#: Characters of a line: what every terminal shows.
WIDTH = 80
_FILLER = "\0"  # stands for the second column of a wide character while lines are filled; in no printable text


def money(amount: float | None) -> str:
    """An amount in the account's currency, or that it is not known."""
    return "unknown (set price_per_image to estimate it)" if amount is None else f"{amount:,.2f}"


def plural(number: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def hanging(label: str, text: str, *, indent: int) -> str:
    """A label and a text beside it, in lines of `WIDTH` columns; whatever they hold, the text is kept in order.

    Characters that a terminal would obey, and not show, are written as in `repr`.

    Args:
        indent: the column in which the text stands.
    """
    head = f"  {label}".ljust(indent)
    shown = printable(text)
    counted = "".join(f"{one}{_FILLER}" if _is_wide(one) else one for one in shown)
    filled = textwrap.fill(
        counted,
        WIDTH if counted == shown else WIDTH - 1,  # the last character of a line may be cut off from its filler
        initial_indent=head if len(head) == indent else f"{head} ",
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )
    return filled.replace(_FILLER, "")


def printable(text: str) -> str:
    """The text with every character that shows nothing, or commands the terminal, written as in `repr`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def cut(text: str, width: int) -> str:
    """A line of printable characters that is no wider than so many columns."""
    columns = fits = 0
    for place, one in enumerate(text, start=1):
        columns += 2 if _is_wide(one) else 1
        if columns > width:
            return f"{text[:fits]}…"
        if columns < width:
            fits = place
    return text


def _is_wide(character: str) -> bool:
    """Whether a terminal shows it two columns wide, as it does the writings of East Asia."""
    return not character.isascii() and unicodedata.east_asian_width(character) in "WF"
